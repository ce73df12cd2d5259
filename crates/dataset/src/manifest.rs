//! Writes a split to CSV, one row per file, and restores it for the same or another folder.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::changes::Changes;
use crate::csv_rows::read_rows;
use crate::error::{Error, Result};
use crate::fingerprint::{Fingerprint, sha256_from_hex};
use crate::index::{Index, Sample};
use crate::names::{Subset, nih_name};
use crate::split::Split;
use crate::split_config::{Protocol, SplitConfig};

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
pub struct Entry {
    /// Path relative to the data folder, as [`Sample::path`](crate::Sample::path).
    pub path: String,
    /// Name of its class.
    pub class: String,
    /// Its patient; `None` where it is unknown.
    pub patient: Option<String>,
    /// Its side; `None` if the split excludes it.
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
    pub entries: Vec<Entry>,
}

/// Writes every sample of `index` with its side of `split`, as CSV with the columns
/// `path,class,patient,subset,bytes,sha256`, in the order of the index.
///
/// `patient` is empty if it is unknown, `subset` if the sample is on no side. An existing file is replaced as a whole.
///
/// # Errors
/// [`Error::Config`] if there is not one fingerprint per sample; [`Error::File`] if the file cannot be written.
pub fn write_manifest(path: &Path, index: &Index, split: &Split, fingerprints: &[Fingerprint]) -> Result<()> {
    same_length(index, fingerprints)?;
    let sides = split.sides(index.samples.len());
    let mut csv = csv::Writer::from_writer(Vec::new());
    for ((sample, fingerprint), subset) in index.samples.iter().zip(fingerprints).zip(sides) {
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
    let mut entries: Vec<Entry> = Vec::new();
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
        entries.push(Entry { path, class, patient, subset, fingerprint });
    }
    if entries.is_empty() {
        return Err(bad(1, "there are no rows".to_owned()));
    }
    Ok(Manifest { path: path.to_path_buf(), entries })
}

impl Manifest {
    /// The written split, for the same data folder: the same positions on each side.
    ///
    /// The file does not contain the split's settings: they become the defaults with [`Protocol::Given`], or with
    /// [`Protocol::All`] if every file is on the train side. `fingerprints` belong to `index.samples`, in the same order.
    ///
    /// # Errors
    /// [`Error::DataChanged`], with the files that are missing, added and changed; [`Error::InvalidSplit`] for a sample of another
    /// patient; those of [`Split::check`].
    pub fn resolve(&self, index: &Index, fingerprints: &[Fingerprint]) -> Result<Split> {
        let changes = self.changes(index, fingerprints)?;
        if changes != Changes::default() {
            return Err(Error::DataChanged {
                manifest: self.path.clone(),
                root: index.root.clone(),
                changes: Box::new(changes),
            });
        }
        self.check_patients(index)?;
        let position: HashMap<&str, usize> =
            index.samples.iter().enumerate().map(|(i, sample)| (sample.path.as_str(), i)).collect();
        let all = self.entries.iter().all(|entry| matches!(entry.subset, None | Some(Subset::Train)));
        let protocol = if all { Protocol::All } else { Protocol::Given };
        let config = SplitConfig { protocol, ..SplitConfig::default() };
        let mut split = Split { config, train: Vec::new(), validation: Vec::new(), test: Vec::new() };
        for entry in &self.entries {
            if let (Some(subset), Some(&i)) = (entry.subset, position.get(entry.path.as_str())) {
                split.side_mut(subset).push(i);
            }
        }
        for subset in Subset::ALL {
            split.side_mut(subset).sort_unstable();
        }
        split.check(index)?;
        Ok(split)
    }

    /// Differences between the data folder and the manifest.
    ///
    /// # Errors
    /// [`Error::Config`] if there is not one fingerprint per sample.
    pub fn changes(&self, index: &Index, fingerprints: &[Fingerprint]) -> Result<Changes> {
        same_length(index, fingerprints)?;
        let mut written: BTreeMap<&str, &Fingerprint> =
            self.entries.iter().map(|entry| (entry.path.as_str(), &entry.fingerprint)).collect();
        let mut changes = Changes::default();
        for (sample, fingerprint) in index.samples.iter().zip(fingerprints) {
            match written.remove(sample.path.as_str()) {
                None => changes.added.push(sample.path.clone()),
                Some(before) if before != fingerprint => changes.changed.push(sample.path.clone()),
                Some(_) => {}
            }
        }
        changes.missing = written.into_keys().map(str::to_owned).collect();
        Ok(changes)
    }

