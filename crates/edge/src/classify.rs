//! Pictures on disk to calls of cells, and calls of cells to calls of patients.

use std::{collections::BTreeMap, path::PathBuf};

use image::RgbImage;
use malaria_dataset::{Cells, InputRange, Traits, list_images, patient_of, read_image, resize};
use malaria_metrics::{Called, PatientResult};
use rayon::prelude::*;
use serde::Serialize;

use crate::{Description, ImageConfig, Model, Result, call};

/// Pictures held in memory at once.
const CHUNK: usize = 1024;

/// What a model says of one picture.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Prediction {
    /// The picture.
    pub path: PathBuf,
    /// What it is called, by [`call`]; none when the picture could not be read.
    pub class: Option<String>,
    /// Probability of the positive class, in [0, 1]; none when the picture could not be read.
    pub probability: Option<f64>,
    /// In what the picture is unlike those that the model has learned from, so that the probability says little; none when
    /// it is like them.
    pub warning: Option<String>,
    /// Why the picture could not be read; none when it could.
    pub error: Option<String>,
}

/// What the cells of one patient come to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PatientPrediction {
    /// Who, by the names of the files.
    pub patient: String,
    /// The share of infected cells and the call.
    #[serde(flatten)]
    pub result: PatientResult,
}

impl Model {
    /// Classifies pictures: files, and folders with everything below them, in the order of their names. `progress` hears how
    /// many are done, and of how many.
    ///
    /// A picture that cannot be read gives a [`Prediction`] that says why, and does not keep the others from theirs.
    ///
    /// # Errors
    /// [`Error::Dataset`](crate::Error::Dataset) when a path does not exist or holds no image, [`Error::Run`](crate::Error::Run) when the runtime fails.
    pub fn classify(
        &self,
        paths: &[PathBuf],
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Vec<Prediction>> {
        let said = |cells: &Cells| {
            let all: Vec<usize> = (0..cells.len()).collect();
            self.probabilities(cells, &all, &mut |_| {})
        };
        classify(self.description(), self.positive(), paths, said, progress)
    }
}

/// [`Model::classify`] by whatever `said` gives for some cells: the probability of each class, `[N, classes]` row by row.
///
/// # Errors
/// Those of `said`; a path that does not exist or holds no image.
pub fn classify<E: From<malaria_dataset::Error>>(
    description: &Description,
    positive: usize,
    paths: &[PathBuf],
    mut said: impl FnMut(&Cells) -> Result<Vec<f64>, E>,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Vec<Prediction>, E> {
    let files = list_images(paths)?;
    let mut predictions = Vec::with_capacity(files.len());
    for chunk in files.chunks(CHUNK) {
        let ImageConfig { pixels, resize: policy } = description.image;
        let input = description.input;
        let read: Vec<_> = chunk
            .par_iter()
            .map(|path| {
                read_image(path).map(|(picture, _)| {
                    let cell = resize(&picture, pixels, policy);
                    (warning(input, &cell, picture.dimensions()), cell.into_raw())
                })
            })
            .collect();
        let bytes = read.iter().flatten().flat_map(|(_, bytes)| bytes).copied().collect();
        let cells = Cells::from_pixels(pixels, bytes)?;
        let said = if cells.is_empty() { Vec::new() } else { said(&cells)? };
        let mut rows = said.chunks(description.classes.len());
        predictions.extend(chunk.iter().zip(read).map(|(path, read)| {
            let row = read.as_ref().ok().and_then(|_| rows.next());
            let class =
                |row| description.classes[call(row, positive, description.threshold.as_ref())].clone();
            Prediction {
                path: path.clone(),
                class: row.map(class),
                probability: row.map(|row| row[positive]),
                warning: read.as_ref().ok().and_then(|(warning, _)| warning.clone()),
                error: read.err().map(|error| error.to_string()),
            }
        }));
        progress(predictions.len(), files.len());
    }
    Ok(predictions)
}

/// In what `cell`, which came in pixels of `size`, is unlike the training cells.
fn warning(input: Option<InputRange>, cell: &RgbImage, size: (u32, u32)) -> Option<String> {
    let warnings = input?.warnings(&Traits::of(cell), size);
    let words: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    (!words.is_empty()).then(|| words.join("; "))
}

/// Calls the patients whose number stands at the head of the files' names (`C<number>`, as in the NIH's set), in the order of
/// these; none where no threshold was chosen or it says nothing. Pictures that could not be read, or that look like no cell of
/// the training, do not count.
///
/// # Errors
/// [`Error::Figures`](crate::Error::Figures) when a patient's rates cannot be computed.
pub fn roll_up(description: &Description, predictions: &[Prediction]) -> Result<Vec<PatientPrediction>> {
    let rule = description.threshold.as_ref().map(crate::Threshold::patient_rule);
    let Some(rule) = rule.filter(|rule| rule.check().is_ok()) else { return Ok(Vec::new()) };
    let mut patients: BTreeMap<String, Called> = BTreeMap::new();
    for prediction in predictions.iter().filter(|prediction| prediction.warning.is_none()) {
        let name = prediction.path.file_name().and_then(|name| name.to_str());
        let (Some(patient), Some(class)) = (name.and_then(patient_of), &prediction.class) else { continue };
        let called = patients.entry(patient).or_default();
        called.cells += 1;
        called.positive += u64::from(*class == description.positive);
    }
    let judged = patients
        .into_iter()
        .map(|(patient, called)| Ok(PatientPrediction { patient, result: rule.judge(called)? }));
    judged.collect()
}
