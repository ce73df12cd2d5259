//! A network that cannot learn a handful of cells by heart is broken somewhere.

mod support;

use std::sync::atomic::AtomicBool;

use malaria_resnet::{
    augment::AugmentConfig,
    dataset::{CorruptPolicy, Index, ResizePolicy, load},
    model::{ResNet, ResNetConfig},
    training::{CellTensors, Checkpoints, Keep, Schedule, Subsets, TrainConfig, Trainer},
};
use tch::Device;

#[test]
fn the_tutorials_network_learns_sixteen_cells_by_heart() {
    let folder = tempfile::tempdir().unwrap();
    support::draw_cells(folder.path());
    let index = Index::open(folder.path()).unwrap();
    let labels: Vec<usize> = index.samples.iter().map(|sample| sample.class).collect();
    let loaded = load(index, 64, ResizePolicy::Stretch, CorruptPolicy::Fail, &|_| {}).unwrap();
    let cells = CellTensors::new(&loaded.cells, &labels, Device::Cpu).unwrap();
    let config = TrainConfig {
        batch_size: 16,
        schedule: Schedule::tutorial(0.05),
        augment: AugmentConfig::none(),
        keep: Keep::Last,
        ..TrainConfig::tutorial(8, 0)
    };
    let model = ResNet::new(&ResNetConfig::tutorial(), 0, Device::Cpu).unwrap();
    let mut trainer = Trainer::new(config, model).unwrap();
    // The first eight of each class, by path.
    let some: Vec<usize> = (0..8).chain(labels.len() / 2..labels.len() / 2 + 8).collect();
    let subsets = Subsets { train: &some, validation: &some };
    let checkpoints = Checkpoints::new(folder.path(), "overfit");
    trainer.run(&cells, subsets, &checkpoints, &AtomicBool::new(false), &mut |_| {}).unwrap();
    let last = trainer.history().last().unwrap();
    assert!(last.train_accuracy == 1.0 && last.train_loss < 0.1, "{last:?}");
}
