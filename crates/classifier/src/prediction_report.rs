//! Predictions as a table, as CSV and as a JSON document, for the programs `malaria` and `malaria-edge`.

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    fmt::{self, Display},
    path::Path,
};

use malaria_dataset::{ListedImage, UnknownPatients};
use malaria_files::one_line;
use malaria_metrics::{CellCounts, percent};
use serde::{Deserialize, Serialize};

use crate::{
    classify::Prediction,
    description::Description,
    error::{Error, Result},
    patient_calls::{PatientPrediction, call_complete_patients, owners},
    patient_rule::{CellTally, PatientVerdict},
};

/// The model and the program that produced a result.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// Name and version of the program.
    pub program: String,
    /// The model's run directory or file.
    pub model: String,
    /// SHA-256 of its file, the ONNX file or a run's weights, in hexadecimal digits. Reviewed smears of format 1 have the hash of
    /// the weights from which an ONNX file was exported, which new thresholds do not change.
    #[serde(alias = "weights_sha256")]
    pub model_sha256: String,
}

impl fmt::Display for Provenance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { program, model, model_sha256 } = self;
        write!(f, "model: {model} (SHA-256 {model_sha256:.12}), by {program}")
    }
}

/// Predictions for pictures and for their patients. Serializes as the JSON document of the programs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PredictionReport {
    /// One prediction per picture.
    pub cells: Vec<Prediction>,
    /// Cells with a warning, which do not count for patients.
    pub not_counted: usize,
    /// Cells with the pixels of an earlier one. For patients they count once, or not at all if they belong to several patients.
    pub n_copies: usize,
    /// Those of these cells that belong to several patients.
    pub n_shared: usize,
    /// The share of all cells with a probability from 10 to 90 %; `None` for fewer than 30 cells.
    pub uncertain_share: Option<f64>,
    /// The share of all cells with a warning; `None` for fewer than 30 cells.
    pub unlike_share: Option<f64>,
    /// Whether one of these shares is too large, see [`SmearRule::is_unfamiliar`](crate::SmearRule::is_unfamiliar).
    pub unfamiliar: bool,
    /// The pictures of unknown patients, which count for no patient; `None` if there are none, and without patients.
    pub unknown_patients: Option<UnknownPatients>,
    /// One prediction per patient; empty if patients are not called.
    pub patients: Vec<PatientPrediction>,
    /// Notes on the list of pictures, such as the files that were skipped.
    pub notes: Vec<String>,
    /// Pictures that were not classified, because the work was stopped.
    pub not_reached: usize,
    /// How cells and patients are called, as text.
    pub rule: String,
    /// The model and the program that made the predictions.
    pub made_by: Provenance,
    #[serde(skip)]
    positive: String,
}

impl PredictionReport {
    /// A report of `cells` and, `with_patients`, of their patients. `not_reached` are the pictures that were not
    /// classified, because the work was stopped; their patients are not called.
    ///
    /// # Errors
    /// As [`call_patients`](crate::call_patients).
    pub fn new(
        description: &Description,
        cells: Vec<Prediction>,
        not_reached: &[ListedImage],
        with_patients: bool,
        made_by: Provenance,
    ) -> Result<Self> {
        let warned = |cell: &&Prediction| cell.class.is_some() && cell.warning.is_some();
        let patients = || cells.iter().map(|cell| (cell.path.to_string_lossy(), &cell.patient));
        let owners = owners(&cells);
        let is_shared = |cell: &&Prediction| {
            let pixels = cell.pixels_sha256.as_deref().filter(|_| cell.patient.is_some());
            pixels.is_some_and(|pixels| owners.get(pixels) == Some(&None))
        };
        let n_shared = cells.iter().filter(is_shared).count();
        let call = || call_complete_patients(description, &cells, not_reached);
        let mut all = CellTally::default();
        let mut seen = HashSet::new();
        let (new, copies): (Vec<&Prediction>, Vec<_>) = cells
            .iter()
            .partition(|cell| cell.pixels_sha256.as_ref().is_none_or(|pixels| seen.insert(pixels)));
        for (cell, probability) in new.iter().filter_map(|cell| Some((cell, cell.probability?))) {
            all.count(probability, false);
            all.unlike += u64::from(cell.warning.is_some());
        }
        Ok(Self {
            n_copies: copies.len(),
            n_shared,
            uncertain_share: all.uncertain_share(),
            unlike_share: all.unlike_share(),
            unfamiliar: description.smear.as_ref().is_some_and(|smear| smear.is_unfamiliar(&all)),
            unknown_patients: if with_patients { UnknownPatients::among(patients()) } else { None },
            not_counted: if with_patients { cells.iter().filter(warned).count() } else { 0 },
            patients: if with_patients { call()? } else { Vec::new() },
            notes: Vec::new(),
            not_reached: not_reached.len(),
            rule: description.calling_note(),
            made_by,
            positive: description.positive.clone(),
            cells,
        })
    }

    /// Pictures without a class: those that could not be read or do not show a single cell.
    pub fn unreadable(&self) -> usize {
        self.cells.iter().filter(|cell| cell.error.is_some()).count()
    }

