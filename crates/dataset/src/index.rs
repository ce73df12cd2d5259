//! Lists the images of a data folder with class and patient, and the images given for prediction.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::names::{IMAGE_EXTENSIONS, Subset, names_a_side, patient_of};
use crate::walk::{files_below, folders_in, holds_image, paths_below};
use crate::wording::{listing, meant};

/// One image file of an [`Index`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Path relative to [`Index::root`], with `/` between its parts on every platform.
    pub path: String,
    /// Position of its class in [`Index::classes`].
    pub class: usize,
    /// The patient the cell was taken from, such as `C33`; `None` if the file name does not contain it.
    pub patient: Option<String>,
    /// The tree it lies in, if the root is a `training/validation/testing` tree.
    pub subset: Option<Subset>,
    /// The path of its file relative to [`Index::root`], where `path` is the one that a manifest knows it by
    /// ([`Manifest::align`](crate::Manifest::align)).
    pub file: Option<String>,
}

/// The image files of a folder with one sub-folder per class, in an order that is the same on every platform.
///
/// Two layouts are supported: a folder of class folders (`Parasitized/…`, `Uninfected/…`), and the three trees
/// that [`build_tree`](crate::build_tree) writes (`training/`, `validation/`, `testing/`, each a folder of class
/// folders). Class folders may be nested; symbolic links are followed; hidden files and folders are ignored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// The folder, as it was given to [`Index::open`].
    pub root: PathBuf,
    /// Names of the classes, sorted by their bytes: `Parasitized` before `Uninfected`.
    pub classes: Vec<String>,
    /// The images, sorted by the bytes of their paths.
    pub samples: Vec<Sample>,
    /// Number of files ignored: not images by their extension, hidden, or in no class folder.
    pub ignored: usize,
}

impl Index {
    /// Lists the images below `root`. File contents are not read.
    ///
    /// # Errors
    /// [`Error::Path`] if `root` does not exist or is not a folder; holds no class folder, or only one; if a
    /// class holds no image, or a second copy of the other classes; if the three trees of a split
    /// differ in their classes; if links form a circle or a name is not UTF-8. If a folder one level down
    /// looks like the data set, the message names it. [`Error::File`] if a folder cannot be listed.
    pub fn open(root: &Path) -> Result<Self> {
        match std::fs::metadata(root) {
            Err(source) => return Err(missing_or_unreadable(root, source)),
            Ok(found) if !found.is_dir() => {
                return Err(Error::path(
                    root,
                    "is not a folder; expected a folder with one sub-folder per class",
                ));
            }
            Ok(_) => {}
        }
        let (folders, loose_files) = folders_in(root)?;
        let is_tree = |name: &str| Subset::ALL.iter().any(|subset| subset.folder() == name);
        let mut index = if folders.len() == Subset::ALL.len() && folders.iter().all(|name| is_tree(name)) {
            Self::of_trees(root)?
        } else if folders.iter().any(|name| is_tree(name))
            || (!folders.is_empty() && folders.iter().all(|name| names_a_side(name)))
        {
            let reason = format!(
                "holds {}, some of which look like the sides of a split; expected exactly training, validation and testing, or class folders only",
                listing(&folders)
            );
            return Err(Error::path(root, reason));
        } else {
            Self::of_classes(root, &folders)?
        };
        index.ignored += loose_files;
        index.samples.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(index)
    }

    fn of_classes(root: &Path, classes: &[String]) -> Result<Self> {
        let hint = || meant(inner_data_set(root, classes).as_deref());
        refuse_few_classes(root, classes, hint)?;
        let mut index =
            Self { root: root.to_path_buf(), classes: classes.to_vec(), samples: Vec::new(), ignored: 0 };
        for (class, name) in classes.iter().enumerate() {
            let folder = root.join(name);
            // Kaggle's copy of the data holds the whole set once more, inside itself.
            let (inside, _) = folders_in(&folder)?;
            if classes.iter().filter(|other| *other != name && inside.contains(other)).count() >= 2 {
                return Err(Error::path(
                    &folder,
                    "holds a second copy of the other class folders, so cells would count twice; give that folder itself, or move it away",
                ));
            }
            if index.add_class(&folder, name, class, None)? == 0 {
                return Err(no_image(&folder, &hint()));
            }
        }
        Ok(index)
    }

