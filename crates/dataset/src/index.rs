//! Folders on disk => a sorted list of samples.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::names::{Subset, names_a_side, patient_of};
use crate::walk::{files_below, folders_in, holds_image, paths_below};

/// One image file of an [`Index`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Path relative to [`Index::root`], with `/` between its parts on every platform.
    pub path: String,
    /// Position of its class in [`Index::classes`].
    pub class: usize,
    /// The patient the cell was taken from, such as `C33`; `None` where the file name does not say.
    pub patient: Option<String>,
    /// Which tree it lies in, where the root is a `training/validation/testing` tree; else `None`.
    pub subset: Option<Subset>,
}

/// The image files of a folder, one sub-folder a class, in an order that is the same on every platform.
///
/// Two layouts are understood: a folder of class folders (`Parasitized/…`, `Uninfected/…`), and the three trees
/// that [`build_tree`](crate::build_tree) writes (`training/`, `validation/`, `testing/`, each a folder of class
/// folders). Class folders may be nested; symbolic links are followed; hidden files and folders are passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// The folder, as it was given to [`Index::open`].
    pub root: PathBuf,
    /// Names of the classes, sorted by their bytes: `Parasitized` before `Uninfected`.
    pub classes: Vec<String>,
    /// The images, sorted by the bytes of their paths.
    pub samples: Vec<Sample>,
    /// How many files were passed over: not images by their extension, hidden, or in no class folder.
    pub ignored: usize,
}

impl Index {
    /// Lists the images below `root`. File contents are not read.
    ///
    /// # Errors
    /// Where `root` does not exist, is not a folder or cannot be listed; holds no class folder, or only one; where a
    /// class holds no image, or holds a second copy of the classes beside it; where the three trees of a split
    /// differ in their classes; where links run in a circle or a name is not UTF-8. Where a folder one level down
    /// looks like what was meant, the message names it.
    pub fn open(root: &Path) -> Result<Self> {
        match std::fs::metadata(root) {
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::NoSuchPath { path: root.to_path_buf() });
            }
            Err(source) => return Err(Error::io("read", root)(source)),
            Ok(found) if !found.is_dir() => return Err(Error::NotAFolder { path: root.to_path_buf() }),
            Ok(_) => {}
        }
        let (folders, loose_files) = folders_in(root)?;
        let is_tree = |name: &str| Subset::ALL.iter().any(|subset| subset.folder() == name);
        let mut index = if folders.len() == Subset::ALL.len() && folders.iter().all(|name| is_tree(name)) {
            Self::of_trees(root)?
        } else if folders.iter().any(|name| is_tree(name))
            || (!folders.is_empty() && folders.iter().all(|name| names_a_side(name)))
        {
            return Err(Error::IncompleteTree { path: root.to_path_buf(), found: folders });
        } else {
            Self::of_classes(root, &folders)?
        };
        index.ignored += loose_files;
        index.samples.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(index)
    }

    fn of_classes(root: &Path, classes: &[String]) -> Result<Self> {
        let hint = || inner_data_set(root, classes);
        match classes {
            [] => return Err(Error::NoClasses { path: root.to_path_buf() }),
            [only] => {
                return Err(Error::OneClass { path: root.to_path_buf(), class: only.clone(), hint: hint() });
            }
            _ => {}
        }
        let mut index =
            Self { root: root.to_path_buf(), classes: classes.to_vec(), samples: Vec::new(), ignored: 0 };
        for (class, name) in classes.iter().enumerate() {
            let folder = root.join(name);
            // Kaggle's copy of the data holds the whole set once more, inside itself.
            let (inside, _) = folders_in(&folder)?;
            if classes.iter().filter(|other| *other != name && inside.contains(other)).count() >= 2 {
                return Err(Error::NestedCopy { path: folder });
            }
            if index.add_class(&folder, name, class, None)? == 0 {
                return Err(Error::EmptyClass { path: folder, hint: hint() });
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
            match (&classes, found.as_slice()) {
                (_, []) => return Err(Error::NoClasses { path: folder }),
                (_, [only]) => return Err(Error::OneClass { path: folder, class: only.clone(), hint: None }),
                (Some(expected), _) if *expected != found => {
                    return Err(Error::ClassesDiffer { path: folder, expected: expected.clone(), found });
                }
                _ => {}
            }
            for (class, name) in found.iter().enumerate() {
                let class_folder = folder.join(name);
                let below = format!("{}/{name}", tree.folder());
                if index.add_class(&class_folder, &below, class, Some(tree))? == 0 {
                    return Err(Error::EmptyClass { path: class_folder, hint: None });
                }
            }
            classes = Some(found);
        }
        index.classes = classes.unwrap_or_default();
        Ok(index)
    }

    /// Adds the images below `folder`, whose path from the root is `below`, and says how many there were.
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
            self.samples.push(Sample { path: format!("{below}/{}", file.below), class, patient, subset });
        }
        Ok(self.samples.len() - before)
    }

    /// Where sample `i` lies: the root with [`Sample::path`] below it.
    ///
    /// # Panics
    /// Where `i` is not below `self.samples.len()`, as slices do.
    #[must_use]
    pub fn full_path(&self, i: usize) -> PathBuf {
        let mut path = self.root.clone();
        path.extend(self.samples[i].path.split('/'));
        path
    }

    /// Class of each sample `[N]`, positions in [`Index::classes`].
    #[must_use]
    pub fn labels(&self) -> Vec<usize> {
        self.samples.iter().map(|sample| sample.class).collect()
    }

    /// Position of the class `name` in [`Index::classes`]; `None` where there is no such class.
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

    /// Number of distinct patients. Samples whose name tells no patient are not counted.
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

