//! Tests of weights files: round trip, reproducible bytes, and refused tensors.

use std::fs;
use std::path::PathBuf;

use malaria_classifier::{Description, ImageConfig, WeightTensor, Weights, WeightsFile};
use malaria_dataset::ResizePolicy;
use malaria_model::{Error, ResNet, ResNetConfig, decode_weights, load_weights, save_weights};
use safetensors::SafeTensors;
use tch::{Device, Kind, Tensor, no_grad};

fn config() -> ResNetConfig {
    ResNetConfig {
        classes: 3,
        stages: vec![1, 2],
        filters: vec![4, 8, 12],
        input_size: 16,
        ..ResNetConfig::tutorial()
    }
}

fn model(seed: u64) -> ResNet {
    ResNet::new(&config(), seed, Device::Cpu).unwrap()
}

fn description() -> Description {
    Description {
        classes: ["a", "b", "of \"c\" é"].map(str::to_owned).to_vec(),
        positive: "b".to_owned(),
        image: ImageConfig { pixels: 16, resize: ResizePolicy::Stretch },
        input: None,
        threshold: None,
        smear: None,
        training_patients: Vec::new(),
        temperature: Some(1.25),
    }
}

/// A new folder, and a valid file in it.
fn saved() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    save_weights(&path, &model(3), &description()).unwrap();
    (folder, path)
}

/// The error of loading a valid file's weights after `spoil` has changed them. It names the file.
fn refusal(spoil: impl FnOnce(&mut Weights)) -> Error {
    let (_folder, path) = saved();
    let mut weights = WeightsFile::read(&path).unwrap().weights;
    spoil(&mut weights);
    weights.write(&path).unwrap();
    let error = load_weights(&path, Device::Cpu).unwrap_err();
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    assert!(decode_weights(&fs::read(&path).unwrap(), Device::Cpu).is_err());
    match error {
        Error::WeightsFile { problem, .. } => *problem,
        other => panic!("no path: {other}"),
    }
}

#[test]
fn weights_config_and_description_come_back() {
    let (_folder, path) = saved();
    let (loaded, found) = load_weights(&path, Device::Cpu).unwrap();
    assert_eq!(found, description());
    assert_eq!(loaded.config(), &config());
    for ((name, tensor), (other, expected)) in loaded.state().unwrap().iter().zip(model(3).state().unwrap()) {
        assert_eq!(*name, other);
        assert_eq!(*tensor, expected, "{name}");
    }
    assert!(loaded.parameters().iter().all(|parameter| parameter.tensor.requires_grad()));
    let images = Tensor::rand([2, 3, 16, 24], (Kind::Float, Device::Cpu));
    assert_eq!(loaded.forward(&images, false).unwrap(), model(3).forward(&images, false).unwrap());
}

#[test]
fn files_are_row_major_and_reproducible() {
    let (folder, path) = saved();
    let bytes = fs::read(&path).unwrap();
    for _ in 0..8 {
        save_weights(&path, &model(3), &description()).unwrap();
        assert!(fs::read(&path).unwrap() == bytes);
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "a temporary file was left behind");

    let file = SafeTensors::deserialize(&bytes).unwrap();
    let stem = file.tensor("stem.conv.weight").unwrap();
    assert_eq!((stem.dtype(), stem.shape()), (safetensors::Dtype::F32, [4, 3, 5, 5].as_slice()));
    // Value [2, 1, 3, 4] is at its row-major position, though the kernel is channels_last in memory.
    let offset = ((2 * 3 + 1) * 5 + 3) * 5 + 4;
    let value = f32::from_le_bytes(stem.data()[4 * offset..][..4].try_into().unwrap());
    assert_eq!(f64::from(value), model(3).parameters()[2].tensor.double_value(&[2, 1, 3, 4]));
}

#[test]
fn tensors_that_do_not_fit_are_named() {
    let bias = "head.dense.bias";
    let error = refusal(|weights| drop(weights.tensors.remove(bias)));
    assert!(matches!(error, Error::MissingTensor { ref name, .. } if name == bias), "{error}");
    let error = refusal(|weights| {
        weights.tensors.insert("momentum".to_owned(), WeightTensor { shape: vec![1], values: vec![0.0] });
    });
    assert!(matches!(error, Error::UnexpectedTensor { ref name } if name == "momentum"), "{error}");
    let error = refusal(|weights| weights.tensors.get_mut(bias).unwrap().shape = vec![3, 1]);
    assert_eq!(error.to_string(), "tensor `head.dense.bias`: expected shape [3], found [3, 1]");
    // A network that would take gigabytes is refused at the first different shape.
    let error = refusal(|weights| weights.network.filters = vec![16384, 16384, 16384]);
    assert!(matches!(error, Error::Shape { ref name, .. } if name == "stem.conv.weight"), "{error}");
}

#[test]
fn a_failed_save_keeps_the_earlier_file() {
    let (folder, path) = saved();
    let before = fs::read(&path).unwrap();
    let diverged = model(3);
    let _ = no_grad(|| diverged.parameters()[0].tensor.shallow_clone().fill_(f64::NAN));
    let error = save_weights(&path, &diverged, &description()).unwrap_err().to_string();
    assert!(error.contains("`input_norm.weight` holds NaN"), "{error}");
    let two_classes = Description { classes: vec!["b".to_owned(); 2], ..description() };
    let error = save_weights(&path, &model(3), &two_classes).unwrap_err().to_string();
    assert!(error.contains("`classes`: expected 3"), "{error}");
    let absent = folder.path().join("absent").join("weights.safetensors");
    let error = save_weights(&absent, &model(3), &description()).unwrap_err().to_string();
    assert!(error.contains(absent.to_str().unwrap()), "{error}");
    assert!(fs::read(&path).unwrap() == before);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}
