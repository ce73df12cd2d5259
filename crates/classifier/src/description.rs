//! What a trained model says of itself besides its weights.

use malaria_dataset::{Cells, InputCheck, ResizePolicy};
use malaria_metrics::PatientRule;
use serde::{Deserialize, Serialize};

use crate::{
    caveat::Caveat,
    decision::Threshold,
    error::{Error, Result},
    network::ResNetConfig,
};

/// How a picture on disk becomes the model's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageConfig {
    /// Side in pixels.
    pub pixels: u32,
    /// How a picture is brought to that size.
    pub resize: ResizePolicy,
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
    pub input: Option<InputCheck>,
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
            Some(threshold) => format!("Cells are {}.", threshold.note_with_rates(&self.positive)),
            None => Caveat::NoThreshold.to_string(),
        };
        match self.patient_rule() {
            Ok(rule) => format!(
                "{cells} Patients are called by these rates, taken as known, and a negative one may have up to {:.0} % infected cells.",
                100.0 * rule.relevant_share
            ),
            Err(reason) => format!("{cells} Patients are not called: {reason}."),
        }
    }

    /// Index of the positive class.
    ///
    /// # Errors
    /// [`Error::Description`] when the class is not among the classes, there are fewer than two of these, no cell can be of the
    /// size of the pictures, or the temperature is not a positive number.
    pub fn check(&self) -> Result<usize> {
        let Self { classes, positive, image, temperature, .. } = self;
        let wrong = |field, expected: &str, found: String| {
            Err(Error::Description { field, expected: expected.to_owned(), found })
        };
        if classes.len() < 2 {
            return wrong("classes", "two or more", format!("{classes:?}"));
        }
        let Some(index) = classes.iter().position(|class| class == positive) else {
            return wrong("positive", &format!("one of {classes:?}"), format!("`{positive}`"));
        };
        if let Err(error) = Cells::from_pixels(image.pixels, Vec::new()) {
            return wrong("image", "a size that cells can have", error.to_string());
        }
        match temperature {
            Some(found) if !(*found > 0.0 && found.is_finite()) => {
                wrong("temperature", "a number above 0", found.to_string())
            }
            _ => Ok(index),
        }
    }

    /// [`check`](Self::check), and whether the description fits `network`.
    ///
    /// # Errors
    /// [`Error::Description`] also when the network has another number of outputs, or takes pictures of another size.
    pub fn check_for(&self, network: &ResNetConfig) -> Result<usize> {
        let positive = self.check()?;
        let Self { classes, image, .. } = self;
        if classes.len() as i64 != network.classes {
            return Err(Error::Description {
                field: "classes",
                expected: format!("{}, as many as the network has outputs", network.classes),
                found: format!("{classes:?}"),
            });
        }
        if i64::from(image.pixels) != network.input_size {
            return Err(Error::Description {
                field: "image.pixels",
                expected: format!("{}, the size that the network takes", network.input_size),
                found: image.pixels.to_string(),
            });
        }
        Ok(positive)
    }
}

#[cfg(test)]
mod tests {
    use malaria_metrics::{OperatingPoint, Target};

    use super::*;
    use crate::decision::ChosenOn;

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
        let cells = "Cells are called Parasitized from a probability of 40.00 % on, chosen for a sensitivity of 95.00 % on the \
                     validation set; there it gave a sensitivity of 95.00 % and a specificity of 98.00 %. ";
        assert!(
            note(Some(sound)).starts_with(cells)
                && note(Some(sound)).contains("Patients are called by these rates")
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
            assert!(note.contains(reason) && note.contains("Patients are not called"), "{reason}: {note}");
        }
    }
}
