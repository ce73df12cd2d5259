//! Decision thresholds and rules: from probabilities to the classes of cells and patients.

use malaria_metrics::{OperatingPoint, PatientCall, PatientRule, Target, argmax, percent, predict_at};
use serde::{Deserialize, Serialize};

/// Level of the calls of patients.
const CONFIDENCE: f64 = 0.95;
/// A patient with this share of infected cells must not be called negative.
const RELEVANT_SHARE: f64 = 0.05;

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
    /// Intra-patient correlation of the false alarms on those cells, from 0 to 1. `None` where it cannot be estimated: with too few
    /// false alarms or known patients, or where the model has learned from other cells of these patients.
    #[serde(default)]
    pub false_positive_correlation: Option<f64>,
}

/// Why patients cannot be called.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum NoPatientRule {
    /// Cells are called by their most probable class.
    #[error("there is no threshold")]
    NoThreshold,

    /// Classes that are not the positive one may be other infections.
    #[error("there are more than two classes")]
    MoreClasses,

    /// The threshold has no [correlation](Threshold::false_positive_correlation).
    #[error(
        "the rate of false alarms in new patients is unknown; estimating it takes at least ten false alarms and ten patients from whom \
         the model has not learned"
    )]
    UnknownFalseAlarms,

    /// The specificity is 1.
    #[error(
        "there was no false alarm on the cells that the threshold was chosen on, so their rate is unknown"
    )]
    NoFalseAlarm,

    /// The rates make no rule, as where infected cells are called positive no more often than others.
    #[error(transparent)]
    Rates(#[from] malaria_metrics::Error),
}

impl Threshold {
    /// The rule by which patients are called from cells that are called at this threshold.
    ///
    /// # Errors
    /// [`NoPatientRule`] where the rate of false alarms and its spread over patients are unknown, or make no rule.
    pub fn patient_rule(&self) -> Result<PatientRule, NoPatientRule> {
        let correlation = self.false_positive_correlation.ok_or(NoPatientRule::UnknownFalseAlarms)?;
        let rule = PatientRule {
            sensitivity: self.point.sensitivity,
            false_positive_rate: 1.0 - self.point.specificity,
            correlation,
            confidence: CONFIDENCE,
            relevant_share: RELEVANT_SHARE,
        };
        if rule.false_positive_rate == 0.0 {
            return Err(NoPatientRule::NoFalseAlarm);
        }
        rule.check()?;
        Ok(rule)
    }

    /// The threshold and how it was chosen, in two sentences. `cells` is what it applies to: `Cells` or `New cells`.
    pub fn note(&self, cells: &str, positive_class: &str) -> String {
        let (metric, share) = match self.target {
            Target::Sensitivity(share) => ("sensitivity", share),
            Target::Specificity(share) => ("specificity", share),
        };
        let chosen_on = match self.chosen_on {
            ChosenOn::Validation => "on the validation set",
            ChosenOn::OutOfFold => "in cross-validation",
        };
        format!(
            "{cells} are called {positive_class} at a probability of {} or more. This threshold was chosen for a {metric} of {} \
             {chosen_on}.",
            percent(Some(self.point.threshold)),
            percent(Some(share)),
        )
    }
}

/// The call of a patient in words.
pub fn patient_words(call: PatientCall) -> String {
    match call {
        PatientCall::Positive => "positive".to_owned(),
        PatientCall::Negative => format!("negative: fewer than {:.0} % infected", 100.0 * RELEVANT_SHARE),
        PatientCall::Undecided => "undecided: more cells are needed, or a better model".to_owned(),
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

/// The cells that a threshold was chosen on. No model has learned from the cells it scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChosenOn {
    /// The run's validation set.
    Validation,
    /// Every cell of a cross-validation, scored by the model that has not learned from it.
    OutOfFold,
}

/// How cells are called: by the most probable class, a decision threshold, or one threshold per fold.
#[derive(Clone, Debug, PartialEq)]
pub enum DecisionRule {
    /// Each cell gets its most probable class.
    Argmax,
    /// A cell is positive at this threshold or above.
    Threshold(Threshold),
    /// In a cross-validation, the threshold of each cell was chosen on the other folds' cells.
    FoldThresholds {
        /// Chosen on the cells of all folds, and stored with the model that learns from every cell.
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
