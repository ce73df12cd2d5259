//! Pictures on disk to calls of cells, and calls of cells to calls of patients.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    path::{Path, PathBuf},
};

use image::RgbImage;
use malaria_dataset::{Cells, ImageStats, decode_within, patient_of, read_image, resize};
use malaria_metrics::{CellCounts, PatientResult, percent};
use rayon::prelude::*;
use serde::{Deserialize, Serialize, Serializer};

use crate::{
    decision::{call, patient_words},
    description::Description,
    error::Result,
};

/// Pictures held in memory at once, and the bytes that they have at most at the size that the model wants.
const CHUNK: usize = 1024;
const CHUNK_BYTES: usize = 32 << 20;

/// What a model says of one picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// The picture. Written down, what of its name is not UTF-8 becomes `\u{FFFD}`.
    #[serde(serialize_with = "lossily")]
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

/// As text, whatever the path is: one odd name must not keep the others from being written.
fn lossily<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

/// What the cells of one patient come to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PatientPrediction {
    /// Who, by the names of the files.
    pub patient: String,
    /// The share of infected cells and the call.
    #[serde(flatten)]
    pub result: PatientResult,
    /// The share of infected cells that a negative call excludes: below it there may be some.
    pub relevant_share: f64,
}

/// A picture that is in memory, as it lies in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedImage {
    /// Its name, which may tell the patient; nothing is read from there.
    pub name: PathBuf,
    /// The bytes of a PNG, JPEG, BMP, TIFF or WebP.
    pub bytes: Vec<u8>,
}

