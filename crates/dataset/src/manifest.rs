//! A split on disk: one row a file, so that the same split can be had again, or be told from another.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::changes::Changes;
use crate::error::{Error, Result};
use crate::fingerprint::{Fingerprint, sha256_from_hex};
use crate::index::{Index, Sample};
use crate::names::{Subset, nih_name};
use crate::split::Split;
use crate::split_config::{Protocol, SplitConfig};

/// One row of a manifest, as its columns stand.
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
    /// Path below the data folder, as [`Sample::path`](crate::Sample::path).
    pub path: String,
    /// Name of its class.
    pub class: String,
    /// Its patient, where the file name tells.
    pub patient: Option<String>,
    /// Its side; `None` where the split left it out.
    pub subset: Option<Subset>,
    /// Size and hash of its contents.
    pub fingerprint: Fingerprint,
}

/// A split as it was written to disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The file it was read from.
    pub path: PathBuf,
    /// Its rows, in the order of the file: that of [`Index::samples`].
    pub entries: Vec<Entry>,
}

/// Writes every sample of `index` with its side of `split`, as CSV with the columns
/// `path,class,patient,subset,bytes,sha256`, in the order of the index.
///
/// `patient` is empty where it is not known, `subset` where the sample is on no side. The file appears whole or not
/// at all, and replaces one of that name.
///
/// # Errors
/// Where `fingerprints` are not one a sample, or the file cannot be written.
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

/// Reads what [`write_manifest`] wrote.
///
/// # Errors
/// Where the file cannot be read, has other columns, a row that does not fit them, a path twice, or no row.
pub fn read_manifest(path: &Path) -> Result<Manifest> {
    let file = std::fs::File::open(path).map_err(Error::io("read", path))?;
    let mut csv = csv::Reader::from_reader(std::io::BufReader::new(file));
    let bad = |line: u64, reason: String| Error::BadManifest { path: path.to_path_buf(), line, reason };
    let header = csv.headers().map_err(|error| bad(1, error.to_string()))?;
    if header != COLUMNS[..] {
        let found = header.iter().collect::<Vec<_>>().join(",");
        return Err(bad(1, format!("expected the columns {}, found {found}", COLUMNS.join(","))));
    }
    let mut entries: Vec<Entry> = Vec::new();
    let mut line_of: HashMap<String, u64> = HashMap::new();
    let mut record = csv::StringRecord::new();
    loop {
        let line = csv.position().line();
        match csv.read_record(&mut record) {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => return Err(bad(line, error.to_string())),
        }
        let row: Row = record.deserialize(None).map_err(|error| bad(line, error.to_string()))?;
        let sha256 = sha256_from_hex(&row.sha256).ok_or_else(|| {
            bad(line, format!("expected 64 hexadecimal digits in sha256, found `{}`", row.sha256))
        })?;
        if let Some(first) = line_of.insert(row.path.clone(), line) {
            return Err(bad(line, format!("`{}` stands on line {first} already", row.path)));
        }
        let fingerprint = Fingerprint { bytes: row.bytes, sha256 };
        let Row { path, class, patient, subset, .. } = row;
        entries.push(Entry { path, class, patient, subset, fingerprint });
    }
    if entries.is_empty() {
        return Err(bad(1, "there is no row".to_owned()));
    }
    Ok(Manifest { path: path.to_path_buf(), entries })
}

impl Manifest {
    /// The split that was written, for the same data folder: the same positions on each side.
    ///
    /// Its settings are not in the file: they stand as [`Protocol::Given`], or [`Protocol::All`] where no file is on
    /// another side than train, with defaults. `fingerprints` are those
    /// of `index.samples`, in their order.
    ///
    /// # Errors
    /// Where the folder has changed: [`Error::DataChanged`] with the files that are missing, added and changed; what
    /// [`Split::check`] refuses.
    pub fn resolve(&self, index: &Index, fingerprints: &[Fingerprint]) -> Result<Split> {
        let changes = self.changes(index, fingerprints)?;
        if changes != Changes::default() {
            return Err(Error::DataChanged {
                manifest: self.path.clone(),
                root: index.root.clone(),
                changes: Box::new(changes),
            });
        }
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

    /// How the data folder differs from the one that was written.
    ///
    /// # Errors
    /// Where `fingerprints` are not one a sample.
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

    /// For each sample of any folder, the side that its contents were on; `None` where they were on none.
    ///
    /// Contents are compared first, so that a copy of a cell that was trained on is known in another folder and under
    /// another name. A cell of the NIH's set is known by class and file name too, whatever its extension: the same cells
    /// are passed around in several formats and sizes. What was on several sides counts for the one that a test should
    /// worry about most: the side of the very path, if it is among them, else train before validation before test.
    ///
    /// # Errors
    /// Where `fingerprints` are not one a sample.
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

    /// Its cells, whatever subset they are in: two manifests of the same cells give the same.
    #[must_use]
    pub fn cells(&self) -> Vec<Entry> {
        self.entries.iter().cloned().map(|entry| Entry { subset: None, ..entry }).collect()
    }

    /// Whether any of the samples of `index` at `indices` is of a patient with cells on the train or validation side.
    /// Patients are told by their names, which say something only among cells of one collection.
    pub fn shares_patients(&self, index: &Index, indices: &[usize]) -> bool {
        let learned = |entry: &&Entry| matches!(entry.subset, Some(Subset::Train | Subset::Validation));
        let known: HashSet<&str> =
            self.entries.iter().filter(learned).filter_map(|entry| entry.patient.as_deref()).collect();
        indices.iter().any(|&i| index.samples[i].patient.as_deref().is_some_and(|name| known.contains(name)))
    }
}

fn same_length(index: &Index, fingerprints: &[Fingerprint]) -> Result<()> {
    if index.samples.len() != fingerprints.len() {
        return Err(Error::FingerprintCount { expected: index.samples.len(), found: fingerprints.len() });
    }
    Ok(())
}
