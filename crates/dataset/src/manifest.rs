//! Writes a split to CSV, one row per file, and restores it for the same or another folder.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::cells::Loaded;
use crate::changes::Changes;
use crate::csv_rows::read_rows;
use crate::error::{Error, Result};
use crate::fingerprint::{Fingerprint, sha256_from_hex};
use crate::index::{Index, Sample};
use crate::nih_names::nih_name;
use crate::split::Split;
use crate::split_config::{Protocol, SplitConfig};
use crate::subset::Subset;

/// One row of a manifest, in the order of its columns.
#[derive(Serialize, Deserialize)]
struct Row {
    path: String,
    class: String,
    patient: Option<String>,
    subset: Option<Subset>,
    bytes: u64,
    sha256: String,
}

/// The columns, in their order.
const COLUMNS: [&str; 6] = ["path", "class", "patient", "subset", "bytes", "sha256"];

/// One file of a [`Manifest`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestEntry {
    /// Path relative to the data folder, as [`Sample::path`](crate::Sample::path).
    pub path: String,
    /// Name of its class.
    pub class: String,
    /// Its patient; `None` where it is unknown.
    pub patient: Option<String>,
    /// Its subset; `None` if the split excludes it.
    pub subset: Option<Subset>,
    /// Size and hash of its contents.
    pub fingerprint: Fingerprint,
}

/// A split read from disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The file it was read from.
    pub path: PathBuf,
    /// Its rows, in the order of the file, which is that of [`Index::samples`].
    pub entries: Vec<ManifestEntry>,
}

/// Writes every sample of `index` with its subset of `split`, as CSV with the columns
/// `path,class,patient,subset,bytes,sha256`, in the order of the index.
///
/// `patient` is empty if it is unknown, `subset` if the sample is in no subset. An existing file is replaced as a
/// whole.
///
/// # Errors
/// [`Error::Config`] if there is not one fingerprint per sample; [`Error::File`] if the file cannot be written.
pub fn write_manifest(path: &Path, index: &Index, split: &Split, fingerprints: &[Fingerprint]) -> Result<()> {
    same_length(index, fingerprints)?;
    let subsets = split.subset_by_sample(index.samples.len());
    let mut csv = csv::Writer::from_writer(Vec::new());
    for ((sample, fingerprint), subset) in index.samples.iter().zip(fingerprints).zip(subsets) {
        let row = Row {
            path: sample.path.clone(),
            class: index.classes[sample.class].clone(),
            patient: sample.patient.clone(),
            subset,
            bytes: fingerprint.bytes,
            sha256: fingerprint.hex(),
        };
        csv.serialize(row).map_err(|error| Error::io("write", path)(error.into()))?;
    }
    let bytes = csv.into_inner().map_err(|error| Error::io("write", path)(error.into_error()))?;
    malaria_files::write(path, &bytes).map_err(Error::io("write", path))
}

/// Reads a file written by [`write_manifest`].
///
/// # Errors
/// [`Error::File`] if it cannot be read; [`Error::Table`] if it lacks a column, or has an invalid row, a path twice, or no row.
pub fn read_manifest(path: &Path) -> Result<Manifest> {
    let bad = |line: u64, reason: String| Error::Table { path: path.to_path_buf(), line, reason };
    let mut entries: Vec<ManifestEntry> = Vec::new();
    let mut line_of: HashMap<String, u64> = HashMap::new();
    for (line, row) in read_rows::<Row>(path, &COLUMNS)? {
        let sha256 = sha256_from_hex(&row.sha256).ok_or_else(|| {
            bad(line, format!("expected 64 hexadecimal digits in sha256, found `{}`", row.sha256))
        })?;
        if let Some(first) = line_of.insert(row.path.clone(), line) {
            return Err(bad(line, format!("`{}` is already on line {first}", row.path)));
        }
        let fingerprint = Fingerprint { bytes: row.bytes, sha256 };
        let Row { path, class, patient, subset, .. } = row;
        entries.push(ManifestEntry { path, class, patient, subset, fingerprint });
    }
    if entries.is_empty() {
        return Err(bad(1, "there are no rows".to_owned()));
    }
    Ok(Manifest { path: path.to_path_buf(), entries })
}

