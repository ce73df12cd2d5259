//! Classifies pictures of cells with any network.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use image::RgbImage;
use malaria_dataset::{
    BadImage, Cells, Fingerprint, ImageProblem, ImageStats, InputWarning, ListedImage, MAX_CELL_SIDE,
    decode_within, patient_of, read_image, resize, shows_many_cells,
};
use rayon::prelude::*;
use serde::{Deserialize, Serialize, Serializer};

use crate::{decision::call, description::Description};

/// Maximum number of pictures held in memory at once, which are finished after a stop, and their maximum bytes at the
/// model's input size.
const CHUNK: usize = 256;
const CHUNK_BYTES: usize = 32 << 20;

/// Smallest difference between the brightest and the darkest value of a channel, of 255, in a picture that shows something.
const MIN_RANGE: u8 = 24;

/// The prediction for one picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// The picture's path. Serialization replaces bytes that are not UTF-8 by `\u{FFFD}`.
    #[serde(serialize_with = "lossily")]
    pub path: PathBuf,
    /// The patient the cell was taken from; `None` if it is unknown.
    pub patient: Option<String>,
    /// The predicted class, by [`call`]; `None` when the picture could not be read.
    pub class: Option<String>,
    /// Probability of the positive class, in [0, 1]; `None` when the picture could not be read.
    pub probability: Option<f64>,
    /// How the picture differs from the training cells, which makes the probability unreliable; `None` if it does not.
    pub warning: Option<String>,
    /// Why the picture could not be read.
    pub error: Option<String>,
    /// SHA-256 of the picture's size and pixels, in hexadecimal digits: pictures with the same hash are copies. `None` when
    /// the picture could not be read.
    #[serde(default)]
    pub pixels_sha256: Option<String>,
    /// Whether the model was trained or selected on this picture: by the contents of its file, or else by NLM's name of it in
    /// any class, so that a test cell may be marked for a training cell of the other class; and so is every picture with the
    /// same pixels as a marked one. `None` if no list of the training cells can be read.
    #[serde(default, alias = "learned_from")]
    pub seen_in_training: Option<bool>,
    /// Fingerprint of the file; `None` when there is none, or it could not be read.
    #[serde(skip)]
    pub file: Option<Fingerprint>,
    /// The parts of [`warning`](Self::warning), for programs with their own texts.
    #[serde(skip)]
    pub warnings: Vec<InputWarning>,
    /// The kind of [`error`](Self::error), for programs with their own texts.
    #[serde(skip)]
    pub problem: Option<ImageProblem>,
}

/// Serializes any path, so that one name that is not UTF-8 does not make the whole list fail.
fn lossily<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

/// An encoded picture in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedImage {
    /// Its file name, which contains the patient if it has NLM's form, see [`patient_of`]. No file is read.
    pub name: PathBuf,
    /// Bytes of a PNG, JPEG, BMP, TIFF or WebP.
    pub bytes: Vec<u8>,
}

/// Classifies `files`, such as those of [`list_images`](malaria_dataset::list_images), in their order.
///
/// `network` computes the probability of each class, `[N, classes]` row by row. `positive` is the index of the positive class.
/// `progress` gets the number of pictures done and the total. Once `stop` is true, only the pictures in progress are
/// finished, and there are fewer predictions than `files`.
///
/// A picture that cannot be read gives a [`Prediction`] with an error; the others are still classified.
///
/// # Errors
/// Those of `network`; an input size that cells cannot have.
pub fn classify<E: From<malaria_dataset::Error>>(
    description: &Description,
    positive: usize,
    files: &[ListedImage],
    mut network: impl FnMut(&Cells) -> Result<Vec<f64>, E>,
    stop: Option<&AtomicBool>,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Vec<Prediction>, E> {
    let mut predictions = Vec::with_capacity(files.len());
    for chunk in files.chunks(chunk_size(description.image.pixels)) {
        let read = |file: &ListedImage| {
            let input = read_image(&file.path).and_then(|(picture, fingerprint)| {
                let input = ModelInput::of_file(description, &picture, &file.path)?;
                Ok(ModelInput { file: Some(fingerprint), ..input })
            });
            (file.clone(), input)
        };
        let pictures = chunk.par_iter().map(read).collect();
        predictions.extend(predictions_of(description, positive, pictures, &mut network)?);
        progress(predictions.len(), files.len());
        if stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) {
            break;
        }
    }
    Ok(predictions)
}

/// [`classify`] for decoded pictures in memory; the paths of the [`Prediction`]s are empty.
///
/// # Errors
/// As [`classify`].
pub fn classify_pictures<E: From<malaria_dataset::Error>>(
    description: &Description,
    positive: usize,
    pictures: &[RgbImage],
    mut network: impl FnMut(&Cells) -> Result<Vec<f64>, E>,
) -> Result<Vec<Prediction>, E> {
    let mut predictions = Vec::with_capacity(pictures.len());
    for chunk in pictures.chunks(chunk_size(description.image.pixels)) {
        let input = |picture| {
            let source = ListedImage { path: PathBuf::new(), patient: None };
            (source, Ok(ModelInput::new(description, picture)))
        };
        let inputs = chunk.par_iter().map(input).collect();
        predictions.extend(predictions_of(description, positive, inputs, &mut network)?);
    }
    Ok(predictions)
}

