//! Formats counts as tables for people, CSV and JSON.

use std::path::Path;

use malaria_classifier::{Description, PatientVerdict, Provenance};
use malaria_dataset::ListedImage;
use malaria_files::one_line;
use malaria_metrics::percent;
use serde::Serialize;

use crate::call::Call;
use crate::counts::{FieldCount, PatientCount};
use crate::field_result::FieldResult;
use crate::find::Smear;
use crate::finder_errors;
use crate::object::{Kind, Object};

/// The columns of `cells.csv`: the fields of [`CellRow`].
const COLUMNS: [&str; 12] = [
    "image",
    "number",
    "x",
    "y",
    "w",
    "h",
    "probability",
    "called",
    "patient",
    "touches_border",
    "warning",
    "excluded",
];

/// The counts of photographs and patients. Serializes as the JSON document of the programs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SmearReport {
    /// One for each photograph.
    pub photographs: Vec<FieldCount>,
    /// One for each patient; a single one without a name where no patient is known.
    pub patients: Vec<PatientCount>,
    /// Photographs of unknown patients if patients of others are known: they count for no patient.
    pub unknown_patients: usize,
    /// Notes on the list of photographs, such as the files that were skipped.
    pub notes: Vec<String>,
    /// Photographs that were not counted, because the count was stopped.
    pub not_reached: usize,
    /// Results that could not be written, and why.
    pub unwritten: Vec<String>,
    /// How cells and patients are called, as text.
    pub rule: String,
    /// The program and the model that made the counts.
    pub made_by: Provenance,
    /// All objects, in the order of the photographs.
    #[serde(skip)]
    pub cells: Vec<CellRow>,
    /// The objects by photograph, if [`CountOptions::field_results`](crate::CountOptions) is set.
    #[serde(skip)]
    pub field_results: Vec<FieldResult>,
    #[serde(skip)]
    positive: String,
}

/// An object in a photograph: a line of `cells.csv`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CellRow {
    /// The photograph's path.
    pub image: String,
    /// Number of the red cell in the photograph, from 1.
    pub number: Option<usize>,
    /// First column of the object, in pixels of the photograph turned upright.
    pub x: u32,
    /// First row.
    pub y: u32,
    /// Width in pixels.
    pub w: u32,
    /// Height in pixels.
    pub h: u32,
    /// Probability of the positive class.
    pub probability: Option<f64>,
    /// The called class of the red cell.
    pub called: Option<String>,
    /// The patient.
    pub patient: Option<String>,
    /// Whether it reaches the edge of the picture, so that part of it may be missing.
    pub touches_border: bool,
    /// How the red cell differs from the training cells, which makes its probability unreliable.
    pub warning: Option<String>,
    /// Its kind if it does not count as a red cell; empty for red cells.
    pub excluded: Option<Kind>,
}

impl CellRow {
    /// The rows of all objects of a photograph; `calls` are those of its red cells.
    pub(crate) fn of_objects(photo: &ListedImage, smear: &Smear, calls: &[Call]) -> Vec<Self> {
        let mut calls = (1..).zip(calls);
        let row = |object: &Object| {
            let red = object.kind == Kind::RedCell;
            let call = if red { calls.next() } else { None };
            Self {
                image: photo.path.to_string_lossy().into_owned(),
                number: call.map(|(number, _)| number),
                x: object.bounds.x,
                y: object.bounds.y,
                w: object.bounds.width,
                h: object.bounds.height,
                probability: call.map(|(_, call)| call.probability),
                called: call.map(|(_, call)| call.class.clone()),
                patient: photo.patient.clone(),
                touches_border: object.touches_border,
                warning: call.and_then(|(_, call)| call.warning.clone()),
                excluded: (!red).then_some(object.kind),
            }
        };
        smear.objects.iter().map(row).collect()
    }
}

impl SmearReport {
    pub(crate) fn new(
        description: &Description,
        photographs: Vec<FieldCount>,
        patients: Vec<PatientCount>,
        cells: Vec<CellRow>,
        made_by: Provenance,
    ) -> Self {
        let known = photographs.iter().any(|field| field.patient.is_some());
        let unknown = photographs.iter().filter(|field| known && field.patient.is_none()).count();
        let positive = description.positive.clone();
        let rule = match description.patient_caller() {
            Ok((smear, _)) => format!("{} {}", smear.note(&positive), finder_errors::NOTE),
            Err(_) => description.calling_note(),
        };
        Self {
            photographs,
            patients,
            unknown_patients: unknown,
            notes: Vec::new(),
            not_reached: 0,
            unwritten: Vec::new(),
            rule,
            made_by,
            cells,
            field_results: Vec::new(),
            positive,
        }
    }

