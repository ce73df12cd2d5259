//! How many threads others have, which libtorch keeps for the whole process: hence a test program of its own.

use malaria_model::{ResNet, ResNetConfig};
use tch::{Device, Kind, Tensor};

#[test]
fn the_fused_network_leaves_other_threads_the_number_they_had() {
    let config =
        ResNetConfig { stages: vec![1, 1], filters: vec![8, 8, 12], input_size: 16, ..Default::default() };
    let model = ResNet::new(&config, 5, Device::Cpu).unwrap();
    tch::set_num_threads(3);
    let fused = model.fused(Kind::Float).unwrap();
    assert_eq!(format!("{fused:?}"), "Fused { threads: 3, .. }");
    let _ = fused.forward(&Tensor::rand([24, 3, 16, 16], (Kind::Float, Device::Cpu))).unwrap();
    // A thread that comes later takes the number that was set last in any.
    let later = std::thread::spawn(tch::get_num_threads).join().unwrap();
    assert_eq!((tch::get_num_threads(), later), (3, 3));
}
