//! Counts infected cells in photographs: by photograph, and by patient.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, hash_map::Entry};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use image::RgbImage;
use malaria_classifier::{CellTally, Description, PatientVerdict, Provenance};
use malaria_dataset::{Cells, Fingerprint, ListedImage};
use malaria_metrics::CellCounts;
use rayon::prelude::*;

use crate::call::Call;
use crate::counts::{FieldCount, PatientCount, PerMicrolitre};
use crate::debug_steps::find_cells_and_write_steps;
use crate::duplicates::CellPositions;
use crate::error::{Error, Result};
use crate::field_result::FieldResult;
use crate::find::{Smear, find_cells};
use crate::finder_errors::with_finder_errors;
use crate::photo::read_photo;
use crate::report::{CellRow, SmearReport};
use crate::result_pictures::{ResultPictures, is_annotated};

/// Maximum number of photographs in memory: one of 60 megapixels takes 180 MB, and its outlined copy as much.
const MAX_HELD: usize = 4;

/// Pictures up to this side may show a single cell that was cut out.
const LARGEST_CELL: u32 = 300;
/// Maximum number of characters of a photograph's name in the names of its results, to which a number and an extension are
/// added: file names have at most 255 bytes.
const MAX_NAME: usize = 50;

/// Options of [`count_smears`].
#[derive(Debug, Clone, Default)]
pub struct CountOptions {
    /// A new folder for the results: `cells.csv`, `smear.json`, the photographs with outlined cells in `annotated`, and the
    /// cut-out cells in `cells`, in one folder per call.
    pub out: Option<PathBuf>,
    /// A folder for pictures of the finder's steps, with a subfolder for each photograph.
    pub steps: Option<PathBuf>,
    /// Red cells per microlitre of blood, for parasitaemias per microlitre.
    pub red_cells_per_microlitre: Option<f64>,
    /// Program and model named in the report.
    pub made_by: Provenance,
    /// Notes on the list of photographs for the report, such as [`Listed::notes`](malaria_dataset::Listed::notes).
    pub notes: Vec<String>,
    /// Whether to return all objects found in each photograph, about 1 kB per cell.
    pub field_results: bool,
    /// Ends the count once it is set, after the photographs in progress.
    pub stop: Option<&'static AtomicBool>,
}

/// Refuses a folder for results inside one of the folders of photographs `given`: the next count would include its pictures.
///
/// # Errors
/// [`Error::Inside`].
pub fn check_outside(out: &Path, given: &[PathBuf]) -> Result<()> {
    let real = |path: &Path| path.canonicalize().or_else(|_| std::path::absolute(path));
    // The parent of a new folder exists.
    let place = out.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (Ok(place), Some(name)) = (real(place), out.file_name()) else { return Ok(()) };
    let out_place = place.join(name);
    let around = given
        .iter()
        .filter(|path| path.is_dir())
        .find(|folder| real(folder).is_ok_and(|folder| out_place.starts_with(folder)));
    match around {
        Some(folder) => Err(Error::Inside { path: out.to_owned(), folder: folder.clone() }),
        None => Ok(()),
    }
}

/// Refuses the results of an earlier count, in which outlines would be counted as infected cells.
fn refuse_results(photos: &[ListedImage]) -> Result<()> {
    // `annotated/PHOTO.jpg` and `cells/CLASS/PHOTO-1.png` in a folder with both tables.
    let results = |photo: &ListedImage| {
        let path = photo.path.canonicalize().unwrap_or_else(|_| photo.path.clone());
        let folders = path.ancestors().skip(1).zip(path.ancestors().skip(2)).take(2);
        let inner = |folder: &Path| folder.ends_with("annotated") || folder.ends_with("cells");
        folders.filter(|(folder, _)| inner(folder)).map(|(_, around)| around.to_owned()).collect::<Vec<_>>()
    };
    let folders: BTreeSet<PathBuf> = photos.iter().flat_map(results).collect();
    let holds =
        |folder: &&PathBuf| ["smear.json", "cells.csv"].iter().all(|table| folder.join(table).is_file());
    // Annotated photographs are also recognised where they were copied without the tables.
    let annotated = || photos.iter().map(|photo| &photo.path).find(|path| is_annotated(path));
    match (folders.iter().find(holds), annotated()) {
        (Some(place), _) => Err(Error::Results { place: place.clone() }),
        (None, Some(path)) => Err(Error::Annotated { path: path.clone() }),
        (None, None) => Ok(()),
    }
}

