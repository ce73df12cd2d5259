//! The photographs of one patient with a person's corrections, and the model's and corrected counts.

use std::collections::HashSet;

use malaria_classifier::{Description, Provenance};
use malaria_dataset::Fingerprint;
use malaria_metrics::{Interval, exact_interval};
use serde::{Deserialize, Serialize};

use crate::count::count_patients;
use crate::counts::{FieldCount, PatientCount, PerMicrolitre};
use crate::duplicates::CellPositions;
use crate::error::{Error, Result};
use crate::field_result::FieldResult;
use crate::flag_values::RED_CELLS_PER_MICROLITRE;
use crate::object_record::{Judgement, ObjectRecord};

/// Version of the format of a [`ReviewedSmear`].
pub const REVIEW_FORMAT: u32 = 2;
/// Level of the intervals.
const CONFIDENCE: f64 = 0.95;

/// A smear read by a person: the record of a report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReviewedSmear {
    /// [`REVIEW_FORMAT`].
    pub format_version: u32,
    /// Language of the report, two letters of ISO 639-1.
    pub language: String,
    /// The patient, as typed; may be empty.
    pub patient: String,
    /// The slide, as typed; may be empty.
    pub slide: String,
    /// The person who read it, as typed; may be empty.
    pub operator: String,
    /// The date of the reading, as typed or set by the browser; may be empty.
    pub read_on: String,
    /// Red cells per microlitre of blood.
    pub red_cells_per_microlitre: Option<f64>,
    /// Whether the person has looked through the photographs. It counts only if the model suspects no cell, when there
    /// is nothing to judge.
    #[serde(default)]
    pub looked_through: bool,
    /// The model.
    pub made_by: Provenance,
    /// The photographs.
    pub fields: Vec<ReviewedField>,
}

/// A photograph of a [`ReviewedSmear`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReviewedField {
    /// SHA-256 of the file, in hexadecimal digits.
    pub sha256: String,
    /// The objects found, with a person's judgements.
    #[serde(flatten)]
    pub reading: FieldResult,
    /// Red cells that a person added where none was found.
    #[serde(default)]
    pub added: Vec<AddedCell>,
}

/// A red cell that the finder missed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct AddedCell {
    /// Column of its centre, in pixels of the photograph turned upright.
    pub x: u32,
    /// Row of its centre.
    pub y: u32,
    /// Whether it is infected.
    pub infected: bool,
}

/// The counts of a [`ReviewedSmear`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// The model's counts and its call of the patient, without corrections; `None` without photographs.
    pub machine: Option<PatientCount>,
    /// Pairs of photographs, by their positions in the reading, that show the same cells at the same places, so that these
    /// cells count twice.
    pub repeated: Vec<[usize; 2]>,
    /// Red cells called infected.
    pub suspects: u64,
    /// Those of them that a person has judged.
    pub reviewed: u64,
    /// The corrected counts; `None` while suspects remain to be judged, without suspects until the person has [looked
    /// through](ReviewedSmear::looked_through) the photographs, and without red cells.
    pub corrected: Option<Corrected>,
}

/// The counts after a person has judged every suspect.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Corrected {
    /// Red cells: those found and not rejected, and those added.
    pub red_cells: u64,
    /// Infected cells among them, all seen by the person.
    pub infected: u64,
    /// Their share.
    pub infected_share: f64,
    /// Its exact 95 % interval (Clopper and Pearson 1934), for the number of cells counted. It does not cover infected cells
    /// that the model and the person missed. The finder's errors are not added: the person sees and corrects them.
    pub interval: Interval,
    /// Infected cells per microlitre of blood, if the number of red cells per microlitre is known.
    pub infected_per_microlitre: Option<PerMicrolitre>,
}

impl ReviewedField {
    /// The reading of the encoded photograph `contents`, without corrections.
    #[must_use]
    pub fn new(contents: &[u8], reading: FieldResult) -> Self {
        Self { sha256: Fingerprint::of(contents).hex(), reading, added: Vec::new() }
    }
}

