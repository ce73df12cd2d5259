//! Fuzz test of checkpoints: damaged ones are refused or resumed from, without a panic and in bounded memory.

use std::{fs, path::Path};

use malaria_dataset::Cells;
use malaria_fuzz::alone;
use malaria_model::{ResNet, ResNetConfig};
use malaria_train::{CellTensors, Checkpoints, Error, ImageSize, RunOptions, Subsets, TrainConfig, Trainer};
use tch::Device;

const SIZE: u32 = 16;

fn trainer() -> Trainer<ResNet> {
    let config = ResNetConfig {
        stages: vec![1],
        filters: vec![2, 4],
        input_size: i64::from(SIZE),
        ..ResNetConfig::tutorial()
    };
    let sizes = vec![ImageSize { from_epoch: 1, pixels: i64::from(SIZE) }];
    let settings = TrainConfig { batch_size: 2, image_sizes: sizes, ..TrainConfig::tutorial(2, 0) };
    Trainer::new(settings, ResNet::new(&config, 0, Device::Cpu).unwrap()).unwrap()
}

/// The checkpoint of a run on four cells.
fn sample(folder: &Path) -> Vec<u8> {
    let bytes = 4 * 3 * (SIZE as usize).pow(2);
    let cells = Cells::from_pixels(SIZE, (0..bytes).map(|i| (i * 7 % 251) as u8).collect()).unwrap();
    let cells = CellTensors::new(&cells, &[0, 1, 0, 1], Device::Cpu).unwrap();
    let subsets = Subsets { train: &[0, 1, 2, 3], validation: &[] };
    let checkpoints = Checkpoints::new(folder, "a run");
    let options = RunOptions { checkpoints: Some(&checkpoints), ..RunOptions::default() };
    trainer().run(&cells, subsets, options).unwrap();
    fs::read(checkpoints.path()).unwrap()
}

#[test]
fn checkpoint() {
    let alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let sample = sample(folder.path());
    fs::remove_file(folder.path().join("checkpoint.previous.safetensors")).unwrap();
    let checkpoints = Checkpoints::new(folder.path(), "a run");
    alone.fuzz("checkpoint", std::slice::from_ref(&sample), 8 << 20, |bytes| {
        fs::write(checkpoints.path(), bytes).unwrap();
        match trainer().resume(&checkpoints) {
            // Only the undamaged checkpoint is accepted.
            Ok(_) => assert!(bytes == sample),
            Err(Error::NoCheckpoint { reasons, .. }) => {
                assert!(reasons[0].contains("checkpoint.safetensors"), "{reasons:?}");
            }
            Err(error) => panic!("{error}"),
        }
    });
}
