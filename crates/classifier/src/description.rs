//! The description of a trained model: classes, input size, threshold, temperature.

use std::path::{Component, Path};

use malaria_dataset::{Cells, InputCheck, ResizePolicy};
use malaria_metrics::{PatientCaller, percent};
use serde::{Deserialize, Serialize};

use crate::{
    caveat::Caveat,
    decision::Threshold,
    error::{Error, Result},
    network_config::ResNetConfig,
    patient_rule::{PatientCallError, SmearRule},
};

/// The model's input size, and how pictures are resized to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageConfig {
    /// Side in pixels.
    pub pixels: u32,
    /// How a picture is resized.
    pub resize: ResizePolicy,
}

/// Everything besides the weights that is needed to use a network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Description {
    /// Class names, in the order of the network's outputs.
    pub classes: Vec<String>,
    /// The positive class, to which sensitivity and single probabilities refer.
    pub positive: String,
    /// How a picture becomes the network's input.
    pub image: ImageConfig,
    /// Ranges of the training cells, to detect pictures unlike them.
    #[serde(default)]
    pub input: Option<InputCheck>,
    /// The decision threshold; `None` where cells are called by their most probable class.
    #[serde(default)]
    pub threshold: Option<Threshold>,
    /// How patients are called; `None` if it is unknown how often cells of new patients are called positive.
    #[serde(default)]
    pub smear: Option<SmearRule>,
    /// The patients on whose cells the model was trained, if they have names of NLM's form (`C33`).
    #[serde(default, alias = "learned_from", skip_serializing_if = "Vec::is_empty")]
    pub training_patients: Vec<String>,
    /// The temperature that divides the logits before the softmax; `None` means 1.
    #[serde(default)]
    pub temperature: Option<f64>,
}

impl Description {
    /// Calls patients.
    ///
    /// # Errors
    /// [`PatientCallError`] without a [`SmearRule`], with more than two classes, or as [`SmearRule::caller`].
    pub fn patient_caller(&self) -> Result<(&SmearRule, PatientCaller), PatientCallError> {
        let smear = self.smear.as_ref().ok_or(PatientCallError::UnknownRates)?;
        if self.classes.len() > 2 {
            return Err(PatientCallError::MoreClasses);
        }
        Ok((smear, smear.caller()?))
    }

    /// How cells and patients are called, or why patients are not, as text.
    pub fn calling_note(&self) -> String {
        let cells = match &self.threshold {
            Some(threshold) => format!(
                "{} On those cells, it has a sensitivity of {} and a specificity of {}.",
                threshold.note("Cells", &self.positive),
                percent(Some(threshold.point.sensitivity)),
                percent(Some(threshold.point.specificity)),
            ),
            None => Caveat::NoThreshold.to_string(),
        };
        match self.patient_caller() {
            Ok((smear, _)) => format!("{cells}\n{}", smear.note(&self.positive)),
            Err(reason) => format!("{cells} Patients are not called: {reason}."),
        }
    }

    /// Checks the description and returns the index of the positive class.
    ///
    /// # Errors
    /// [`Error::Description`] when there are fewer than two classes, the positive one is not among them, cells cannot have
    /// the input size, the temperature is not a positive number, or the smear rule is invalid.
    pub fn check(&self) -> Result<usize> {
        let Self { classes, positive, image, temperature, .. } = self;
        let wrong = |field, expected: &str, found: String| {
            Err(Error::Description { field, expected: expected.to_owned(), found })
        };
        if classes.len() < 2 {
            return wrong("classes", "two or more", format!("{classes:?}"));
        }
        // Folders of cells are named after the classes.
        let one_part = |class: &&String| matches!(Path::new(class).components().collect::<Vec<_>>()[..], [Component::Normal(name)] if name == class.as_str());
        if let Some(class) = classes.iter().find(|class| !one_part(class)) {
            return wrong("classes", "names that folders can have", format!("`{class}`"));
        }
        let Some(index) = classes.iter().position(|class| class == positive) else {
            return wrong("positive", &format!("one of {classes:?}"), format!("`{positive}`"));
        };
        if let Err(error) = Cells::from_pixels(image.pixels, Vec::new()) {
            return wrong("image", "a size that cells can have", error.to_string());
        }
        if let Some(Err(error)) = self.smear.as_ref().map(SmearRule::check) {
            return wrong("smear", "a threshold from 0 to 1 and distributions of rates", error.to_string());
        }
        match temperature {
            Some(found) if !(*found > 0.0 && found.is_finite()) => {
                wrong("temperature", "a number above 0", found.to_string())
            }
            _ => Ok(index),
        }
    }

