//! The errors of this crate.

use std::path::PathBuf;

/// An error in building, computing, saving or loading a network.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A state lacks a tensor that the model has.
    #[error("tensor `{name}` is missing; the model expects it with shape {expected:?}")]
    MissingTensor {
        /// The tensor's name.
        name: String,
        /// The model's shape.
        expected: Vec<i64>,
    },

    /// A state holds a tensor that the model does not have.
    #[error(
        "tensor `{name}` does not belong to this model; check that its config is the one used in training"
    )]
    UnexpectedTensor {
        /// The tensor's name.
        name: String,
    },

    /// A state holds two tensors of the same name.
    #[error("tensor `{name}` is given twice")]
    DuplicateTensor {
        /// The repeated name.
        name: String,
    },

    /// A tensor has another shape than the model's.
    #[error("tensor `{name}`: expected shape {expected:?}, found {found:?}")]
    Shape {
        /// The tensor's name.
        name: String,
        /// The model's shape.
        expected: Vec<i64>,
        /// The shape given.
        found: Vec<i64>,
    },

    /// A tensor is not float32.
    #[error("tensor `{name}`: expected float32 elements, found {found}")]
    ElementType {
        /// The tensor's name.
        name: String,
        /// The element type given.
        found: String,
    },

    /// An invalid weights file, description or network setting.
    #[error(transparent)]
    Classifier(#[from] malaria_classifier::Error),

    /// A weights file whose tensors do not fit its network.
    #[error("weights file {}: {problem}", path.display())]
    WeightsFile {
        /// The weights file.
        path: PathBuf,
        /// The problem.
        problem: Box<Error>,
    },

    /// A libtorch operation failed: memory is short, images have a wrong shape, or the device is missing.
    #[error("libtorch could not {action}: {source}")]
    Torch {
        /// The attempted action.
        action: String,
        /// libtorch's error.
        source: tch::TchError,
    },
}

/// The result of this crate's fallible functions.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Converts a libtorch error, for `map_err`.
    pub(crate) fn torch(action: impl Into<String>) -> impl FnOnce(tch::TchError) -> Self {
        |source| Error::Torch { action: action.into(), source }
    }

    pub(crate) fn in_file(self, path: &std::path::Path) -> Self {
        Error::WeightsFile { path: path.to_owned(), problem: Box::new(self) }
    }
}