/// Classifies pictures in the order of their `files`, as [`list_images`](malaria_dataset::list_images) gives them, by whatever
/// network `said` asks: it gives the probability of each class, `[N, classes]` row by row. `positive` is the index of the positive
/// class. `progress` hears how many pictures are done, and of how many.
///
/// A picture that cannot be read gives a [`Prediction`] that says why, and does not keep the others from theirs.
///
/// # Errors
/// Those of `said`; a size of pictures that no cell can have.
pub fn classify<E: From<malaria_dataset::Error>>(
    description: &Description,
    positive: usize,
    files: &[PathBuf],
    mut said: impl FnMut(&Cells) -> Result<Vec<f64>, E>,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Vec<Prediction>, E> {
    let mut predictions = Vec::with_capacity(files.len());
    for chunk in files.chunks(at_once(description.image.pixels)) {
        let look = |path: &PathBuf| {
            (path.clone(), read_image(path).map(|(picture, _)| Seen::new(description, &picture)))
        };
        predictions.extend(predictions_of(
            description,
            positive,
            chunk.par_iter().map(look).collect(),
            &mut said,
        )?);
        progress(predictions.len(), files.len());
    }
    Ok(predictions)
}

/// [`classify`] for one picture of a cell that is in memory; the path of the [`Prediction`] is empty.
///
/// # Errors
/// As [`classify`].
pub fn classify_picture<E: From<malaria_dataset::Error>>(
    description: &Description,
    positive: usize,
    picture: &RgbImage,
    said: impl FnMut(&Cells) -> Result<Vec<f64>, E>,
) -> Result<Prediction, E> {
    let seen = Ok(Seen::new(description, picture));
    let mut predictions = predictions_of(description, positive, vec![(PathBuf::new(), seen)], said)?;
    // One picture, one prediction.
    Ok(predictions.swap_remove(0))
}

/// [`classify`] for pictures that are in memory, such as those that somebody has sent. One with a side of more than `longest_side`
/// pixels counts as one that cannot be read.
///
/// # Errors
/// As [`classify`].
pub fn classify_encoded<E: From<malaria_dataset::Error>>(
    description: &Description,
    positive: usize,
    pictures: &[EncodedImage],
    longest_side: u32,
    said: impl FnMut(&Cells) -> Result<Vec<f64>, E>,
) -> Result<Vec<Prediction>, E> {
    let look = |EncodedImage { name, bytes }: &EncodedImage| {
        let picture = decode_within(bytes, name, longest_side);
        (name.clone(), picture.map(|picture| Seen::new(description, &picture)))
    };
    predictions_of(description, positive, pictures.par_iter().map(look).collect(), said)
}

/// How many pictures of this side are held at once.
fn at_once(pixels: u32) -> usize {
    let side = pixels as usize;
    let bytes = side.saturating_mul(side).saturating_mul(3).max(1);
    (CHUNK_BYTES / bytes).clamp(1, CHUNK)
}

/// A picture at the size that the model wants.
struct Seen {
    cell: RgbImage,
    /// In what the picture is unlike the training cells.
    warning: Option<String>,
}

impl Seen {
    fn new(description: &Description, picture: &RgbImage) -> Self {
        let cell = resize(picture, description.image.pixels, description.image.resize);
        let words = description.input.map(|input| {
            let warnings = input.warnings(&ImageStats::of(&cell), picture.dimensions());
            warnings.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        });
        Self { cell, warning: words.filter(|words| !words.is_empty()) }
    }
}

/// Calls pictures that were read, and says of the others why they could not be.
fn predictions_of<E: From<malaria_dataset::Error>>(
    description: &Description,
    positive: usize,
    pictures: Vec<(PathBuf, malaria_dataset::Result<Seen>)>,
    mut said: impl FnMut(&Cells) -> Result<Vec<f64>, E>,
) -> Result<Vec<Prediction>, E> {
    let read = pictures.iter().filter_map(|(_, seen)| seen.as_ref().ok());
    let bytes = read.flat_map(|seen| seen.cell.as_raw()).copied().collect();
    let cells = Cells::from_pixels(description.image.pixels, bytes)?;
    let said = if cells.is_empty() { Vec::new() } else { said(&cells)? };
    let mut rows = said.chunks(description.classes.len());
    let predict = |(path, seen): (PathBuf, malaria_dataset::Result<Seen>)| {
        let row = seen.as_ref().ok().and_then(|_| rows.next());
        let class = |row| description.classes[call(row, positive, description.threshold.as_ref())].clone();
        let (warning, error) = match seen {
            Ok(Seen { warning, .. }) => (warning, None),
            Err(error) => (None, Some(error.to_string())),
        };
        Prediction { path, class: row.map(class), probability: row.map(|row| row[positive]), warning, error }
    };
    Ok(pictures.into_iter().map(predict).collect())
}

/// Writes `predictions` as a table to be read: the class, the probability of the class `positive`, the picture with what it was
/// warned of, or why it could not be read.
///
/// # Errors
/// Those of `out`.
pub fn write_cells(out: &mut impl Write, positive: &str, predictions: &[Prediction]) -> io::Result<()> {
    let heading = format!("p({positive})");
    let width = heading.chars().count().max(7);
    writeln!(out, "{:<12} {heading:>width$}  picture", "class")?;
    for Prediction { path, class, probability, warning, error } in predictions {
        let class = class.as_deref().unwrap_or("unreadable");
        let probability = percent(*probability);
        let reason = error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
        let warning = warning.as_ref().map(|warning| format!("  [{warning}]")).unwrap_or_default();
        let picture = path.display();
        writeln!(out, "{class:<12} {probability:>width$}  {picture}{warning}{reason}")?;
    }
    Ok(())
}

/// Writes `patients` as a table to be read: cells, those called positive, the share of infected cells that these come to
/// with its interval, and the call.
///
/// # Errors
/// Those of `out`.
pub fn write_patients(out: &mut impl Write, patients: &[PatientPrediction]) -> io::Result<()> {
    writeln!(out, "{:<9} {:>6} {:>9}  infected cells (95 % interval)  call", "patient", "cells", "positive")?;
    for PatientPrediction { patient, result, .. } in patients {
        let call = patient_words(result.call);
        let [share, low, high] = [result.infected_share, result.interval.low, result.interval.high]
            .map(|share| percent(Some(share)));
        let interval = format!("{share} ({low} to {high})");
        let CellCounts { cells, positive } = result.called;
        writeln!(out, "{patient:<9} {cells:>6} {positive:>9}  {interval:<30}  {call}")?;
    }
    Ok(())
}

/// How many cells were warned of, which [`roll_up`] leaves out.
pub fn not_counted(predictions: &[Prediction]) -> usize {
    predictions.iter().filter(|prediction| prediction.class.is_some() && prediction.warning.is_some()).count()
}

/// Calls the patients whose number stands at the head of the files' names (`C<number>`, as in the NIH's set), in the order of
/// these; none where there is no [rule](Description::patient_rule). Pictures that could not be
/// read, or that look like no cell of the training, do not count.
///
/// # Errors
/// [`Error::Metrics`](crate::Error::Metrics) when a patient's rates cannot be computed.
pub fn roll_up(description: &Description, predictions: &[Prediction]) -> Result<Vec<PatientPrediction>> {
    let Ok(rule) = description.patient_rule() else { return Ok(Vec::new()) };
    let mut patients: BTreeMap<String, CellCounts> = BTreeMap::new();
    for prediction in predictions.iter().filter(|prediction| prediction.warning.is_none()) {
        let name = prediction.path.file_name().unwrap_or_default().to_string_lossy();
        let (Some(patient), Some(class)) = (patient_of(&name), &prediction.class) else { continue };
        let called = patients.entry(patient).or_default();
        called.cells += 1;
        called.positive += u64::from(*class == description.positive);
    }
    let called = patients.into_iter().map(|(patient, called)| {
        let result = rule.evaluate(called)?;
        Ok(PatientPrediction { patient, result, relevant_share: rule.relevant_share })
    });
    called.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_larger_pictures_are_the_fewer_are_held_at_once() {
        let counts = [0, 32, 100, 224, 4096, u32::MAX].map(at_once);
        assert_eq!(counts, [1024, 1024, 1024, 222, 1, 1]);
    }
}
