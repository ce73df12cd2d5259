//! Lists the images of a data folder with class and patient.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::file_names::{IMAGE_EXTENSIONS, is_archive, same_class};
use crate::nih_names::patient_of;
use crate::patient_names::{PatientNames, UnknownPatients, similar_patients};
use crate::subset::{Subset, is_subset_name};
use crate::walk::{files_below, folders_in, holds_image};
use crate::wording::{did_you_mean, found_instead, listing};

/// One image file of an [`Index`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Path relative to [`Index::root`], with `/` between its parts on every platform.
    pub path: String,
    /// Position of its class in [`Index::classes`].
    pub class: usize,
    /// The patient the cell was taken from, such as `C33`; `None` if it is unknown.
    pub patient: Option<String>,
    /// The tree it lies in, if the root is a `training/validation/testing` tree.
    pub subset: Option<Subset>,
    /// The path of its file relative to [`Index::root`], if `path` is its path in a manifest
    /// ([`Manifest::align`](crate::Manifest::align)).
    pub file: Option<String>,
}

impl Sample {
    /// Its path from the class folder on.
    pub(crate) fn path_from_class(&self) -> &str {
        let path = self.subset.and_then(|subset| self.path.strip_prefix(subset.folder()));
        path.map_or(&self.path, |path| &path[1..])
    }
}

/// The image files of a folder with one sub-folder per class, in an order that is the same on every platform.
///
/// Two layouts are supported: a folder of class folders (`Parasitized/…`, `Uninfected/…`), and the three trees
/// that [`build_tree`](crate::build_tree) writes (`training/`, `validation/`, `testing/`, each a folder of class
/// folders). Class folders may be nested; symbolic links are followed; hidden files and folders are ignored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// The folder, as given to [`Index::open`].
    pub root: PathBuf,
    /// Names of the classes, sorted without regard to case: `Parasitized` before `Uninfected`.
    pub classes: Vec<String>,
    /// The images, sorted by the bytes of their paths.
    pub samples: Vec<Sample>,
    /// The ignored files: without an image's extension, hidden, or outside the class folders. Paths below `root`, with `/`
    /// between the parts.
    pub ignored: Vec<String>,
}

impl Index {
    /// Lists the images below `root`, with patients by [`PatientNames::Nlm`]. File contents are not read.
    ///
    /// # Errors
    /// [`Error::Path`] if `root` does not exist or is not a folder; holds no class folder, only one, or two whose names differ only
    /// in case; if a class holds no image, a folder of images with the name of another class, or a second copy of the other
    /// classes; if the three trees of a split differ in their classes; if links form a circle or a name is not UTF-8. If folders one level down
    /// look like data sets, such as `train` and `test`, the message names them. [`Error::File`] if a folder cannot be listed.
    pub fn open(root: &Path) -> Result<Self> {
        match std::fs::metadata(root) {
            Err(source) => return Err(missing_or_unreadable(root, source)),
            Ok(found) if !found.is_dir() => {
                let reason = match is_archive(root) {
                    true => "is an archive; unpack it, and give the folder with one sub-folder per class",
                    false => "is not a folder; expected a folder with one sub-folder per class",
                };
                return Err(Error::path(root, reason));
            }
            Ok(_) => {}
        }
        let (folders, loose_files) = class_folders(root)?;
        let is_tree = |name: &str| Subset::ALL.iter().any(|subset| subset.folder() == name);
        let mut index = if folders.len() == Subset::ALL.len() && folders.iter().all(|name| is_tree(name)) {
            Self::of_trees(root)?
        } else if folders
            .iter()
            .any(|name| is_tree(name) || (is_subset_name(name) && holds_classes(&root.join(name))))
            || (!folders.is_empty() && folders.iter().all(|name| is_subset_name(name)))
        {
            let reason = format!(
                "holds {}, some of which look like the subsets of a split; expected exactly training, validation and testing, or class folders only{}",
                listing(&folders),
                did_you_mean(&inner_data_sets(root, &folders))
            );
            return Err(Error::path(root, reason));
        } else {
            Self::of_classes(root, &folders)?
        };
        index.refuse_nested_classes()?;
        index.ignored.extend(loose_files);
        index.ignored.sort_unstable();
        index.samples.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(index)
    }