/// Counts the cells in `photos`, such as those of [`list_images`](malaria_dataset::list_images), by photograph and by patient.
///
/// `description` is a model's, `positive` the index of its positive class, and `network` computes the probability of
/// each class, `[N, classes]` row by row. If the patient of no photograph is known, all photographs count as those of
/// one patient. A photograph with the same pixels as an earlier one, or the same cells at the same places, does not
/// count. Photographs of unknown patients come last, in the report too, so that of two copies the one of a known
/// patient counts. `progress` gets the number of photographs done and the total.
///
/// A photograph that cannot be read, is refused, or shows the same cells as another patient's photograph gives a
/// [`FieldCount`] with the reason; the others are still counted. A photograph of several patients counts for none of them.
/// The counts depend neither on the number of threads nor on the order of `photos`. A result or a picture of the finder's
/// steps that cannot be written is listed in [`SmearReport::unwritten`].
///
/// # Errors
/// Those of `network`; [`Error::Results`] and [`Error::Annotated`] for pictures that an earlier count has written;
/// [`malaria_files::Error`] and [`Error::Write`] where one of the folders cannot be written to, or `out` exists and is not an
/// empty folder.
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
    refuse_results(photos)?;
    if let Some(folder) = &options.steps {
        // Tried now, rather than after minutes of work.
        let tried =
            std::fs::create_dir_all(folder).and_then(|()| malaria_files::temporary_file(&folder.join("1")));
        tried.map_err(|error| Error::Write { path: folder.clone(), reason: error.to_string() })?;
    }
    let mut ordered = photos.to_vec();
    ordered.sort_by_key(|photo| photo.patient.is_none());
    let photos = ordered.as_slice();
    let mut count = |pictures: Option<&ResultPictures>| -> Result<SmearReport, E> {
        let names = unique_names(photos);
        let (mut earlier, mut shared) = (HashMap::new(), HashMap::new());
        let mut places: Vec<(&ListedImage, CellPositions)> = Vec::new();
        let (mut fields, mut cells, mut readings) = (Vec::new(), Vec::new(), Vec::new());
        let mut unwritten = Vec::<String>::new();
        // The photographs held in memory.
        let held = rayon::current_num_threads().min(MAX_HELD);
        for (some, names) in photos.chunks(held).zip(names.chunks(held)) {
            if options.stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) {
                break;
            }
            let mut called = Vec::with_capacity(some.len());
            let contents = contents(some, names, &mut earlier, &mut shared, &mut unwritten, options);
            for (content, listed) in contents.into_iter().zip(some) {
                called.push(match content {
                    Ok(SearchedPhoto { photo, mut reading, smear }) => {
                        // The cells of each photograph separately, since a network may round differently in other batches.
                        let calls = Call::of_cells(description, positive, &photo, &smear, &mut network)?;
                        reading.fill(description, &smear, &calls);
                        let own = CellPositions::of(&reading);
                        match places.iter().find(|(_, earlier)| own.match_those_of(earlier)) {
                            Some((first, _)) => (reading.into_copy_of(first, listed, &mut shared), None),
                            None => {
                                places.push((listed, own));
                                (reading, Some((photo, smear, calls)))
                            }
                        }
                    }
                    Err(reading) => (*reading, None),
                });
            }
            if let Some(pictures) = pictures {
                unwritten.par_extend(called.par_iter().zip(names).filter_map(|((_, found), name)| {
                    let (photo, smear, calls) = found.as_ref()?;
                    Some(pictures.write(name, photo, smear, calls).err()?.to_string())
                }));
            }
            for (listed, (reading, found)) in some.iter().zip(called) {
                if let Some((_, smear, calls)) = found {
                    cells.extend(CellRow::of_objects(listed, &smear, &calls));
                }
                fields.push(reading.count.clone());
                if options.field_results {
                    readings.push(reading);
                }
                progress(fields.len(), photos.len());
            }
        }
        for (i, photo) in photos.iter().enumerate().take(fields.len()) {
            if let Some(other) = shared.get(&photo.path) {
                let field = fields[i].shared_with(other);
                let (own, others): (Vec<CellRow>, Vec<_>) =
                    cells.into_iter().partition(|cell: &CellRow| cell.image == field.image);
                cells = others;
                let kept = pictures.and_then(|pictures| pictures.remove(&names[i], &own).err());
                unwritten.extend(kept.map(|error| error.to_string()));
                if let Some(reading) = readings.get_mut(i) {
                    *reading = FieldResult { count: field.clone(), objects: Vec::new(), ..reading.clone() };
                }
                fields[i] = field;
            }
        }
        let patients = count_patients(description, &fields, options.red_cells_per_microlitre)?;
        let mut report = SmearReport::new(description, fields, patients, cells, options.made_by.clone());
        report.notes.clone_from(&options.notes);
        report.field_results = readings;
        report.not_reached = photos.len() - report.photographs.len();
        report.unwritten = unwritten;
        Ok(report)
    };
    match &options.out {
        None => count(None),
        Some(out) => malaria_files::create_folder(out, |folder| {
            let mut report = count(Some(&ResultPictures::new(folder)?))?;
            // The folder has a temporary name until everything is written.
            let [temporary, name] = [folder, out.as_path()].map(|folder| folder.display().to_string());
            report.unwritten.iter_mut().for_each(|reason| *reason = reason.replace(&temporary, &name));
            // The second one lists what is missing.
            for write in [SmearReport::write_csv, SmearReport::write_json] {
                let failed = write(&report, folder).err();
                report.unwritten.extend(failed.map(|error| error.to_string().replace(&temporary, &name)));
            }
            Ok(report)
        }),
    }
}