    fn of_trees(root: &Path) -> Result<Self> {
        let mut classes: Option<Vec<String>> = None;
        let mut index =
            Self { root: root.to_path_buf(), classes: Vec::new(), samples: Vec::new(), ignored: 0 };
        for tree in Subset::ALL {
            let folder = root.join(tree.folder());
            let (found, loose_files) = folders_in(&folder)?;
            index.ignored += loose_files;
            refuse_few_classes(&folder, &found, String::new)?;
            if let Some(expected) = classes.filter(|expected| *expected != found) {
                let reason = format!(
                    "holds the classes {}; expected the classes of the training tree, {}",
                    listing(&found),
                    listing(&expected)
                );
                return Err(Error::path(&folder, reason));
            }
            for (class, name) in found.iter().enumerate() {
                let class_folder = folder.join(name);
                let below = format!("{}/{name}", tree.folder());
                if index.add_class(&class_folder, &below, class, Some(tree))? == 0 {
                    return Err(no_image(&class_folder, ""));
                }
            }
            classes = Some(found);
        }
        index.classes = classes.unwrap_or_default();
        Ok(index)
    }

    /// Adds the images below `folder`, whose path from the root is `below`, and returns their number.
    fn add_class(
        &mut self,
        folder: &Path,
        below: &str,
        class: usize,
        subset: Option<Subset>,
    ) -> Result<usize> {
        let before = self.samples.len();
        for file in files_below(folder)? {
            if !file.is_image {
                self.ignored += 1;
                continue;
            }
            let patient = patient_of(file.below.rsplit('/').next().unwrap_or_default());
            let path = format!("{below}/{}", file.below);
            self.samples.push(Sample { path, class, patient, subset, file: None });
        }
        Ok(self.samples.len() - before)
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

    /// Position of the class `name` in [`Index::classes`], if there is such a class.
    #[must_use]
    pub fn class(&self, name: &str) -> Option<usize> {
        self.classes.iter().position(|class| class == name)
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

    /// Number of distinct patients. Samples without a patient in their name are not counted.
    #[must_use]
    pub fn patients(&self) -> usize {
        self.by_patient().len()
    }

    /// Keeps the samples for which `keep(position, sample)` is true, in their order. Classes stay as they are.
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

/// The error for a path whose metadata cannot be read.
fn missing_or_unreadable(path: &Path, source: std::io::Error) -> Error {
    match source.kind() {
        std::io::ErrorKind::NotFound => {
            Error::path(path, "does not exist; check the spelling and the current folder")
        }
        _ => Error::io("read", path)(source),
    }
}

fn refuse_few_classes(folder: &Path, classes: &[String], hint: impl Fn() -> String) -> Result<()> {
    let reason = match classes {
        [] => {
            "holds no class folder; expected one sub-folder per class, such as `Parasitized` and `Uninfected`"
                .to_owned()
        }
        [only] => format!("holds only one class folder, `{only}`; at least two are needed{}", hint()),
        _ => return Ok(()),
    };
    Err(Error::path(folder, reason))
}

fn no_image(class_folder: &Path, hint: &str) -> Error {
    let extensions = IMAGE_EXTENSIONS.join(", ");
    Error::path(class_folder, format!("is a class folder without any image ({extensions}){hint}"))
}

/// The sub-folder that was probably meant: one that holds at least two folders with images.
fn inner_data_set(root: &Path, folders: &[String]) -> Option<PathBuf> {
    folders.iter().map(|name| root.join(name)).find(|folder| {
        // Only a hint: folders that cannot be listed are skipped.
        folders_in(folder).is_ok_and(|(inside, _)| {
            inside.len() >= 2 && inside.iter().all(|name| holds_image(&folder.join(name)))
        })
    })
}

/// Result of [`list_images`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The images, sorted. A file given several times, also through links, is listed once, under its first name.
    pub images: Vec<PathBuf>,
    /// Number of files ignored in the folders: not images by their extension, or hidden. Hidden folders are not entered.
    pub ignored: usize,
}

/// Lists the images at `paths`: files themselves, and all images below folders.
///
/// A file is accepted with any extension. In folders the rules of [`Index::open`] apply: known
/// extensions, hidden files ignored, links followed. Names need not be UTF-8.
///
/// # Errors
/// [`Error::Path`] if a path does not exist, is neither file nor folder, or is a folder without any image, or if links in a
/// folder form a circle; [`Error::File`] if it cannot be read or listed.
pub fn list_images(paths: &[PathBuf]) -> Result<Listed> {
    let mut images = Vec::new();
    let (mut taken, mut ignored) = (HashSet::new(), HashSet::new());
    for path in paths {
        for (file, is_image) in files_of(path)? {
            // The same for all names of one file. A broken link keeps its own path.
            let real = std::fs::canonicalize(&file).unwrap_or_else(|_| file.clone());
            if !is_image {
                ignored.insert(real);
            } else if taken.insert(real) {
                images.push(file);
            }
        }
    }
    images.sort();
    Ok(Listed { images, ignored: ignored.difference(&taken).count() })
}

/// The files at `path`, sorted, each with whether it is an image. At least one is.
fn files_of(path: &Path) -> Result<Vec<(PathBuf, bool)>> {
    let found = std::fs::metadata(path).map_err(|source| missing_or_unreadable(path, source))?;
    if found.is_file() {
        return Ok(vec![(path.to_path_buf(), true)]);
    }
    if !found.is_dir() {
        return Err(Error::path(path, "is neither a file nor a folder"));
    }
    let mut files = paths_below(path)?;
    if !files.iter().any(|(_, is_image)| *is_image) {
        let extensions = IMAGE_EXTENSIONS.join(", ");
        return Err(Error::path(path, format!("holds no image ({extensions}), nor do its sub-folders")));
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A temporary folder with these empty files.
    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, b"").unwrap();
        }
        folder
    }

