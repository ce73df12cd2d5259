//! Checks that a short training learns in each precision, and that an interrupted one resumes on the same device and on the CPU.

use std::{
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use anyhow::{Context, Result};
use malaria_resnet::{
    Recipe,
    model::{ResNet, ResNetConfig},
    train::{
        Checkpoints, EvalOptions, Event, Network, Precision, RunOptions, State, Subsets, TrainConfig,
        Trainer, evaluate_network,
    },
};
use serde::Serialize;
use tch::{Device, Kind, Tensor};

use super::{Mode, Scale, Synthetic, modes, settings};

/// Minimum accuracy on the synthetic test cells.
const MIN_ACCURACY: f64 = 0.85;

/// Maximum relative difference between the last losses of trainings that differ only in rounding.
const MAX_LOSS_DIFFERENCE: f64 = 0.1;

#[derive(Serialize)]
pub(super) struct Learned {
    precision: Precision,
    epochs: u64,
    cells: usize,
    first_loss: f64,
    last_loss: f64,
    /// Accuracy on the same number of other synthetic cells.
    test_accuracy: f64,
    seconds: f64,
}

/// A training interrupted in the middle of an epoch and resumed, compared with an uninterrupted one.
#[derive(Serialize)]
pub(super) struct Resumed {
    on: String,
    same_bits: bool,
    /// Norm of the difference of all weights, relative to the norm of the weights.
    relative_difference: f64,
    last_loss: f64,
    undisturbed_last_loss: f64,
}

pub(super) fn check(
    device: Device,
    synthetic: &Synthetic,
    scale: Scale,
    failures: &mut Vec<String>,
    log: &mut dyn FnMut(&str),
) -> Result<(Vec<Learned>, Vec<Resumed>, State)> {
    let mut learning = Vec::new();
    for Mode { precision, .. } in modes(device).filter(|mode| !mode.tf32) {
        let config = TrainConfig { precision, ..settings(Recipe::Fast, scale.epochs, scale.side) };
        let learned = learn(device, synthetic, scale, config)?;
        log(&format!(
            "training in {precision}: loss {:.3} to {:.3} in {} epochs of {} synthetic cells, {:.1} s; test accuracy {:.1} %",
            learned.first_loss,
            learned.last_loss,
            learned.epochs,
            learned.cells,
            learned.seconds,
            100.0 * learned.test_accuracy
        ));
        if device.is_cuda() && learned.test_accuracy < MIN_ACCURACY {
            failures.push(format!(
                "a training in {precision} has a test accuracy of {:.1} %, expected at least {:.0} %",
                100.0 * learned.test_accuracy,
                100.0 * MIN_ACCURACY
            ));
        }
        if !learned.last_loss.is_finite() {
            failures.push(format!("the loss of a training in {precision} is not finite"));
        }
        learning.push(learned);
    }
    let (resuming, trained) = resume(device, synthetic, scale, failures, log)?;
    Ok((learning, resuming, trained))
}

/// Training cells, then test cells.
fn halves(scale: Scale) -> [Vec<usize>; 2] {
    [(0..scale.cells).collect(), (scale.cells..2 * scale.cells).collect()]
}

fn learn(device: Device, synthetic: &Synthetic, scale: Scale, config: TrainConfig) -> Result<Learned> {
    let cells = synthetic.on(device)?;
    let [train, test] = halves(scale);
    let (precision, epochs) = (config.precision, config.epochs);
    let mut trainer = Trainer::new(config, ResNet::new(&ResNetConfig::tutorial(), 0, device)?)?;
    trainer.run(&cells, Subsets { train: &train, validation: &[] }, RunOptions::default())?;
    let losses: Vec<f64> = trainer.history().iter().map(|record| record.train_loss).collect();
    let seconds = trainer.history().iter().map(|record| record.seconds).sum();
    let model = trainer.into_model()?;
    let evaluation = evaluate_network(model.inference()?, &cells, &test, EvalOptions::default())?;
    Ok(Learned {
        precision,
        epochs,
        cells: train.len(),
        first_loss: losses[0],
        last_loss: losses[losses.len() - 1],
        test_accuracy: evaluation.accuracy,
        seconds,
    })
}

/// Runs three trainings with the same settings: one uninterrupted, and two interrupted and resumed, on `device` and on the CPU.
/// Also returns the weights of the first, on the CPU.
fn resume(
    device: Device,
    synthetic: &Synthetic,
    scale: Scale,
    failures: &mut Vec<String>,
    log: &mut dyn FnMut(&str),
) -> Result<(Vec<Resumed>, State)> {
    let config = TrainConfig { precision: Precision::Float32, ..settings(Recipe::Fast, 2, scale.side) };
    let uninterrupted = train(config.clone(), synthetic, scale, device, None, None)?;
    let mut resuming = Vec::new();
    for after in [device, Device::Cpu] {
        let folder = tempfile::tempdir().context("cannot create a folder for checkpoints")?;
        let middle = scale.cells as u64 / config.batch_size as u64 / 2;
        train(config.clone(), synthetic, scale, device, Some(folder.path()), Some(middle.max(1)))?;
        let resumed = train(config.clone(), synthetic, scale, after, Some(folder.path()), None)?;
        let difference = relative_difference(&resumed.weights, &uninterrupted.weights);
        let on = malaria_resnet::libtorch::describe(after);
        log(&format!(
            "interrupted and resumed on the {on}: {}; last loss {:.4}, uninterrupted {:.4}",
            if difference == 0.0 {
                "the same bits".to_owned()
            } else {
                format!("weights differ by {:.2} %", 100.0 * difference)
            },
            resumed.last_loss,
            uninterrupted.last_loss
        ));
        // Rounding differences grow from step to step: on another device, or with kernels that sum in a varying order, the
        // weights differ, but the loss must be similar.
        let alike = (resumed.last_loss / uninterrupted.last_loss - 1.0).abs() <= MAX_LOSS_DIFFERENCE;
        if !alike || device == Device::Cpu && difference != 0.0 {
            failures.push(format!(
                "a training resumed on the {on} ends with a loss of {:.4} and weights that differ by {:.2} %, an uninterrupted one with {:.4}",
                resumed.last_loss,
                100.0 * difference,
                uninterrupted.last_loss
            ));
        }
        resuming.push(Resumed {
            on,
            same_bits: difference == 0.0,
            relative_difference: difference,
            last_loss: resumed.last_loss,
            undisturbed_last_loss: uninterrupted.last_loss,
        });
        if device == Device::Cpu {
            break;
        }
    }
    Ok((resuming, uninterrupted.weights))
}

struct Trained {
    weights: State,
    last_loss: f64,
}

/// Trains on `device`, from the checkpoint in `folder` if there is one, until batch `stop_after` if given.
fn train(
    config: TrainConfig,
    synthetic: &Synthetic,
    scale: Scale,
    device: Device,
    folder: Option<&Path>,
    stop_after: Option<u64>,
) -> Result<Trained> {
    let cells = synthetic.on(device)?;
    let mut trainer = Trainer::new(config, ResNet::new(&ResNetConfig::tutorial(), 0, device)?)?;
    let checkpoints = folder.map(|folder| Checkpoints::new(folder, "gpu check"));
    if let Some(checkpoints) = checkpoints.as_ref().filter(|checkpoints| checkpoints.exist()) {
        trainer.resume(checkpoints)?;
    }
    let stop = AtomicBool::new(false);
    let mut listener = |event: &Event| {
        if let (Event::Batch { batch, .. }, Some(last)) = (event, stop_after) {
            stop.fetch_or(*batch >= last, Ordering::Relaxed);
        }
    };
    let options =
        RunOptions { checkpoints: checkpoints.as_ref(), stop: Some(&stop), listener: Some(&mut listener) };
    let [train, _] = halves(scale);
    trainer.run(&cells, Subsets { train: &train, validation: &[] }, options)?;
    let last_loss = trainer.history().last().map_or(f64::NAN, |record| record.train_loss);
    let weights = trainer.into_model()?.state()?;
    let on_cpu = |(name, tensor): (String, Tensor)| Ok((name, tensor.f_to_device(Device::Cpu)?));
    Ok(Trained { weights: weights.into_iter().map(on_cpu).collect::<Result<_>>()?, last_loss })
}

/// Norm of the difference of all tensors, relative to the norm of `expected`.
pub(super) fn relative_difference(found: &[(String, Tensor)], expected: &[(String, Tensor)]) -> f64 {
    let squares = |tensor: &Tensor| tensor.to_kind(Kind::Double).square().sum(Kind::Double).double_value(&[]);
    let pairs = || found.iter().zip(expected);
    let difference: f64 = pairs().map(|((_, a), (_, b))| squares(&(a - b))).sum();
    (difference / pairs().map(|(_, (_, b))| squares(b)).sum::<f64>()).sqrt()
}
