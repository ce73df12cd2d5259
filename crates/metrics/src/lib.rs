//! Metrics of binary and multi-class classifiers and of diagnostic tests, from counts and probabilities in plain slices.
//!
//! The crate depends on no other crate of the workspace. It reads no files, prints nothing and needs no tensors.
//!
//! All metrics agree with scikit-learn's to 1e-12, and [`classification_report`] to the character, with one deliberate
//! difference: an undefined metric is `None`, never 0 or 0.5 (see [`ConfusionMatrix::mcc`],
//! [`ConfusionMatrix::balanced_accuracy`] and [`pr_curve`]). Invalid input (NaN, probabilities outside `[0, 1]`, lengths
//! that differ, classes that do not exist) is an [`Error`].
//!
//! ```
//! use malaria_metrics::{classification_report, summarise};
//!
//! let classes = ["Parasitized".to_owned(), "Uninfected".to_owned()];
//! let truth = [0, 0, 1, 1];
//! // [N, C], row by row.
//! let probabilities = [0.9, 0.1, 0.4, 0.6, 0.2, 0.8, 0.3, 0.7];
//! let summary = summarise(&truth, &probabilities, &classes, 0)?;
//! assert_eq!(summary.accuracy, Some(0.75));
//! assert_eq!(summary.auc, Some(1.0));
//!
//! let report = classification_report(&summary.confusion, &classes, None)?;
//! assert!(report.contains(" Parasitized       1.00      0.50      0.67         2"));
//! # Ok::<(), malaria_metrics::Error>(())
//! ```

mod binary;
mod binomial;
mod bootstrap;
mod calibration;
mod check;
mod confusion;
mod curves;
mod delong;
mod error;
mod interval;
mod label_audit;
mod mixture;
mod numpy;
mod patient_metrics;
mod patient_rule;
mod patients;
mod positive_rate;
mod probabilities;
mod proper;
mod rank;
mod report;
mod smear_threshold;
mod summary;
mod temperature;
mod threshold;

pub use binary::{BinaryCounts, Discrimination};
pub use bootstrap::{Bootstrap, Intervals, cluster_bootstrap, intervals};
pub use calibration::{CalibrationBin, calibration_curve, expected_calibration_error};
pub use confusion::{Average, AverageScores, ClassScores, ConfusionMatrix};
pub use curves::{PrCurve, PrPoint, RocCurve, RocPoint, pr_curve, roc_curve};
pub use delong::delong_interval;
pub use error::{Error, Result};
pub use interval::{Interval, exact_interval, wilson_interval};
pub use label_audit::{Contradiction, label_audit};
pub use patient_metrics::{CallCounts, PatientMetrics};
pub use patient_rule::{Detection, PatientCall, PatientCaller, PatientResult, PatientRule};
pub use patients::{CellCounts, PatientCells, by_patient, intra_patient_correlation};
pub use positive_rate::PositiveRate;
pub use probabilities::Probabilities;
pub use proper::{brier_score, log_loss};
pub use report::{classification_report, decimal, percent};
pub use smear_threshold::{SmearPoint, choose_smear_threshold};
pub use summary::{Summary, argmax, one_vs_rest, predict_at, summarise, summarise_predicted};
pub use temperature::{apply_temperature, fit_temperature};
pub use threshold::{OperatingPoint, Target, choose_threshold};
