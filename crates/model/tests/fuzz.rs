//! Fuzz test of weights files: damaged ones are refused or loaded, without a panic and in bounded memory.

use std::collections::HashMap;

use malaria_classifier::{Description, ImageConfig};
use malaria_dataset::ResizePolicy;
use malaria_fuzz::{Alone, alone};
use malaria_model::{ResNet, ResNetConfig, decode_weights, save_weights};
use safetensors::SafeTensors;
use tch::Device;

/// The metadata key of the description.
const KEY: &str = "malaria-resnet";

fn sample() -> Vec<u8> {
    let config =
        ResNetConfig { stages: vec![1], filters: vec![2, 4], input_size: 16, ..ResNetConfig::tutorial() };
    let model = ResNet::new(&config, 0, Device::Cpu).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    let description = Description {
        classes: ["a", "b"].map(str::to_owned).to_vec(),
        positive: "a".to_owned(),
        image: ImageConfig { pixels: 16, resize: ResizePolicy::Stretch },
        input: None,
        threshold: None,
        smear: None,
        training_patients: Vec::new(),
        temperature: None,
    };
    save_weights(&path, &model, &description).unwrap();
    std::fs::read(path).unwrap()
}

/// Loads the weights files that `file` makes of damaged versions of `sample`. A network that loads has valid settings.
fn fuzz_weights(alone: &Alone, target: &str, sample: Vec<u8>, file: impl Fn(&[u8]) -> Vec<u8>) {
    decode_weights(&file(&sample), Device::Cpu).unwrap();
    alone.fuzz(target, &[sample], 8 << 20, |input| {
        if let Ok((model, _)) = decode_weights(&file(input), Device::Cpu) {
            model.config().check().unwrap();
        }
    });
}

#[test]
fn file() {
    let alone = alone();
    fuzz_weights(&alone, "libtorch weights file", sample(), <[u8]>::to_vec);
}

#[test]
fn description() {
    let alone = alone();
    let sample = sample();
    let (_, metadata) = SafeTensors::read_metadata(&sample).unwrap();
    let description = metadata.metadata().as_ref().unwrap()[KEY].clone();
    let tensors = SafeTensors::deserialize(&sample).unwrap();
    fuzz_weights(&alone, "libtorch weights description", description.into_bytes(), |input| {
        let description = String::from_utf8_lossy(input).into_owned();
        safetensors::serialize(tensors.tensors(), Some(HashMap::from([(KEY.to_owned(), description)])))
            .unwrap()
    });
}