    /// Gives the samples of `index` that it has the patients of their rows, and spells the classes as its rows do.
    pub fn restore_names(&self, index: &mut Index) {
        let patients = self.patients();
        for sample in &mut index.samples {
            if let Some(&patient) = patients.get(sample.path.as_str()) {
                sample.patient = patient.map(str::to_owned);
            }
        }
        index.spell_classes(self.entries.iter().map(|entry| entry.class.as_str()));
    }

    /// The patient of each path.
    fn patients(&self) -> HashMap<&str, Option<&str>> {
        self.entries.iter().map(|entry| (entry.path.as_str(), entry.patient.as_deref())).collect()
    }

    /// Refuses an index with another patient for a path.
    fn check_patients(&self, index: &Index) -> Result<()> {
        let patients = self.patients();
        let written = |sample: &Sample| patients.get(sample.path.as_str()).copied().flatten();
        let Some(other) = index.samples.iter().find(|sample| sample.patient.as_deref() != written(sample))
        else {
            return Ok(());
        };
        let [now, before] =
            [other.patient.as_deref(), written(other)].map(|patient| patient.unwrap_or("no known patient"));
        let reason = format!(
            "`{}` is a cell of {now}; in `{}` it is one of {before}",
            other.path,
            self.path.display()
        );
        Err(Error::InvalidSplit { reason })
    }

    /// For each sample of any folder, the side that the same cell has in this manifest; `None` if it is on no side.
    ///
    /// Cells are matched by contents first, so a copy of a training cell is recognised in another folder and under
    /// another name. Cells of the NIH's set are also matched by class and file name with any extension, as they
    /// circulate in several formats and sizes. If the same contents are on several sides, the side of the same path
    /// counts, if there is one, else the first of train, validation and test.
    ///
    /// # Errors
    /// [`Error::Config`] if there is not one fingerprint per sample.
    pub fn match_index(&self, index: &Index, fingerprints: &[Fingerprint]) -> Result<Vec<Option<Subset>>> {
        same_length(index, fingerprints)?;
        let mut side_of: HashMap<&Fingerprint, Subset> = HashMap::new();
        let mut side_at: HashMap<(&str, &Fingerprint), Subset> = HashMap::new();
        let mut side_named: HashMap<(&str, &str), Subset> = HashMap::new();
        for entry in &self.entries {
            if let Some(subset) = entry.subset {
                side_at.insert((&entry.path, &entry.fingerprint), subset);
                let side = side_of.entry(&entry.fingerprint).or_insert(subset);
                *side = subset.min(*side);
                if let Some(name) = nih_name(&entry.path) {
                    let side = side_named.entry((entry.class.as_str(), name)).or_insert(subset);
                    *side = subset.min(*side);
                }
            }
        }
        let named = |sample: &Sample| {
            let class = index.classes[sample.class].as_str();
            nih_name(&sample.path).and_then(|name| side_named.get(&(class, name)).copied())
        };
        let side = |(sample, fingerprint): (&Sample, &Fingerprint)| {
            let at = side_at.get(&(sample.path.as_str(), fingerprint));
            at.or_else(|| side_of.get(fingerprint)).copied().or_else(|| named(sample))
        };
        Ok(index.samples.iter().zip(fingerprints).map(side).collect())
    }

    /// Its entries without their subsets: equal for two manifests of the same cells.
    #[must_use]
    pub fn cells(&self) -> Vec<Entry> {
        self.entries.iter().cloned().map(|entry| Entry { subset: None, ..entry }).collect()
    }

    /// Whether any of the samples of `index` at `indices` belongs to a patient with cells on the train or validation side: by
    /// the names in this manifest, which are meaningful only within one collection, or by those of the samples that `sides`,
    /// the result of [`match_index`](Self::match_index), finds there.
    pub fn shares_patients(&self, index: &Index, sides: &[Option<Subset>], indices: &[usize]) -> bool {
        let learned = |side: Option<Subset>| matches!(side, Some(Subset::Train | Subset::Validation));
        let written = self.entries.iter().filter(|entry| learned(entry.subset)).map(|entry| &entry.patient);
        let found = index.samples.iter().zip(sides).filter(|(_, side)| learned(**side));
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