/// The sub-folder that was probably meant: one that itself holds two folders or more with images in each.
fn inner_data_set(root: &Path, folders: &[String]) -> Option<PathBuf> {
    folders.iter().map(|name| root.join(name)).find(|folder| {
        // Only a hint: a folder that cannot be listed is not one to point at.
        folders_in(folder).is_ok_and(|(inside, _)| {
            inside.len() >= 2 && inside.iter().all(|name| holds_image(&folder.join(name)))
        })
    })
}

/// What [`list_images`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The images, sorted. One that is named several times, be it by a link, stands here once, as it was named first.
    pub images: Vec<PathBuf>,
    /// How many files in the folders were passed over: not images by their extension, or hidden. Hidden folders are not looked into.
    pub ignored: usize,
}

/// The images that `paths` stand for: files as they are, folders with all images below them.
///
/// A file that is named is taken whatever its extension. In folders the rules of [`Index::open`] hold: known
/// extensions, hidden files passed over, links followed. Names need not be UTF-8.
///
/// # Errors
/// Where a path does not exist, is neither file nor folder, cannot be read or listed, or is a folder without any image;
/// where links in a folder run in a circle.
pub fn list_images(paths: &[PathBuf]) -> Result<Listed> {
    let mut images = Vec::new();
    let (mut taken, mut ignored) = (HashSet::new(), HashSet::new());
    for path in paths {
        for (file, is_image) in files_of(path)? {
            // Where it lies, however it is named. A link that leads nowhere stands for itself.
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

/// The files that `path` stands for, sorted, each with whether it is an image. There is at least one that is.
fn files_of(path: &Path) -> Result<Vec<(PathBuf, bool)>> {
    let found = match std::fs::metadata(path) {
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::NoSuchPath { path: path.to_path_buf() });
        }
        Err(source) => return Err(Error::io("read", path)(source)),
        Ok(found) => found,
    };
    if found.is_file() {
        return Ok(vec![(path.to_path_buf(), true)]);
    }
    if !found.is_dir() {
        return Err(Error::NotAnImageOrFolder { path: path.to_path_buf() });
    }
    let mut files = paths_below(path)?;
    if !files.iter().any(|(_, is_image)| *is_image) {
        return Err(Error::NoImages { path: path.to_path_buf() });
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder that goes away with the test, and these empty files in it.
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
    fn a_file_that_is_named_twice_is_listed_once_as_it_was_named_first() {
        let folder = folder(&["a.png", "odd.dat", "deep/b.png"]);
        let at = |name: &str| folder.path().join(name);
        let listed = list_images(&[at("deep/../a.png"), at("a.png"), at("")]).unwrap();
        assert_eq!(listed.images, [at("deep/../a.png"), at("deep/b.png")]);
        assert_eq!(listed.ignored, 1);
        // What is taken has not been passed over.
        assert_eq!(list_images(&[at(""), at("odd.dat")]).unwrap().ignored, 0);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_no_second_picture() {
        let folder = folder(&["a.png"]);
        std::os::unix::fs::symlink("a.png", folder.path().join("b.png")).unwrap();
        std::os::unix::fs::symlink("nowhere.png", folder.path().join("c.png")).unwrap();
        let listed = list_images(&[folder.path().to_path_buf()]).unwrap();
        assert_eq!(listed.images, ["a.png", "c.png"].map(|name| folder.path().join(name)));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn names_need_not_be_utf8_to_be_listed() {
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
