//! Where a run stands, and the time that it has taken.

use std::time::Instant;

use cpu_time::ProcessTime;
use serde::{Deserialize, Serialize};

use crate::{epoch::Sums, events::EpochRecord};

/// The kept epoch and its validation figures.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BestEpoch {
    /// Counted from 1.
    pub epoch: u64,
    /// Mean cross-entropy on the validation set, in nats; `None` without such a set.
    pub validation_loss: Option<f64>,
    /// Accuracy on the validation set, a fraction; `None` without such a set.
    pub validation_accuracy: Option<f64>,
}

/// Where a run stands, apart from its tensors.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Progress {
    /// Epochs done.
    pub(crate) epochs_done: u64,
    /// Batches done of the epoch under way.
    pub(crate) batches_done: u64,
    /// Sums over those batches.
    pub(crate) sums: Sums,
    /// Spent on the epoch under way before the run was last stopped.
    pub(crate) spent: Spent,
    pub(crate) history: Vec<EpochRecord>,
    pub(crate) best_epoch: Option<BestEpoch>,
    /// Epochs at the last image size since the best validation figure.
    pub(crate) epochs_without_gain: u64,
    pub(crate) stopped_early: bool,
}

/// Time spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spent {
    /// By the clock on the wall.
    pub(crate) seconds: f64,
    /// By all cores together.
    pub(crate) cpu_seconds: f64,
}

impl Spent {
    /// With what went by since `clock` was started.
    pub(crate) fn and(self, clock: &Clock) -> Self {
        Self {
            seconds: self.seconds + clock.wall.elapsed().as_secs_f64(),
            cpu_seconds: self.cpu_seconds + clock.cpu.elapsed().as_secs_f64(),
        }
    }
}

/// A moment, by both clocks.
pub(crate) struct Clock {
    wall: Instant,
    cpu: ProcessTime,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { wall: Instant::now(), cpu: ProcessTime::now() }
    }
}
