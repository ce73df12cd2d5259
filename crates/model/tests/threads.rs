//! Test of libtorch's number of threads, which is global to the process and therefore needs a separate test program.

use std::thread;

use malaria_model::{ResNet, ResNetConfig};
use tch::{Device, Kind, Tensor};

#[test]
fn fused_network_does_not_change_the_number_of_threads() {
    let config =
        ResNetConfig { stages: vec![1, 1], filters: vec![8, 8, 12], input_size: 16, ..Default::default() };
    let model = ResNet::new(&config, 5, Device::Cpu).unwrap();
    tch::set_num_threads(3);
    let fusing = thread::spawn(move || {
        for _ in 0..20 {
            let fused = model.fused(Kind::Float).unwrap();
            assert_eq!(format!("{fused:?}"), "Fused { threads: 3, .. }");
            let _ = fused.forward(&Tensor::rand([24, 3, 16, 16], (Kind::Float, Device::Cpu))).unwrap();
        }
        tch::get_num_threads()
    });
    // A training that starts in the meantime must not compute, and thus round, differently.
    while !fusing.is_finished() {
        assert_eq!(thread::spawn(tch::get_num_threads).join().unwrap(), 3);
    }
    assert_eq!((tch::get_num_threads(), fusing.join().unwrap()), (3, 3));
}
