//! The call of a red cell: its class, its probability and its warning.

use image::RgbImage;
use malaria_classifier::{Description, Prediction, classify_pictures};
use malaria_dataset::Cells;

use crate::find::Smear;

/// The call of a red cell.
pub(crate) struct Call {
    pub(crate) probability: f64,
    pub(crate) infected: bool,
    /// The class of the call.
    pub(crate) class: String,
    /// How it differs from the training cells.
    pub(crate) warning: Option<String>,
}

impl Call {
    /// The calls of the red cells of a photograph, at the threshold for smears if there is one, else at that for single cells.
    pub(crate) fn of_cells<E: From<malaria_dataset::Error>>(
        description: &Description,
        positive: usize,
        photo: &RgbImage,
        smear: &Smear,
        network: impl FnMut(&Cells) -> Result<Vec<f64>, E>,
    ) -> Result<Vec<Self>, E> {
        let threshold = description.patient_caller().ok().map(|(rule, _)| rule.threshold);
        let crops: Vec<RgbImage> = smear.red_cells().map(|cell| cell.crop(photo)).collect();
        let cells = classify_pictures(description, positive, &crops, network)?;
        Ok(cells.into_iter().map(|cell| Self::of(description, threshold, cell)).collect())
    }

    fn of(description: &Description, threshold: Option<f64>, cell: Prediction) -> Self {
        let Description { classes, positive, .. } = description;
        // Predictions for pictures in memory have both.
        let (class, probability) = (cell.class.unwrap_or_default(), cell.probability.unwrap_or_default());
        let infected = threshold.map_or(class == *positive, |threshold| probability >= threshold);
        let other = classes.iter().find(|class| *class != positive);
        let class = match (infected, class == *positive) {
            (true, _) => positive.clone(),
            (false, true) => other.cloned().unwrap_or_default(),
            (false, false) => class,
        };
        Self { probability, infected, class, warning: cell.warning }
    }
}
