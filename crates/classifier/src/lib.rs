//! A trained cell classifier: its description, weights file and predictions, and its results on a test set. Without libtorch.
//!
//! Builds on `malaria-dataset` and `malaria-metrics`. The crates for the network, its training, the export and the reports
//! build on it and share:
//!
//! - [`Description`] (classes, [`ImageConfig`], [`Threshold`], [`SmearRule`]) and the [weights file](Weights) that contains it,
//! - [`Prediction`] and [`PatientPrediction`], which [`classify`] and [`call_patients`] compute with any network, and their
//!   [`PredictionReport`],
//! - [`Scored`] cells under a [`DecisionRule`], their [`Assessment`], `predictions.csv` and the [pooling](Pooled) of folds,
//! - the [`Caveat`]s to be shown beside the metrics.
//!
//! ```
//! use malaria_classifier::{DecisionRule, Scored};
//!
//! let classes = ["Parasitized".to_owned(), "Uninfected".to_owned()];
//! let scored = Scored {
//!     truth: &[0, 0, 1],
//!     probabilities: &[0.9, 0.1, 0.4, 0.6, 0.2, 0.8],
//!     classes: &classes,
//!     positive: 0,
//!     patients: &[Some("C1"), Some("C1"), Some("C2")],
//! };
//! assert_eq!(scored.summary(&DecisionRule::Argmax)?.sensitivity, Some(0.5));
//! # Ok::<(), malaria_classifier::Error>(())
//! ```

mod assessment;
mod caveat;
mod classify;
mod decision;
mod description;
mod detection_limit;
mod error;
mod network_config;
mod patient_calls;
mod patient_results;
mod patient_rule;
mod patient_tables;
mod pool;
mod prediction_report;
mod predictions_csv;
mod scored;
mod weights;

pub use assessment::{Assessment, CALIBRATION_BINS, CellIntervals, PatientMean, PredictiveValues};
pub use caveat::{Caveat, protocol_note};
pub use classify::{EncodedImage, Prediction, classify, classify_encoded, classify_pictures};
pub use decision::{ChosenOn, DecisionRule, RuleKind, Threshold, call};
pub use description::{Description, ImageConfig};
pub use detection_limit::DetectionLimit;
pub use error::{Error, Result, format_advice};
pub use network_config::ResNetConfig;
pub use patient_calls::{PatientPrediction, call_patients};
pub use patient_results::{AboveBlank, Found, FoundAt, PatientAssessment, PatientRoc, write_patients};
pub use patient_rule::{CellTally, PatientCallError, PatientVerdict, SmearDecision, SmearRule};
pub use patient_tables::Table;
pub use pool::{FoldResult, Pooled, PooledDecision, Spread};
pub use prediction_report::{PredictionReport, Provenance};
pub use predictions_csv::{OutOfFold, read_out_of_fold, read_predictions, write_predictions};
pub use scored::{GroundTruth, Scored};
pub use weights::{WEIGHTS_FORMAT, WeightTensor, Weights, WeightsFile};
