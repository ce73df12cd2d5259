//! The errors of this crate.

/// An error in exporting, loading or running a model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file that cannot be read or written.
    #[error(transparent)]
    File(#[from] malaria_files::Error),

    /// A model that cannot be exported or loaded.
    #[error("not a model of this project's `export`: {reason}")]
    Model {
        /// What is wrong with it.
        reason: String,
    },

    /// An unknown weight format.
    #[error("expected one of f32, f16 and int8, found `{found}`")]
    UnknownWeightFormat {
        /// The name given.
        found: String,
    },

    /// Cells of another size than the model's input.
    #[error("the model takes cells of {expected} px per side, found {found} px")]
    CellSize {
        /// The input size.
        expected: u32,
        /// The size of the cells.
        found: u32,
    },

    /// An error in the weights file or the results of patients.
    #[error(transparent)]
    Classifier(#[from] malaria_classifier::Error),

    /// An error in reading pictures.
    #[error(transparent)]
    Dataset(#[from] malaria_dataset::Error),

    /// An error in counting cells of smears.
    #[error(transparent)]
    Smear(#[from] malaria_smear::Error),

    /// An error of the metrics.
    #[error(transparent)]
    Metrics(#[from] malaria_metrics::Error),

    /// The runtime failed.
    #[error("the network could not be computed: {reason}")]
    Run {
        /// The runtime's message.
        reason: String,
    },
}

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