/// A photograph that was searched for cells.
struct SearchedPhoto {
    photo: RgbImage,
    /// Complete except for the objects.
    reading: FieldResult,
    smear: Smear,
}

/// The names of the photographs without folder and extension, numbered from the second on if several have the same name.
fn unique_names(photos: &[ListedImage]) -> Vec<String> {
    let mut taken = HashSet::new();
    let unique = |photo: &ListedImage| {
        let stem = photo
            .path
            .file_stem()
            .map_or_else(String::new, |stem| stem.to_string_lossy().chars().take(MAX_NAME).collect());
        let numbered = (2..).map(|number| format!("{stem}-{number}"));
        let name = std::iter::once(stem.clone()).chain(numbered).find(|name| !taken.contains(name));
        let name = name.unwrap_or(stem);
        taken.insert(name.clone());
        name
    };
    photos.iter().map(unique).collect()
}

/// Reads the photographs and finds the cells of those whose pixels are not among the `earlier` ones. A photograph without
/// cells to be called has a complete result. Photographs of several patients are added to `shared`, pictures of the steps that
/// could not be written to `unwritten`.
fn contents(
    photos: &[ListedImage],
    names: &[String],
    earlier: &mut HashMap<Fingerprint, ListedImage>,
    shared: &mut HashMap<PathBuf, PathBuf>,
    unwritten: &mut Vec<String>,
    options: &CountOptions,
) -> Vec<Result<SearchedPhoto, Box<FieldResult>>> {
    let decoded: Vec<_> = photos.par_iter().map(|photo| read_photo(&photo.path)).collect();
    let new = decoded.into_iter().zip(photos).map(|(decoded, listed)| {
        let mut reading = FieldResult::of(&listed.path.to_string_lossy(), listed.patient.clone());
        let (photo, pixels) = match decoded {
            Ok(decoded) => decoded,
            Err(error) => {
                reading.refuse(&error);
                return Err(Box::new(reading));
            }
        };
        reading.decoded(&photo, &pixels);
        match earlier.entry(pixels) {
            Entry::Vacant(place) => {
                place.insert(listed.clone());
                Ok((photo, reading))
            }
            Entry::Occupied(first) => Err(Box::new(reading.into_copy_of(first.get(), listed, shared))),
        }
    });
    let new: Vec<_> = new.collect();
    let find = |(photo, name): (Result<(RgbImage, FieldResult), Box<FieldResult>>, &String)| {
        let (photo, mut reading) = match photo {
            Ok(decoded) => decoded,
            Err(reading) => return (Err(reading), None),
        };
        let (smear, written) = match &options.steps {
            Some(folder) => find_cells_and_write_steps(&photo, &folder.join(name)),
            None => (find_cells(&photo), Ok(())),
        };
        let unwritten = written.err().map(|error| error.to_string());
        match smear {
            Ok(smear) => return (Ok(SearchedPhoto { photo, reading, smear }), unwritten),
            Err(error) => reading.refuse(&error),
        }
        let (width, height) = photo.dimensions();
        if let Some(error) = reading.count.error.as_mut().filter(|_| width.max(height) <= LARGEST_CELL) {
            *error += "; pictures of single cells are read by `malaria predict` and `malaria-edge classify`";
        }
        (Err(Box::new(reading)), unwritten)
    };
    let (contents, failed): (Vec<_>, Vec<Option<String>>) = new.into_par_iter().zip(names).map(find).unzip();
    unwritten.extend(failed.into_iter().flatten());
    contents
}

