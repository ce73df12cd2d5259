//! Learning from what a larger model says of the training cells, and not from their labels alone.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A trained model whose probabilities a new one learns to give.
///
/// The teacher is asked once, of each training cell in four mirror images, and not of what augmentation makes of it.
///
/// Source: G. Hinton, O. Vinyals and J. Dean, "Distilling the knowledge in a neural network", 2015.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Teacher {
    /// Its run directory. For a cross-validation, that of another whose folds hold the same cells: each fold is taught by the
    /// model of the same fold, and the last model by the last.
    pub run: PathBuf,
    /// Share of the teacher's probabilities in what is learned, in [0, 1]; the rest are the labels.
    pub weight: f64,
}

impl Teacher {
    /// That it taught, in words.
    pub(crate) fn words(&self) -> String {
        format!(
            "{} parts in 100 of what it learned are the probabilities of another model ({}), the others the labels.",
            (1000.0 * self.weight).round() / 10.0,
            self.run.display()
        )
    }

    /// Refuses a share that is none.
    pub(crate) fn check(&self) -> Result<()> {
        if (0.0..=1.0).contains(&self.weight) {
            return Ok(());
        }
        let expected = "a fraction from 0 to 1".to_owned();
        Err(Error::Config { field: "teacher.weight", expected, found: self.weight.to_string() })
    }
}
