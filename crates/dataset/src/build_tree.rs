//! Writes a split as three folders (`training`, `validation`, `testing`) by copying or linking its images.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use strum::VariantNames;

use crate::error::{Error, Result};
use crate::file_names::is_ignored_name;
use crate::fingerprint::{duplicates, fingerprints};
use crate::index::Index;
use crate::split::Split;
use crate::subset::Subset;
use crate::walk::files_below;
use crate::wording::listing;

/// How a file is added to the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, strum::EnumString, strum::VariantNames)]
#[strum(serialize_all = "lowercase", parse_err_ty = Error, parse_err_fn = unknown_link)]
pub enum Link {
    /// A copy.
    #[default]
    Copy,
    /// A hard link: takes no space, but works only within one file system.
    Hard,
    /// A symbolic link to the absolute path: takes no space, but breaks when the data are moved.
    Symlink,
}

fn unknown_link(found: &str) -> Error {
    Error::unknown_name("kind of link", found, Link::VARIANTS)
}

/// Result of [`build_tree`], in files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BuildReport {
    /// Images in `training`.
    pub train: usize,
    /// Images in `validation`.
    pub validation: usize,
    /// Images in `testing`.
    pub test: usize,
    /// Number of images written by this call.
    pub written: usize,
    /// Number of images that already existed with the same contents.
    pub kept: usize,
    /// Groups of images with the same bytes in more than one of the trees.
    pub duplicates_across: usize,
    /// Groups of images with the same bytes in folders of different classes, so that one of the labels is wrong.
    pub doubly_labelled: usize,
}

/// A sample and its path in the tree.
struct Placement {
    sample: usize,
    target: PathBuf,
}

/// Copies or links a split to `out/training`, `out/validation` and `out/testing`, each with one folder per class.
///
/// Files keep their paths below the class folder. An existing file with the same contents stays, so repeating an interrupted
/// build completes it. Nothing is deleted or overwritten, and nothing is written before everything has been checked. All
/// images are read, even if they are only linked, to count duplicates.
///
/// # Errors
/// Those of [`Split::check`]. [`Error::Path`] if `out` is the data folder, lies in it, or holds folders other than
/// a tree's; if the trees hold an image that is not in this split, or other contents under one of
/// its names; or if two samples would have the same name except for case. [`Error::File`] if `out` is a file, or a file cannot
/// be read, written or linked.
pub fn build_tree(index: &Index, split: &Split, out: &Path, link: Link) -> Result<BuildReport> {
    split.check(index)?;
    refuse_inside(&index.root, out)?;
    refuse_other_folders(out)?;
    let mut plan = plan(index, split, out)?;
    let standing = standing(index, &plan, out)?;
    plan.retain(|place| !standing.contains(&place.target));
    let same = duplicates(index, &fingerprints(index)?, split);

    let folders: BTreeSet<&Path> = plan.iter().filter_map(|place| place.target.parent()).collect();
    for folder in folders {
        fs::create_dir_all(folder).map_err(Error::io("create the folder", folder))?;
    }
    plan.par_iter().try_for_each(|place| put(&index.full_path(place.sample), &place.target, link))?;
    Ok(BuildReport {
        train: split.train.len(),
        validation: split.validation.len(),
        test: split.test.len(),
        written: plan.len(),
        kept: standing.len(),
        duplicates_across: same.iter().filter(|group| group.across_subsets).count(),
        doubly_labelled: same.iter().filter(|group| group.across_classes).count(),
    })
}

fn refuse_inside(root: &Path, out: &Path) -> Result<()> {
    let root = fs::canonicalize(root).map_err(Error::io("read", root))?;
    // The nearest existing folder above, since `out` may not exist yet.
    let absolute = std::path::absolute(out).map_err(Error::io("read", out))?;
    let nearest = absolute.ancestors().find(|path| path.exists()).unwrap_or(&absolute);
    let nearest = fs::canonicalize(nearest).map_err(Error::io("read", out))?;
    if nearest.starts_with(&root) {
        let reason = format!("is, or lies in, the data folder `{}`; give a folder elsewhere", root.display());
        return Err(Error::path(out, reason));
    }
    Ok(())
}

