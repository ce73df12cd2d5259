use std::{
    env, fs,
    path::{Path, PathBuf},
};

use malaria_dataset::{
    BadImage, CorruptPolicy, Duplicate, Fold, Index, LoadOptions, Loaded, Protocol, Split, Subset,
    SyntheticConfig, load, write_synthetic,
};
use serde::Serialize;

use crate::{Error, Progress, Result, experiment::Listener, memory::check_room};

/// Who is in one subset.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SubsetSummary {
    /// Which.
    pub subset: Subset,
    /// Cells by class, in the order of the classes.
    pub cells: Vec<usize>,
    /// Distinct patients.
    pub patients: usize,
}

/// What a run found in its data folder and how it was divided.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DataSummary {
    /// The folder.
    pub folder: PathBuf,
    /// Whether the cells are drawn ones, on which a figure says nothing about malaria.
    pub drawn: bool,
    /// Class names, sorted.
    pub classes: Vec<String>,
    /// How cells were divided.
    pub protocol: Protocol,
    /// Training, validation and test set.
    pub subsets: Vec<SubsetSummary>,
    /// Patients with cells in more than one subset: 0 where the protocol is `patient`.
    pub shared_patients: usize,
    /// Groups of files with the same bytes on different sides of the split: their paths.
    pub duplicates_across: Vec<Vec<String>>,
    /// Groups of files with the same bytes in folders of different classes, so that one of the labels is wrong.
    pub doubly_labelled: Vec<Vec<String>>,
    /// The fold of a cross-validation that this is, where it is one.
    pub fold: Option<Fold>,
    /// Test cells that the weights of `--init` have learned from: figures on them are too good. `None` where that is not known, as
    /// a run that those weights come from cannot be read any more.
    pub test_cells_seen_by_init: Option<usize>,
    /// Files that are not images.
    pub ignored: usize,
    /// Images left out since they cannot be read: path and reason.
    pub skipped: Vec<String>,
}

/// The data folder to use when none is named: `MALARIA_DATA`, or `cell_images` in the current folder.
pub fn default_data() -> Option<PathBuf> {
    let named = env::var_os("MALARIA_DATA").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    named.or_else(|| Some(PathBuf::from("cell_images")).filter(|folder| folder.is_dir()))
}

/// How a folder is divided when nobody says: as it is where it holds `training`, `validation` and `testing`, at random
/// otherwise.
pub fn default_protocol(data: Option<&Path>) -> Protocol {
    match data {
        Some(folder) if folder.join("training").is_dir() => Protocol::Given,
        _ => Protocol::Random,
    }
}

/// The folder of drawn cells beside the run directories, drawn at the first call.
pub(crate) fn drawn_cells(beside: &Path, listener: Listener<'_>) -> Result<PathBuf> {
    let config = SyntheticConfig::default();
    let folder = beside.join(format!("drawn-cells-{}-seed{}", config.cells, config.seed));
    if !folder.is_dir() {
        fs::create_dir_all(beside).map_err(Error::io("make the folder", beside))?;
        write_synthetic(&folder, &config, &|done| listener(Progress::Drawing { done, total: config.cells }))?;
    }
    Ok(folder)
}

/// Decodes the cells of `index`.
pub(crate) fn decode_index(
    index: Index,
    image: crate::ImageConfig,
    corrupt: CorruptPolicy,
    listener: Listener<'_>,
) -> Result<Loaded> {
    let total = index.samples.len();
    check_room(total, image.pixels)?;
    let progress = |done| listener(Progress::Decoding { done, total });
    let options =
        LoadOptions { size: image.pixels, resize: image.resize, corrupt, progress: Some(&progress) };
    Ok(load(index, options)?)
}

/// Counts what a run is told of its data.
pub(crate) fn summarise(
    loaded: &Loaded,
    split: &Split,
    drawn: bool,
    seen_by_init: Option<usize>,
) -> DataSummary {
    let index = &loaded.index;
    let subsets = [Subset::Train, Subset::Validation, Subset::Test].map(|subset| {
        let indices = split.subset(subset);
        let mut cells = vec![0; index.classes.len()];
        let mut patients: Vec<_> =
            indices.iter().filter_map(|&i| index.samples[i].patient.as_ref()).collect();
        patients.sort_unstable();
        patients.dedup();
        for &i in indices {
            cells[index.samples[i].class] += 1;
        }
        SubsetSummary { subset, cells, patients: patients.len() }
    });
    let duplicates = malaria_dataset::duplicates(index, &loaded.fingerprints, split);
    let paths = |which: fn(&Duplicate) -> bool| -> Vec<Vec<String>> {
        let path = |&i: &usize| index.samples[i].path.clone();
        duplicates
            .iter()
            .filter(|group| which(group))
            .map(|group| group.samples.iter().map(path).collect())
            .collect()
    };
    DataSummary {
        folder: index.root.clone(),
        drawn,
        classes: index.classes.clone(),
        protocol: split.config.protocol,
        subsets: subsets.into(),
        shared_patients: split.leakage(index).shared_patients.len(),
        duplicates_across: paths(|group| group.across_sides),
        doubly_labelled: paths(|group| group.across_classes),
        fold: split.config.fold,
        test_cells_seen_by_init: seen_by_init,
        ignored: index.ignored,
        skipped: loaded.skipped.iter().map(reason).collect(),
    }
}

/// Which image was left out, and why.
pub(crate) fn reason(bad: &BadImage) -> String {
    format!("{}: {}", bad.path.display(), bad.reason)
}
