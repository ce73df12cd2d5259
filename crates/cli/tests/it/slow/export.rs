//! The tutorial's network exported with unusual batch normalisations: the ONNX file yields the probabilities of libtorch.

use malaria_resnet::{
    Classifier, ImageConfig, WeightsFile,
    dataset::{Cells, ResizePolicy},
    edge::{Model, WeightFormat, export},
    model::{ResNet, ResNetConfig},
    train::CellTensors,
};
use tch::{Device, Kind, Tensor, no_grad};

use crate::export::{by_libtorch, by_runtime, largest_difference, spread};

/// Side in pixels.
const SIDE: u32 = 64;
/// Bytes of a cell.
const CELL: u64 = 3 * (SIDE * SIDE) as u64;

#[test]
fn the_tutorial_network_keeps_one_batch_normalisation() {
    let onnx = exported_and_compared(|_, _| {});
    // That of the image: the zero padding lies between it and the convolution.
    assert_eq!(batch_normalisations(&onnx), 1);
}

#[test]
fn batch_normalisations_stay_if_their_scales_cannot_be_folded() {
    // Negative, zero, and so small that a shift divided by it overflows float32.
    for factor in [-1.0, 0.0, 1e-38] {
        let onnx = exported_and_compared(|name, scales| {
            if ["stages.0.0.norm1.weight", "stages.1.2.norm1.weight", "head.norm.weight"].contains(&name) {
                let _ = scales.narrow(0, 3, 2).g_mul_scalar_(factor);
            }
        });
        assert_eq!(batch_normalisations(&onnx), 4, "{factor}");
    }
}

#[test]
fn the_first_batch_normalisation_stays_if_it_lifts_zeros_of_the_stem() {
    let onnx = exported_and_compared(|name, shifts| {
        if name == "stages.0.0.norm1.bias" {
            let _ = shifts.narrow(0, 20, 1).g_add_scalar_(3.0);
        }
    });
    assert_eq!(batch_normalisations(&onnx), 2);
}

/// The number of batch normalisations in an exported network.
fn batch_normalisations(onnx: &[u8]) -> usize {
    onnx.windows(18).filter(|&bytes| bytes == b"BatchNormalization").count()
}

/// Changes the parameters of the tutorial's network, exports it, compares the probabilities of both, and returns the file.
fn exported_and_compared(change: impl Fn(&str, &Tensor)) -> Vec<u8> {
    tch::set_num_threads(1);
    let config = ResNetConfig { input_size: i64::from(SIDE), ..ResNetConfig::tutorial() };
    let model = ResNet::new(&config, 3, Device::Cpu).unwrap();
    let pixels: Vec<u8> = (0..6 * CELL).map(|i| (i * i % 1009 * (i / CELL + 1) % 256) as u8).collect();
    let cells = Cells::from_pixels(SIDE, pixels).unwrap();
    let (images, _) =
        CellTensors::new(&cells, &[0; 6], Device::Cpu).unwrap().batch(&[0, 1, 2, 3, 4, 5]).unwrap();
    no_grad(|| {
        // Scales and shifts other than 1 and 0, and statistics of these cells.
        for (place, parameter) in model.parameters().iter().enumerate() {
            let size = parameter.tensor.size();
            if size.len() == 1 {
                let count = (Tensor::arange(size[0], (Kind::Float, Device::Cpu)) + place as f64).sin() * 0.2;
                let _ = parameter.tensor.shallow_clone().g_add_(&count);
            }
            change(&parameter.name, &parameter.tensor);
        }
        for _ in 0..20 {
            let _ = model.forward(&images, true).unwrap();
        }
    });
    let image = ImageConfig { pixels: SIDE, resize: ResizePolicy::Stretch };
    let classifier =
        Classifier::new(model, vec!["Parasitized".into(), "Uninfected".into()], 0, image).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    classifier.save(&path).unwrap();
    let expected = by_libtorch(&classifier, &cells);
    let onnx = export(&WeightsFile::read(&path).unwrap(), WeightFormat::F32, None).unwrap();
    let found = by_runtime(&Model::load(&onnx).unwrap(), &cells);
    let difference = largest_difference(&found, &expected);
    // Float32 sums in another order, over some forty layers.
    assert!(difference < 1e-5, "{difference:e}, {expected:?}");
    assert!(spread(&expected) > 0.02, "the cells are too similar to test anything: {expected:?}");
    onnx
}
