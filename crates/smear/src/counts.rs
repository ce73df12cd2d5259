//! The counts of a photograph and of a patient.

use std::path::Path;

use malaria_classifier::{CellTally, Description, PatientVerdict};
use malaria_metrics::Interval;
use serde::{Deserialize, Serialize};

use crate::object::Kind;
use crate::object_record::ObjectRecord;
use crate::quality::{Caveat, Quality};

/// The counts of one photograph.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FieldCount {
    /// The photograph's path.
    pub image: String,
    /// SHA-256 of the size and pixels, equal for copies; `None` if they were not read.
    pub pixels_sha256: Option<String>,
    /// The patient; `None` if unknown.
    pub patient: Option<String>,
    /// Red cells found.
    pub red_cells: u64,
    /// Red cells called positive.
    pub infected: u64,
    /// Red cells with a [warning](crate::CellRow::warning). They are counted.
    #[serde(alias = "warned_of")]
    pub warned: u64,
    /// Red cells with a probability from 10 to 90 %.
    pub uncertain: u64,
    /// Whether the number of either is so high that the photograph is unlike the training cells, see
    /// [`PatientVerdict::unfamiliar`].
    pub unfamiliar: bool,
    /// White cells found.
    pub white_cells: u64,
    /// Platelets found.
    pub platelets: u64,
    /// Other small objects.
    pub debris: u64,
    /// Clumps of cells that could not be separated, which are not counted as red cells.
    pub clumps: u64,
    /// Typical diameter of a red cell in pixels.
    pub cell_diameter: Option<f32>,
    /// Measures of the photograph's quality.
    pub quality: Option<Quality>,
    /// Caveats about the counts.
    pub caveats: Vec<Caveat>,
    /// The earlier photograph with the same pixels, or the same cells at the same places; this one then does not count.
    pub copy_of: Option<String>,
    /// Why the photograph could not be read, or was refused.
    pub error: Option<String>,
}

/// The counts of the photographs of one patient.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PatientCount {
    /// The patient; `None` for all photographs together.
    pub patient: Option<String>,
    /// Number of photographs without copies.
    pub photographs: usize,
    /// Those of them that could not be read or were refused.
    pub failed: usize,
    /// Red cells found.
    pub red_cells: u64,
    /// Red cells called positive.
    pub infected: u64,
    /// Red cells with a [warning](crate::CellRow::warning). They are counted.
    pub warned: u64,
    /// The parasitaemia and the call; `None` without red cells, and for a model that calls no patients.
    pub verdict: Option<PatientVerdict>,
    /// The parasitaemia per microlitre, if the number of red cells per microlitre was given.
    pub infected_per_microlitre: Option<PerMicrolitre>,
}

/// Infected cells per microlitre of blood, with the ends of the 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PerMicrolitre {
    /// The estimate.
    pub estimate: f64,
    /// Low end of the interval.
    pub low: f64,
    /// High end of the interval.
    pub high: f64,
}

impl PerMicrolitre {
    /// From a share of infected cells with its interval, and the number of red cells per microlitre.
    pub(crate) fn of(share: f64, interval: Interval, red_cells: f64) -> Self {
        Self { estimate: share * red_cells, low: interval.low * red_cells, high: interval.high * red_cells }
    }
}

impl FieldCount {
    /// Counts of zero.
    pub(crate) fn named(image: &str, patient: Option<String>) -> Self {
        Self {
            image: image.to_owned(),
            pixels_sha256: None,
            patient,
            red_cells: 0,
            infected: 0,
            warned: 0,
            uncertain: 0,
            unfamiliar: false,
            white_cells: 0,
            platelets: 0,
            debris: 0,
            clumps: 0,
            cell_diameter: None,
            quality: None,
            caveats: Vec::new(),
            copy_of: None,
            error: None,
        }
    }

    /// This photograph without counts, because `other`, a photograph of another patient, shows the same cells.
    pub(crate) fn shared_with(&self, other: &Path) -> Self {
        let error = format!("it shows the same cells as {} of another patient", other.display());
        let pixels_sha256 = self.pixels_sha256.clone();
        Self { pixels_sha256, error: Some(error), ..Self::named(&self.image, self.patient.clone()) }
    }

    /// Counts the `objects` of a photograph whose caveats are known.
    pub(crate) fn count(&mut self, description: &Description, objects: &[ObjectRecord]) {
        let kind = |kind: Kind| objects.iter().filter(|object| object.kind == kind).count() as u64;
        let mut cells = CellTally::default();
        let calls = objects.iter().filter_map(|object| Some((object.probability?, object.infected)));
        calls.for_each(|(probability, infected)| cells.count(probability, infected));
        self.warned = objects.iter().filter(|object| object.warned).count() as u64;
        self.red_cells = cells.called.cells;
        self.infected = cells.called.positive;
        self.uncertain = cells.uncertain;
        cells.unlike = self.unlike();
        self.unfamiliar = description.smear.as_ref().is_some_and(|smear| smear.is_unfamiliar(&cells));
        self.white_cells = kind(Kind::WhiteCell);
        self.platelets = kind(Kind::Platelet);
        self.debris = kind(Kind::Debris);
        self.clumps = kind(Kind::Clump);
    }

    /// Red cells with a warning; all red cells if the photograph's quality hides parasites.
    pub(crate) fn unlike(&self) -> u64 {
        if self.caveats.iter().any(Caveat::hides_parasites) { self.red_cells } else { self.warned }
    }

    /// Remarks on the photograph for readers of the table.
    pub(crate) fn remarks(&self) -> String {
        if let Some(error) = &self.error {
            return format!("error: {error}");
        }
        if let Some(first) = &self.copy_of {
            return format!("it shows the same cells as {first}: not counted");
        }
        let warned = match self.warned {
            0 => None,
            cells => Some(format!("{cells} cells with a warning")),
        };
        let unfamiliar = format!("unlike the training cells ({} uncertain cells)", self.uncertain);
        let caveats = self.caveats.iter().map(ToString::to_string);
        let unfamiliar = self.unfamiliar.then_some(unfamiliar);
        caveats.chain(unfamiliar).chain(warned).collect::<Vec<_>>().join("; ")
    }
}
