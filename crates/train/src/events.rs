use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Figures of one epoch. Losses are cross-entropy in nats a cell, without label smoothing and without the L2 term;
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
    /// Mean over the epoch's training cells, each as it was when its batch came by: augmented, weights still moving.
    pub train_loss: f64,
    /// As `train_loss`.
    pub train_accuracy: f64,
    /// Over the validation set, after the epoch, on the averaged weights where there are any; `None` without such a set.
    pub validation_loss: Option<f64>,
    /// As `validation_loss`.
    pub validation_accuracy: Option<f64>,
    /// Wall-clock time of the epoch with its validation.
    pub seconds: f64,
    /// Processor time of the epoch with its validation, all cores together.
    pub cpu_seconds: f64,
}

/// What a training tells its listener, in the order in which it happens.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Event {
    /// An epoch begins, or goes on after a resume.
    EpochStarted {
        /// Counted from 1.
        epoch: u64,
        /// Epochs in the run.
        epochs: u64,
        /// Batches already done in it: 0 but after a resume.
        batch: u64,
        /// Batches in it.
        batches: u64,
        /// Side of the images in pixels.
        image_size: i64,
        /// Learning rate of its first batch.
        learning_rate: f64,
    },
    /// A batch has been trained on.
    Batch {
        /// Counted from 1.
        epoch: u64,
        /// Counted from 1.
        batch: u64,
        /// Batches in the epoch.
        batches: u64,
        /// Mean cross-entropy of the epoch so far.
        loss: f64,
        /// Accuracy of the epoch so far, a fraction.
        accuracy: f64,
        /// Training speed of this epoch so far.
        images_per_second: f64,
    },
    /// A recording of the steps ([`Network::is_recordable`](crate::Network::is_recordable)) gave other gradients than computing does. From here
    /// on steps are computed, which is slower; those since the check before, in the last epoch, may have been wrong.
    RecordingDropped {
        /// Counted from 1.
        epoch: u64,
        /// Counted from 1.
        batch: u64,
        /// Norm of the difference of the gradients, to the norm of the computed ones.
        difference: f64,
    },
    /// The validation set is about to be read.
    ValidationStarted {
        /// Counted from 1.
        epoch: u64,
        /// Cells in it.
        cells: usize,
    },
    /// An epoch and its validation are done.
    EpochEnded {
        /// Its figures.
        #[serde(flatten)]
        record: EpochRecord,
        /// Whether its weights are the ones kept so far.
        is_best: bool,
    },
    /// A checkpoint is on disk.
    CheckpointWritten {
        /// Where.
        path: PathBuf,
    },
    /// The newest checkpoint could not be used, the one before it is.
    CheckpointPassedOver {
        /// Why.
        reason: String,
    },
}
