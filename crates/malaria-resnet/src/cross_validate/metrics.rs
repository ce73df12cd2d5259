//! `metrics.json` of a cross-validation.

use std::collections::BTreeSet;

use malaria_classifier::{Assessment, Caveat, RuleKind, SmearRule, Spread, Threshold};
use malaria_dataset::Protocol;
use malaria_metrics::{OperatingPoint, Summary};
use serde::{Deserialize, Serialize};

use crate::{
    config::{ExperimentConfig, Recipe},
    run::metrics::{MetricsOf, temperature_label},
};

/// Metrics of one fold's test set. A metric that needs a class with fewer than ten cells is `None`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FoldMetrics {
    /// Number of the fold, from 1.
    pub fold: usize,
    /// Test cells.
    pub n_test: usize,
    /// Device and precision of the training, which may differ between folds.
    #[serde(default)]
    pub device: String,
    /// The epoch whose weights were kept.
    pub epoch: u64,
    /// Time for training and validation, in seconds.
    pub wall_seconds: f64,
    /// Share of the cells called correctly.
    pub accuracy: Option<f64>,
    /// Share of the cells whose most probable class is the true one.
    pub accuracy_argmax: Option<f64>,
    /// Share of the positive cells called positive.
    pub sensitivity: Option<f64>,
    /// Share of the negative cells called negative.
    pub specificity: Option<f64>,
    /// Area under the ROC curve.
    pub auc: Option<f64>,
    /// Threshold of the fold's cells, chosen on the cells of the other folds; `None` where none reaches the target.
    pub threshold: Option<f64>,
}

/// `metrics.json` of a cross-validation: pooled metrics of all cells, each predicted by the one model that was not trained
/// on it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CrossValidationMetrics {
    /// Version of the file format.
    pub format_version: u32,
    /// Which cells the metrics are measured on.
    pub metrics_of: MetricsOf,
    /// The command that pooled the folds.
    pub command: String,
    /// Version of this library.
    pub version: String,
    /// The machine that pooled the folds: processor, cores, memory.
    pub machine: String,
    /// How cells were split. With `random`, training and test sets share patients, and the metrics are optimistic.
    pub protocol: Protocol,
    /// The recipe that the settings are based on.
    pub recipe: Recipe,
    /// Whether the cells are synthetic, so that the metrics mean nothing for malaria.
    pub synthetic_cells: bool,
    /// Seed of the folds and the training.
    pub seed: u64,
    /// Epochs per fold.
    pub epochs: u64,
    /// Test cells of all folds: every cell once.
    pub n_test: usize,
    /// Cells excluded on request from every training set; they were still test cells.
    #[serde(default)]
    pub n_excluded: usize,
    /// Unreadable images that were skipped.
    #[serde(default)]
    pub n_skipped: usize,
    /// Time for training and validation of all folds, in seconds.
    pub wall_seconds: f64,
    /// Processor time for training and validation of all folds, in seconds.
    pub cpu_seconds: f64,
    /// Metrics of each fold.
    pub folds: Vec<FoldMetrics>,
    /// Mean and standard deviation of the accuracy over the folds that have one; `None` for fewer than two such folds. The
    /// next three likewise.
    pub accuracy_over_folds: Option<Spread>,
    /// Mean and standard deviation of the sensitivity over the folds.
    pub sensitivity_over_folds: Option<Spread>,
    /// Mean and standard deviation of the specificity over the folds.
    pub specificity_over_folds: Option<Spread>,
    /// Mean and standard deviation of the AUC over the folds.
    pub auc_over_folds: Option<Spread>,
    /// Point of the pooled ROC curve at 97.2 % specificity, to compare with the sensitivity of 94.7 % of Rajaraman et al. 2018.
    /// It is slightly optimistic, since the threshold is chosen on the same cells. Only for real cells split by patient with the
    /// positive class Parasitized; `None` also where no threshold reaches it.
    pub at_published_specificity: Option<OperatingPoint>,
    /// Temperature of the final model, if calibration is on: the geometric mean of the folds' temperatures (1 for a fold without
    /// one), since no cell is left to fit it on.
    pub temperature: Option<f64>,
    /// Threshold of the final model, chosen on the pooled predictions; `None` where none reaches the target. The metrics do
    /// not use it: each fold's cells are called at a threshold chosen on the cells of the other folds. A dependence remains,
    /// since the models of those folds were trained on this fold's cells. Where a fold has no threshold, all cells are
    /// called by their most probable class.
    pub threshold: Option<Threshold>,
    /// How the final model calls patients, chosen on the pooled predictions. The patients of each fold are called by the rule chosen on the
    /// other folds. `None` where patients are not called.
    pub smear: Option<SmearRule>,
    /// How cells were called.
    pub decision_rule: RuleKind,
    /// Caveats of the metrics.
    pub caveats: Vec<Caveat>,
    /// Metrics of the pooled cells, as if predicted by one model.
    #[serde(flatten)]
    pub pooled: Summary,
    /// Confidence intervals, predictive values and patient-level results. The intervals cover the choice of patients to test
    /// these models on, not the choice of patients to train them on.
    #[serde(flatten)]
    pub assessment: Assessment,
}

impl CrossValidationMetrics {
    /// How the models were made, as rows of name and value.
    pub(super) fn provenance(&self, config: &ExperimentConfig) -> Vec<[String; 2]> {
        let row = |name: &str, value: String| [name.to_owned(), value];
        let devices: BTreeSet<&str> = self.folds.iter().map(|fold| fold.device.as_str()).collect();
        vec![
            row("malaria-resnet", self.version.clone()),
            row("libtorch", malaria_libtorch::LIBTORCH_VERSION.to_owned()),
            row("Device of the folds", Vec::from_iter(devices).join("; ")),
            row("Recipe", config.recipe_label()),
            row("Seed", self.seed.to_string()),
            row("Epochs per fold", self.epochs.to_string()),
            row("Temperature of the probabilities", temperature_label(self.temperature)),
            row("Time for training and validation, all folds", format!("{:.0} s", self.wall_seconds)),
            row("Processor time for training and validation", format!("{:.0} s", self.cpu_seconds)),
            row("Machine that pooled the folds", self.machine.clone()),
        ]
    }
}
