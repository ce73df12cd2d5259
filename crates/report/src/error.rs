//! The errors of this crate.

use std::path::PathBuf;

/// A plot or page that was not written. An older file at the path is unchanged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file name with an unknown extension.
    #[error("{}: expected a file name that ends in .png or .svg", path.display())]
    UnknownFormat {
        /// The path given.
        path: PathBuf,
    },

    /// The history has no epoch.
    #[error("the training history is empty, expected at least one epoch")]
    EmptyHistory,

    /// An accuracy outside `[0, 1]`.
    #[error("{series} of epoch {epoch} is {value}, expected a fraction from 0 to 1")]
    InvalidAccuracy {
        /// `train accuracy` or `validation accuracy`.
        series: &'static str,
        /// The epoch.
        epoch: u32,
        /// The value found.
        value: f64,
    },

    /// The number of class names differs from the number of classes.
    #[error("expected {expected} class names, one for each row of the confusion matrix, found {found}")]
    ClassNames {
        /// The number of classes.
        expected: usize,
        /// The number of names.
        found: usize,
    },

    /// The drawing library failed.
    #[error("a plot could not be drawn: {reason}")]
    Draw {
        /// The library's message.
        reason: String,
    },

    /// The picture could not be encoded.
    #[error("a picture could not be encoded as PNG: {source}")]
    Encode {
        /// The encoder's error.
        source: image::ImageError,
    },

    /// An error of the classifier's results.
    #[error(transparent)]
    Classifier(#[from] malaria_classifier::Error),

    /// An error of the metrics.
    #[error(transparent)]
    Metrics(#[from] malaria_metrics::Error),

    /// The file could not be written.
    #[error(transparent)]
    File(#[from] malaria_files::Error),
}

/// Result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;