/// Refuses a folder that contains other folders, since it could not be read as a tree afterwards.
fn refuse_other_folders(out: &Path) -> Result<()> {
    if !out.exists() {
        return Ok(());
    }
    if !out.is_dir() {
        return Err(malaria_files::Error::Occupied { path: out.to_path_buf() }.into());
    }
    let list = Error::io("list", out);
    let mut found = Vec::new();
    for entry in fs::read_dir(out).map_err(&list)? {
        let entry = entry.map_err(&list)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_tree = Subset::ALL.iter().any(|subset| subset.folder() == name);
        if entry.path().is_dir() && !is_tree && !is_ignored_name(&name) {
            found.push(name);
        }
    }
    found.sort();
    if found.is_empty() {
        return Ok(());
    }
    let reason = format!(
        "holds {} besides training, validation and testing; give a new or an empty folder",
        listing(&found)
    );
    Err(Error::path(out, reason))
}

fn plan(index: &Index, split: &Split, out: &Path) -> Result<Vec<Placement>> {
    let mut plan = Vec::with_capacity(index.samples.len());
    let mut planned: HashMap<(Subset, String), usize> = HashMap::new();
    for subset in Subset::ALL {
        for &i in split.subset(subset) {
            let sample = &index.samples[i];
            // The folders of a class may be spelled differently in the trees of `index`.
            let rest = sample.path_from_class().split_once('/').map_or("", |(_, rest)| rest);
            let below = format!("{}/{rest}", index.classes[sample.class]);
            let mut target = out.join(subset.folder());
            target.extend(below.split('/'));
            // Some systems do not distinguish upper and lower case.
            if let Some(first) = planned.insert((subset, below.to_lowercase()), i) {
                let reason = format!(
                    "would be the copy of both `{}` and `{}`, at least on systems that ignore case; rename one of them",
                    index.full_path(first).display(),
                    index.full_path(i).display()
                );
                return Err(Error::path(&target, reason));
            }
            plan.push(Placement { sample: i, target });
        }
    }
    Ok(plan)
}

/// The targets that already exist with the right contents. Refuses any other existing image.
fn standing(index: &Index, plan: &[Placement], out: &Path) -> Result<BTreeSet<PathBuf>> {
    let planned: HashMap<&Path, usize> =
        plan.iter().map(|place| (place.target.as_path(), place.sample)).collect();
    let mut found = Vec::new();
    for subset in Subset::ALL {
        let tree = out.join(subset.folder());
        if !tree.exists() {
            continue;
        }
        for file in files_below(&tree)?.into_iter().filter(|file| file.is_image) {
            let mut path = tree.clone();
            path.extend(file.below.split('/'));
            found.push(path);
        }
    }
    found.sort();
    let right: Vec<bool> = found
        .par_iter()
        .map(|path| match planned.get(path.as_path()) {
            Some(&i) => same_contents(&index.full_path(i), path),
            None => Ok(false),
        })
        .collect::<Result<_>>()?;
    let (standing, conflicts): (Vec<_>, Vec<_>) = found.into_iter().zip(right).partition(|(_, right)| *right);
    if conflicts.is_empty() {
        return Ok(standing.into_iter().map(|(path, _)| path).collect());
    }
    let names: Vec<String> = conflicts.iter().map(|(path, _)| path.display().to_string()).collect();
    let reason = format!(
        "holds {} images that are not in this split, perhaps of another seed or data folder: {}; nothing was written; give an empty folder, or remove its training, validation and testing",
        names.len(),
        listing(&names)
    );
    Err(Error::path(out, reason))
}

fn same_contents(a: &Path, b: &Path) -> Result<bool> {
    let contents = |path: &Path| fs::read(path).map_err(Error::io("read", path));
    Ok(contents(a)? == contents(b)?)
}

fn put(source: &Path, target: &Path, link: Link) -> Result<()> {
    // A hard link to a symbolic link would copy its relative path.
    let real = fs::canonicalize(source).map_err(Error::io("read", source))?;
    match link {
        Link::Copy => {
            let mut file = malaria_files::temporary_file(target).map_err(Error::io("write", target))?;
            let mut from = fs::File::open(&real).map_err(Error::io("read", source))?;
            io::copy(&mut from, file.as_file_mut()).map_err(Error::io("write", target))?;
            file.as_file().sync_all().map_err(Error::io("write", target))?;
            file.persist_noclobber(target).map_err(|error| Error::io("write", target)(error.error))?;
            Ok(())
        }
        Link::Hard => fs::hard_link(&real, target)
            .map_err(Error::io("make a hard link (copies work anywhere) at", target)),
        Link::Symlink => symlink(&real, target).map_err(Error::io("make a symbolic link at", target)),
    }
}

#[cfg(unix)]
fn symlink(source: &Path, target: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(source, target)
}

#[cfg(windows)]
fn symlink(source: &Path, target: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_file(source, target)
}