impl Manifest {
    /// The written split for a folder with the same cells: the positions in `index` of each subset.
    ///
    /// Cells are found by class and contents anywhere below the folder. The file does not contain the split's
    /// settings: they become the defaults with [`Protocol::Given`], or with [`Protocol::All`] if every file is in the
    /// training set.
    /// `fingerprints` belong to `index.samples`, in the same order.
    ///
    /// # Errors
    /// [`Error::DataChanged`], with the files that are missing, added and changed; [`Error::InvalidSplit`] for a sample of another
    /// patient; those of [`Split::check`].
    pub fn resolve(&self, index: &Index, fingerprints: &[Fingerprint]) -> Result<Split> {
        self.check_patients(index, fingerprints)?;
        let all = self.entries.iter().all(|entry| matches!(entry.subset, None | Some(Subset::Train)));
        let protocol = if all { Protocol::All } else { Protocol::Given };
        let config = SplitConfig { protocol, ..SplitConfig::default() };
        let mut split = Split { config, train: Vec::new(), validation: Vec::new(), test: Vec::new() };
        for (entry, i) in self.entries.iter().zip(self.positions(index, fingerprints)?) {
            if let Some(subset) = entry.subset {
                split.subset_mut(subset).push(i);
            }
        }
        for subset in Subset::ALL {
            split.subset_mut(subset).sort_unstable();
        }
        split.check(index)?;
        Ok(split)
    }

    /// Gives the cells of a folder the order, paths and patients that they have in this manifest, so that they can replace
    /// the cells of the folder it was written for. [`Index::full_path`] still finds their files.
    ///
    /// # Errors
    /// [`Error::DataChanged`] if the folder has other cells.
    pub fn align(&self, loaded: &mut Loaded) -> Result<()> {
        loaded.reorder(&self.positions(&loaded.index, &loaded.fingerprints)?);
        for (sample, entry) in loaded.index.samples.iter_mut().zip(&self.entries) {
            let path = std::mem::replace(&mut sample.path, entry.path.clone());
            if path != entry.path {
                sample.file.get_or_insert(path);
            }
            sample.patient.clone_from(&entry.patient);
        }
        Ok(())
    }

    /// Whether a folder contains exactly the cells of this manifest, anywhere below it.
    pub fn describes(&self, index: &Index, fingerprints: &[Fingerprint]) -> bool {
        self.positions(index, fingerprints).is_ok()
    }

    /// The position in `index` of each entry's cell.
    fn positions(&self, index: &Index, fingerprints: &[Fingerprint]) -> Result<Vec<usize>> {
        let found = self.find(index, fingerprints)?;
        let all: Option<Vec<usize>> = found.iter().copied().collect();
        match all.filter(|all| all.len() == index.samples.len()) {
            Some(positions) => Ok(positions),
            None => Err(Error::DataChanged {
                manifest: self.path.clone(),
                root: index.root.clone(),
                changes: Box::new(self.differences(index, &found)),
            }),
        }
    }

    /// For each entry, the position of the sample with the same class and contents: the one with the same path, if there is
    /// one, else the first one that belongs to no other entry.
    fn find(&self, index: &Index, fingerprints: &[Fingerprint]) -> Result<Vec<Option<usize>>> {
        same_length(index, fingerprints)?;
        let cell = |i: usize| (index.classes[index.samples[i].class].as_str(), &fingerprints[i]);
        let at: HashMap<&str, usize> =
            index.samples.iter().enumerate().map(|(i, sample)| (sample.path.as_str(), i)).collect();
        let in_place = |entry: &ManifestEntry| {
            let i = at.get(entry.path.as_str()).copied();
            i.filter(|&i| cell(i) == (entry.class.as_str(), &entry.fingerprint))
        };
        let mut found: Vec<Option<usize>> = self.entries.iter().map(in_place).collect();
        let taken: HashSet<usize> = found.iter().flatten().copied().collect();
        let mut free: HashMap<(&str, &Fingerprint), Vec<usize>> = HashMap::new();
        for i in (0..index.samples.len()).rev().filter(|i| !taken.contains(i)) {
            free.entry(cell(i)).or_default().push(i);
        }
        for (entry, place) in self.entries.iter().zip(&mut found).filter(|(_, place)| place.is_none()) {
            *place = free.get_mut(&(entry.class.as_str(), &entry.fingerprint)).and_then(Vec::pop);
        }
        Ok(found)
    }

    /// The entries that were not `found`, and the samples without an entry.
    fn differences(&self, index: &Index, found: &[Option<usize>]) -> Changes {
        let known: HashSet<usize> = found.iter().flatten().copied().collect();
        let mut added: BTreeSet<&str> = (index.samples.iter().enumerate())
            .filter(|(i, _)| !known.contains(i))
            .map(|(_, sample)| sample.path.as_str())
            .collect();
        let lost = self.entries.iter().zip(found).filter(|(_, place)| place.is_none());
        let (changed, missing): (Vec<String>, Vec<String>) =
            lost.map(|(entry, _)| entry.path.clone()).partition(|path| added.remove(path.as_str()));
        Changes { missing, added: added.into_iter().map(str::to_owned).collect(), changed }
    }

