//! Measures cells per second of forward passes, training steps with and without their data, and whole epochs.

use std::{hint::black_box, time::Instant};

use anyhow::Result;
use malaria_resnet::{
    Recipe, augment,
    dataset::Cells,
    libtorch::{Graph, allow_tf32},
    model::{ResNet, ResNetConfig},
    train::{CellTensors, RunOptions, Sgd, Subsets, TrainConfig, Trainer},
};
use serde::Serialize;
use tch::{Device, Kind, Tensor, no_grad};

use super::{BFLOAT16, FLOAT32, Mode, Scale, Synthetic, TF32, modes, settings, synchronise};

#[derive(Serialize)]
pub(super) struct Speed {
    pub(super) task: String,
    pub(super) precision: &'static str,
    pub(super) batch: usize,
    pub(super) cells_per_second: f64,
}

/// A whole epoch of the trainer: data, augmentation, steps, and averaged weights if the recipe has them.
#[derive(Serialize)]
pub(super) struct Epoch {
    pub(super) recipe: String,
    pub(super) precision: &'static str,
    pub(super) batch: usize,
    cells: usize,
    /// The fastest epoch except the first, which warms up.
    seconds: f64,
    pub(super) cells_per_second: f64,
    /// Whether steps were replayed from a recording.
    recorded: bool,
}

pub(super) fn check(
    device: Device,
    synthetic: &Synthetic,
    scale: Scale,
    failures: &mut Vec<String>,
    log: &mut dyn FnMut(&str),
) -> Result<(Vec<Speed>, Vec<Epoch>)> {
    let mut all = Vec::new();
    let cells = synthetic.on(device)?;
    let config = settings(Recipe::Fast, 1, scale.side);
    for &batch in scale.batches {
        let indices: Vec<usize> = (0..batch).map(|cell| cell % cells.len()).collect();
        let data = |step: u64| -> Result<(Tensor, Tensor)> {
            let (images, labels) = cells.batch(&indices)?;
            Ok((augment::batch(&images, &config.augment, 0, step, &indices)?, labels))
        };
        let mut record = |task: &str, precision, work: &mut dyn FnMut(u64) -> Result<Tensor>| -> Result<()> {
            let cells_per_second = rate(device, batch, scale.seconds, work)?;
            all.push(Speed { task: task.to_owned(), precision, batch, cells_per_second });
            Ok(())
        };
        record("data", "float32", &mut |step| Ok(data(step)?.0))?;
        for Mode { name: precision, kind, tf32, .. } in modes(device) {
            allow_tf32(tf32);
            let model = ResNet::new(&ResNetConfig::tutorial(), 0, device)?;
            let fused = model.fused(kind)?;
            let (images, labels) = data(0)?;
            let images = images.to_kind(kind);
            record("forward, eager", precision, &mut |_| Ok(no_grad(|| model.forward(&images, false))?))?;
            record("forward, fused", precision, &mut |_| Ok(fused.forward(&images)?))?;
            let mut optimizer = Sgd::new(config.sgd, &model)?;
            let mut step = |images: &Tensor, labels: &Tensor| -> Result<Tensor> {
                let loss = model.forward(images, true)?.cross_entropy_for_logits(labels);
                // A rate of 0 costs the same as any other and leaves the weights unchanged.
                optimizer.step(&loss, 0.0)?;
                Ok(loss)
            };
            record("step", precision, &mut |_| step(&images, &labels))?;
            record("step with its data", precision, &mut |number| {
                let (images, labels) = data(number)?;
                step(&images.to_kind(kind), &labels)
            })?;
        }
    }
    for Speed { task, precision, batch, cells_per_second } in &all {
        log(&format!("{task}, {precision}, batch of {batch}: {cells_per_second:.0} cells/s"));
    }
    Ok((all, epochs(device, synthetic, scale, failures, log)?))
}

/// Cells per second of `work` on `batch` cells, after three repetitions that are not counted. `work` gets the number of the
/// repetition.
fn rate(
    device: Device,
    batch: usize,
    seconds: f64,
    work: &mut dyn FnMut(u64) -> Result<Tensor>,
) -> Result<f64> {
    for number in 0..3 {
        let _ = black_box(work(number)?);
    }
    synchronise(device);
    let (start, mut done) = (Instant::now(), 3);
    // Synchronised only occasionally, so that a GPU always has queued work.
    while done == 3 || start.elapsed().as_secs_f64() < seconds {
        for _ in 0..10 {
            let _ = black_box(work(done)?);
            done += 1;
            if seconds == 0.0 {
                break;
            }
        }
        synchronise(device);
    }
    Ok((done - 3) as f64 * batch as f64 / start.elapsed().as_secs_f64())
}

fn epochs(
    device: Device,
    synthetic: &Synthetic,
    scale: Scale,
    failures: &mut Vec<String>,
    log: &mut dyn FnMut(&str),
) -> Result<Vec<Epoch>> {
    // Repeated synthetic cells: the content does not affect the speed.
    let bytes = scale.epoch_cells * synthetic.cells.pixels().len() / synthetic.cells.len();
    let pixels = synthetic.cells.pixels().iter().copied().cycle().take(bytes).collect();
    let classes: Vec<usize> = synthetic.classes.iter().copied().cycle().take(scale.epoch_cells).collect();
    let cells = Cells::from_pixels(scale.side, pixels)?;
    let cells = CellTensors::new(&cells, &classes, device)?;
    let train: Vec<usize> = (0..cells.len()).collect();
    let mut all = Vec::new();
    let runs = [
        (Recipe::Fast, 128, BFLOAT16),
        (Recipe::Fast, 32, BFLOAT16),
        (Recipe::Tutorial, 32, FLOAT32),
        (Recipe::Tutorial, 32, TF32),
    ];
    for (recipe, batch, mode) in runs.into_iter().filter(|(.., mode)| mode.is_for(device)) {
        allow_tf32(mode.tf32);
        let epochs = if device.is_cuda() { 3 } else { 2 };
        let config = TrainConfig {
            precision: mode.precision,
            batch_size: batch,
            ..settings(recipe, epochs, scale.side)
        };
        let mut trainer = Trainer::new(config, ResNet::new(&ResNetConfig::tutorial(), 0, device)?)?;
        trainer.run(&cells, Subsets { train: &train, validation: &[] }, RunOptions::default())?;
        let timed = trainer.history()[1..].iter().map(|record| record.seconds);
        let seconds = timed.fold(f64::INFINITY, f64::min);
        let recorded = trainer.is_recorded();
        if mode.kind == Kind::BFloat16 && Graph::is_supported() && !recorded {
            failures.push(format!(
                "a recorded training step in {} gave different gradients and was not used",
                mode.name
            ));
        }
        let cells_per_second = cells.len() as f64 / seconds;
        log(&format!(
            "an epoch of `{recipe}`, {} cells of {} px, {}, batches of {batch}: {seconds:.2} s, {cells_per_second:.0} cells/s",
            cells.len(),
            scale.side,
            mode.name
        ));
        all.push(Epoch {
            recipe: recipe.to_string(),
            precision: mode.name,
            batch,
            cells: cells.len(),
            seconds,
            cells_per_second,
            recorded,
        });
    }
    Ok(all)
}
