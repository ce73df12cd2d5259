//! Counts infected cells in photographs: by photograph, and by patient.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;

use image::RgbImage;
use malaria_classifier::{Description, PatientVerdict, Prediction, SmearCells, classify_pictures};
use malaria_dataset::{Cells, Fingerprint, ListedImage};
use malaria_metrics::CellCounts;
use rayon::prelude::*;

use crate::draw::find_cells_and_write_steps;
use crate::error::{Error, Result};
use crate::find::{Smear, find_cells};
use crate::object::Kind;
use crate::output::Output;
use crate::photo::read_photo;
use crate::quality::Caveat;
use crate::report::{CellRow, FieldCount, PatientCount, PerMicrolitre, SmearReport};

/// What [`count_smears`] does besides counting.
#[derive(Debug, Clone, Default)]
pub struct CountOptions {
    /// A new folder for the results: `cells.csv`, `smear.json`, in `annotated` the photographs with the cells' outlines, and in `cells`
    /// the cut-out cells by their call.
    pub out: Option<PathBuf>,
    /// A folder for pictures of the finder's steps, in a folder for each photograph.
    pub steps: Option<PathBuf>,
    /// Red cells per microlitre of blood, for parasitaemias per microlitre.
    pub red_cells_per_microlitre: Option<f64>,
}

/// Red cells per microlitre of blood with this haematocrit (a fraction), at a mean cell volume of 90 fl.
///
/// Source: B. J. Bain et al., "Dacie and Lewis Practical Haematology" (12th ed., 2017), chapter 2: 83 to 101 fl in healthy adults.
#[must_use]
pub fn red_cells_of_haematocrit(haematocrit: f64) -> f64 {
    // A microlitre is 1e9 fl.
    haematocrit * 1e9 / 90.0
}