    /// [`check`](Self::check) that also compares the description with `network`.
    ///
    /// # Errors
    /// [`Error::Description`] also for a network of another number of outputs or another input size.
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
                expected: format!("{}, the input size of the network", network.input_size),
                found: image.pixels.to_string(),
            });
        }
        Ok(positive)
    }
}

#[cfg(test)]
mod tests {
    use malaria_metrics::{OperatingPoint, PatientRule, PositiveRate, Target};

    use super::*;
    use crate::decision::ChosenOn;

    #[test]
    fn the_note_says_how_cells_and_patients_are_called_or_why_not() {
        let description = Description {
            classes: ["Parasitized", "Uninfected"].map(str::to_owned).to_vec(),
            positive: "Parasitized".to_owned(),
            image: ImageConfig { pixels: 64, resize: ResizePolicy::Stretch },
            input: None,
            threshold: Some(Threshold {
                target: Target::Sensitivity(0.95),
                chosen_on: ChosenOn::Validation,
                point: OperatingPoint { threshold: 0.4, sensitivity: 0.95, specificity: 0.98 },
            }),
            smear: Some(SmearRule {
                threshold: 0.9,
                chosen_on: ChosenOn::OutOfFold,
                max_uncertain: Some(0.2),
                rates: PatientRule {
                    uninfected: PositiveRate { patients: 50, ..PositiveRate::known(0.01, 0.02) },
                    infected: PositiveRate { patients: 39, ..PositiveRate::known(0.8, 0.1) },
                },
            }),
            training_patients: Vec::new(),
            temperature: None,
        };
        let note = description.calling_note();
        for part in [
            "Cells are called Parasitized at a probability of 40.00 % or more. This threshold was chosen for a sensitivity of 95.00 % on the \
             validation set. On those cells, it has a sensitivity of 95.00 % and a specificity of 98.00 %.",
            "For patients, cells are called Parasitized at a probability of 90.00 % or more: 80.00 % of the infected cells and 1.00 % of the \
             uninfected ones in cross-validation, in 39 and 50 patients.",
            "do not apply to another laboratory",
            "fewer than 40 patients (here 39)",
        ] {
            assert!(note.contains(part), "{part}: {note}");
        }
        let smear = description.smear.clone().unwrap();
        let with = |smear| Description { smear, ..description.clone() }.calling_note();
        let mut uninformative = smear.clone();
        uninformative.rates.infected = smear.rates.uninfected.clone();
        for (smear, reason) in
            [(None, "at least eight patients"), (Some(uninformative), "do not detect an infection")]
        {
            let note = with(smear);
            assert!(note.contains(reason) && note.contains("Patients are not called"), "{reason}: {note}");
        }
        let mut invalid = smear.clone();
        invalid.rates.infected.points[0][0] = 2.0;
        for class in ["../Parasitized", "/", "", "a/b"] {
            let classes = vec![class.to_owned(), "Uninfected".to_owned()];
            let error = Description { classes, ..description.clone() }.check().unwrap_err().to_string();
            assert!(error.contains("names that folders can have"), "{error}");
        }
        let error =
            Description { smear: Some(invalid), ..description.clone() }.check().unwrap_err().to_string();
        assert!(error.contains("smear") && error.contains("found"), "{error}");
        let mut well_known = smear;
        well_known.rates.infected.patients = 40;
        assert!(!with(Some(well_known)).contains("uncertain"));
    }
}
