//! How the classes of cells follow from their probabilities.

use malaria_metrics::{OperatingPoint, PatientCall, PatientRule, Target, argmax, percent, predict_at};
use serde::{Deserialize, Serialize};

/// How patients are called, besides what the threshold's cells tell.
const CONFIDENCE: f64 = 0.95;
const RELEVANT_SHARE: f64 = 0.05;

/// From which probability of the positive class on a cell is called positive, and how that was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Threshold {
    /// What it had to reach.
    pub target: Target,
    /// The cells it was chosen on.
    pub chosen_on: ChosenOn,
    /// The threshold itself, and what it gives on those cells.
    #[serde(flatten)]
    pub point: OperatingPoint,
    /// How alike the false alarms of one patient are on those cells, from 0 to 1: their intra-patient correlation. `None` where
    /// they do not tell: with too few false alarms or known patients, or with patients of whom the model has learned other cells.
    #[serde(default)]
    pub false_positive_correlation: Option<f64>,
}

impl Threshold {
    /// How patients are called from cells that this threshold was applied to.
    ///
    /// # Errors
    /// Why they are not, in words: its own cells do not tell how often new patients' cells are called wrong, and how much patients
    /// differ in that; or alarms are no rarer than finds.
    pub fn patient_rule(&self) -> Result<PatientRule, String> {
        let correlation = self.false_positive_correlation.ok_or(
            "the cells that the threshold was chosen on do not tell how often cells of new patients are called wrong; that takes at \
             least ten false alarms, in ten patients or more, of whom the model has learned nothing",
        )?;
        let rule = PatientRule {
            sensitivity: self.point.sensitivity,
            false_positive_rate: 1.0 - self.point.specificity,
            correlation,
            confidence: CONFIDENCE,
            relevant_share: RELEVANT_SHARE,
        };
        if rule.false_positive_rate == 0.0 {
            return Err("there was no false alarm among the cells of the threshold, so that nobody knows how rare they are".to_owned());
        }
        rule.check().map_err(|error| error.to_string())?;
        Ok(rule)
    }

    /// How it was chosen, in words.
    pub fn note(&self, positive_class: &str) -> String {
        let (figure, share) = match self.target {
            Target::Sensitivity(share) => ("sensitivity", share),
            Target::Specificity(share) => ("specificity", share),
        };
        let cells = match self.chosen_on {
            ChosenOn::Validation => "the validation set",
            ChosenOn::OutOfFold => {
                "the cells of a cross-validation, each evaluated by a model of the same settings that had not learned from it"
            }
        };
        format!(
            "called {positive_class} from a probability of {} on, chosen for a {figure} of {} on {cells}",
            percent(Some(self.point.threshold)),
            percent(Some(share)),
        )
    }

    /// [`note`](Self::note), and what the threshold gives on those cells.
    pub fn note_with_rates(&self, positive_class: &str) -> String {
        let OperatingPoint { sensitivity, specificity, .. } = self.point;
        let (sensitivity, specificity) = (percent(Some(sensitivity)), percent(Some(specificity)));
        format!(
            "{}; there it gave a sensitivity of {sensitivity} and a specificity of {specificity}",
            self.note(positive_class)
        )
    }
}

/// The call of a patient, in words: what it says of the share of their cells that is infected, and what to do where it says
/// nothing.
pub fn patient_words(call: PatientCall) -> String {
    match call {
        PatientCall::Positive => "positive".to_owned(),
        PatientCall::Negative => format!("negative: fewer than {:.0} % infected", 100.0 * RELEVANT_SHARE),
        PatientCall::Undecided => "undecided: more cells are needed, or a better model".to_owned(),
    }
}

/// What a cell with these `probabilities`, one a class, is called: the positive class from the threshold on, else the most
/// probable of the others; where there is no threshold, the most probable of all, ties going to the first. An index into the
/// classes.
///
/// # Panics
/// Where `positive` is not below the number of classes, as slices do.
pub fn call(probabilities: &[f64], positive: usize, threshold: Option<&Threshold>) -> usize {
    match threshold {
        Some(threshold) => predict_at(probabilities, positive, threshold.point.threshold),
        None => argmax(probabilities),
    }
}

/// Which cells a threshold was chosen on. None of them was learned from by the model that spoke of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChosenOn {
    /// The run's validation set.
    Validation,
    /// Every cell, each evaluated by the model of a cross-validation that has not learned from it.
    OutOfFold,
}

/// How some cells get their classes: decision threshold, or one per fold.
#[derive(Clone, Debug, PartialEq)]
pub enum DecisionRule {
    /// Each cell gets its most probable class.
    Argmax,
    /// Each cell is positive from this threshold on.
    Threshold(Threshold),
    /// In a cross-validation each cell is positive from a threshold on that was chosen on the other folds' cells.
    FoldThresholds {
        /// Chosen on the cells of all folds; it is stored with the model that learns from every cell.
        stored: Threshold,
        /// The threshold of each cell's fold, `[N]`.
        of_cells: Vec<Threshold>,
    },
}

/// Which [`DecisionRule`] gave figures, as JSON says it.
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
    /// Its name in JSON.
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
    /// Where `i` is not below the number of cells of [`DecisionRule::FoldThresholds`], as slices do.
    pub fn of_cell(&self, i: usize) -> Option<&Threshold> {
        match self {
            Self::Argmax => None,
            Self::Threshold(threshold) => Some(threshold),
            Self::FoldThresholds { of_cells, .. } => Some(&of_cells[i]),
        }
    }

    /// The threshold that is stored with the model; `None` for [`DecisionRule::Argmax`].
    pub fn stored(&self) -> Option<&Threshold> {
        match self {
            Self::Argmax => None,
            Self::Threshold(stored) | Self::FoldThresholds { stored, .. } => Some(stored),
        }
    }
}