/// [`classify`] for encoded pictures in memory, such as uploaded ones. A picture with a side of more than `longest_side`
/// pixels gives a [`Prediction`] with an error.
///
/// # Errors
/// As [`classify`].
pub fn classify_encoded<E: From<malaria_dataset::Error>>(
    description: &Description,
    positive: usize,
    pictures: &[EncodedImage],
    longest_side: u32,
    network: impl FnMut(&Cells) -> Result<Vec<f64>, E>,
) -> Result<Vec<Prediction>, E> {
    let decode = |EncodedImage { name, bytes }: &EncodedImage| {
        let picture = decode_within(bytes, name, longest_side);
        let patient = name.file_name().and_then(|name| patient_of(&name.to_string_lossy()));
        let source = ListedImage { path: name.clone(), patient };
        (source, picture.and_then(|picture| ModelInput::of_file(description, &picture, name)))
    };
    predictions_of(description, positive, pictures.par_iter().map(decode).collect(), network)
}

/// Number of pictures of this side held in memory at once.
fn chunk_size(pixels: u32) -> usize {
    let side = pixels as usize;
    let bytes = side.saturating_mul(side).saturating_mul(3).max(1);
    (CHUNK_BYTES / bytes).clamp(1, CHUNK)
}

/// A picture at the model's input size.
struct ModelInput {
    cell: RgbImage,
    /// How the picture differs from the training cells.
    warnings: Vec<InputWarning>,
    pixels: Fingerprint,
    file: Option<Fingerprint>,
}

impl ModelInput {
    fn new(description: &Description, picture: &RgbImage) -> Self {
        let cell = resize(picture, description.image.pixels, description.image.resize);
        let check = description.input;
        let warnings = check.map(|check| check.warnings(&ImageStats::of(&cell), picture.dimensions()));
        let warnings = warnings.unwrap_or_default();
        Self { cell, warnings, pixels: Fingerprint::of_pixels(picture), file: None }
    }

    /// [`new`](Self::new) for a picture given by a user. Refuses a picture that shows nothing and a photograph of many
    /// cells, whose class would be meaningless.
    fn of_file(description: &Description, picture: &RgbImage, path: &Path) -> malaria_dataset::Result<Self> {
        let refuse = |problem: ImageProblem, reason: String| {
            Err(malaria_dataset::Error::BadImage(BadImage { path: path.to_owned(), problem, reason }))
        };
        let values = |channel: usize| picture.as_raw().iter().skip(channel).step_by(3);
        let ranges = [0, 1, 2].map(|channel| {
            let (darkest, brightest) =
                (values(channel).min().unwrap_or(&0), values(channel).max().unwrap_or(&0));
            brightest - darkest
        });
        if ranges.iter().all(|range| *range < MIN_RANGE) {
            return refuse(
                ImageProblem::ShowsNothing,
                "shows nothing: it is nearly uniform (12-bit values stored in 16 bits must be scaled)"
                    .to_owned(),
            );
        }
        let input = Self::new(description, picture);
        let (width, height) = picture.dimensions();
        if width.max(height) > MAX_CELL_SIDE || shows_many_cells(picture) {
            return refuse(
                ImageProblem::ManyCells,
                format!(
                    "is not a picture of a single cell ({width} x {height} px): count the cells of photographs with \
                     `malaria smear` or `malaria-edge smear`"
                ),
            );
        }
        Ok(input)
    }
}

/// Predictions for the pictures that could be read, and the errors of the others.
fn predictions_of<E: From<malaria_dataset::Error>>(
    description: &Description,
    positive: usize,
    pictures: Vec<(ListedImage, malaria_dataset::Result<ModelInput>)>,
    mut network: impl FnMut(&Cells) -> Result<Vec<f64>, E>,
) -> Result<Vec<Prediction>, E> {
    let read = pictures.iter().filter_map(|(_, input)| input.as_ref().ok());
    let bytes = read.flat_map(|input| input.cell.as_raw()).copied().collect();
    let cells = Cells::from_pixels(description.image.pixels, bytes)?;
    let probabilities = if cells.is_empty() { Vec::new() } else { network(&cells)? };
    let mut rows = probabilities.chunks(description.classes.len());
    let predict = |(source, input): (ListedImage, malaria_dataset::Result<ModelInput>)| {
        let row = input.as_ref().ok().and_then(|_| rows.next());
        let class = |row| description.classes[call(row, positive, description.threshold.as_ref())].clone();
        let ListedImage { path, patient } = source;
        let (class, probability) = (row.map(class), row.map(|row| row[positive]));
        let (input, error) = match input {
            Ok(input) => (Some(input), None),
            Err(error) => (None, Some(error)),
        };
        let warnings = input.as_ref().map_or_else(Vec::new, |input| input.warnings.clone());
        let words: Vec<String> = warnings.iter().map(ToString::to_string).collect();
        Prediction {
            path,
            patient,
            class,
            probability,
            warning: (!words.is_empty()).then(|| words.join("; ")),
            warnings,
            problem: error.as_ref().and_then(malaria_dataset::Error::image_problem),
            error: error.map(|error| error.to_string()),
            pixels_sha256: input.as_ref().map(|input| input.pixels.hex()),
            seen_in_training: None,
            file: input.and_then(|input| input.file),
        }
    };
    Ok(pictures.into_iter().map(predict).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewer_large_pictures_are_held_at_once() {
        let counts = [0, 32, 100, 224, 4096, u32::MAX].map(chunk_size);
        assert_eq!(counts, [256, 256, 256, 222, 1, 1]);
    }
}
