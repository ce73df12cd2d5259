//! Trains and tests a small cell classifier with a hand-written training loop, without the facade.
//!
//! `cargo run --release --example custom_loop -- FOLDER_OF_CELLS`

#![allow(clippy::print_stdout, reason = "a program")]

use std::{env, path::Path};

use anyhow::{Context, Result};
use malaria_augment::AugmentConfig;
use malaria_dataset::{Index, LoadOptions, Protocol, SplitConfig, load, split};
use malaria_libtorch::DeviceChoice;
use malaria_metrics::{classification_report, summarise};
use malaria_model::{ResNet, ResNetConfig};
use malaria_train::{
    self as train, CellTensors, Decay, EvalOptions, Interval, Network, Schedule, Sgd, SgdConfig, epoch_order,
};
use tch::{Reduction, Tensor};

const SIDE: u32 = 32;
const EPOCHS: u64 = 6;
const BATCH: usize = 32;
const SEED: u64 = 0;

fn main() -> Result<()> {
    let folder = env::args_os().nth(1).context("usage: custom_loop FOLDER_OF_CELLS")?;
    let index = Index::open(Path::new(&folder))?;
    let positive = index.class("Parasitized").context("no class `Parasitized` in the folder")?;
    let loaded = load(index, LoadOptions { size: SIDE, ..LoadOptions::default() })?;
    // No patient is in two subsets.
    let by_patient = SplitConfig { protocol: Protocol::Patient, ..SplitConfig::default() };
    let split = split(&loaded.index, &by_patient)?;
    let device = DeviceChoice::Auto.resolve()?;
    let cells = CellTensors::of(&loaded, device)?;
    let config = ResNetConfig {
        stages: vec![1, 1, 1],
        filters: vec![16, 32, 64, 128],
        input_size: i64::from(SIDE),
        ..ResNetConfig::tutorial()
    };
    let model = ResNet::new(&config, SEED, device)?;

    let mut optimizer = Sgd::new(SgdConfig::tutorial(), &model)?;
    let decay = Decay::Cosine { final_fraction: 0.0 };
    let schedule = Schedule { rate: 0.05, decay, interval: Interval::Step, warmup_epochs: 1.0 };
    let augment = AugmentConfig { rotation_degrees: 180.0, vertical_flip: true, ..AugmentConfig::tutorial() };
    let steps = split.train.len().div_ceil(BATCH) as u64;
    for epoch in 0..EPOCHS {
        let order = epoch_order(&split.train, SEED, epoch);
        let mut sum = 0.0;
        for (step, batch) in (epoch * steps..).zip(order.chunks(BATCH)) {
            let (images, labels) = cells.batch(batch)?;
            let images = malaria_augment::batch(&images, &augment, SEED, epoch, batch)?;
            let logits = model.forward(&images, true)?;
            let loss = logits.f_cross_entropy_loss::<Tensor>(&labels, None, Reduction::Mean, -100, 0.1)?;
            optimizer.step(&loss, schedule.rate_at(step, steps, EPOCHS))?;
            sum += loss.f_double_value(&[])? * batch.len() as f64;
        }
        let validation =
            train::evaluate_network(model.inference()?, &cells, &split.validation, EvalOptions::default())?;
        let loss = sum / split.train.len() as f64;
        println!("epoch {}: loss {loss:.3}, validation accuracy {:.3}", epoch + 1, validation.accuracy);
    }

    let test = train::evaluate_network(model.inference()?, &cells, &split.test, EvalOptions::default())?;
    let labels = loaded.index.labels();
    let truth: Vec<usize> = split.test.iter().map(|&cell| labels[cell]).collect();
    let summary = summarise(&truth, &test.probabilities, &loaded.index.classes, positive)?;
    println!("{}", classification_report(&summary.confusion, &loaded.index.classes, None)?);
    Ok(())
}
