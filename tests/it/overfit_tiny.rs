//! A network that cannot learn a handful of cells by heart is broken somewhere.

use malaria_resnet::{
    augment::AugmentConfig,
    dataset::{Index, LoadOptions, SyntheticConfig, load, write_synthetic},
    model::{ResNet, ResNetConfig},
    training::{CellTensors, Keep, RunOptions, Schedule, Subsets, TrainConfig, Trainer},
};
use tch::Device;

#[test]
fn the_tutorials_network_learns_sixteen_cells_by_heart() {
    let folder = tempfile::tempdir().unwrap();
    let drawn = folder.path().join("cells");
    write_synthetic(&drawn, &SyntheticConfig { cells: 32, ..SyntheticConfig::default() }, &|_| {}).unwrap();
    let index = Index::open(&drawn).unwrap();
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
