//! A trained model on pictures that are not part of its training: labelled folders, and single files.

use std::path::{Path, PathBuf};

use malaria_dataset::{
    Cells, CorruptPolicy, Index, Protocol, Subset, list_images, read_image, read_manifest, resize,
};
use malaria_metrics::Summary;
use malaria_train::CellTensors;
use rayon::prelude::*;
use serde::Serialize;
use tch::Device;

use crate::{
    Classifier, Error, ImageConfig, Progress, Result, RunDir,
    data::{decode_index, reason},
    experiment::Listener,
    files,
    predictions::{most_probable, write_predictions},
};

/// Which cells of a folder a model is judged on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Judged {
    /// The run's own test set.
    Test,
    /// Every cell of the folder.
    All,
}

/// What to judge, and where to write it.
#[derive(Clone, Copy, Debug)]
pub struct EvaluateOptions<'a> {
    /// The run directory.
    pub run: &'a Path,
    /// The labelled folder.
    pub data: &'a Path,
    /// Which of its cells; `None` for the run's test set where the folder is the run's own, all otherwise.
    pub judged: Option<Judged>,
    /// Where tensors live.
    pub device: Device,
    /// Leave out images that cannot be read.
    pub skip_corrupt: bool,
    /// Where to write what the model says of each cell.
    pub predictions: Option<&'a Path>,
}

/// A model's figures on a labelled folder, as `evaluate --json` writes them.
#[derive(Clone, Debug, Serialize)]
pub struct EvaluationReport {
    /// The run directory.
    pub run: PathBuf,
    /// The labelled folder.
    pub data: PathBuf,
    /// Which of its cells were judged.
    pub judged: Judged,
    /// How the run divided its own cells.
    pub protocol: Protocol,
    /// Judged cells that the model has learned from, or whose epoch was chosen on them: figures with such cells in
    /// them are too good.
    pub seen_in_training: usize,
    /// Images left out since they cannot be read: path and reason.
    pub skipped: Vec<String>,
    /// The figures.
    #[serde(flatten)]
    pub figures: Summary,
}

/// Judges the model of a run on a labelled folder.
///
/// Cells are recognised as the run's own by their bytes, so that renamed or copied ones are too.
///
/// # Errors
/// [`Error::Classes`] when the folder's classes are not the model's, [`Error::NoTestCell`] when the run's test set is
/// asked for and not there; the other crates' own.
pub fn evaluate(options: EvaluateOptions<'_>, listener: Listener<'_>) -> Result<EvaluationReport> {
    let run = RunDir::open(options.run)?;
    let classifier = Classifier::load(options.run, options.device)?;
    let index = Index::open(options.data)?;
    if index.classes != classifier.classes {
        let (expected, found) = (classifier.classes, index.classes);
        return Err(Error::Classes { path: options.data.to_owned(), expected, found });
    }
    let manifest = read_manifest(&run.split_path())?;
    let corrupt = if options.skip_corrupt { CorruptPolicy::Skip } else { CorruptPolicy::Fail };
    let loaded = decode_index(index, classifier.image, corrupt, listener)?;
    let subsets = manifest.match_index(&loaded.index, &loaded.fingerprints)?;
    let own = manifest.resolve(&loaded.index, &loaded.fingerprints).is_ok();
    let tested = own && subsets.contains(&Some(Subset::Test));
    let judged = options.judged.unwrap_or(if tested { Judged::Test } else { Judged::All });
    let chosen: Vec<usize> = (0..loaded.cells.len())
        .filter(|&i| judged == Judged::All || subsets[i] == Some(Subset::Test))
        .collect();
    if chosen.is_empty() {
        return Err(Error::NoTestCell { path: options.data.to_owned() });
    }
    let seen = |i: &&usize| matches!(subsets[**i], Some(Subset::Train | Subset::Validation));
    let seen_in_training = chosen.iter().filter(seen).count();

    let samples = &loaded.index.samples;
    let labels: Vec<usize> = samples.iter().map(|sample| sample.class).collect();
    let cells = CellTensors::new(&loaded.cells, &labels, options.device)?;
    let total = chosen.len();
    let said =
        classifier.evaluate(&cells, &chosen, &mut |done| listener(Progress::Testing { done, total }))?;
    if let Some(path) = options.predictions {
        let subset = (judged == Judged::Test).then_some(Subset::Test);
        write_predictions(path, &classifier, &loaded.index, &chosen, subset, &said.probabilities)?;
    }
    let truth: Vec<usize> = chosen.iter().map(|&i| labels[i]).collect();
    let figures =
        malaria_metrics::evaluate(&truth, &said.probabilities, &classifier.classes, classifier.positive)?;
    Ok(EvaluationReport {
        run: options.run.to_owned(),
        data: options.data.to_owned(),
        judged,
        protocol: run.config()?.split.protocol,
        seen_in_training,
        skipped: loaded.skipped.iter().map(reason).collect(),
        figures,
    })
}

