//! Events of a training run for its listener, and the record of an epoch.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Metrics of one epoch. Losses are cross-entropy in nats per cell, without label smoothing and without the L2 term;
/// accuracies are fractions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochRecord {
    /// Counted from 1.
    pub epoch: u64,
    /// Learning rate of its first batch.
    pub learning_rate: f64,
    /// Side of the images in pixels.
    pub image_size: i64,
    /// Mean over the epoch's training cells, each augmented and predicted by the weights at its batch.
    pub train_loss: f64,
    /// As `train_loss`.
    pub train_accuracy: f64,
    /// On the validation set after the epoch, with the averaged weights if there are any; `None` without a validation set.
    pub validation_loss: Option<f64>,
    /// As `validation_loss`.
    pub validation_accuracy: Option<f64>,
    /// Wall-clock time of the epoch with its validation.
    pub seconds: f64,
    /// Processor time of the epoch with its validation, all cores together.
    pub cpu_seconds: f64,
}

/// An event of a training run. The listener receives events in order.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Event {
    /// An epoch starts, or continues after a resume.
    EpochStarted {
        /// Counted from 1.
        epoch: u64,
        /// Epochs in the run.
        epochs: u64,
        /// Batches already done in it: 0 except after a resume.
        batch: u64,
        /// Batches in it.
        batches: u64,
        /// Side of the images in pixels.
        image_size: i64,
        /// Learning rate of its first batch.
        learning_rate: f64,
    },
    /// A training step is done.
    Batch {
        /// Counted from 1.
        epoch: u64,
        /// Counted from 1.
        batch: u64,
        /// Batches in the epoch.
        batches: u64,
        /// [`EpochRecord::train_loss`] of the epoch so far.
        train_loss: f64,
        /// [`EpochRecord::train_accuracy`] of the epoch so far.
        train_accuracy: f64,
        /// Training speed in this epoch so far.
        images_per_second: f64,
    },
    /// A recording of the steps ([`Network::is_recordable`](crate::Network::is_recordable)) gave gradients that differ from
    /// the computed ones. All further steps are computed, which is slower; the recorded steps since the last check, up to
    /// one epoch ago, may have been wrong.
    RecordingDropped {
        /// Counted from 1.
        epoch: u64,
        /// Counted from 1.
        batch: u64,
        /// Norm of the difference of the gradients, relative to the norm of the computed ones.
        difference: f64,
    },
    /// Validation starts.
    ValidationStarted {
        /// Counted from 1.
        epoch: u64,
        /// Cells in the validation set.
        cells: usize,
    },
    /// An epoch and its validation are done.
    EpochEnded {
        /// Its metrics.
        #[serde(flatten)]
        record: EpochRecord,
        /// Whether it is the best epoch so far.
        is_best: bool,
    },
    /// A checkpoint has been written.
    CheckpointWritten {
        /// The file.
        path: PathBuf,
    },
    /// The newest checkpoint could not be used; the one before it is used instead.
    CheckpointSkipped {
        /// The reason.
        reason: String,
    },
}
