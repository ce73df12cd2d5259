//! Decision thresholds and rules, which turn probabilities into classes of cells.

use malaria_metrics::{OperatingPoint, Target, argmax, percent, predict_at};
use serde::{Deserialize, Serialize};

/// A decision threshold for the positive class's probability, and how it was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Threshold {
    /// The sensitivity or specificity it was chosen for.
    pub target: Target,
    /// The cells it was chosen on.
    pub chosen_on: ChosenOn,
    /// The threshold, with its sensitivity and specificity on those cells.
    #[serde(flatten)]
    pub point: OperatingPoint,
}

impl Threshold {
    /// The threshold and how it was chosen, in two sentences. `cells` is what it applies to: `Cells` or `New cells`.
    pub fn note(&self, cells: &str, positive_class: &str) -> String {
        let (metric, share) = match self.target {
            Target::Sensitivity(share) => ("sensitivity", share),
            Target::Specificity(share) => ("specificity", share),
        };
        let chosen_on = self.chosen_on.note();
        format!(
            "{cells} are called {positive_class} at a probability of {} or more. This threshold was chosen for a {metric} of {} \
             {chosen_on}.",
            percent(Some(self.point.threshold)),
            percent(Some(share)),
        )
    }
}

/// Index of the class of a cell with these `probabilities`, one per class: the positive class at the threshold or above, else the
/// most probable other class. Without a threshold, the most probable class, the first of equal ones.
///
/// # Panics
/// If `positive` is out of range.
pub fn call(probabilities: &[f64], positive: usize, threshold: Option<&Threshold>) -> usize {
    match threshold {
        Some(threshold) => predict_at(probabilities, positive, threshold.point.threshold),
        None => argmax(probabilities),
    }
}

/// The cells that a threshold was chosen on. They were scored by models that were not trained on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChosenOn {
    /// The run's validation set.
    Validation,
    /// Every cell of a cross-validation, scored by the model that was not trained on it.
    OutOfFold,
}

impl ChosenOn {
    /// The cells as text.
    pub(crate) fn note(self) -> &'static str {
        match self {
            Self::Validation => "on the validation set",
            Self::OutOfFold => "in cross-validation",
        }
    }
}

/// How cells are called: by their most probable class, a decision threshold, or one threshold per fold.
#[derive(Clone, Debug, PartialEq)]
pub enum DecisionRule {
    /// Each cell gets its most probable class.
    Argmax,
    /// A cell is positive at this threshold or above.
    Threshold(Threshold),
    /// In a cross-validation, the threshold of each cell was chosen on the other folds' cells.
    FoldThresholds {
        /// Chosen on the cells of all folds, and stored with the model that is trained on every cell.
        stored: Threshold,
        /// The threshold of each cell's fold, `[N]`.
        of_cells: Vec<Threshold>,
    },
}

/// The name of a [`DecisionRule`] in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RuleKind {
    /// The most probable class.
    Argmax,
    /// The model's decision threshold.
    Threshold,
    /// A threshold for each fold, chosen on the other folds.
    FoldThresholds,
}

impl From<Option<Threshold>> for DecisionRule {
    fn from(threshold: Option<Threshold>) -> Self {
        threshold.map_or(Self::Argmax, Self::Threshold)
    }
}

impl DecisionRule {
    /// The rule in one or two sentences.
    pub fn note(&self, positive_class: &str) -> String {
        match self {
            Self::Argmax => "Cells are called by their most probable class.".to_owned(),
            Self::Threshold(threshold) => threshold.note("Cells", positive_class),
            // `Caveat::FoldThresholds` says how the cells of the folds are called.
            Self::FoldThresholds { stored, .. } => stored.note("New cells", positive_class),
        }
    }

    /// The rule's name in JSON.
    pub fn kind(&self) -> RuleKind {
        match self {
            Self::Argmax => RuleKind::Argmax,
            Self::Threshold(_) => RuleKind::Threshold,
            Self::FoldThresholds { .. } => RuleKind::FoldThresholds,
        }
    }

    /// The threshold of cell `i`; `None` for [`DecisionRule::Argmax`].
    ///
    /// # Panics
    /// If `i` is out of range of the cells of [`DecisionRule::FoldThresholds`].
    pub fn of_cell(&self, i: usize) -> Option<&Threshold> {
        match self {
            Self::Argmax => None,
            Self::Threshold(threshold) => Some(threshold),
            Self::FoldThresholds { of_cells, .. } => Some(&of_cells[i]),
        }
    }

    /// The threshold stored with the model; `None` for [`DecisionRule::Argmax`].
    pub fn stored(&self) -> Option<&Threshold> {
        match self {
            Self::Argmax => None,
            Self::Threshold(stored) | Self::FoldThresholds { stored, .. } => Some(stored),
        }
    }
}