    fn of_classes(root: &Path, classes: &[String]) -> Result<Self> {
        let hint = || did_you_mean(&inner_data_sets(root, classes));
        refuse_few_classes(root, classes, hint)?;
        let mut index = Self {
            root: root.to_path_buf(),
            classes: classes.to_vec(),
            samples: Vec::new(),
            ignored: Vec::new(),
        };
        for (class, name) in classes.iter().enumerate() {
            let folder = root.join(name);
            // Kaggle's copy of the data contains a second copy of the set.
            let (inside, _) = folders_in(&folder)?;
            let is_inside = |class: &str| inside.iter().any(|found| same_class(found, class));
            if classes.iter().filter(|other| *other != name && is_inside(other)).count() >= 2 {
                return Err(Error::path(
                    &folder,
                    "holds a second copy of the other class folders, so cells would count twice; give that folder itself, or move it away",
                ));
            }
            if is_inside("Parasitized") && is_inside("Uninfected") {
                let reason = format!("holds class folders, so it is not a class itself{}", hint());
                return Err(Error::path(&folder, reason));
            }
            index.add_class(&folder, name, class, None, hint)?;
        }
        Ok(index)
    }

    fn of_trees(root: &Path) -> Result<Self> {
        let mut classes: Option<Vec<String>> = None;
        let mut index =
            Self { root: root.to_path_buf(), classes: Vec::new(), samples: Vec::new(), ignored: Vec::new() };
        for tree in Subset::ALL {
            let folder = root.join(tree.folder());
            let (found, loose_files) = class_folders(&folder)?;
            index.ignored.extend(loose_files.iter().map(|file| format!("{}/{file}", tree.folder())));
            refuse_few_classes(&folder, &found, String::new)?;
            let other = |expected: &&Vec<String>| {
                expected.len() != found.len() || expected.iter().zip(&found).any(|(a, b)| !same_class(a, b))
            };
            if let Some(expected) = classes.as_ref().filter(other) {
                let reason = format!(
                    "holds the classes {}; expected the classes of the training tree, {}",
                    listing(&found),
                    listing(expected)
                );
                return Err(Error::path(&folder, reason));
            }
            for (class, name) in found.iter().enumerate() {
                let class_folder = folder.join(name);
                let below = format!("{}/{name}", tree.folder());
                index.add_class(&class_folder, &below, class, Some(tree), String::new)?;
            }
            classes.get_or_insert(found);
        }
        index.classes = classes.unwrap_or_default();
        Ok(index)
    }

    /// Adds the images below `folder`, whose path from the root is `below`. If there are none, the error ends with `hint`.
    fn add_class(
        &mut self,
        folder: &Path,
        below: &str,
        class: usize,
        subset: Option<Subset>,
        hint: impl Fn() -> String,
    ) -> Result<()> {
        let (before, ignored_before) = (self.samples.len(), self.ignored.len());
        for file in files_below(folder)? {
            if !file.is_image {
                self.ignored.push(format!("{below}/{}", file.below));
                continue;
            }
            let patient = patient_of(file.below.rsplit('/').next().unwrap_or_default());
            let path = format!("{below}/{}", file.below);
            self.samples.push(Sample { path, class, patient, subset, file: None });
        }
        if self.samples.len() == before {
            let found = found_instead(&self.ignored[ignored_before..]);
            let extensions = IMAGE_EXTENSIONS.join(", ");
            let reason = format!("is a class folder without any image ({extensions}){found}{}", hint());
            return Err(Error::path(folder, reason));
        }
        Ok(())
    }