/// The counts of each patient, in the order of their names, or of all photographs together if no patient is known.
/// `description` is that of the model that called the cells. The intervals include the finder's errors on composed
/// photographs.
///
/// # Errors
/// [`Error::Metrics`] if the model's rates are invalid.
pub fn count_patients(
    description: &Description,
    fields: &[FieldCount],
    red_cells_per_microlitre: Option<f64>,
) -> Result<Vec<PatientCount>> {
    let caller = description.patient_caller().ok();
    let known = fields.iter().any(|field| field.patient.is_some());
    let mut groups = BTreeMap::<Option<&str>, Vec<&FieldCount>>::new();
    let originals = fields.iter().filter(|field| field.copy_of.is_none());
    for field in originals.filter(|field| !known || field.patient.is_some()) {
        groups.entry(field.patient.as_deref()).or_default().push(field);
    }
    let count = |(patient, fields): (Option<&str>, Vec<&FieldCount>)| {
        let sum = |of: fn(&FieldCount) -> u64| fields.iter().map(|field| of(field)).sum::<u64>();
        let called =
            CellCounts { cells: sum(|field| field.red_cells), positive: sum(|field| field.infected) };
        let cells = CellTally {
            called,
            uncertain: sum(|field| field.uncertain),
            seen_in_training: 0,
            unlike: sum(FieldCount::unlike),
            pictures: called.cells,
        };
        let verdict = match &caller {
            Some((smear, caller)) if called.cells > 0 => {
                let mut result = caller.evaluate(called)?;
                result.interval = with_finder_errors(result.interval);
                Some(PatientVerdict::new(description, smear, patient, &cells, Some(result)))
            }
            _ => None,
        };
        let estimated =
            verdict.as_ref().and_then(|verdict| Some((verdict.result, verdict.result.infected_share?)));
        let per_microlitre = red_cells_per_microlitre.zip(estimated);
        Ok(PatientCount {
            patient: patient.map(str::to_owned),
            photographs: fields.len(),
            failed: fields.iter().filter(|field| field.error.is_some()).count(),
            red_cells: called.cells,
            infected: called.positive,
            warned: sum(|field| field.warned),
            verdict,
            infected_per_microlitre: per_microlitre
                .map(|(number, (result, share))| PerMicrolitre::of(share, result.interval, number)),
        })
    };
    groups.into_par_iter().map(count).collect()
}