impl ReviewedSmear {
    /// Refuses an invalid record.
    ///
    /// # Errors
    /// [`Error::ReviewedSmear`] for another format, red cells per microlitre out of range, a repeated picture, cells outside
    /// their picture, probabilities outside `[0, 1]`, and calls without one.
    pub fn check(&self) -> Result<()> {
        let refuse = |reason: String| Err(Error::ReviewedSmear { reason });
        if self.format_version != REVIEW_FORMAT {
            return refuse(format!(
                "expected format version {REVIEW_FORMAT}, found {}: use the version of this program that wrote it",
                self.format_version
            ));
        }
        if let Some(number) =
            self.red_cells_per_microlitre.filter(|number| !RED_CELLS_PER_MICROLITRE.contains(number))
        {
            return refuse(format!("expected 500000 to 10000000 red cells per microlitre, found {number}"));
        }
        let mut seen = HashSet::new();
        for field in &self.fields {
            let FieldResult { width, height, count, objects, .. } = &field.reading;
            let pixels = count.pixels_sha256.as_ref().unwrap_or(&field.sha256);
            if !seen.insert(pixels) {
                return refuse(format!("the picture `{}` occurs twice", count.image));
            }
            let ends =
                |at: u32, length: u32, side: u32| at.checked_add(length).is_some_and(|end| end <= side);
            let inside = objects
                .iter()
                .map(|object| object.bounds)
                .all(|bounds| ends(bounds.x, bounds.width, *width) && ends(bounds.y, bounds.height, *height));
            let called = |object: &ObjectRecord| match object.probability {
                Some(probability) => (0.0..=1.0).contains(&probability),
                None => !object.infected && !object.warned,
            };
            if !objects.iter().all(called) {
                return refuse(format!("an invalid probability of a cell in `{}`", count.image));
            }
            if !inside || !field.added.iter().all(|cell| cell.x < *width && cell.y < *height) {
                return refuse(format!("a cell outside of the picture `{}`", count.image));
            }
        }
        Ok(())
    }

    /// Counts the cells as called by the model and as judged by the person.
    ///
    /// # Errors
    /// Those of [`check`](Self::check).
    pub fn summary(&self, description: &Description) -> Result<Summary> {
        self.check()?;
        let patient = Some(self.patient.trim().to_owned()).filter(|patient| !patient.is_empty());
        let counts = self.fields.iter().map(|field| FieldCount {
            patient: patient.clone(),
            copy_of: None,
            ..field.reading.recounted(description)
        });
        let counts: Vec<_> = counts.collect();
        let machine = count_patients(description, &counts, self.red_cells_per_microlitre)?.pop();
        let objects = || self.fields.iter().flat_map(|field| &field.reading.objects);
        let suspects = objects().filter(|object| object.infected).count() as u64;
        let reviewed =
            objects().filter(|object| object.infected && object.judgement.is_some()).count() as u64;
        let seen = suspects == reviewed && (suspects > 0 || self.looked_through);
        let corrected = if seen { self.corrected()? } else { None };
        Ok(Summary { machine, repeated: self.repeated(), suspects, reviewed, corrected })
    }

    fn repeated(&self) -> Vec<[usize; 2]> {
        let places: Vec<CellPositions> =
            self.fields.iter().map(|field| CellPositions::of(&field.reading)).collect();
        let first = |later: usize| (0..later).find(|&earlier| places[later].match_those_of(&places[earlier]));
        (0..places.len()).filter_map(|later| Some([first(later)?, later])).collect()
    }

    fn corrected(&self) -> Result<Option<Corrected>> {
        let objects = || self.fields.iter().flat_map(|field| &field.reading.objects);
        let added = || self.fields.iter().flat_map(|field| &field.added);
        let red_cells = objects().filter(|object| object.is_red_cell()).count() + added().count();
        let infected = objects().filter(|object| object.judgement == Some(Judgement::Infected)).count()
            + added().filter(|cell| cell.infected).count();
        let (red_cells, infected) = (red_cells as u64, infected as u64);
        let Some(interval) = exact_interval(infected, red_cells, CONFIDENCE)? else { return Ok(None) };
        let infected_share = infected as f64 / red_cells as f64;
        let infected_per_microlitre =
            self.red_cells_per_microlitre.map(|number| PerMicrolitre::of(infected_share, interval, number));
        Ok(Some(Corrected { red_cells, infected, infected_share, interval, infected_per_microlitre }))
    }
}
