//! What a trained model says of itself besides its weights.

use malaria_dataset::{Cells, InputRange, ResizePolicy};
use malaria_metrics::{OperatingPoint, PatientCall, PatientRule, Target, percent};
use serde::{Deserialize, Serialize};

/// How patients are called, besides what the threshold's cells tell.
const CONFIDENCE: f64 = 0.95;
const RELEVANT_SHARE: f64 = 0.05;

/// How a picture on disk becomes the model's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageConfig {
    /// Side in pixels.
    pub pixels: u32,
    /// How a picture is brought to that size.
    pub resize: ResizePolicy,
}

/// Said where there is no [`Threshold`].
pub const NO_THRESHOLD: &str = "called by the most probable class: no threshold reached what was asked for on the cells to choose it on, \
                                or there were none of one class";

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
    /// they do not tell, being of fewer than two known patients.
    #[serde(default)]
    pub false_positive_correlation: Option<f64>,
}

impl Threshold {
    /// How patients are called from cells that this threshold was applied to. `None` where its own cells do not say enough of false
    /// alarms: there was none, so that one positive cell in thousands would make a patient positive; or they do not tell how much
    /// patients differ in them; or alarms are no rarer than finds.
    pub fn patient_rule(&self) -> Option<PatientRule> {
        let rule = PatientRule {
            sensitivity: self.point.sensitivity,
            false_positive_rate: 1.0 - self.point.specificity,
            correlation: self.false_positive_correlation?,
            confidence: CONFIDENCE,
            relevant_share: RELEVANT_SHARE,
        };
        Some(rule).filter(|rule| rule.false_positive_rate > 0.0 && rule.check().is_ok())
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
                "the cells of a cross-validation, each judged by a model of the same settings that had not learned from it"
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
pub fn call(probabilities: &[f64], positive: usize, threshold: Option<&Threshold>) -> usize {
    let Some(Threshold { point, .. }) = threshold else { return most_probable(probabilities) };
    if probabilities[positive] >= point.threshold {
        return positive;
    }
    let mut others = probabilities.to_vec();
    others[positive] = f64::NEG_INFINITY;
    most_probable(&others)
}

/// Index of the highest probability; the first of equals, as in scikit-learn.
pub fn most_probable(probabilities: &[f64]) -> usize {
    let better = |best, i| if probabilities[i] > probabilities[best] { i } else { best };
    (1..probabilities.len()).fold(0, better)
}

/// Which cells a threshold was chosen on. None of them was learned from by the model that spoke of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChosenOn {
    /// The run's validation set.
    Validation,
    /// Every cell, each judged by the model of a cross-validation that has not learned from it.
    OutOfFold,
}

/// All that is needed to use a network, besides its weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Description {
    /// Class names, in the order of the network's outputs.
    pub classes: Vec<String>,
    /// The class that sensitivity and every probability on its own are about.
    pub positive: String,
    /// How a picture becomes the network's input.
    pub image: ImageConfig,
    /// What the training cells look like, so that other pictures can be told from them.
    #[serde(default)]
    pub input: Option<InputRange>,
    /// From which probability on a cell is called positive; `None` where it is called by its most probable class.
    #[serde(default)]
    pub threshold: Option<Threshold>,
    /// What logits are divided by before the softmax; `None` stands for 1.
    #[serde(default)]
    pub temperature: Option<f64>,
}

impl Description {
    /// Index of the positive class.
    ///
    /// # Errors
    /// What is wrong, in words, when the class is not among the classes, there are fewer than two of these, no cell can be of
    /// the size of the pictures, or the temperature is not a positive number.
    pub(crate) fn check(&self) -> Result<usize, String> {
        let Self { classes, positive, image, temperature, .. } = self;
        if classes.len() < 2 {
            return Err(format!("`classes`: expected two or more, found {classes:?}"));
        }
        let index = classes.iter().position(|class| class == positive);
        let index =
            index.ok_or_else(|| format!("`positive`: expected one of {classes:?}, found `{positive}`"))?;
        Cells::from_pixels(image.pixels, Vec::new()).map_err(|error| format!("`image`: {error}"))?;
        match temperature {
            Some(found) if !(*found > 0.0 && found.is_finite()) => {
                Err(format!("`temperature`: expected a number above 0, found {found}"))
            }
            _ => Ok(index),
        }
    }
}