    /// The lines that programs print on standard error after the predictions, and their exit code: 130 if the work was
    /// stopped, 1 if a picture has no class, else 0.
    pub fn outcome(&self) -> (Vec<String>, u8) {
        let (stopped, unreadable) = (self.not_reached, self.unreadable());
        let all = self.cells.len() + stopped;
        let mut lines = Vec::new();
        if unreadable > 0 {
            lines.push(format!("{unreadable} of {all} pictures have no class"));
        }
        if stopped > 0 {
            lines.push(format!("stopped: {stopped} of {all} pictures are not classified"));
        }
        let code = match (stopped, unreadable) {
            (0, 0) => 0,
            (0, _) => 1,
            _ => 130,
        };
        (lines, code)
    }

    /// Cells that the model was trained or selected on.
    pub fn seen_in_training(&self) -> usize {
        self.cells.iter().filter(|cell| cell.seen_in_training == Some(true)).count()
    }

    /// One row per cell: `path,patient,class,probability,warning,error,pixels_sha256,seen_in_training`.
    ///
    /// # Errors
    /// [`Error::Encode`].
    pub fn csv(&self) -> Result<String> {
        let failed = |error: &dyn Display| Error::Encode(error.to_string());
        let mut writer = csv::Writer::from_writer(Vec::new());
        self.cells.iter().try_for_each(|cell| writer.serialize(cell)).map_err(|error| failed(&error))?;
        let bytes = writer.into_inner().map_err(|error| failed(&error))?;
        String::from_utf8(bytes).map_err(|error| failed(&error))
    }

    /// A table of cells, one of patients, then `notes` and the rule, each on a separate line.
    pub fn table(&self, notes: &[String]) -> String {
        let mut text = self.cell_table();
        if !self.patients.is_empty() {
            text += &format!("\n{}", self.patient_table());
        }
        if self.not_counted > 0 {
            text += &format!("cells with a warning, which do not count for patients: {}\n", self.not_counted);
        }
        if self.n_copies > 0 {
            text += &format!("copies of other pictures (same pixels): {}\n", self.n_copies);
        }
        if self.n_shared > 0 {
            text += &format!("pictures of several patients, which count for none: {}\n", self.n_shared);
        }
        if self.seen_in_training() > 0 {
            text += &format!(
                "pictures that the model was trained or selected on, so their calls are optimistic: {}\n",
                self.seen_in_training()
            );
        }
        if self.unfamiliar {
            text += &format!(
                "the pictures are unlike the training cells and the calls are unreliable: {} of the cells \
                 are uncertain, {} have a warning\n",
                percent(self.uncertain_share),
                percent(self.unlike_share)
            );
        }
        if let Some(unknown) = &self.unknown_patients {
            text += &format!("{}; they count for no patient\n", one_line(&unknown.to_string()));
        }
        if self.not_reached > 0 {
            text += &format!("pictures not classified, because the work was stopped: {}\n", self.not_reached);
        }
        self.notes.iter().for_each(|note| text += &format!("{}\n", one_line(note)));
        text += "\n";
        notes.iter().for_each(|note| text += &format!("{note}\n"));
        text += &format!("{}\n", self.made_by);
        text + &format!("{}\nResearch software, not a medical device.\n", self.rule)
    }

    fn cell_table(&self) -> String {
        let heading = format!("p({})", self.positive);
        let width = heading.chars().count().max(7);
        let mut text = format!("{:<12} {heading:>width$}  picture\n", "class");
        let mut first_of: HashMap<&str, &Path> = HashMap::new();
        for Prediction { path, class, probability, warning, error, pixels_sha256, .. } in &self.cells {
            let copy = match pixels_sha256.as_ref().map(|pixels| first_of.entry(pixels)) {
                Some(Entry::Occupied(first)) => {
                    format!("  [copy of {}]", one_line(&first.get().to_string_lossy()))
                }
                Some(Entry::Vacant(place)) => {
                    place.insert(path);
                    String::new()
                }
                None => String::new(),
            };
            let class = class.as_deref().unwrap_or("unreadable");
            let probability = percent(*probability);
            let warning = warning.as_ref().map(|warning| format!("  [{warning}]")).unwrap_or_default();
            let error = error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
            text += &format!(
                "{class:<12} {probability:>width$}  {}{warning}{copy}{}\n",
                one_line(&path.to_string_lossy()),
                one_line(&error)
            );
        }
        text
    }

    fn patient_table(&self) -> String {
        let mut text = format!(
            "{:<9} {:>6} {:>9}  infected cells (95 % interval)  call\n",
            "patient", "cells", "positive"
        );
        for PatientPrediction { patient, verdict } in &self.patients {
            let PatientVerdict { result, words, .. } = verdict;
            let [low, high] = [result.interval.low, result.interval.high].map(|share| percent(Some(share)));
            let interval = match result.infected_share {
                Some(share) => format!("{} ({low} to {high})", percent(Some(share))),
                None => "n/a".to_owned(),
            };
            let CellCounts { cells, positive } = result.called;
            let patient = one_line(patient);
            text += &format!("{patient:<9} {cells:>6} {positive:>9}  {interval:<30}  {words}\n");
        }
        text
    }
}
