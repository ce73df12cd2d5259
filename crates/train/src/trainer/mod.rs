//! The trainer: epochs, validation, the best epoch, checkpoints and resuming.

mod batches;

use std::sync::atomic::{AtomicBool, Ordering};

use crate::{
    cell_tensors::CellTensors,
    checkpoint::{Checkpoints, Snapshot},
    config::{SelectBy, TrainConfig},
    error::Error,
    evaluate::{EvalOptions, Sums, evaluate_network},
    events::{EpochRecord, Event},
    gradients::GradientSource,
    network::{Network, State, copies, handles, swap, write},
    optim::Sgd,
    run_state::{BestEpoch, Clock, Progress, Spent},
};

/// How a call of [`Trainer::run`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All epochs are done.
    Finished,
    /// Early stopping ended the run.
    StoppedEarly,
    /// The stop flag was set; the run continues by another call or from its checkpoint.
    Interrupted,
}

/// The subsets of a training run, as indices into its cells.
#[derive(Clone, Copy, Debug)]
pub struct Subsets<'a> {
    /// Cells to train on.
    pub train: &'a [usize],
    /// Cells on which the best epoch is selected; not used otherwise. May be empty with [`SelectBy::Last`].
    pub validation: &'a [usize],
}

/// Options of [`Trainer::run`]; all unset by default.
#[derive(Default)]
pub struct RunOptions<'a> {
    /// A checkpoint is written here after every epoch and on `stop`.
    pub checkpoints: Option<&'a Checkpoints>,
    /// Checked after every batch; true interrupts the run.
    pub stop: Option<&'a AtomicBool>,
    /// Called for every [`Event`].
    pub listener: Option<&'a mut dyn FnMut(&Event)>,
}

/// A network in training.
pub struct Trainer<N> {
    config: TrainConfig,
    network: N,
    /// Handles on the network's parameters, then its buffers.
    tensors: State,
    optimizer: Sgd,
    gradient_source: GradientSource,
    /// The moving average of `tensors`, if the settings ask for one.
    average: Option<State>,
    /// The weights of the best epoch; empty before there is one.
    best_state: State,
    progress: Progress,
}

impl<N: Network> Trainer<N> {
    /// A training run that starts from the weights of `network`.
    ///
    /// # Errors
    /// Those of [`TrainConfig::check`]; [`Error::Torch`] when memory is short.
    pub fn new(config: TrainConfig, network: N) -> Result<Self, Error> {
        config.check()?;
        let optimizer = Sgd::new(config.sgd, &network)?;
        let tensors = handles(&network);
        let average = config.average_decay.map(|_| copies(handles(&network))).transpose()?;
        Ok(Self {
            config,
            network,
            tensors,
            optimizer,
            gradient_source: GradientSource::default(),
            average,
            best_state: State::new(),
            progress: Progress::default(),
        })
    }

    /// Resumes from the newest valid checkpoint; returns the reason why a newer one was skipped, if one was.
    ///
    /// # Errors
    /// [`Error::NoCheckpoint`] if none is valid, [`Error::File`] if one cannot be read, [`Error::Model`] and [`Error::State`] if
    /// its weights or velocity do not fit the network.
    pub fn resume(&mut self, checkpoints: &Checkpoints) -> Result<Vec<String>, Error> {
        let (snapshot, passed_over) = checkpoints.load()?;
        self.network.load_state(&snapshot.model)?;
        self.optimizer.load_state(&snapshot.velocity)?;
        if let Some(average) = &mut self.average {
            write("averaged weights", average, &snapshot.average)?;
        }
        self.best_state = snapshot.best_state;
        self.progress = snapshot.progress;
        Ok(passed_over)
    }

    /// Metrics of the epochs done.
    pub fn history(&self) -> &[EpochRecord] {
        &self.progress.history
    }

    /// Whether steps are replayed from a recording on a GPU ([`Network::is_recordable`]). Its gradients are compared with
    /// computed ones when it is new and in the middle of every epoch; it is dropped if they differ
    /// ([`Event::RecordingDropped`]).
    pub fn is_recorded(&self) -> bool {
        self.gradient_source.is_recorded()
    }

