//! A split as three folders, the way the tutorial lays it out.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::fingerprint::{duplicates, fingerprints};
use crate::index::{Index, Sample};
use crate::names::{Subset, is_set_aside};
use crate::split::Split;
use crate::walk::files_below;

/// How a file comes to lie in the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Link {
    /// A copy of its own.
    #[default]
    Copy,
    /// A hard link: takes no room, but only within one file system.
    Hard,
    /// A symbolic link to the absolute path: takes no room, and breaks when the data are moved.
    Symlink,
}

impl FromStr for Link {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "copy" => Ok(Self::Copy),
            "hard" => Ok(Self::Hard),
            "symlink" => Ok(Self::Symlink),
            _ => Err(Error::UnknownName {
                what: "kind of link",
                found: name.to_owned(),
                expected: "copy, hard, symlink".to_owned(),
            }),
        }
    }
}

/// What [`build_tree`] found and did, in files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BuildReport {
    /// Images in `training`.
    pub train: usize,
    /// Images in `validation`.
    pub validation: usize,
    /// Images in `testing`.
    pub test: usize,
    /// How many of them were written now.
    pub written: usize,
    /// How many of them were there already, with the same contents.
    pub kept: usize,
    /// Groups of images with the same bytes in more than one of the trees.
    pub duplicates_across: usize,
    /// Groups of images with the same bytes in folders of different classes, so that one of the labels is wrong.
    pub doubly_labelled: usize,
}

/// One file to be placed.
struct Placement {
    sample: usize,
    target: PathBuf,
}

/// Lays a split out as `out/training`, `out/validation` and `out/testing`, each with a folder a class.
///
/// Below the class folder a file keeps its path. A file that is there already with the same contents stays, so an
/// interrupted build is finished by running it again. Nothing is ever deleted or overwritten, and nothing is written
/// before everything has been checked. All images are read, even where they are only linked, to count those with the same bytes.
///
/// # Errors
/// Where `out` is a file ([`Error::Occupied`]), is the data folder or lies in it, or holds other folders than a tree's
/// ([`Error::NotOnlyATree`]); where the trees hold an image that is no part of this split, or other contents under one of
/// its names ([`Error::TreeConflicts`], with all of them); where two samples would get the same name, but for the case
/// ([`Error::SameTarget`]); what [`Split::check`] refuses; where a file cannot be read, written or linked.
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
        duplicates_across: same.iter().filter(|group| group.across_sides).count(),
        doubly_labelled: same.iter().filter(|group| group.across_classes).count(),
    })
}

fn refuse_inside(root: &Path, out: &Path) -> Result<()> {
    let root = fs::canonicalize(root).map_err(Error::io("read", root))?;
    // Of a folder that is yet to be made, the nearest one above it that is there.
    let absolute = std::path::absolute(out).map_err(Error::io("read", out))?;
    let nearest = absolute.ancestors().find(|path| path.exists()).unwrap_or(&absolute);
    let nearest = fs::canonicalize(nearest).map_err(Error::io("read", out))?;
    if nearest.starts_with(&root) {
        return Err(Error::InsideData { out: out.to_path_buf(), root });
    }
    Ok(())
}

/// What is read as a tree later has to hold the three folders of one and no others.
fn refuse_other_folders(out: &Path) -> Result<()> {
    if !out.exists() {
        return Ok(());
    }
    if !out.is_dir() {
        return Err(Error::Occupied { path: out.to_path_buf() });
    }
    let list = |error| Error::io("list", out)(error);
    let mut found = Vec::new();
    for entry in fs::read_dir(out).map_err(list)? {
        let entry = entry.map_err(list)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_side = Subset::ALL.iter().any(|subset| subset.folder() == name);
        if entry.path().is_dir() && !is_side && !is_set_aside(&name) {
            found.push(name);
        }
    }
    found.sort();
    if found.is_empty() { Ok(()) } else { Err(Error::NotOnlyATree { out: out.to_path_buf(), found }) }
}

fn plan(index: &Index, split: &Split, out: &Path) -> Result<Vec<Placement>> {
    let mut plan = Vec::with_capacity(index.samples.len());
    let mut planned: HashMap<(Subset, String), usize> = HashMap::new();
    for subset in Subset::ALL {
        for &i in split.subset(subset) {
            let below = below_tree(&index.samples[i]);
            let mut target = out.join(subset.folder());
            target.extend(below.split('/'));
            // Some systems take names for the same that differ in case.
            if let Some(first) = planned.insert((subset, below.to_lowercase()), i) {
                return Err(Error::SameTarget {
                    first: index.full_path(first),
                    second: index.full_path(i),
                    target,
                });
            }
            plan.push(Placement { sample: i, target });
        }
    }
    Ok(plan)
}

/// A sample's path from its class folder on, that folder included.
fn below_tree(sample: &Sample) -> &str {
    match sample.subset {
        Some(subset) => sample.path.strip_prefix(subset.folder()).map_or(&*sample.path, |path| &path[1..]),
        None => &sample.path,
    }
}

/// The targets that are there already with the right contents. Anything else that is there is refused.
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
    let (mut standing, mut conflicts) = (BTreeSet::new(), Vec::new());
    for (path, right) in found.into_iter().zip(right) {
        if right {
            standing.insert(path);
        } else {
            conflicts.push(path);
        }
    }
    if conflicts.is_empty() {
        Ok(standing)
    } else {
        Err(Error::TreeConflicts { out: out.to_path_buf(), conflicts })
    }
}

fn same_contents(a: &Path, b: &Path) -> Result<bool> {
    let length = |path: &Path| fs::metadata(path).map(|found| found.len()).map_err(Error::io("read", path));
    let contents = |path: &Path| fs::read(path).map_err(Error::io("read", path));
    Ok(length(a)? == length(b)? && contents(a)? == contents(b)?)
}

fn put(source: &Path, target: &Path, link: Link) -> Result<()> {
    // A link to a link would take the inner one's relative path along.
    let real = fs::canonicalize(source).map_err(Error::io("read", source))?;
    match link {
        Link::Copy => {
            let mut file = malaria_files::beside(target).map_err(Error::io("write", target))?;
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
