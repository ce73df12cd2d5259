//! `metrics.json` of a cross-validation.

use std::collections::BTreeSet;

use malaria_classifier::{Assessment, Caveat, RuleKind, Spread, Threshold};
use malaria_dataset::Protocol;
use malaria_metrics::{OperatingPoint, Summary};
use serde::{Deserialize, Serialize};

use crate::{
    config::{ExperimentConfig, Recipe},
    run::record::{MetricsOf, temperature_words},
};

/// The figures of one fold's test set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FoldMetrics {
    /// Which, from 1.
    pub fold: usize,
    /// Cells tested on.
    pub n_test: usize,
    /// Where it was trained and in which precision; they may differ from fold to fold.
    #[serde(default)]
    pub device: String,
    /// The epoch whose weights were kept.
    pub epoch: u64,
    /// Time spent training and validating.
    pub wall_seconds: f64,
    /// Share of the cells called right.
    pub accuracy: f64,
    /// Share of the cells whose most probable class is the true one.
    pub accuracy_argmax: f64,
    /// Share of the positive cells called positive.
    pub sensitivity: Option<f64>,
    /// Share of the negative cells called negative.
    pub specificity: Option<f64>,
    /// Area under the ROC curve.
    pub auc: Option<f64>,
    /// From which probability on its cells are called positive: chosen on the other folds' cells. `None` where no threshold reaches
    /// what is asked for.
    pub threshold: Option<f64>,
}

/// `metrics.json` of a cross-validation: the figures of every cell, each by the one model that has not learned from it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CrossValidationMetrics {
    /// Version of this layout.
    pub format_version: u32,
    /// Which cells the figures are of.
    pub metrics_of: MetricsOf,
    /// The command that put the folds together.
    pub command: String,
    /// This library's version.
    pub version: String,
    /// The machine that put the folds together: processor, cores, memory.
    pub machine: String,
    /// How cells were divided. With `random`, cells of one patient stand on both sides, and the figures are
    /// optimistic.
    pub protocol: Protocol,
    /// The recipe that the settings started from.
    pub recipe: Recipe,
    /// Whether the cells are drawn ones, on which a figure says nothing about malaria.
    pub synthetic_cells: bool,
    /// Seed of the folds and the trainings.
    pub seed: u64,
    /// Epochs trained, a fold.
    pub epochs: u64,
    /// Cells tested on, over all folds: every cell once.
    pub n_test: usize,
    /// Cells that no model learned from, on request; they were tested on all the same.
    #[serde(default)]
    pub n_excluded: usize,
    /// Pictures that could not be read and were left out.
    #[serde(default)]
    pub n_skipped: usize,
    /// Time spent training and validating, over all folds.
    pub wall_seconds: f64,
    /// Processor time of the same.
    pub cpu_seconds: f64,
    /// The figures of each fold.
    pub folds: Vec<FoldMetrics>,
    /// Over the folds.
    pub accuracy_over_folds: Spread,
    /// Over the folds; `None` where a fold has no positive cell.
    pub sensitivity_over_folds: Option<Spread>,
    /// Over the folds; `None` where a fold has no negative cell.
    pub specificity_over_folds: Option<Spread>,
    /// Over the folds; `None` where a fold has one class only.
    pub auc_over_folds: Option<Spread>,
    /// The place on the pooled ROC curve with the specificity of Rajaraman et al. 2018, 97.2 %, to be compared with their
    /// sensitivity of 94.7 %. It is read off the very cells it is reported on, which flatters it a little. Only for real
    /// cells by patient, and where the positive class is Parasitized; `None` also where no threshold gives it.
    pub at_published_specificity: Option<OperatingPoint>,
    /// What the logits of the model that learns from every cell are divided by, where calibration was asked for: the
    /// geometric mean of the folds' temperatures (1 for a fold that none could be fitted to), since no cell is left to fit one by.
    pub temperature: Option<f64>,
    /// The threshold that the settings ask for, chosen on what is said of every cell by the model that has not learned from
    /// it; it is stored with the model that learns from every cell. `None` where no threshold reaches what is asked for.
    /// The figures are not at this one: each fold's cells are called at what is chosen in the same way on the cells of the
    /// other folds (by models that had learned from this fold's cells, a trace that remains). Where a fold has none, all cells are
    /// called by their most probable class, and no patients.
    pub threshold: Option<Threshold>,
    /// How cells were called in the figures.
    pub decision_rule: RuleKind,
    /// What to read the figures with.
    pub caveats: Vec<Caveat>,
    /// The pooled figures: over all cells as if one model had evaluated them.
    #[serde(flatten)]
    pub pooled: Summary,
    /// How sure they are, and what they mean for patients. The intervals hold for new patients under these models; that other
    /// models would have been trained on other patients is not in them.
    #[serde(flatten)]
    pub assessment: Assessment,
}

impl CrossValidationMetrics {
    /// What the models were made by: name and value.
    pub(super) fn made(&self, config: &ExperimentConfig) -> Vec<[String; 2]> {
        let row = |name: &str, value: String| [name.to_owned(), value];
        let devices: BTreeSet<&str> = self.folds.iter().map(|fold| fold.device.as_str()).collect();
        vec![
            row("malaria-resnet", self.version.clone()),
            row("libtorch", malaria_libtorch::LIBTORCH_VERSION.to_owned()),
            row("Device of the folds", Vec::from_iter(devices).join("; ")),
            row("Recipe", config.recipe_words()),
            row("Seed", self.seed.to_string()),
            row("Epochs, a fold", self.epochs.to_string()),
            row("Temperature of the probabilities", temperature_words(self.temperature)),
            row("Time for training and validating, all folds", format!("{:.0} s", self.wall_seconds)),
            row("Processor time of the same", format!("{:.0} s", self.cpu_seconds)),
            row("Machine that put the folds together", self.machine.clone()),
        ]
    }
}
