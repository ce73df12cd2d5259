//! A model's description, for networks of the tests.

use malaria_classifier::{ChosenOn, Description, ImageConfig, SmearRule};
use malaria_dataset::ResizePolicy;
use malaria_metrics::{PatientRule, PositiveRate};

pub(crate) fn description() -> Description {
    Description {
        classes: ["Parasitized", "Uninfected"].map(str::to_owned).to_vec(),
        positive: "Parasitized".to_owned(),
        image: ImageConfig { pixels: 40, resize: ResizePolicy::Stretch },
        input: None,
        threshold: None,
        smear: Some(SmearRule {
            threshold: 0.5,
            chosen_on: ChosenOn::OutOfFold,
            max_uncertain: Some(0.1),
            rates: PatientRule {
                uninfected: PositiveRate::known(0.001, 0.001),
                infected: PositiveRate::known(0.95, 0.01),
            },
        }),
        training_patients: Vec::new(),
        temperature: None,
    }
}