    /// Refuses images of one class in a folder that has the name of another: either class may be meant.
    fn refuse_nested_classes(&self) -> Result<()> {
        for (i, sample) in self.samples.iter().enumerate() {
            let mut folders = sample.path_from_class().split('/').rev().skip(1);
            let other = |folder: &&str| self.class(folder).is_some_and(|class| class != sample.class);
            if let Some(inner) = folders.find(other) {
                let reason = format!(
                    "lies in a folder `{inner}` inside the class folder `{}`, so its class is unclear; move `{inner}` \
                     out of `{}`, or rename it",
                    self.classes[sample.class], self.classes[sample.class]
                );
                return Err(Error::path(&self.full_path(i), reason));
            }
        }
        Ok(())
    }

    /// Path of sample `i`: the root joined with [`Sample::file`], or else with [`Sample::path`].
    ///
    /// # Panics
    /// If `i` is not below `self.samples.len()`, as slices do.
    #[must_use]
    pub fn full_path(&self, i: usize) -> PathBuf {
        let mut path = self.root.clone();
        let Sample { path: name, file, .. } = &self.samples[i];
        path.extend(file.as_ref().unwrap_or(name).split('/'));
        path
    }

    /// Class of each sample `[N]`, positions in [`Index::classes`].
    #[must_use]
    pub fn labels(&self) -> Vec<usize> {
        self.samples.iter().map(|sample| sample.class).collect()
    }

    /// Position of the class `name` in [`Index::classes`], if there is such a class. Case does not matter.
    #[must_use]
    pub fn class(&self, name: &str) -> Option<usize> {
        self.classes.iter().position(|class| same_class(class, name))
    }

    /// Spells each class like the first of `names` that differs only in case. With the names of a model, its class
    /// `Parasitized` matches a folder `parasitized`.
    pub fn spell_classes<'a>(&mut self, names: impl IntoIterator<Item = &'a str> + Clone) {
        for class in &mut self.classes {
            if let Some(name) = names.clone().into_iter().find(|name| same_class(name, class)) {
                *class = name.to_owned();
            }
        }
    }

    /// Sets the patient of every sample by `names`.
    ///
    /// # Errors
    /// [`Error::Config`] for a pattern that matches no sample, or whose group contains a class folder, so that a patient
    /// with cells of two classes would be split into two. For a table, [`Error::File`] if it cannot be read, and
    /// [`Error::Table`] if it lacks a column, has two patients for one sample, or a file that matches no sample or several
    /// samples.
    pub fn set_patients(&mut self, names: &PatientNames) -> Result<()> {
        let paths: Vec<&str> = self.samples.iter().map(Sample::path_from_class).collect();
        let patients = names.patients(&paths)?;
        if let PatientNames::Pattern(pattern) = names {
            let has_class = |path: &str, patient: &str| {
                path.split_once('/').is_some_and(|(class, _)| patient.starts_with(&format!("{class}/")))
            };
            let patient = paths
                .iter()
                .zip(&patients)
                .find_map(|(path, patient)| patient.as_ref().filter(|patient| has_class(path, patient)));
            if let Some(patient) = patient {
                let found =
                    format!("`{pattern}`, which finds the patient `{patient}`, with the class folder");
                return Err(pattern.error(found, "a group that excludes it, such as `([^/_]+)_[^/]*$`"));
            }
        }
        for (sample, patient) in self.samples.iter_mut().zip(patients) {
            sample.patient = patient;
        }
        Ok(())
    }

    /// The samples of unknown patients, `None` if there are none.
    #[must_use]
    pub fn unknown_patients(&self) -> Option<UnknownPatients> {
        UnknownPatients::among(
            self.samples.iter().map(|sample| (sample.path.as_str().into(), &sample.patient)),
        )
    }

    /// Words on patients with nearly the same name, `None` if there are none. They may be one patient, who would be in several
    /// sets.
    #[must_use]
    pub fn similar_patients(&self) -> Option<String> {
        similar_patients(self.samples.iter().filter_map(|sample| sample.patient.as_deref()))
    }

    /// Number of samples of each class, in the order of [`Index::classes`].
    #[must_use]
    pub fn class_counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.classes.len()];
        for sample in &self.samples {
            counts[sample.class] += 1;
        }
        counts
    }

    /// Number of distinct patients that are known.
    #[must_use]
    pub fn patients(&self) -> usize {
        self.by_patient().len()
    }

    /// Keeps the samples for which `keep(position, sample)` is true, in the same order. Classes do not change.
    pub fn retain(&mut self, mut keep: impl FnMut(usize, &Sample) -> bool) {
        let mut position = 0;
        self.samples.retain(|sample| {
            position += 1;
            keep(position - 1, sample)
        });
    }

    /// Positions of each patient's samples, by the patient's name.
    pub(crate) fn by_patient(&self) -> BTreeMap<&str, Vec<usize>> {
        let mut cells: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (i, sample) in self.samples.iter().enumerate() {
            if let Some(patient) = &sample.patient {
                cells.entry(patient).or_default().push(i);
            }
        }
        cells
    }
}

