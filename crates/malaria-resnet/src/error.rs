//! The error type of this crate.

use std::path::PathBuf;

use malaria_edge::LossEstimate;

/// Errors of training, evaluation, prediction and export.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An invalid setting.
    #[error("setting `{field}`: expected {expected}, found {found}")]
    Config {
        /// The field's name in `config.json`.
        field: &'static str,
        /// The accepted values.
        expected: String,
        /// The value given.
        found: String,
    },
    /// An environment variable that names another thing than it should.
    #[error("the variable {name} names {found}")]
    Variable {
        /// The variable.
        name: &'static str,
        /// What it names.
        found: String,
    },
    /// A `config.json` of a format version that is not read.
    #[error(
        "{}: expected format version {oldest} to {newest}, found {found}: {}",
        path.display(),
        malaria_classifier::format_advice(*newest, *found)
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// The oldest version that is read.
        oldest: u32,
        /// The newest version that is read, which is also written.
        newest: u32,
        /// The version of the file.
        found: u64,
    },
    /// A run directory in the wrong state for the operation.
    #[error("run directory {}: {reason}", path.display())]
    RunDir {
        /// The directory.
        path: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },
    /// An output path that a new run or cross-validation cannot use.
    #[error("run directory {}: {reason}", path.display())]
    Taken {
        /// The path.
        path: PathBuf,
        /// Why it cannot be used.
        reason: &'static str,
    },
    /// A run without trained weights.
    #[error("run directory {}: it has no weights.safetensors yet", path.display())]
    Unfinished {
        /// The run directory.
        path: PathBuf,
    },
    /// More cells than fit into memory.
    #[error(
        "{cells} cells of {pixels} x {pixels} pixels take {needed:.1} GB, but only {free:.1} GB of memory are free: use fewer \
         cells or a smaller image.pixels, or free memory"
    )]
    Memory {
        /// Number of cells.
        cells: usize,
        /// Pixels per side.
        pixels: u32,
        /// Memory that the cells take, in 10^9 bytes.
        needed: f64,
        /// Free memory, in 10^9 bytes.
        free: f64,
    },
    /// No run directory was given and no pretrained one was found.
    #[error(
        "no model given: MALARIA_RUN is not set, and no pretrained model was found in {}",
        looked_in.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
    )]
    NoModel {
        /// The folders searched.
        looked_in: Vec<PathBuf>,
    },
    /// A data folder with classes other than the model's.
    #[error(
        "{}: the folder's classes are `{}`, the model's are `{}`: name its folders like the model's \
         classes, and move other folders away",
        path.display(), found.join("`, `"), expected.join("`, `")
    )]
    Classes {
        /// The data folder.
        path: PathBuf,
        /// The model's classes.
        expected: Vec<String>,
        /// The folder's.
        found: Vec<String>,
    },
    /// A data folder without any of the run's test cells.
    #[error("{}: none of its cells is in this run's test set", path.display())]
    NoTestCell {
        /// The data folder.
        path: PathBuf,
    },
    /// A file that cannot be read or written, or has unexpected content.
    #[error(transparent)]
    File(#[from] malaria_files::Error),
    /// From the description, the weights file or the test results of a classifier.
    #[error(transparent)]
    Classifier(#[from] malaria_classifier::Error),
    /// From the data set.
    #[error(transparent)]
    Dataset(#[from] malaria_dataset::Error),
    /// From counting cells in photographs.
    #[error(transparent)]
    Smear(#[from] malaria_smear::Error),
    /// From libtorch or the choice of its device.
    #[error(transparent)]
    Device(#[from] malaria_libtorch::Error),
    /// From the model or its weights file.
    #[error(transparent)]
    Model(#[from] malaria_model::Error),
    /// From training.
    #[error(transparent)]
    Train(#[from] malaria_train::Error),
    /// From the metrics.
    #[error(transparent)]
    Metrics(#[from] malaria_metrics::Error),
    /// Weights stored in fewer bits may lose too much sensitivity or specificity.
    #[error(
        "storing the weights in fewer bits lowers the {metric} by {:.2} points on these cells, and by up \
         to {:.2} at the upper end of the 95 % interval; at most {:.2} are allowed",
        100.0 * loss.estimate,
        100.0 * loss.upper(),
        100.0 * max
    )]
    QuantizationLoss {
        /// "sensitivity" or "specificity", or either followed by " at the threshold for smears".
        metric: &'static str,
        /// Its loss, a fraction.
        loss: LossEstimate,
        /// Largest loss allowed, a fraction.
        max: f64,
    },
    /// From the ONNX export.
    #[cfg(feature = "export")]
    #[error(transparent)]
    Edge(#[from] malaria_edge::Error),
    /// From the plots, the page of results or the model card.
    #[error(transparent)]
    Report(#[from] malaria_report::Error),
}

/// Result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;