/// Counts the cells in `photos`, such as those of [`list_images`](malaria_dataset::list_images), by photograph and by patient.
///
/// `description` is a model's, `positive` the index of its positive class, and `network` computes the probability of each class,
/// `[N, classes]` row by row. Where no patient of any photograph is known, all are taken as one patient's. A photograph with the
/// same pixels as an earlier one does not count. `progress` gets the number of photographs done and the number of all.
///
/// A photograph that cannot be read, or that is refused, gives a [`FieldCount`] with the reason; the others are counted all the same.
/// The counts depend neither on the number of threads nor on the order of `photos`.
///
/// # Errors
/// Those of `network`; [`malaria_files::Error`] where a result cannot be written, or `out` is there and not an empty folder.
pub fn count_smears<E>(
    description: &Description,
    positive: usize,
    photos: &[ListedImage],
    options: &CountOptions,
    mut network: impl FnMut(&Cells) -> Result<Vec<f64>, E>,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<SmearReport, E>
where
    E: From<Error> + From<malaria_files::Error> + From<malaria_dataset::Error>,
{
    let mut count = |output: Option<&Output>| -> Result<SmearReport, E> {
        let names = unique_names(photos);
        let mut earlier = HashMap::new();
        let (mut fields, mut cells) = (Vec::new(), Vec::new());
        // As many photographs are held in memory as are worked on at once.
        let threads = rayon::current_num_threads();
        for (photos, names) in photos.chunks(threads).zip(names.chunks(threads)) {
            let contents = contents(photos, names, &mut earlier, options);
            let crops: Vec<RgbImage> = contents.iter().flatten().flat_map(Found::crops).collect();
            let predictions = classify_pictures(description, positive, &crops, &mut network)?;
            let mut calls = predictions.into_iter().map(|cell| Call::of(description, cell));
            for ((photo, name), content) in photos.iter().zip(names).zip(contents) {
                let content = content.map(|found| {
                    let calls = calls.by_ref().take(found.smear.count(Kind::RedCell)).collect::<Vec<_>>();
                    (found, calls)
                });
                if let (Some(output), Ok((found, calls))) = (output, &content) {
                    output.write(name, &found.photo, &found.smear, calls)?;
                }
                let (field, rows) = field(description, photo, content);
                fields.push(field);
                cells.extend(rows);
                progress(fields.len(), names.len());
            }
        }
        let patients = patients(description, &fields, options.red_cells_per_microlitre)?;
        Ok(SmearReport::new(description, fields, patients, cells))
    };
    match &options.out {
        None => count(None),
        Some(out) => malaria_files::create_folder(out, |folder| {
            let report = count(Some(&Output::new(folder)?))?;
            report.write(folder)?;
            Ok(report)
        }),
    }
}

/// A photograph in which cells were looked for.
struct Found {
    photo: RgbImage,
    smear: Smear,
}

/// Why a photograph has no cells.
enum NoCells {
    Blank,
    CopyOf(PathBuf),
    Failed(Error),
}

/// The call of a red cell.
pub(crate) struct Call {
    pub(crate) probability: f64,
    pub(crate) infected: bool,
    /// Its class by that call.
    pub(crate) class: String,
    /// How it differs from the training cells.
    pub(crate) warning: Option<String>,
}

impl Found {
    fn crops(&self) -> impl Iterator<Item = RgbImage> {
        self.smear.red_cells().map(|cell| cell.crop(&self.photo))
    }
}

impl Call {
    /// By the threshold for smears where there is one, else by that for single cells.
    fn of(description: &Description, cell: Prediction) -> Self {
        let Description { classes, positive, .. } = description;
        // Pictures in memory have both.
        let (class, probability) = (cell.class.unwrap_or_default(), cell.probability.unwrap_or_default());
        let infected = match description.patient_caller() {
            Ok((smear, _)) => probability >= smear.threshold,
            Err(_) => class == *positive,
        };
        let other = classes.iter().find(|class| *class != positive);
        let class = match (infected, class == *positive) {
            (true, _) => positive.clone(),
            (false, true) => other.cloned().unwrap_or_default(),
            (false, false) => class,
        };
        Self { probability, infected, class, warning: cell.warning }
    }
}

/// The names of the photographs without folder and extension, numbered from the second on where several have one.
fn unique_names(photos: &[ListedImage]) -> Vec<String> {
    let mut taken = HashSet::new();
    let unique = |photo: &ListedImage| {
        let stem =
            photo.path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
        let numbered = (2..).map(|number| format!("{stem}-{number}"));
        let name = std::iter::once(stem.clone()).chain(numbered).find(|name| !taken.contains(name));
        let name = name.unwrap_or(stem);
        taken.insert(name.clone());
        name
    };
    photos.iter().map(unique).collect()
}

/// Reads the photographs and finds the cells of those whose pixels are not among the `earlier` ones'.
fn contents(
    photos: &[ListedImage],
    names: &[String],
    earlier: &mut HashMap<Fingerprint, PathBuf>,
    options: &CountOptions,
) -> Vec<Result<Found, NoCells>> {
    let decoded: Vec<_> = photos.par_iter().map(|photo| read_photo(&photo.path)).collect();
    let new = decoded.into_iter().zip(photos).map(|(decoded, ListedImage { path, .. })| {
        let (photo, pixels) = decoded.map_err(NoCells::Failed)?;
        let first = earlier.entry(pixels).or_insert_with(|| path.clone());
        if first == path { Ok(photo) } else { Err(NoCells::CopyOf(first.clone())) }
    });
    let new: Vec<_> = new.collect();
    let find = |(photo, name): (Result<RgbImage, NoCells>, &String)| {
        let photo = photo?;
        let smear = match &options.steps {
            Some(folder) => find_cells_and_write_steps(&photo, &folder.join(name)),
            None => find_cells(&photo),
        };
        match smear {
            Ok(smear) => Ok(Found { photo, smear }),
            Err(Error::Blank) => Err(NoCells::Blank),
            Err(error) => Err(NoCells::Failed(error)),
        }
    };
    new.into_par_iter().zip(names).map(find).collect()
}

/// The counts of a photograph, and the rows of its objects.
fn field(
    description: &Description,
    photo: &ListedImage,
    content: Result<(Found, Vec<Call>), NoCells>,
) -> (FieldCount, Vec<CellRow>) {
    let mut field = FieldCount::of(photo);
    match content {
        Ok((Found { smear, .. }, calls)) => {
            field.count(description, &smear, &calls);
            (field, CellRow::of_objects(photo, &smear, &calls))
        }
        Err(NoCells::Blank) => {
            field.caveats.push(Caveat::Blank);
            (field, Vec::new())
        }
        Err(NoCells::CopyOf(first)) => {
            field.copy_of = Some(first.to_string_lossy().into_owned());
            (field, Vec::new())
        }
        Err(NoCells::Failed(error)) => {
            field.error = Some(error.to_string());
            (field, Vec::new())
        }
    }
}

/// The counts of each patient, in the order of their names; of all photographs together where no patient is known.
fn patients(
    description: &Description,
    fields: &[FieldCount],
    red_cells_per_microlitre: Option<f64>,
) -> Result<Vec<PatientCount>> {
    let known = fields.iter().any(|field| field.patient.is_some());
    let mut groups = BTreeMap::<Option<&str>, Vec<&FieldCount>>::new();
    let counted = fields.iter().filter(|field| field.copy_of.is_none() && field.error.is_none());
    for field in counted.filter(|field| !known || field.patient.is_some()) {
        groups.entry(field.patient.as_deref()).or_default().push(field);
    }
    let caller = description.patient_caller();
    let count = |(patient, fields): (Option<&str>, Vec<&FieldCount>)| {
        let sum = |of: fn(&FieldCount) -> u64| fields.iter().map(|field| of(field)).sum::<u64>();
        let called =
            CellCounts { cells: sum(|field| field.red_cells), positive: sum(|field| field.infected) };
        let cells = SmearCells { called, uncertain: sum(|field| field.uncertain) };
        let verdict = match &caller {
            Ok((smear, caller)) if called.cells > 0 => {
                let result = caller.evaluate(called)?;
                Some(PatientVerdict::new(description, smear, patient, &cells, result))
            }
            _ => None,
        };
        let per_microlitre = red_cells_per_microlitre.zip(verdict.as_ref().map(|verdict| verdict.result));
        Ok(PatientCount {
            patient: patient.map(str::to_owned),
            photographs: fields.len(),
            red_cells: called.cells,
            infected: called.positive,
            unlike_training: sum(|field| field.unlike_training),
            verdict,
            infected_per_microlitre: per_microlitre.map(|(red_cells, result)| PerMicrolitre {
                estimate: result.infected_share * red_cells,
                low: result.interval.low * red_cells,
                high: result.interval.high * red_cells,
            }),
        })
    };
    groups.into_par_iter().map(count).collect()
}