/// Names of the folders in `root`, sorted without regard to case, and of the files beside them. Refuses names that differ only
/// in case: on some systems they are one folder.
fn class_folders(root: &Path) -> Result<(Vec<String>, Vec<String>)> {
    let (mut folders, loose_files) = folders_in(root)?;
    folders.sort_by_key(|name| name.to_lowercase());
    if let Some(pair) = folders.windows(2).find(|pair| same_class(&pair[0], &pair[1])) {
        let reason = format!(
            "holds {}, whose names differ only in case; expected one folder per class: put their images into one of them",
            listing(pair)
        );
        return Err(Error::path(root, reason));
    }
    Ok((folders, loose_files))
}

/// The error for a path whose metadata cannot be read.
pub(crate) fn missing_or_unreadable(path: &Path, source: std::io::Error) -> Error {
    match source.kind() {
        std::io::ErrorKind::NotFound => {
            let name = path.to_string_lossy();
            let reason = if name.starts_with('~') || name.contains('*') {
                "does not exist; ~ and * are only expanded by the shell, and only outside of quotes"
            } else if name.contains("://") {
                "does not exist; download it first"
            } else {
                "does not exist; check the spelling and the current folder"
            };
            Error::path(path, reason)
        }
        _ => Error::io("read", path)(source),
    }
}

fn refuse_few_classes(folder: &Path, classes: &[String], hint: impl Fn() -> String) -> Result<()> {
    let reason = match classes {
        [] => {
            // NLM's class folder itself.
            let is_class = folder.file_name().is_some_and(|name| {
                let name = name.to_string_lossy();
                ["Parasitized", "Uninfected"].iter().any(|class| same_class(&name, class))
            });
            let parent =
                folder.parent().filter(|_| is_class).map(|parent| match parent.as_os_str().is_empty() {
                    true => PathBuf::from("."),
                    false => parent.to_owned(),
                });
            format!(
                "holds no class folder; expected one sub-folder per class, such as `Parasitized` and `Uninfected`{}",
                did_you_mean(&Vec::from_iter(parent))
            )
        }
        [only] => format!("holds only one class folder, `{only}`; at least two are needed{}", hint()),
        _ => return Ok(()),
    };
    Err(Error::path(folder, reason))
}

/// The sub-folders, one of which was probably meant.
fn inner_data_sets(root: &Path, folders: &[String]) -> Vec<PathBuf> {
    folders.iter().map(|name| root.join(name)).filter(|folder| holds_classes(folder)).collect()
}

/// Whether `folder` looks like a data set: it has at least two folders, which all contain images. A folder that cannot be
/// listed does not.
fn holds_classes(folder: &Path) -> bool {
    folders_in(folder).is_ok_and(|(inside, _)| {
        inside.len() >= 2 && inside.iter().all(|name| holds_image(&folder.join(name)))
    })
}
