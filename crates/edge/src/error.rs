use std::{io, path::PathBuf};

/// What can go wrong when a model is exported, loaded or used without libtorch.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was attempted.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },

    /// A model file that cannot be understood.
    #[error("not a model of this project's `export`: {reason}")]
    Model {
        /// What is wrong with it.
        reason: String,
    },

    /// A way of storing weights that does not exist.
    #[error("expected one of f32, f16 and int8, found `{found}`")]
    UnknownWeightFormat {
        /// The name given.
        found: String,
    },

    /// Cells of another size than the model's input.
    #[error("the model takes cells of {expected} px a side, found {found} px")]
    CellSize {
        /// The model's.
        expected: u32,
        /// That of the cells.
        found: u32,
    },

    /// From the weights file, or the patients' results.
    #[error(transparent)]
    Classifier(#[from] malaria_classifier::Error),

    /// From reading pictures.
    #[error(transparent)]
    Dataset(#[from] malaria_dataset::Error),

    /// Figures could not be computed.
    #[error("{reason}")]
    Figures {
        /// Why.
        reason: String,
    },

    /// The runtime failed.
    #[error("the network could not be computed: {reason}")]
    Run {
        /// What the runtime says.
        reason: String,
    },
}

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
