//! Train, evaluate and use a malaria cell classifier: the one crate to depend on.
//!
//! It re-exports the project's other crates as [`dataset`], [`augment`], [`model`], [`mod@train`], [`metrics`], [`report`],
//! [`edge`], [`smear`] and [`libtorch`], and adds whole experiments: [`train()`] trains according to an [`ExperimentConfig`]
//! in a new run directory, [`resume`] continues an interrupted run, [`cross_validate`] trains and tests one run per fold,
//! [`evaluate`] evaluates a run on a labelled folder, [`predict`] classifies images, [`count_smears()`] counts the cells in
//! photographs, and [`export`] writes an ONNX file for programs without libtorch. The crate prints nothing; it reports
//! [`Progress`] to a listener. The feature `pretrained` embeds the model of `data/pretrained`.
//!
//! The positive class is `Parasitized` unless the settings name another.
//!
//! Classify pictures of single cells with a trained model:
//!
//! ```no_run
//! use std::path::{Path, PathBuf};
//!
//! use malaria_resnet::{Classifier, dataset::PatientNames, libtorch::DeviceChoice};
//!
//! let pictures = [PathBuf::from("some_cell.png")];
//! let classifier = Classifier::load(Path::new("data/pretrained"), DeviceChoice::Auto.resolve()?)?;
//! for cell in malaria_resnet::predict(&classifier, &pictures, &PatientNames::Nlm, &|_| {})? {
//!     println!("{}: {:?}, {:?}", cell.path.display(), cell.class, cell.probability);
//! }
//! # Ok::<(), malaria_resnet::Error>(())
//! ```
//!
//! The settings of a training:
//!
//! ```
//! use malaria_resnet::{ExperimentConfig, Recipe, dataset::Protocol};
//!
//! let mut config = ExperimentConfig::new(Recipe::Tutorial, Protocol::Patient, 0);
//! config.set_epochs(50);
//! config.check()?;
//! assert_eq!(config.train.schedule.rate_at(0, 100, 50), 0.1);
//! # Ok::<(), malaria_resnet::Error>(())
//! ```

mod classifier;
mod compare;
mod config;
mod count_smears;
mod cross_validate;
mod data_folder;
mod data_summary;
mod error;
mod evaluate;
#[cfg(feature = "export")]
mod export;
mod history_plot;
mod memory;
mod paths;
mod pictures;
mod predict;
#[cfg(feature = "pretrained")]
mod pretrained;
mod progress;
mod run;

pub use classifier::{Classifier, default_run};
pub use compare::{ComparedRun, Comparison, compare};
pub use config::{ExperimentConfig, Recipe, SourceHashes, Teacher};
pub use count_smears::count_smears;
pub use cross_validate::{
    CrossValidationOptions, CrossValidationSummary, cross_validate,
    metrics::{CrossValidationMetrics, FoldMetrics},
};
pub use data_folder::{default_data, default_protocol};
pub use data_summary::{DataSummary, SubsetSummary};
pub use error::{Error, Result};
pub use evaluate::{EvaluateOptions, EvaluatedOn, EvaluationReport, evaluate};
#[cfg(feature = "export")]
pub use export::{ExportOptions, Exported, export};
pub use history_plot::plot_history;
pub use malaria_classifier::{
    Assessment, Caveat, CellIntervals, ChosenOn, Description, DetectionLimit, ImageConfig, PatientAssessment,
    PatientCallError, PatientMean, PatientPrediction, PatientVerdict, Prediction, PredictionReport,
    PredictiveValues, RuleKind, SmearRule, Spread, Threshold, WeightsFile, call_patients, protocol_note,
};
pub use predict::{mark_seen_in_training, predict, predict_files, provenance};
#[cfg(feature = "pretrained")]
pub use pretrained::pretrained;
pub use progress::{Context, Listener, Progress};
pub use run::{
    dir::{RunDir, RunLock, fold_dir},
    metrics::{Metrics, MetricsOf},
    session::RunSummary,
    sources::NewPaths,
    start::{resume, train},
};

pub use malaria_augment as augment;
pub use malaria_dataset as dataset;
#[cfg(feature = "export")]
pub use malaria_edge as edge;
pub use malaria_libtorch as libtorch;
pub use malaria_metrics as metrics;
pub use malaria_model as model;
pub use malaria_report as report;
pub use malaria_smear as smear;
pub use malaria_train as train;
