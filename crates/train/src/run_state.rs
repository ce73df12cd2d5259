//! The state of a run without its tensors: the position, the history, the best epoch and the time spent.

use std::time::Instant;

use cpu_time::ProcessTime;
use serde::{Deserialize, Serialize};

use crate::{evaluate::Sums, events::EpochRecord};

/// The best epoch, whose weights are kept, and its validation metrics.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BestEpoch {
    /// Counted from 1.
    pub epoch: u64,
    /// Mean cross-entropy on the validation set, in nats; `None` without a validation set.
    pub validation_loss: Option<f64>,
    /// Accuracy on the validation set, a fraction; `None` without a validation set.
    pub validation_accuracy: Option<f64>,
}

/// The state of a run, apart from its tensors.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Progress {
    /// Epochs done.
    pub(crate) epochs_done: u64,
    /// Batches done in the current epoch.
    pub(crate) batches_done: u64,
    /// Sums over those batches.
    pub(crate) sums: Sums,
    /// Time spent on the current epoch before the last stop.
    pub(crate) spent: Spent,
    pub(crate) history: Vec<EpochRecord>,
    pub(crate) best_epoch: Option<BestEpoch>,
    /// Epochs at the last image size since the best epoch.
    pub(crate) epochs_without_gain: u64,
    pub(crate) stopped_early: bool,
}

/// Time spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spent {
    /// Wall-clock time.
    pub(crate) seconds: f64,
    /// Processor time, all cores together.
    pub(crate) cpu_seconds: f64,
}

impl Spent {
    /// Adds the time since `clock` was started.
    pub(crate) fn and(self, clock: &Clock) -> Self {
        Self {
            seconds: self.seconds + clock.wall.elapsed().as_secs_f64(),
            cpu_seconds: self.cpu_seconds + clock.cpu.elapsed().as_secs_f64(),
        }
    }
}

/// A point in time, by both clocks.
pub(crate) struct Clock {
    wall: Instant,
    cpu: ProcessTime,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { wall: Instant::now(), cpu: ProcessTime::now() }
    }
}
