//! Settings of knowledge distillation: a trained model whose probabilities supplement the labels.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A trained model whose probabilities are mixed into the training labels of a new one.
///
/// The teacher classifies each training cell once, averaged over four mirror images. It does not classify augmented versions.
///
/// Source: G. Hinton, O. Vinyals and J. Dean, "Distilling the knowledge in a neural network", 2015.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Teacher {
    /// The teacher's run directory. For a cross-validation, the folder of another cross-validation with the same folds: each fold
    /// is taught by the model of the same fold, and the final model by the final one.
    pub run: PathBuf,
    /// Weight of the teacher's probabilities in the training targets, in [0, 1]; the labels have the rest.
    pub weight: f64,
}

impl Teacher {
    /// A sentence for the model card.
    pub(crate) fn sentence(&self) -> String {
        format!(
            "Its training targets were {} % the probabilities of another model ({}), the rest the labels.",
            (1000.0 * self.weight).round() / 10.0,
            self.run.display()
        )
    }

    /// Refuses a weight outside [0, 1].
    pub(crate) fn check(&self) -> Result<()> {
        if (0.0..=1.0).contains(&self.weight) {
            return Ok(());
        }
        let expected = "a fraction from 0 to 1".to_owned();
        Err(Error::Config { field: "teacher.weight", expected, found: self.weight.to_string() })
    }
}
