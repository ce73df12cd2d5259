//! What a run found in its data folder, in numbers and as a section of a report.

use std::path::PathBuf;

use malaria_dataset::{BadImage, Duplicate, Fold, Loaded, Protocol, Split, Subset};
use malaria_report::{Block, Section};
use serde::Serialize;

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

/// Which cells there were, and how they were divided.
pub(crate) fn data_section(data: &DataSummary) -> Section {
    let mut head = vec!["Subset".to_owned()];
    head.extend(data.classes.iter().cloned());
    head.push("Patients".to_owned());
    let rows = data.subsets.iter().map(|subset| {
        let mut row = vec![subset.subset.to_string()];
        row.extend(subset.cells.iter().map(usize::to_string));
        row.push(subset.patients.to_string());
        row
    });
    let mut blocks = vec![Block::Table { head, rows: rows.collect() }];
    blocks.push(Block::Text(format!(
        "Patients with cells in more than one subset: {}. Groups of files with the same bytes in more than one: {}; in folders of \
         more than one class: {}. Files that are not images: {}. Images that could not be read and were left out: {}.",
        data.shared_patients,
        data.duplicates_across.len(),
        data.doubly_labelled.len(),
        data.ignored,
        data.skipped.len()
    )));
    let doubled = data.duplicates_across.iter().chain(&data.doubly_labelled).map(|group| group.join(" = "));
    let lines: Vec<String> = doubled.chain(data.skipped.iter().cloned()).collect();
    if !lines.is_empty() {
        blocks.push(Block::Verbatim(lines.join("\n")));
    }
    Section { id: "data", heading: "Data".to_owned(), blocks }
}
