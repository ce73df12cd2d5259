use std::path::PathBuf;

/// What can go wrong between a data folder and a run directory.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting that no run could honour.
    #[error("setting `{field}`: expected {expected}, found {found}")]
    Config {
        /// The field's name as it stands in `config.json`.
        field: &'static str,
        /// What would be accepted.
        expected: String,
        /// What was given.
        found: String,
    },
    /// A run directory in the wrong state for what is asked.
    #[error("run directory {}: {reason}", path.display())]
    RunDir {
        /// The directory.
        path: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },
    /// A folder that no new run or cross-validation can begin in.
    #[error("run directory {}: {reason}", path.display())]
    Taken {
        /// The folder.
        path: PathBuf,
        /// What is in its way.
        reason: &'static str,
    },
    /// A run that has not come to its weights.
    #[error("run directory {}: it has no weights.safetensors yet", path.display())]
    Unfinished {
        /// The run directory.
        path: PathBuf,
    },
    /// More cells than memory holds.
    #[error(
        "{cells} cells of {pixels} x {pixels} pixels take {needed:.1} GB and {free:.1} GB of memory are free: take fewer cells or \
         a smaller image.pixels, or free memory"
    )]
    Memory {
        /// Cells to be held.
        cells: usize,
        /// Pixels a side.
        pixels: u32,
        /// What they take, in 10^9 bytes.
        needed: f64,
        /// What is free, in 10^9 bytes.
        free: f64,
    },
    /// No run directory was given and no pretrained one was found.
    #[error(
        "no model given, none named by MALARIA_RUN, and no pretrained one found (looked in {})",
        looked_in.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
    )]
    NoModel {
        /// Where it was looked for.
        looked_in: Vec<PathBuf>,
    },
    /// Classes of a folder that are not the model's.
    #[error("{}: the folder's classes are {found:?}, the model knows {expected:?}", path.display())]
    Classes {
        /// The data folder.
        path: PathBuf,
        /// The model's classes.
        expected: Vec<String>,
        /// The folder's.
        found: Vec<String>,
    },
    /// None of a folder's cells are in the subset asked for.
    #[error("{}: none of its cells is in this run's test set", path.display())]
    NoTestCell {
        /// The data folder.
        path: PathBuf,
    },
    /// A file that cannot be read or written, or that does not hold what it should.
    #[error(transparent)]
    File(#[from] malaria_files::Error),
    /// From the description, the weights file or the test results of a classifier.
    #[error(transparent)]
    Classifier(#[from] malaria_classifier::Error),
    /// From the data set.
    #[error(transparent)]
    Dataset(#[from] malaria_dataset::Error),
    /// From libtorch or the choice of its device.
    #[error(transparent)]
    Device(#[from] malaria_libtorch::Error),
    /// From the model or its weights file.
    #[error(transparent)]
    Model(#[from] malaria_model::Error),
    /// From training.
    #[error(transparent)]
    Train(#[from] malaria_train::Error),
    /// From the figures.
    #[error(transparent)]
    Metrics(#[from] malaria_metrics::Error),
    /// Smaller weights miss too many cells.
    #[error(
        "with fewer bits sensitivity falls by {:.2} points, and {:.2} are allowed",
        100.0 * lost,
        100.0 * most
    )]
    SensitivityLoss {
        /// By how much it falls, a fraction.
        lost: f64,
        /// By how much it may, a fraction.
        most: f64,
    },
    /// From the model without libtorch.
    #[cfg(feature = "export")]
    #[error(transparent)]
    Edge(#[from] malaria_edge::Error),
    /// From the plots.
    #[error(transparent)]
    Report(#[from] malaria_report::Error),
}

/// Result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;
