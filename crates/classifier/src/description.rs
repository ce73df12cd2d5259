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
    /// How patients are called.
    ///
    /// # Errors
    /// Why they are not, in words: there is no threshold, it gives no [rule](Threshold::patient_rule), or there are more classes than
    /// two, of which those that are not the positive one may be other infections.
    pub fn patient_rule(&self) -> Result<PatientRule, String> {
        let threshold = self.threshold.as_ref().ok_or("there is no threshold")?;
        if self.classes.len() > 2 {
            return Err("there are more classes than two".to_owned());
        }
        threshold.patient_rule()
    }

    /// How cells are called and what that gave, and by what patients are called, or why they are not.
    pub fn calling_note(&self) -> String {
        let cells = match &self.threshold {
            Some(threshold) => threshold.note_with_rates(&self.positive),
            None => NO_THRESHOLD.to_owned(),
        };
        match self.patient_rule() {
            Ok(rule) => format!(
                "{cells}; patients are called by these rates, taken as known, and a negative one may have up to {:.0} % infected cells",
                100.0 * rule.relevant_share
            ),
            Err(reason) => format!("{cells}; patients are not called: {reason}"),
        }
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_no_patient_is_called_is_said() {
        let sound = Threshold {
            target: Target::Sensitivity(0.95),
            chosen_on: ChosenOn::Validation,
            point: OperatingPoint { threshold: 0.4, sensitivity: 0.95, specificity: 0.98 },
            false_positive_correlation: Some(0.1),
        };
        let note = |threshold: Option<Threshold>| {
            let description = Description {
                classes: ["Parasitized", "Uninfected"].map(str::to_owned).to_vec(),
                positive: "Parasitized".to_owned(),
                image: ImageConfig { pixels: 64, resize: ResizePolicy::Stretch },
                input: None,
                threshold,
                temperature: None,
            };
            description.calling_note()
        };
        let cells = "called Parasitized from a probability of 40.00 % on, chosen for a sensitivity of 95.00 % on the validation set; \
                     there it gave a sensitivity of 95.00 % and a specificity of 98.00 %";
        assert!(
            note(Some(sound)).starts_with(cells)
                && note(Some(sound)).contains("patients are called by these rates")
        );
        let with = |specificity, false_positive_correlation| Threshold {
            point: OperatingPoint { specificity, ..sound.point },
            false_positive_correlation,
            ..sound
        };
        for (threshold, reason) in [
            (Some(with(0.98, None)), "at least ten false alarms"),
            (Some(with(1.0, Some(0.1))), "no false alarm"),
            (Some(with(0.05, Some(0.1))), "say nothing"),
            (None, "no threshold reached"),
        ] {
            let note = note(threshold);
            assert!(note.contains(reason) && note.contains("patients are not called"), "{reason}: {note}");
        }
    }
}