    /// The best epoch, once there is one.
    pub fn best_epoch(&self) -> Option<BestEpoch> {
        self.progress.best_epoch
    }

    /// The network with the weights of the best epoch, or the current ones if there is none.
    ///
    /// # Errors
    /// Those of [`Network::load_state`].
    pub fn into_model(self) -> Result<N, Error> {
        if !self.best_state.is_empty() {
            self.network.load_state(&self.best_state)?;
        }
        Ok(self.network)
    }

    /// Trains until the last epoch, early stopping, or the stop flag.
    ///
    /// # Errors
    /// [`Error::EmptySubset`] (for the validation set only if it selects the epoch); [`Error::Cells`] if a resumed epoch had
    /// more training cells; [`Error::NonFiniteLoss`], [`Error::NonFiniteWeights`] and [`Error::NonFiniteValidation`] if the
    /// training diverges; [`Error::File`] if a checkpoint cannot be written (the previous one stays); [`Error::Step`] and
    /// [`Error::Torch`] when memory is short; the network's own.
    pub fn run(
        &mut self,
        cells: &CellTensors<'_>,
        subsets: Subsets<'_>,
        options: RunOptions<'_>,
    ) -> Result<Outcome, Error> {
        let RunOptions { checkpoints, stop, listener } = options;
        let (never, mut ignore) = (AtomicBool::new(false), |_: &Event| {});
        let stop = stop.unwrap_or(&never);
        let listener: &mut dyn FnMut(&Event) = match listener {
            Some(listener) => listener,
            None => &mut ignore,
        };
        if subsets.train.is_empty() {
            return Err(Error::EmptySubset { subset: "training", purpose: "train on" });
        }
        let validates = self.config.select_by != SelectBy::Last || self.config.early_stopping.is_some();
        if subsets.validation.is_empty() && validates {
            return Err(Error::EmptySubset { subset: "validation", purpose: "choose the epoch on" });
        }
        // A checkpoint's current epoch is never complete. With fewer training cells than before it would look complete, and
        // training would run past its end for ever.
        let (done, batches) = (self.progress.batches_done, self.batches_per_epoch(subsets.train));
        if done > 0 && done >= batches {
            let expected = "the training cells that the run started with".to_owned();
            return Err(Error::Cells {
                expected,
                found: format!("batch {done} done of an epoch of {batches}"),
            });
        }
        while self.progress.epochs_done < self.config.epochs && !self.progress.stopped_early {
            let clock = Clock::start();
            let whole = self.train_epoch(cells, subsets.train, stop, listener)?;
            if whole {
                self.end_epoch(cells, subsets.validation, &clock, listener)?;
            } else {
                self.progress.spent = self.progress.spent.and(&clock);
            }
            if let Some(checkpoints) = checkpoints {
                checkpoints.save(&self.snapshot()?)?;
                listener(&Event::CheckpointWritten { path: checkpoints.path() });
            }
            let done = self.progress.epochs_done == self.config.epochs || self.progress.stopped_early;
            if stop.load(Ordering::Relaxed) && !done {
                return Ok(Outcome::Interrupted);
            }
        }
        Ok(if self.progress.stopped_early { Outcome::StoppedEarly } else { Outcome::Finished })
    }

    fn batches_per_epoch(&self, train: &[usize]) -> u64 {
        train.len().div_ceil(self.config.batch_size) as u64
    }

    /// Runs `work` on the network with the averaged weights, if there are any. The trained weights are restored afterwards,
    /// even if `work` fails.
    fn on_average<T>(&mut self, work: impl FnOnce(&N) -> Result<T, Error>) -> Result<T, Error> {
        let Some(average) = &mut self.average else { return work(&self.network) };
        swap(&mut self.tensors, average)?;
        let result = work(&self.network);
        swap(&mut self.tensors, average)?;
        result
    }

