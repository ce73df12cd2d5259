use std::path::PathBuf;

/// What can go wrong with the description, the weights file or the test results of a classifier.
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

    /// A field of [`Description`](crate::Description) is wrong, or does not fit the network.
    #[error("description of the classifier, `{field}`: expected {expected}, found {found}")]
    Description {
        /// The field.
        field: &'static str,
        /// What it may hold.
        expected: String,
        /// What it holds.
        found: String,
    },

    /// The bytes are not a whole safetensors file.
    #[error("not a whole safetensors file ({reason}); it is truncated or of another kind")]
    NotSafetensors {
        /// What the safetensors reader says.
        reason: String,
    },

    /// A safetensors file without our header in its metadata.
    #[error("a safetensors file, but not one of this project's: expected {expected}, found {found}")]
    Foreign {
        /// What the file's metadata should hold.
        expected: String,
        /// What it holds.
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

    /// A tensor holds NaN or an infinity: the training that made it diverged.
    #[error(
        "tensor `{name}` holds NaN or infinite values; such weights predict nothing, use an earlier checkpoint"
    )]
    NonFinite {
        /// The tensor's name.
        name: String,
    },

    /// The tensors are not those that were written.
    #[error(
        "its tensors have the SHA-256 {found}, and were written with {expected}: the file is damaged, copy it again"
    )]
    Damaged {
        /// What the file says of its tensors.
        expected: String,
        /// What they have.
        found: String,
    },

    /// A header that cannot be written.
    #[error("the weights cannot be encoded: {0}")]
    Encode(String),

    /// A weights file that cannot be saved or loaded.
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
        /// Why, and what to do.
        reason: String,
    },

    /// A file that cannot be read or written.
    #[error(transparent)]
    File(#[from] malaria_files::Error),

    /// From the metrics.
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

/// What to do about a file of format `found` where this code reads `expected`.
pub fn format_advice(expected: u32, found: u64) -> &'static str {
    if found > u64::from(expected) {
        "a later version of this program wrote it; update this program"
    } else {
        "an earlier version of this program wrote it; train again, or use that version"
    }
}
