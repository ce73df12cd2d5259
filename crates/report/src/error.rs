use std::path::PathBuf;

/// Why a figure was not made. Nothing is left behind at the path, or what was there before stays.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file name asks for no format that figures come in.
    #[error("{}: expected a file name that ends in .png or .svg", path.display())]
    UnknownFormat {
        /// The path given.
        path: PathBuf,
    },

    /// There is no epoch to draw.
    #[error("the training history is empty, expected at least one epoch")]
    EmptyHistory,

    /// An accuracy that is no fraction.
    #[error("{series} of epoch {epoch} is {value}, expected a fraction from 0 to 1")]
    InvalidAccuracy {
        /// `train accuracy` or `validation accuracy`.
        series: &'static str,
        /// The epoch.
        epoch: u32,
        /// The value found.
        value: f64,
    },

    /// Another number of class names than classes.
    #[error("expected {expected} class names, one for each row of the confusion matrix, found {found}")]
    ClassNames {
        /// The number of classes.
        expected: usize,
        /// The number of names.
        found: usize,
    },

    /// The drawing library failed.
    #[error("a figure could not be drawn: {reason}")]
    Draw {
        /// What the library said.
        reason: String,
    },

    /// The picture could not be encoded.
    #[error("a picture could not be encoded as PNG: {source}")]
    Encode {
        /// What the encoder said.
        source: image::ImageError,
    },

    /// From the figures.
    #[error(transparent)]
    Classifier(#[from] malaria_classifier::Error),

    /// From the figures.
    #[error(transparent)]
    Metrics(#[from] malaria_metrics::Error),

    /// The file could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file that was asked for.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// What this crate's functions return.
pub type Result<T> = std::result::Result<T, Error>;
