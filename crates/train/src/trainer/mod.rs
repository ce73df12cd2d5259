//! The training itself: epochs of batches, validation, averaging, keeping and going on.

mod batches;

use std::sync::atomic::{AtomicBool, Ordering};

use crate::{
    checkpoint::{Checkpoints, Snapshot},
    config::{SelectBy, TrainConfig},
    epoch::{EvalOptions, Sums, evaluate},
    error::Error,
    events::{EpochRecord, Event},
    learner::Learner,
    loader::CellTensors,
    network::{Network, State, copies, handles, swap, write},
    optim::Sgd,
    progress::{BestEpoch, Clock, Progress, Spent},
};

/// How a call of [`Trainer::run`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All epochs are done.
    Finished,
    /// Early stopping ended it.
    StoppedEarly,
    /// The caller asked it to stop; it can go on from its checkpoint, or by another call.
    Interrupted,
}

/// The subsets a training reads: indices into its cells.
#[derive(Clone, Copy, Debug)]
pub struct Subsets<'a> {
    /// What is learned from.
    pub train: &'a [usize],
    /// What the epoch, and nothing else, is chosen on. May be empty where the last epoch is kept, come what may.
    pub validation: &'a [usize],
}

/// Options of [`Trainer::run`]; by default none is used.
#[derive(Default)]
pub struct RunOptions<'a> {
    /// Where a checkpoint is written after every epoch and on `stop`.
    pub checkpoints: Option<&'a Checkpoints>,
    /// Read after every batch: true ends the run.
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
    learner: Learner,
    /// The average of each of `tensors`, where the settings ask for it.
    average: Option<State>,
    /// The kept weights.
    best_state: State,
    progress: Progress,
}

impl<N: Network> Trainer<N> {
    /// Starts from the weights of `network`.
    ///
    /// # Errors
    /// [`Error::Config`] for settings out of range; [`Error::Torch`] when memory is short.
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
            learner: Learner::default(),
            average,
            best_state: State::new(),
            progress: Progress::default(),
        })
    }

    /// Takes up the newest sound checkpoint; gives why a newer one was passed over, if one was.
    ///
    /// # Errors
    /// [`Error::NoCheckpoint`] when none can be used, [`Error::Io`] when one cannot be read, [`Error::Model`] and [`Error::State`]
    /// when its weights or velocity are those of another network.
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

    /// Figures of the epochs done.
    pub fn history(&self) -> &[EpochRecord] {
        &self.progress.history
    }

    /// Whether steps are being repeated from a recording, on a GPU ([`Network::is_recordable`]). Its gradients are compared with computed
    /// ones when it is new and in the middle of every epoch, and it is dropped where they differ
    /// ([`Event::RecordingDropped`]).
    pub fn is_recorded(&self) -> bool {
        self.learner.is_recorded()
    }

    /// The kept epoch, once there is one.
    pub fn best_epoch(&self) -> Option<BestEpoch> {
        self.progress.best_epoch
    }

    /// The network with the kept weights; with the newest ones before there are any.
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
    /// [`Error::EmptySubset`] (of a validation set only where epochs are chosen by it), [`Error::Cells`] where an epoch under
    /// way has more training cells than these, [`Error::NonFiniteLoss`], [`Error::NonFiniteWeights`],
    /// [`Error::NonFiniteValidation`], [`Error::Io`] when a checkpoint cannot be written (the one before it stays),
    /// [`Error::Step`] and [`Error::Torch`], when memory is short; the network's own.
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
            return Err(Error::EmptySubset { subset: "training", purpose: "learn from" });
        }
        let chosen = self.config.select_by != SelectBy::Last || self.config.early_stopping.is_some();
        if subsets.validation.is_empty() && chosen {
            return Err(Error::EmptySubset { subset: "validation", purpose: "choose the epoch on" });
        }
        // A whole epoch is closed before it is written down. Beyond its end there would be none to close, for ever.
        let (done, batches) = (self.progress.batches_done, self.batches_per_epoch(subsets.train));
        if done > 0 && done >= batches {
            let expected = "the training cells that the run began with".to_owned();
            return Err(Error::Cells {
                expected,
                found: format!("batch {done} done of an epoch of {batches}"),
            });
        }
        while self.progress.epochs_done < self.config.epochs && !self.progress.stopped_early {
            let clock = Clock::start();
            let whole = self.train_epoch(cells, subsets.train, stop, listener)?;
            if whole {
                self.close_epoch(cells, subsets.validation, &clock, listener)?;
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

    /// Runs `work` on the network with the averaged weights in it, if there are any. Afterwards the trained ones are back, also
    /// where `work` failed.
    fn on_average<T>(&mut self, work: impl FnOnce(&N) -> Result<T, Error>) -> Result<T, Error> {
        let Some(average) = &mut self.average else { return work(&self.network) };
        swap(&mut self.tensors, average)?;
        let done = work(&self.network);
        swap(&mut self.tensors, average)?;
        done
    }

    /// Validates, keeps the weights if they are to be kept, and turns the page.
    fn close_epoch(
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
            let seen =
                self.on_average(|network| evaluate(network.inference()?, cells, validation, options))?;
            if !seen.loss.is_finite() {
                return Err(Error::NonFiniteValidation { epoch, loss: seen.loss });
            }
            candidate.validation_loss = Some(seen.loss);
            candidate.validation_accuracy = Some(seen.accuracy);
        }
        // Figures at another image size cannot be compared with those at the last one.
        let comparable = image_size == self.config.final_image_size();
        let gain = comparable
            && self.progress.best_epoch.is_none_or(|best| self.config.select_by.prefers(&candidate, &best));
        if gain {
            self.progress.best_epoch = Some(candidate);
            self.best_state = self.on_average(N::state)?;
        }
        if comparable {
            self.progress.epochs_without_gain = if gain { 0 } else { self.progress.epochs_without_gain + 1 };
        }
        let patience = self.config.early_stopping;
        self.progress.stopped_early = patience.is_some_and(|most| self.progress.epochs_without_gain >= most);

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
        listener(&Event::EpochEnded { record, is_best: gain });
        Ok(())
    }

    /// Refuses weights that are no numbers. The loss of the next batch would tell, but after the last one there is none.
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
    /// Whether `new`, the later of the two, is to be kept instead of `old`.
    fn prefers(self, new: &BestEpoch, old: &BestEpoch) -> bool {
        let gain = |epoch: &BestEpoch| epoch.validation_loss.map(|loss| -loss);
        match self {
            SelectBy::Last => true,
            SelectBy::BestLoss => gain(new) > gain(old),
            SelectBy::BestAccuracy => {
                (new.validation_accuracy, gain(new)) > (old.validation_accuracy, gain(old))
            }
        }
    }
}
