//! The errors of this crate.

use std::path::PathBuf;

/// An error in a training run or an evaluation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An invalid setting.
    #[error("training setting `{field}`: expected {expected}, found {found}")]
    Config {
        /// The field's name, as in `config.json`.
        field: &'static str,
        /// The accepted values.
        expected: String,
        /// The value given.
        found: String,
    },
    /// A subset without cells.
    #[error("the {subset} set is empty: nothing to {purpose}")]
    EmptySubset {
        /// `training` or `validation`.
        subset: &'static str,
        /// The purpose for which it is needed.
        purpose: &'static str,
    },
    /// Pixels, labels, targets or indices that do not match.
    #[error("cells: expected {expected}, found {found}")]
    Cells {
        /// The accepted values.
        expected: String,
        /// The value given.
        found: String,
    },
    /// Weights, averaged weights or a velocity that do not fit the network.
    #[error("{what} of the network: expected {expected}, found {found}")]
    State {
        /// `weights`, `averaged weights`, `buffers` or `velocity`.
        what: &'static str,
        /// The network's value.
        expected: String,
        /// The value given.
        found: String,
    },
    /// libtorch failed in a training step, usually because memory is short.
    #[error(
        "epoch {epoch}, batch {batch} of {batches}, {cells} cells of {image_size} px: {problem}; if memory is short, free some, or \
         start again with smaller batches; the last checkpoint is untouched"
    )]
    Step {
        /// Epoch, counted from 1.
        epoch: u64,
        /// Batch in that epoch, counted from 1.
        batch: u64,
        /// Batches in an epoch.
        batches: u64,
        /// Cells in that batch.
        cells: usize,
        /// Their side in pixels.
        image_size: i64,
        /// The failed operation.
        problem: Box<Error>,
    },
    /// The loss became infinite or not a number.
    #[error(
        "the loss became {loss} in epoch {epoch}, batch {batch} of {batches} (learning rate {learning_rate}): \
         lower the learning rate or the batch size; the last checkpoint is untouched"
    )]
    NonFiniteLoss {
        /// Epoch, counted from 1.
        epoch: u64,
        /// Batch in that epoch, counted from 1.
        batch: u64,
        /// Batches in an epoch.
        batches: u64,
        /// Learning rate of that batch.
        learning_rate: f64,
        /// The loss.
        loss: f64,
    },
    /// Weights became infinite or not a number, though the loss was finite.
    #[error(
        "weights became infinite or not a number in the last batch of epoch {epoch}: lower the learning rate; the last checkpoint \
         is untouched"
    )]
    NonFiniteWeights {
        /// Epoch, counted from 1.
        epoch: u64,
    },
    /// The validation loss became infinite or not a number.
    #[error("the validation loss became {loss} after epoch {epoch}: lower the learning rate")]
    NonFiniteValidation {
        /// Epoch, counted from 1.
        epoch: u64,
        /// The loss.
        loss: f64,
    },
    /// A checkpoint that cannot be used.
    #[error("checkpoint {}: {reason}", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// The problem.
        reason: String,
    },
    /// No checkpoint in the folder could be used.
    #[error("no usable checkpoint in {}: {}", folder.display(), reasons.join("; "))]
    NoCheckpoint {
        /// The run directory.
        folder: PathBuf,
        /// One reason per file.
        reasons: Vec<String>,
    },
    /// A file that cannot be read or written.
    #[error(transparent)]
    File(#[from] malaria_files::Error),
    /// The model crate's error.
    #[error(transparent)]
    Model(#[from] malaria_model::Error),
    /// A [`Network`](crate::Network)'s own error.
    #[error("the network failed: {0}")]
    Network(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The augmentation crate's error.
    #[error(transparent)]
    Augment(#[from] malaria_augment::Error),
    /// libtorch's own error.
    #[error("libtorch: {0}")]
    Torch(#[from] tch::TchError),
}

impl Error {
    /// Whether libtorch failed.
    pub(crate) fn is_of_libtorch(&self) -> bool {
        matches!(
            self,
            Error::Torch(_)
                | Error::Model(malaria_model::Error::Torch { .. })
                | Error::Augment(malaria_augment::Error::Torch(_))
        )
    }
}
