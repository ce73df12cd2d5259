//! The training steps of one epoch.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use malaria_libtorch::{AdaptiveWaits, foreach};
use tch::{Device, Tensor};

use super::Trainer;
use crate::{
    cell_tensors::{CellTensors, epoch_order, resize},
    error::Error,
    evaluate::read_sums,
    events::Event,
    gradients::{Batch, BatchGradients},
    network::Network,
};

/// Position and settings of one step.
#[derive(Clone, Copy)]
struct Step {
    /// From 0.
    epoch: u64,
    /// From 0, over the whole run.
    number: u64,
    image_size: i64,
    rate: f64,
    /// Whether a recording of the step is to be checked.
    check: bool,
}

/// Interval between reads of batch losses from a GPU. Each read waits for the GPU to finish; a few reads a second are enough for a
/// progress display.
const READ_EVERY: Duration = Duration::from_millis(250);

/// The current epoch, counted from 0.
struct CurrentEpoch {
    epoch: u64,
    batches: u64,
    started: Instant,
    /// Its cells that were trained on before a resume.
    cells_before: u64,
    unread: Vec<Trained>,
    last_read: Instant,
}

/// A batch that has been trained on, counted from 1.
struct Trained {
    batch: u64,
    cells: usize,
    learning_rate: f64,
    /// See [`batch_sums`](crate::evaluate::batch_sums).
    sums: Tensor,
}

impl<N: Network> Trainer<N> {
    /// Trains on the remaining batches of the current epoch; returns false if `stop` interrupted it.
    pub(super) fn train_epoch(
        &mut self,
        cells: &CellTensors<'_>,
        train: &[usize],
        stop: &AtomicBool,
        listener: &mut dyn FnMut(&Event),
    ) -> Result<bool, Error> {
        let started = Instant::now();
        let epoch = self.progress.epochs_done;
        let image_size = self.config.image_size(epoch);
        let order = epoch_order(train, self.config.seed, epoch);
        let batches = self.batches_per_epoch(train);
        let rate = |batch| self.config.schedule.rate_at(epoch * batches + batch, batches, self.config.epochs);
        let rates: Vec<f64> = (0..batches).map(rate).collect();
        let first = self.progress.batches_done;
        listener(&Event::EpochStarted {
            epoch: epoch + 1,
            epochs: self.config.epochs,
            batch: first,
            batches,
            image_size,
            learning_rate: rates[0],
        });
        let cells_before = self.progress.sums.cells;
        let mut current =
            CurrentEpoch { epoch, batches, started, cells_before, unread: Vec::new(), last_read: started };
        let mut waits = AdaptiveWaits::default();
        for (batch, indices) in (0..).zip(order.chunks(self.config.batch_size)).skip(first as usize) {
            let rate = rates[batch as usize];
            let step = Step {
                epoch,
                number: epoch * batches + batch,
                image_size,
                rate,
                check: batch == batches / 2,
            };
            let not_dropped = self.gradient_source.dropped().is_none();
            let sums = self.train_batch(cells, indices, step).map_err(|problem| match problem {
                problem if problem.is_of_libtorch() => Error::Step {
                    epoch: epoch + 1,
                    batch: batch + 1,
                    batches,
                    cells: indices.len(),
                    image_size,
                    problem: Box::new(problem),
                },
                problem => problem,
            })?;
            if let Some(difference) = self.gradient_source.dropped().filter(|_| not_dropped) {
                listener(&Event::RecordingDropped { epoch: epoch + 1, batch: batch + 1, difference });
            }
            self.progress.batches_done += 1;
            current.unread.push(Trained {
                batch: batch + 1,
                cells: indices.len(),
                learning_rate: rate,
                sums,
            });
            let on_cpu = self.network.device() == Device::Cpu;
            if on_cpu {
                waits.adapt();
            }
            if on_cpu || current.last_read.elapsed() >= READ_EVERY {
                self.read_losses(&mut current, listener)?;
            }
            if stop.load(Ordering::Relaxed) {
                break;
            }
        }
        self.read_losses(&mut current, listener)?;
        Ok(self.progress.batches_done == batches)
    }

    /// Reads the losses of the batches since the last read and reports them to the listener.
    fn read_losses(
        &mut self,
        current: &mut CurrentEpoch,
        listener: &mut dyn FnMut(&Event),
    ) -> Result<(), Error> {
        let CurrentEpoch { epoch, batches, started, cells_before, .. } = *current;
        let unread = std::mem::take(&mut current.unread);
        let losses = read_sums(unread.iter().map(|trained| &trained.sums))?;
        for (Trained { batch, cells, learning_rate, .. }, loss) in unread.into_iter().zip(losses) {
            let sums = &mut self.progress.sums;
            let loss = sums.add(cells, loss);
            if !loss.is_finite() {
                return Err(Error::NonFiniteLoss { epoch: epoch + 1, batch, batches, learning_rate, loss });
            }
            listener(&Event::Batch {
                epoch: epoch + 1,
                batch,
                batches,
                train_loss: sums.mean_loss(),
                train_accuracy: sums.accuracy(),
                images_per_second: (sums.cells - cells_before) as f64 / started.elapsed().as_secs_f64(),
            });
        }
        current.last_read = Instant::now();
        Ok(())
    }

    /// One step on the cells at `indices`; returns their [`batch_sums`](crate::evaluate::batch_sums).
    fn train_batch(
        &mut self,
        cells: &CellTensors<'_>,
        indices: &[usize],
        step: Step,
    ) -> Result<Tensor, Error> {
        let config = &self.config;
        let (images, labels) = cells.batch(indices)?;
        let images = malaria_augment::batch(&images, &config.augment, config.seed, step.epoch, indices)?;
        let images = resize(images, step.image_size)?;
        let images = images.f_to_kind(config.precision.of(self.network.device()))?;
        let batch = Batch { images, labels, targets: cells.targets(indices)? };
        let BatchGradients { gradients, sums } = self.gradient_source.gradients(
            &self.network,
            &self.optimizer,
            &batch,
            config.label_smoothing,
            step.check,
        )?;
        self.optimizer.apply(&gradients, step.rate)?;
        self.update_average(step.number)?;
        Ok(sums)
    }

    /// Moves the averaged weights and running statistics towards those after `step` (from 0).
    fn update_average(&mut self, step: u64) -> Result<(), Error> {
        let (Some(average), Some(decay)) = (&mut self.average, self.config.average_decay) else {
            return Ok(());
        };
        let decay = decay.min((1 + step) as f64 / (10 + step) as f64);
        tch::no_grad(|| {
            let [averaged, newest] =
                [&*average, &self.tensors].map(|state| state.iter().map(|(_, tensor)| tensor));
            Ok(foreach::lerp_(averaged, newest, 1.0 - decay)?)
        })
    }
}