    /// Ends an epoch: validates, keeps the best weights, resets the counters.
    fn end_epoch(
        &mut self,
        cells: &CellTensors<'_>,
        validation: &[usize],
        clock: &Clock,
        listener: &mut dyn FnMut(&Event),
    ) -> Result<(), Error> {
        let index = self.progress.epochs_done;
        let epoch = index + 1;
        let image_size = self.config.image_size(index);
        self.check_weights(epoch)?;
        let mut candidate = BestEpoch { epoch, validation_loss: None, validation_accuracy: None };
        if !validation.is_empty() {
            listener(&Event::ValidationStarted { epoch, cells: validation.len() });
            let options = EvalOptions { image_size: Some(image_size), ..EvalOptions::default() };
            let evaluation = self
                .on_average(|network| evaluate_network(network.inference()?, cells, validation, options))?;
            if !evaluation.loss.is_finite() {
                return Err(Error::NonFiniteValidation { epoch, loss: evaluation.loss });
            }
            candidate.validation_loss = Some(evaluation.loss);
            candidate.validation_accuracy = Some(evaluation.accuracy);
        }
        // Metrics at different image sizes cannot be compared.
        let comparable = image_size == self.config.final_image_size();
        let is_best = comparable
            && self.progress.best_epoch.is_none_or(|best| self.config.select_by.prefers(&candidate, &best));
        if is_best {
            self.progress.best_epoch = Some(candidate);
            self.best_state = self.on_average(N::state)?;
        }
        if comparable {
            self.progress.epochs_without_gain =
                if is_best { 0 } else { self.progress.epochs_without_gain + 1 };
        }
        let patience = self.config.early_stopping;
        self.progress.stopped_early =
            patience.is_some_and(|patience| self.progress.epochs_without_gain >= patience);

        let batches = self.progress.batches_done;
        let Spent { seconds, cpu_seconds } = self.progress.spent.and(clock);
        let record = EpochRecord {
            epoch,
            learning_rate: self.config.schedule.rate_at(index * batches, batches, self.config.epochs),
            image_size,
            train_loss: self.progress.sums.mean_loss(),
            train_accuracy: self.progress.sums.accuracy(),
            validation_loss: candidate.validation_loss,
            validation_accuracy: candidate.validation_accuracy,
            seconds,
            cpu_seconds,
        };
        self.progress.history.push(record.clone());
        self.progress.epochs_done = epoch;
        self.progress.batches_done = 0;
        self.progress.sums = Sums::default();
        self.progress.spent = Spent::default();
        listener(&Event::EpochEnded { record, is_best });
        Ok(())
    }

    /// Refuses weights that are not finite. The loss of the next batch would show them, but no batch follows the last one.
    fn check_weights(&self, epoch: u64) -> Result<(), Error> {
        for (_, tensor) in &self.tensors {
            if !bool::try_from(tensor.f_isfinite()?.f_all()?)? {
                return Err(Error::NonFiniteWeights { epoch });
            }
        }
        Ok(())
    }

    fn snapshot(&self) -> Result<Snapshot, Error> {
        let same = |state: &State| {
            state.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect()
        };
        Ok(Snapshot {
            progress: self.progress.clone(),
            model: self.network.state()?,
            velocity: self.optimizer.state(),
            average: self.average.as_ref().map(same).unwrap_or_default(),
            best_state: same(&self.best_state),
        })
    }
}

impl SelectBy {
    /// Whether `new`, the later epoch, is better than `old`.
    fn prefers(self, new: &BestEpoch, old: &BestEpoch) -> bool {
        let negative_loss = |epoch: &BestEpoch| epoch.validation_loss.map(|loss| -loss);
        match self {
            SelectBy::Last => true,
            SelectBy::BestLoss => negative_loss(new) > negative_loss(old),
            SelectBy::BestAccuracy => {
                (new.validation_accuracy, negative_loss(new)) > (old.validation_accuracy, negative_loss(old))
            }
        }
    }
}
