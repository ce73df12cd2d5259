//! Summary of a run's data: counts, duplicates and skipped images, also as a section of the page of results.

use std::{collections::BTreeSet, path::PathBuf};

use malaria_dataset::{Duplicate, Fold, Loaded, Protocol, Split, Subset, UnknownPatients};
use malaria_report::{Block, Section};
use serde::Serialize;

/// Numbers of cells and patients of one subset.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SubsetSummary {
    /// The subset.
    pub subset: Subset,
    /// Cells by class, in the order of the classes.
    pub cells: Vec<usize>,
    /// Distinct patients.
    pub patients: usize,
}

/// Summary of a run's data folder and split.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DataSummary {
    /// The folder.
    pub folder: PathBuf,
    /// Whether the cells are synthetic, so that metrics mean nothing for malaria.
    pub synthetic: bool,
    /// Class names, sorted.
    pub classes: Vec<String>,
    /// How cells were split.
    pub protocol: Protocol,
    /// Training, validation and test set.
    pub subsets: Vec<SubsetSummary>,
    /// Patients with cells in more than one subset: 0 where the protocol is `patient`.
    pub shared_patients: usize,
    /// The cells of unknown patients, if there are any.
    pub unknown_patients: Option<UnknownPatients>,
    /// Words on patients with nearly the same name, if there are any.
    pub similar_patients: Option<String>,
    /// Groups of pictures with the same pixels in more than one subset, as paths.
    pub duplicates_across: Vec<Vec<String>>,
    /// Groups of pictures with the same pixels in folders of different classes, so that one of the labels is wrong.
    pub doubly_labelled: Vec<Vec<String>>,
    /// The fold of a cross-validation, if the run is one.
    pub fold: Option<Fold>,
    /// Test cells that the weights of `--init` were trained on, which inflates the metrics. `None` if this is unknown
    /// because a parent run of those weights can no longer be read.
    pub test_cells_seen_by_init: Option<usize>,
    /// Validation cells that the weights of `--init` were trained on; the threshold is chosen on these cells.
    pub validation_cells_seen_by_init: Option<usize>,
    /// Files that are not images.
    pub ignored: Vec<String>,
    /// Unreadable images that were skipped: path and reason.
    pub skipped: Vec<String>,
}

/// Summarises the data of a run.
pub(crate) fn summarise(
    loaded: &Loaded,
    split: &Split,
    synthetic: bool,
    [test_seen, validation_seen]: [Option<usize>; 2],
) -> DataSummary {
    let index = &loaded.index;
    let subsets = [Subset::Train, Subset::Validation, Subset::Test].map(|subset| {
        let indices = split.subset(subset);
        let mut cells = vec![0; index.classes.len()];
        let patients: BTreeSet<_> =
            indices.iter().filter_map(|&i| index.samples[i].patient.as_ref()).collect();
        for &i in indices {
            cells[index.samples[i].class] += 1;
        }
        SubsetSummary { subset, cells, patients: patients.len() }
    });
    let duplicates = malaria_dataset::duplicates(index, &loaded.pixel_fingerprints(), split);
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
        synthetic,
        classes: index.classes.clone(),
        protocol: split.config.protocol,
        subsets: subsets.into(),
        shared_patients: split.leakage(index).shared_patients.len(),
        unknown_patients: index.unknown_patients(),
        similar_patients: index.similar_patients(),
        duplicates_across: paths(|group| group.across_subsets),
        doubly_labelled: paths(|group| group.across_classes),
        fold: split.config.fold,
        test_cells_seen_by_init: test_seen,
        validation_cells_seen_by_init: validation_seen,
        ignored: index.ignored.clone(),
        skipped: skipped_images(loaded),
    }
}

/// The unreadable images that were skipped: path and reason.
pub(crate) fn skipped_images(loaded: &Loaded) -> Vec<String> {
    loaded.skipped.iter().map(|bad| format!("{}: {}", bad.path.display(), bad.reason)).collect()
}

/// The page's section about the data and the split.
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
        "Patients with cells in more than one subset: {}. Cells of unknown patients: {}. Groups of \
         pictures with the same pixels in more than one subset: {}; in folders of more than one class: {}. \
         Files that are not images: {}. Unreadable images that were skipped: {}.",
        data.shared_patients,
        data.unknown_patients.as_ref().map_or(0, |unknown| unknown.cells),
        data.duplicates_across.len(),
        data.doubly_labelled.len(),
        data.ignored.len(),
        data.skipped.len()
    )));
    let doubled = data.duplicates_across.iter().chain(&data.doubly_labelled).map(|group| group.join(" = "));
    let lines: Vec<String> = doubled.chain(data.skipped.iter().cloned()).collect();
    if !lines.is_empty() {
        blocks.push(Block::Verbatim(lines.join("\n")));
    }
    Section { id: "data", heading: "Data".to_owned(), blocks }
}
