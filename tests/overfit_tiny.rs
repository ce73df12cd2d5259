//! A network that cannot learn a handful of cells by heart is broken somewhere.

mod support;

use malaria_resnet::{
    augment::AugmentConfig,
    dataset::{Index, LoadOptions, load},
    model::{ResNet, ResNetConfig},
    training::{CellTensors, Keep, RunOptions, Schedule, Subsets, TrainConfig, Trainer},
};
use tch::Device;

#[test]
fn the_tutorials_network_learns_sixteen_cells_by_heart() {
    let folder = tempfile::tempdir().unwrap();
    support::draw_cells(folder.path());
    let index = Index::open(folder.path()).unwrap();
    let loaded = load(index, LoadOptions::default()).unwrap();
    let cells = CellTensors::of(&loaded, Device::Cpu).unwrap();
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
    let some: Vec<usize> = (0..8).chain(cells.len() / 2..cells.len() / 2 + 8).collect();
    let subsets = Subsets { train: &some, validation: &some };
    trainer.run(&cells, subsets, RunOptions::default()).unwrap();
    let last = trainer.history().last().unwrap();
    assert!(last.train_accuracy == 1.0 && last.train_loss < 0.1, "{last:?}");
}
