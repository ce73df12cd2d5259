//! A short training, in either precision, and one that is stopped and gone on with: on the same device, and on the CPU.

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
        Trainer, evaluate,
    },
};
use serde::Serialize;
use tch::{Device, Kind, Tensor};

use super::{Drawn, Mode, Scale, modes, settings};

/// Less than this share of drawn test cells called right, and a training has learned nothing of use.
const LEAST_ACCURACY: f64 = 0.85;

/// Losses of trainings alike but for rounding are at most so far apart, a fraction.
const MOST_LOSS_APART: f64 = 0.1;

#[derive(Serialize)]
pub(super) struct Learned {
    precision: Precision,
    epochs: u64,
    cells: usize,
    first_loss: f64,
    last_loss: f64,
    /// Share of as many other synthetic cells called right.
    test_accuracy: f64,
    seconds: f64,
}

/// A training that was stopped in the middle of an epoch, against one that was not.
#[derive(Serialize)]
pub(super) struct Resumed {
    on: String,
    same_bits: bool,
    /// Norm of the difference of all weights, to the norm of the weights.
    relative_difference: f64,
    last_loss: f64,
    undisturbed_last_loss: f64,
}

pub(super) fn check(
    device: Device,
    drawn: &Drawn,
    scale: Scale,
    failures: &mut Vec<String>,
    say: &mut dyn FnMut(&str),
) -> Result<(Vec<Learned>, Vec<Resumed>, State)> {
    let mut learning = Vec::new();
    for Mode { precision, .. } in modes(device).filter(|mode| !mode.tf32) {
        let config = TrainConfig { precision, ..settings(Recipe::Fast, scale.epochs, scale.side) };
        let learned = learn(device, drawn, scale, config)?;
        say(&format!(
            "learning in {precision}: loss {:.3} to {:.3} in {} epochs of {} synthetic cells, {:.1} s; {:.1} % of the test cells right",
            learned.first_loss,
            learned.last_loss,
            learned.epochs,
            learned.cells,
            learned.seconds,
            100.0 * learned.test_accuracy
        ));
        if device.is_cuda() && learned.test_accuracy < LEAST_ACCURACY {
            failures.push(format!(
                "a training in {precision} calls {:.1} % of the test cells right, expected at least {:.0} %",
                100.0 * learned.test_accuracy,
                100.0 * LEAST_ACCURACY
            ));
        }
        if !learned.last_loss.is_finite() {
            failures.push(format!("the loss of a training in {precision} is no number"));
        }
        learning.push(learned);
    }
    let (resuming, trained) = resume(device, drawn, scale, failures, say)?;
    Ok((learning, resuming, trained))
}

/// The first half is learned from, the second tested on.
fn halves(scale: Scale) -> [Vec<usize>; 2] {
    [(0..scale.cells).collect(), (scale.cells..2 * scale.cells).collect()]
}

fn learn(device: Device, drawn: &Drawn, scale: Scale, config: TrainConfig) -> Result<Learned> {
    let cells = drawn.on(device)?;
    let [train, test] = halves(scale);
    let (precision, epochs) = (config.precision, config.epochs);
    let mut trainer = Trainer::new(config, ResNet::new(&ResNetConfig::tutorial(), 0, device)?)?;
    trainer.run(&cells, Subsets { train: &train, validation: &[] }, RunOptions::default())?;
    let losses: Vec<f64> = trainer.history().iter().map(|record| record.train_loss).collect();
    let seconds = trainer.history().iter().map(|record| record.seconds).sum();
    let model = trainer.into_model()?;
    let seen = evaluate(model.inference()?, &cells, &test, EvalOptions::default())?;
    Ok(Learned {
        precision,
        epochs,
        cells: train.len(),
        first_loss: losses[0],
        last_loss: losses[losses.len() - 1],
        test_accuracy: seen.accuracy,
        seconds,
    })
}

/// Three trainings of the same settings: one undisturbed, one stopped and gone on with on `device`, one on the CPU. Gives the
/// undisturbed one's weights too, on the CPU.
fn resume(
    device: Device,
    drawn: &Drawn,
    scale: Scale,
    failures: &mut Vec<String>,
    say: &mut dyn FnMut(&str),
) -> Result<(Vec<Resumed>, State)> {
    let config = TrainConfig { precision: Precision::Float32, ..settings(Recipe::Fast, 2, scale.side) };
    let undisturbed = train(config.clone(), drawn, scale, device, None, None)?;
    let mut resuming = Vec::new();
    for after in [device, Device::Cpu] {
        let folder = tempfile::tempdir().context("a folder for checkpoints")?;
        let middle = scale.cells as u64 / config.batch_size as u64 / 2;
        train(config.clone(), drawn, scale, device, Some(folder.path()), Some(middle.max(1)))?;
        let resumed = train(config.clone(), drawn, scale, after, Some(folder.path()), None)?;
        let difference = relative_difference(&resumed.weights, &undisturbed.weights);
        let on = malaria_resnet::libtorch::describe(after);
        say(&format!(
            "stopped and gone on with on the {on}: {}; last loss {:.4}, undisturbed {:.4}",
            if difference == 0.0 {
                "the same bits".to_owned()
            } else {
                format!("weights {:.2} % apart", 100.0 * difference)
            },
            resumed.last_loss,
            undisturbed.last_loss
        ));
        // Rounding grows from step to step: on another device, or by kernels that add up in an order of their own, the weights end up
        // elsewhere, and have learned as much.
        let alike = (resumed.last_loss / undisturbed.last_loss - 1.0).abs() <= MOST_LOSS_APART;
        if !alike || device == Device::Cpu && difference != 0.0 {
            failures.push(format!(
                "a training gone on with on the {on} ends with a loss of {:.4} and weights {:.2} % apart, an undisturbed one with {:.4}",
                resumed.last_loss,
                100.0 * difference,
                undisturbed.last_loss
            ));
        }
        resuming.push(Resumed {
            on,
            same_bits: difference == 0.0,
            relative_difference: difference,
            last_loss: resumed.last_loss,
            undisturbed_last_loss: undisturbed.last_loss,
        });
        if device == Device::Cpu {
            break;
        }
    }
    Ok((resuming, undisturbed.weights))
}

struct Trained {
    weights: State,
    last_loss: f64,
}

/// Trains on `device`, from the checkpoint in `folder` if there is one, until batch `stop_after` if that is given.
fn train(
    config: TrainConfig,
    drawn: &Drawn,
    scale: Scale,
    device: Device,
    folder: Option<&Path>,
    stop_after: Option<u64>,
) -> Result<Trained> {
    let cells = drawn.on(device)?;
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

/// Norm of the difference of all tensors, to the norm of `expected`.
pub(super) fn relative_difference(found: &[(String, Tensor)], expected: &[(String, Tensor)]) -> f64 {
    let squares = |tensor: &Tensor| tensor.to_kind(Kind::Double).square().sum(Kind::Double).double_value(&[]);
    let pairs = || found.iter().zip(expected);
    let apart: f64 = pairs().map(|((_, a), (_, b))| squares(&(a - b))).sum();
    (apart / pairs().map(|(_, (_, b))| squares(b)).sum::<f64>()).sqrt()
}