impl EvaluationReport {
    /// Writes the report as JSON.
    ///
    /// # Errors
    /// [`Error::Io`]; an older file of that name then stays.
    pub fn write(&self, path: &Path) -> Result<()> {
        files::write_json(path, self)
    }
}

/// What a model says of one picture.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Prediction {
    /// The picture.
    pub path: PathBuf,
    /// The most probable class; none when the picture could not be read.
    pub class: Option<String>,
    /// Probability of the positive class, in [0, 1]; none when the picture could not be read.
    pub probability: Option<f64>,
    /// Why the picture could not be read; none when it could.
    pub error: Option<String>,
}

/// Pictures held in memory at once.
const CHUNK: usize = 1024;

/// Classifies pictures: files, and folders with everything below them, in the order of their names.
///
/// A picture that cannot be read gives a [`Prediction`] that says why, and does not keep the others from theirs.
///
/// # Errors
/// [`Error::Dataset`] when a path does not exist or holds no image; [`Error::Train`] when libtorch fails.
pub fn predict(
    classifier: &Classifier,
    paths: &[PathBuf],
    listener: Listener<'_>,
) -> Result<Vec<Prediction>> {
    let files = list_images(paths)?;
    let mut predictions = Vec::with_capacity(files.len());
    for chunk in files.chunks(CHUNK) {
        predictions.extend(predict_chunk(classifier, chunk)?);
        listener(Progress::Testing { done: predictions.len(), total: files.len() });
    }
    Ok(predictions)
}

fn predict_chunk(classifier: &Classifier, files: &[PathBuf]) -> Result<Vec<Prediction>> {
    let ImageConfig { pixels, resize: policy } = classifier.image;
    let read: Vec<_> = files
        .par_iter()
        .map(|path| read_image(path).map(|(picture, _)| resize(&picture, pixels, policy).into_raw()))
        .collect();
    let readable = read.iter().flatten().count();
    let cells = Cells::from_pixels(pixels, read.iter().flatten().flatten().copied().collect())?;
    let mut said = Vec::new();
    if readable > 0 {
        let device = classifier.model.device();
        // Nothing is known of these cells: the labels only fill the place that figures would need.
        let tensors = CellTensors::new(&cells, &vec![0; readable], device)?;
        let all: Vec<usize> = (0..readable).collect();
        said = classifier.evaluate(&tensors, &all, &mut |_| {})?.probabilities;
    }
    let mut rows = said.chunks(classifier.classes.len());
    let predictions = files.iter().zip(read).map(|(path, read)| {
        let row = read.as_ref().ok().and_then(|_| rows.next());
        Prediction {
            path: path.clone(),
            class: row.map(|row| classifier.classes[most_probable(row)].clone()),
            probability: row.map(|row| row[classifier.positive]),
            error: read.err().map(|error| error.to_string()),
        }
    });
    Ok(predictions.collect())
}
