//! The errors of this crate.

use std::path::PathBuf;

/// An error in the description, the weights file or the test results of a classifier.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A field of [`ResNetConfig`](crate::ResNetConfig) is out of range.
    #[error("network setting `{field}` must be {expected}, found {found}")]
    Network {
        /// The field.
        field: &'static str,
        /// The range.
        expected: String,
        /// The value.
        found: String,
    },

    /// A field of [`Description`](crate::Description) is invalid, or does not fit the network.
    #[error("description of the classifier, `{field}`: expected {expected}, found {found}")]
    Description {
        /// The field.
        field: &'static str,
        /// The values allowed.
        expected: String,
        /// The value.
        found: String,
    },

    /// The bytes are not a whole safetensors file.
    #[error("not a whole safetensors file ({reason}); it is truncated or has another format")]
    NotSafetensors {
        /// The message of the safetensors reader.
        reason: String,
    },

    /// A safetensors file without our header in its metadata.
    #[error("a safetensors file of another project: expected {expected}, found {found}")]
    Foreign {
        /// The expected metadata.
        expected: String,
        /// The metadata found.
        found: String,
    },

    /// The file has a format that this version does not read.
    #[error("expected format version {expected}, found {found}: {}", format_advice(*expected, *found))]
    FormatVersion {
        /// The version this code reads and writes.
        expected: u32,
        /// The version in the file.
        found: u64,
    },

    /// A tensor is not float32.
    #[error("tensor `{name}`: expected float32 elements, found {found}")]
    ElementType {
        /// The tensor's name.
        name: String,
        /// The element type in the file.
        found: String,
    },

    /// A tensor holds NaN or an infinity: its training diverged.
    #[error("tensor `{name}` holds NaN or infinite values: the training diverged, use an earlier checkpoint")]
    NonFinite {
        /// The tensor's name.
        name: String,
    },

    /// The tensors differ from those that were written.
    #[error("the file is damaged, copy it again: its tensors have the SHA-256 {found}, expected {expected}")]
    Damaged {
        /// The SHA-256 in the file's header.
        expected: String,
        /// The SHA-256 of its tensors.
        found: String,
    },

    /// Weights or predictions that cannot be encoded.
    #[error("cannot be encoded: {0}")]
    Encode(String),

    /// A weights file that cannot be written or read.
    #[error("weights file {}: {problem}", path.display())]
    WeightsFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: Box<Error>,
    },

    /// Folds that cannot be pooled.
    #[error("{}: {reason}", folder.display())]
    Fold {
        /// The fold's run directory.
        folder: PathBuf,
        /// The reason, and what to do.
        reason: String,
    },

    /// A file that cannot be read or written.
    #[error(transparent)]
    File(#[from] malaria_files::Error),

    /// An error of the metrics.
    #[error(transparent)]
    Metrics(#[from] malaria_metrics::Error),
}

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn in_file(self, path: &std::path::Path) -> Self {
        Error::WeightsFile { path: path.to_owned(), problem: Box::new(self) }
    }
}

/// Advice on a file of format version `found` if this code reads `expected`.
pub fn format_advice(expected: u32, found: u64) -> &'static str {
    if found > u64::from(expected) {
        "a later version of this program wrote it; update this program"
    } else {
        "an earlier version of this program wrote it; train again, or use that version"
    }
}
