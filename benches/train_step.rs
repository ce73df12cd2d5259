//! One training step of the tutorial's network, batch of 32 at 64 and 32 px, in float32 and bfloat16: data (batch,
//! augmentation, resize), network (forward, loss, backward, optimizer), and both.
//!
//! `cargo bench --bench train_step`

#![allow(missing_docs, reason = "criterion's macros generate undocumented functions")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use malaria_resnet::{
    Recipe, augment,
    dataset::{Cells, Protocol},
    libtorch::{DeviceChoice, describe, keep_freed_memory},
    model::{ResNet, ResNetConfig},
    train::{CellTensors, Sgd, TrainConfig, resize},
};
use tch::{Kind, Tensor};

const BATCH: usize = 32;
const STORED: usize = 1024;

fn train_step(criterion: &mut Criterion) {
    keep_freed_memory();
    let device = DeviceChoice::Auto.resolve().expect("there is always a CPU");
    let recipe = malaria_resnet::ExperimentConfig::new(Recipe::Fast, Protocol::Random, 0).train;
    let model = ResNet::new(&ResNetConfig::tutorial(), 0, device).expect("a valid network");
    let mut optimizer = Sgd::new(recipe.sgd, &model).expect("a valid recipe");
    let pixels = (0..STORED * 64 * 64 * 3).map(|i| (i * i % 251) as u8).collect();
    let cells = Cells::from_pixels(64, pixels).expect("whole cells");
    let classes: Vec<usize> = (0..STORED).map(|cell| cell % 2).collect();
    let cells = CellTensors::new(&cells, &classes, device).expect("memory for a few cells");

    let mut group = criterion.benchmark_group(format!("training step, {}", describe(device)));
    group.throughput(Throughput::Elements(BATCH as u64));
    for size in [64, 32] {
        let (images, labels) = batch(&cells, &recipe, 0, size);
        group.bench_function(format!("{size} px, data"), |bencher| {
            let mut step = 0;
            bencher.iter(|| {
                step += 1;
                synchronised(batch(&cells, &recipe, step, size).0)
            });
        });
        for (precision, kind) in [("float32", Kind::Float), ("bfloat16", Kind::BFloat16)] {
            group.bench_function(format!("{size} px, network, {precision}"), |bencher| {
                let images = images.to_kind(kind);
                bencher.iter(|| train(&model, &mut optimizer, &images, &labels));
            });
            group.bench_function(format!("{size} px, both, {precision}"), |bencher| {
                let mut step = 0;
                bencher.iter(|| {
                    step += 1;
                    let (images, labels) = batch(&cells, &recipe, step, size);
                    train(&model, &mut optimizer, &images.to_kind(kind), &labels)
                });
            });
        }
    }
    group.finish();
}

/// An augmented training batch `[BATCH, 3, size, size]`, and its classes.
fn batch(cells: &CellTensors<'_>, recipe: &TrainConfig, step: usize, size: i64) -> (Tensor, Tensor) {
    let indices: Vec<usize> = (0..BATCH).map(|place| (step * BATCH + place * 7) % STORED).collect();
    let (images, labels) = cells.batch(&indices).expect("indices in range");
    let images = augment::batch(&images, &recipe.augment, 0, step as u64, &indices);
    let images = images.expect("one index per image");
    (resize(images, size).expect("a valid size"), labels)
}

/// One step; returns the loss. Reading it waits for a GPU to finish.
fn train(model: &ResNet, optimizer: &mut Sgd, images: &Tensor, labels: &Tensor) -> f64 {
    // A rate of 0 costs the same as any other and leaves the weights unchanged.
    let loss = model.forward(images, true).unwrap().cross_entropy_for_logits(labels);
    optimizer.step(&loss, 0.0).expect("a loss with a gradient");
    loss.double_value(&[])
}

/// Waits for a GPU to finish, by reading a value.
fn synchronised(images: Tensor) -> f64 {
    images.narrow(0, 0, 1).mean(Kind::Float).double_value(&[])
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = train_step
}
criterion_main!(benches);
