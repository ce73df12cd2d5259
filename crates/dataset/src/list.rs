//! Lists images to classify, which have no class folders, with their patients.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::file_names::IMAGE_EXTENSIONS;
use crate::index::missing_or_unreadable;
use crate::patient_names::{PatientNames, similar_patients};
use crate::walk::paths_below;
use crate::wording::{found_instead, ignored_note, listing};

/// An image of [`list_images`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListedImage {
    /// Its path.
    pub path: PathBuf,
    /// The patient the cell was taken from; `None` if it is unknown.
    pub patient: Option<String>,
}

/// Result of [`list_images`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The images, sorted. A file given several times, also through links, is listed once, under its first name.
    pub images: Vec<ListedImage>,
    /// The files that were ignored in the folders: without an image's extension, or hidden. Hidden folders are not searched.
    pub ignored: Vec<String>,
    /// Notes for readers of a result: the ignored files, patients whose pictures come from several of the given folders, and
    /// patients with nearly the same name.
    pub notes: Vec<String>,
}

/// Lists the images at `paths`: files themselves, and all images below folders. `patients` applies to the name of a given
/// file and to the path of an image below a given folder.
///
/// A file is accepted with any extension. In folders the rules of [`Index::open`](crate::Index::open) apply: known
/// extensions, hidden files ignored, links followed. Names need not be UTF-8.
///
/// # Errors
/// [`Error::Path`] if a path does not exist, is neither file nor folder, or is a folder without any image, or if links in a
/// folder form a circle; [`Error::File`] if it cannot be read or listed. Those of [`Index::set_patients`](crate::Index::set_patients).
pub fn list_images(paths: &[PathBuf], patients: &PatientNames) -> Result<Listed> {
    let mut images: Vec<(PathBuf, String, &Path)> = Vec::new();
    let (mut taken, mut ignored) = (HashSet::new(), BTreeMap::new());
    for path in paths {
        for (file, is_image) in files_of(path)? {
            // The same path for all names of a file. A broken link keeps its own path.
            let real = std::fs::canonicalize(&file).unwrap_or_else(|_| file.clone());
            if !is_image {
                ignored.insert(real, file.to_string_lossy().into_owned());
            } else if taken.insert(real) {
                let below = below(path, &file);
                images.push((file, below, path.as_path()));
            }
        }
    }
    images.sort();
    let names: Vec<&str> = images.iter().map(|(_, below, _)| below.as_str()).collect();
    let found = patients.patients(&names)?;
    ignored.retain(|real, _| !taken.contains(real));
    let ignored: Vec<String> = ignored.into_values().collect();
    let mut notes = Vec::from_iter(ignored_note(&ignored));
    if let PatientNames::Pattern(_) = patients {
        let given = images.iter().map(|(_, _, given)| *given);
        notes.extend(merged_patients(
            given.zip(&found).filter_map(|(given, name)| Some((given, name.as_deref()?))),
        ));
    }
    notes.extend(similar_patients(found.iter().flatten().map(String::as_str)));
    let images =
        images.into_iter().zip(found).map(|((path, ..), patient)| ListedImage { path, patient }).collect();
    Ok(Listed { images, ignored, notes })
}

/// Words on patients with pictures in several of the given folders: the group of a pattern may be the name of a folder that
/// each of several patients has, such as `day1`.
fn merged_patients<'a>(pictures: impl Iterator<Item = (&'a Path, &'a str)>) -> Option<String> {
    let mut folders: BTreeMap<&str, BTreeSet<&Path>> = BTreeMap::new();
    for (given, patient) in pictures {
        folders.entry(patient).or_default().insert(given);
    }
    let in_several = |given: &BTreeSet<&Path>| given.iter().filter(|given| given.is_dir()).count() > 1;
    let several: Vec<&str> =
        folders.into_iter().filter(|(_, given)| in_several(given)).map(|(patient, _)| patient).collect();
    let words = || {
        format!(
            "patients with pictures in several of the given folders, which count as one patient each: {}; if these are \
             different patients, give the folder above instead, with a pattern for it",
            listing(&several)
        )
    };
    (!several.is_empty()).then(words)
}

/// The path of `file` below `folder`, or its name if it is `folder` itself, with `/` between the parts and `\u{FFFD}` for bytes that are not
/// UTF-8.
fn below(folder: &Path, file: &Path) -> String {
    let parts = file.strip_prefix(folder).ok().filter(|below| !below.as_os_str().is_empty());
    let parts = parts.or(file.file_name().map(Path::new)).unwrap_or(file);
    parts.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/")
}

/// The files at `path`, sorted, each with whether it is an image; at least one is.
fn files_of(path: &Path) -> Result<Vec<(PathBuf, bool)>> {
    let found = std::fs::metadata(path).map_err(|source| missing_or_unreadable(path, source))?;
    let is_model = |path: &Path| {
        let models = ["onnx", "safetensors"];
        path.extension().is_some_and(|found| models.iter().any(|model| found.eq_ignore_ascii_case(model)))
    };
    if is_model(path) || path.join("weights.safetensors").is_file() {
        let reason = "is a model, not a picture; `malaria` takes the run directory of a model with --run, \
            `malaria-edge` an .onnx file before the pictures";
        return Err(Error::path(path, reason));
    }
    if found.is_file() {
        return Ok(vec![(path.to_path_buf(), true)]);
    }
    if !found.is_dir() {
        return Err(Error::path(path, "is neither a file nor a folder"));
    }
    let mut files = paths_below(path)?;
    if !files.iter().any(|(_, is_image)| *is_image) {
        let extensions = IMAGE_EXTENSIONS.join(", ");
        let ignored: Vec<String> = files.iter().map(|(file, _)| below(path, file)).collect();
        let reason =
            format!("holds no image ({extensions}), nor do its sub-folders{}", found_instead(&ignored));
        return Err(Error::path(path, reason));
    }
    files.sort();
    Ok(files)
}
