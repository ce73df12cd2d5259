//! Overfitting: the tutorial's network memorises a handful of cells.

use malaria_resnet::{
    augment::AugmentConfig,
    dataset::Cells,
    model::{ResNet, ResNetConfig},
    train::{CellTensors, RunOptions, Schedule, SelectBy, Subsets, TrainConfig, Trainer},
};
use tch::Device;

/// Pixels per side.
const SIDE: usize = 64;
/// Cells of each class.
const CELLS: usize = 8;

/// Pixels of discs, the first half of them with a dark spot.
fn discs() -> Vec<u8> {
    let pixel = |cell: usize, x: usize, y: usize| {
        let (dx, dy) = (x as f64 - 32.0, y as f64 - 32.0);
        let spot = f64::hypot(dx - 6.0 + 3.0 * (cell % 3) as f64, dy) < 11.0;
        match f64::hypot(dx, dy) < 29.0 {
            true if spot && cell < CELLS => [90, 30, 120],
            true => [190 + cell as u8, 150, 160],
            false => [0, 0, 0],
        }
    };
    let places = (0..2 * CELLS).flat_map(|cell| (0..SIDE * SIDE).map(move |i| (cell, i % SIDE, i / SIDE)));
    places.flat_map(|(cell, x, y)| pixel(cell, x, y)).collect()
}

#[test]
fn the_tutorial_network_overfits_sixteen_cells() {
    let pixels = Cells::from_pixels(SIDE as u32, discs()).unwrap();
    let labels: Vec<usize> = (0..2 * CELLS).map(|cell| cell / CELLS).collect();
    let cells = CellTensors::new(&pixels, &labels, Device::Cpu).unwrap();
    let config = TrainConfig {
        batch_size: 16,
        schedule: Schedule::tutorial(0.05),
        augment: AugmentConfig::none(),
        select_by: SelectBy::Last,
        ..TrainConfig::tutorial(8, 0)
    };
    let model = ResNet::new(&ResNetConfig::tutorial(), 0, Device::Cpu).unwrap();
    let mut trainer = Trainer::new(config, model).unwrap();
    let all: Vec<usize> = (0..2 * CELLS).collect();
    let subsets = Subsets { train: &all, validation: &all };
    trainer.run(&cells, subsets, RunOptions::default()).unwrap();
    let last = trainer.history().last().unwrap();
    assert!(last.train_accuracy == 1.0 && last.train_loss < 0.1, "{last:?}");
}