    /// Spells the classes of `index` like the rows.
    pub fn restore_classes(&self, index: &mut Index) {
        index.spell_classes(self.entries.iter().map(|entry| entry.class.as_str()));
    }

    /// Refuses a folder in which a cell is known to belong to another patient.
    ///
    /// # Errors
    /// [`Error::InvalidSplit`] with the first such cell; [`Error::DataChanged`] if the folder has other cells.
    pub fn check_patients(&self, index: &Index, fingerprints: &[Fingerprint]) -> Result<()> {
        for (entry, i) in self.entries.iter().zip(self.positions(index, fingerprints)?) {
            let (now, before) = (&index.samples[i].patient, &entry.patient);
            // The names of moved cells may not contain the patient.
            if let Some(now) = now.as_deref().filter(|_| now != before) {
                let before = before.as_deref().unwrap_or("no known patient");
                let path = self.path.display();
                let reason =
                    format!("`{}` is a cell of {now}; in `{path}` it is one of {before}", entry.path);
                return Err(Error::InvalidSplit { reason });
            }
        }
        Ok(())
    }

    /// For each sample of any folder, the subset that the same cell has in this manifest; `None` if it is in none.
    ///
    /// Cells are matched by contents first, so a copy of a training cell is recognised in another folder and under
    /// another name. Cells of the NIH's set are also matched by class and file name with any extension, since they
    /// circulate in several formats and sizes. If the same contents are in several subsets, the subset of the same path
    /// counts, if there is one, else the first of train, validation and test.
    ///
    /// # Errors
    /// [`Error::Config`] if there is not one fingerprint per sample.
    pub fn match_index(&self, index: &Index, fingerprints: &[Fingerprint]) -> Result<Vec<Option<Subset>>> {
        same_length(index, fingerprints)?;
        let mut subset_of: HashMap<&Fingerprint, Subset> = HashMap::new();
        let mut subset_at: HashMap<(&str, &Fingerprint), Subset> = HashMap::new();
        let mut subset_named: HashMap<(&str, &str), Subset> = HashMap::new();
        for entry in &self.entries {
            if let Some(subset) = entry.subset {
                subset_at.insert((&entry.path, &entry.fingerprint), subset);
                let first = subset_of.entry(&entry.fingerprint).or_insert(subset);
                *first = subset.min(*first);
                if let Some(name) = nih_name(&entry.path) {
                    let first = subset_named.entry((entry.class.as_str(), name)).or_insert(subset);
                    *first = subset.min(*first);
                }
            }
        }
        let named = |sample: &Sample| {
            let class = index.classes[sample.class].as_str();
            nih_name(&sample.path).and_then(|name| subset_named.get(&(class, name)).copied())
        };
        let matched = |(sample, fingerprint): (&Sample, &Fingerprint)| {
            let at = subset_at.get(&(sample.path.as_str(), fingerprint));
            at.or_else(|| subset_of.get(fingerprint)).copied().or_else(|| named(sample))
        };
        Ok(index.samples.iter().zip(fingerprints).map(matched).collect())
    }

    /// Its entries without their subsets: equal for two manifests of the same cells.
    #[must_use]
    pub fn cells(&self) -> Vec<ManifestEntry> {
        self.entries.iter().cloned().map(|entry| ManifestEntry { subset: None, ..entry }).collect()
    }

    /// Whether any of the samples of `index` at `indices` belongs to a patient with cells in the training or validation
    /// set: by the names in this manifest, which are meaningful only within one collection, or by the names of the
    /// samples that `subsets`, the result of [`match_index`](Self::match_index), has there.
    pub fn shares_patients(&self, index: &Index, subsets: &[Option<Subset>], indices: &[usize]) -> bool {
        let seen = |subset: Option<Subset>| subset.is_some_and(Subset::is_seen_in_training);
        let written = self.entries.iter().filter(|entry| seen(entry.subset)).map(|entry| &entry.patient);
        let found = index.samples.iter().zip(subsets).filter(|(_, subset)| seen(**subset));
        let known: HashSet<&str> =
            written.chain(found.map(|(sample, _)| &sample.patient)).filter_map(Option::as_deref).collect();
        indices.iter().any(|&i| index.samples[i].patient.as_deref().is_some_and(|name| known.contains(name)))
    }
}

fn same_length(index: &Index, fingerprints: &[Fingerprint]) -> Result<()> {
    if index.samples.len() != fingerprints.len() {
        let expected = format!("one per sample, {}", index.samples.len());
        return Err(Error::config("the number of fingerprints", fingerprints.len(), expected));
    }
    Ok(())
}