    /// Number of photographs that could not be read or were refused.
    #[must_use]
    pub fn failed(&self) -> usize {
        self.photographs.iter().filter(|field| field.error.is_some()).count()
    }

    /// One row per object: `image,number,x,y,w,h,probability,called,patient,touches_border,warning,excluded`.
    ///
    /// # Errors
    /// Only a lack of memory, since the rows are plain values.
    pub fn csv(&self) -> csv::Result<String> {
        let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
        writer.write_record(COLUMNS)?;
        self.cells.iter().try_for_each(|cell| writer.serialize(cell))?;
        let bytes = writer.into_inner().map_err(csv::IntoInnerError::into_error)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Writes `cells.csv`.
    pub(crate) fn write_csv(&self, folder: &Path) -> malaria_files::Result<()> {
        let path = folder.join("cells.csv");
        let failed = malaria_files::Error::io("write", &path);
        let csv = self.csv().map_err(|error| failed(std::io::Error::other(error)))?;
        malaria_files::write(&path, csv.as_bytes()).map_err(failed)
    }

    /// Writes `smear.json`.
    pub(crate) fn write_json(&self, folder: &Path) -> malaria_files::Result<()> {
        malaria_files::write_json(&folder.join("smear.json"), self)
    }

    /// One line for each photograph that has an error or a caveat, or is a copy.
    #[must_use]
    pub fn remarks(&self) -> Vec<String> {
        let remarks = self.photographs.iter().map(|field| (&field.image, field.remarks()));
        remarks
            .filter(|(_, words)| !words.is_empty())
            .map(|(image, words)| format!("{image}: {words}"))
            .collect()
    }

    /// A table of photographs, one of patients, then the rule.
    #[must_use]
    pub fn table(&self) -> String {
        let mut unknown = match self.unknown_patients {
            0 => String::new(),
            photographs => {
                format!("photographs of unknown patients, which count for no patient: {photographs}\n")
            }
        };
        let notes: String = self.notes.iter().map(|note| format!("{}\n", one_line(note))).collect();
        if self.not_reached > 0 {
            unknown +=
                &format!("photographs not counted, because the count was stopped: {}\n", self.not_reached);
        }
        format!(
            "{}\n{}{unknown}{notes}\nThese are counts of infected cells, not of parasites; neither species nor stages are identified.\n{}\n{}\n\
             Research software, not a medical device.\n",
            self.photograph_table(),
            self.patient_table(),
            self.made_by,
            self.rule
        )
    }

    fn photograph_table(&self) -> String {
        let width =
            self.photographs.iter().map(|field| field.image.chars().count()).max().unwrap_or(0).max(10);
        let mut text = format!(
            "{:<width$}  red cells  {:>11}  white cells  clumps  remarks\n",
            "photograph", self.positive
        );
        for field in &self.photographs {
            let FieldCount { red_cells, infected, white_cells, clumps, .. } = field;
            let image = one_line(&field.image);
            let line = format!(
                "{image:<width$}  {red_cells:>9}  {infected:>11}  {white_cells:>11}  {clumps:>6}  {}",
                one_line(&field.remarks())
            );
            text += &format!("{}\n", line.trim_end());
        }
        text
    }

    fn patient_table(&self) -> String {
        let mut text = format!(
            "{:<9} {:>11} {:>9} {:>11}  {:>9}  infected cells (95 % interval)  call\n",
            "patient", "photographs", "red cells", self.positive, "share"
        );
        for count in &self.patients {
            let patient = one_line(count.patient.as_deref().unwrap_or("all"));
            let PatientCount { photographs, red_cells, infected, verdict, .. } = count;
            let raw = (*red_cells > 0).then(|| *infected as f64 / *red_cells as f64);
            let words = verdict.as_ref().map_or("not called", |verdict| &verdict.words);
            let corrected = verdict.as_ref().map_or_else(String::new, |PatientVerdict { result, .. }| {
                let [low, high] =
                    [result.interval.low, result.interval.high].map(|share| percent(Some(share)));
                result
                    .infected_share
                    .map_or("n/a".to_owned(), |share| format!("{} ({low} to {high})", percent(Some(share))))
            });
            let failed = match count.failed {
                0 => String::new(),
                photographs => format!("; {photographs} photographs could not be counted"),
            };
            let per_microlitre = count.infected_per_microlitre.map_or_else(String::new, |found| {
                format!("; {:.0} ({:.0} to {:.0}) per microlitre", found.estimate, found.low, found.high)
            });
            text += &format!(
                "{patient:<9} {photographs:>11} {red_cells:>9} {infected:>11}  {:>9}  {corrected:<30}  {words}{per_microlitre}{failed}\n",
                percent(raw)
            );
        }
        text
    }
}