    #[test]
    fn a_file_given_twice_is_listed_once_under_its_first_name() {
        let folder = folder(&["a.png", "odd.dat", "deep/b.png"]);
        let at = |name: &str| folder.path().join(name);
        let listed = list_images(&[at("deep/../a.png"), at("a.png"), at("")]).unwrap();
        assert_eq!(listed.images, [at("deep/../a.png"), at("deep/b.png")]);
        assert_eq!(listed.ignored, 1);
        // A listed file does not count as ignored.
        assert_eq!(list_images(&[at(""), at("odd.dat")]).unwrap().ignored, 0);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_a_listed_image_is_not_listed_again() {
        let folder = folder(&["a.png"]);
        std::os::unix::fs::symlink("a.png", folder.path().join("b.png")).unwrap();
        std::os::unix::fs::symlink("nowhere.png", folder.path().join("c.png")).unwrap();
        let listed = list_images(&[folder.path().to_path_buf()]).unwrap();
        assert_eq!(listed.images, ["a.png", "c.png"].map(|name| folder.path().join(name)));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn names_that_are_not_utf8_are_listed() {
        use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
        let folder = folder(&["a.png"]);
        let at = |name: &[u8]| folder.path().join(OsStr::from_bytes(name));
        for name in [b"\xff.png".as_slice(), b"\xff.txt", b"._\xff.png"] {
            std::fs::write(at(name), b"").unwrap();
        }
        let listed = list_images(&[folder.path().to_path_buf()]).unwrap();
        assert_eq!((listed.images, listed.ignored), (vec![at(b"a.png"), at(b"\xff.png")], 2));
    }
}
