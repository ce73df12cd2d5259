//! Train, judge and use a malaria cell classifier: the one crate to depend on.
//!
//! Stands on top of the others and re-exports them under [`dataset`], [`augment`], [`model`], [`training`], [`figures`],
//! [`plots`], [`edge`] and [`libtorch`]. Its own part is the whole experiment: [`train`] takes an [`ExperimentConfig`] to a
//! finished run directory, [`resume`] goes on with one that was cut off, [`cross_validate`] makes k of them,
//! [`evaluate`] judges one on a labelled folder, [`predict`] uses it on any picture, and [`export`] makes an ONNX file of it for
//! programs without libtorch. It prints nothing; what happens reaches the caller through [`Progress`].
//! With the feature `pretrained` the model of `data/pretrained` is inside the crate.
//!
//! Class `Parasitized` is the positive one, unless the settings name another.
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

mod assessment;
mod classifier;
mod config;
mod cross_validate;
mod data;
mod error;
mod experiment;
mod export;
mod files;
mod judge;
mod lineage;
mod memory;
mod metrics;
mod model_card;
mod paths;
mod pictures;
mod predictions;
#[cfg(feature = "pretrained")]
mod pretrained;
mod recipe;
mod report;
mod run_dir;
mod session;
mod teacher;
mod threshold;

pub use assessment::{Assessment, AtPrevalence, CellIntervals, DetectionLimit, Resampled, RollUp};
pub use classifier::{Classifier, default_run};
pub use config::ExperimentConfig;
pub use cross_validate::{
    CALLED_APART, CrossMetrics, CrossOptions, CrossSummary, FoldFigures, NOT_APART, Spread, cross_validate,
    fold_dir,
};
pub use data::{DataSummary, SubsetSummary, default_data, default_protocol};
pub use error::{Error, Result};
pub use experiment::{Context, Listener, Progress, RunSummary, plot_history, resume, train};
pub use export::{ExportOptions, Exported, export, export_torchscript};
pub use judge::{DRAWN_CELLS, EvaluateOptions, EvaluationReport, Judged, evaluate, gone_words, predict};
pub use malaria_edge::{ChosenOn, Description, ImageConfig, NO_THRESHOLD, Prediction, Threshold};
pub use metrics::{FiguresOf, Metrics};
#[cfg(feature = "pretrained")]
pub use pretrained::pretrained;
pub use recipe::Recipe;
pub use report::protocol_note;
pub use run_dir::{RunDir, RunLock};
pub use teacher::Teacher;

pub use malaria_augment as augment;
pub use malaria_dataset as dataset;
pub use malaria_edge as edge;
pub use malaria_libtorch as libtorch;
pub use malaria_metrics as figures;
pub use malaria_model as model;
pub use malaria_report as plots;
pub use malaria_train as training;
