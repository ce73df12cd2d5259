//! What was counted, as tables for people, CSV and JSON.

use std::path::Path;

use malaria_classifier::{Description, PatientVerdict, Provenance, SmearCells};
use malaria_dataset::ListedImage;
use malaria_files::one_line;
use malaria_metrics::{Interval, percent};
use serde::{Deserialize, Serialize};

use crate::find::Smear;
use crate::object::Kind;
use crate::quality::{Caveat, Quality};
use crate::reading::{Call, FieldReading, FoundObject};

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
    /// Photographs of unknown patients, while patients of others are known: they count for no patient.
    pub unknown_patients: usize,
    /// How cells and patients are called, in words.
    pub rule: String,
    /// What the counts are from.
    pub made_by: Provenance,
    /// Everything that was found, in the order of the photographs.
    #[serde(skip)]
    pub cells: Vec<CellRow>,
    /// Everything that was found, a photograph each, where [`CountOptions::readings`](crate::CountOptions) asks for it.
    #[serde(skip)]
    pub readings: Vec<FieldReading>,
    #[serde(skip)]
    positive: String,
}

/// What was counted in one photograph.
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
    /// Red cells with a [warning](CellRow::warning). They are counted.
    pub warned_of: u64,
    /// Red cells with a probability from 10 to 90 %.
    pub uncertain: u64,
    /// Whether either are so many that the photograph is unlike the training cells, see [`PatientVerdict::unfamiliar`].
    pub unfamiliar: bool,
    /// White cells found.
    pub white_cells: u64,
    /// Platelets found.
    pub platelets: u64,
    /// Other small pieces.
    pub debris: u64,
    /// Clumps of cells that could not be parted, which are not counted as red cells.
    pub clumps: u64,
    /// Typical diameter of a red cell in pixels.
    pub cell_diameter: Option<f32>,
    /// Measures of the photograph's quality.
    pub quality: Option<Quality>,
    /// What limits the trust in the counts.
    pub caveats: Vec<Caveat>,
    /// The earlier photograph with the same pixels, or with the same cells at the same places, because of which this one does not count.
    pub copy_of: Option<String>,
    /// Why the photograph could not be read, or was refused.
    pub error: Option<String>,
}

/// What was counted in the photographs of one patient.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PatientCount {
    /// The patient; `None` for all photographs together.
    pub patient: Option<String>,
    /// Number of photographs without copies.
    pub photographs: usize,
    /// Those of them that could not be read, or were refused.
    pub failed: usize,
    /// Red cells found.
    pub red_cells: u64,
    /// Red cells called positive.
    pub infected: u64,
    /// Red cells with a [warning](CellRow::warning). They are counted.
    pub warned_of: u64,
    /// The parasitaemia and the call; `None` without red cells, and for a model that calls no patients.
    pub verdict: Option<PatientVerdict>,
    /// The parasitaemia per microlitre, where the number of red cells per microlitre was given.
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
    /// Of a share of infected cells with its interval, and the number of red cells per microlitre.
    pub(crate) fn of(share: f64, interval: Interval, red_cells: f64) -> Self {
        Self { estimate: share * red_cells, low: interval.low * red_cells, high: interval.high * red_cells }
    }
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
    /// The class that the red cell is called.
    pub called: Option<String>,
    /// The patient.
    pub patient: Option<String>,
    /// Whether it reaches the edge of the picture, so that part of it may be missing.
    pub touches_border: bool,
    /// How the red cell differs from the training cells, which makes its probability unreliable.
    pub warning: Option<String>,
    /// Why it does not count as a red cell: its kind. Empty for red cells.
    pub excluded: Option<Kind>,
}

impl FieldCount {
    /// Nothing counted yet.
    pub(crate) fn named(image: &str, patient: Option<String>) -> Self {
        Self {
            image: image.to_owned(),
            pixels_sha256: None,
            patient,
            red_cells: 0,
            infected: 0,
            warned_of: 0,
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

    /// Counts the `objects` of a photograph whose caveats are known.
    pub(crate) fn count(&mut self, description: &Description, objects: &[FoundObject]) {
        let kind = |kind: Kind| objects.iter().filter(|object| object.kind == kind).count() as u64;
        let mut cells = SmearCells::default();
        let calls = objects.iter().filter_map(|object| Some((object.probability?, object.infected)));
        calls.for_each(|(probability, infected)| cells.count(probability, infected));
        self.warned_of = objects.iter().filter(|object| object.warned).count() as u64;
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

    /// Red cells with a warning; all of them where the photograph's quality hides parasites.
    pub(crate) fn unlike(&self) -> u64 {
        if self.caveats.iter().any(Caveat::hides_parasites) { self.red_cells } else { self.warned_of }
    }

    /// What a reader of the table has to know of the photograph.
    fn remarks(&self) -> String {
        if let Some(error) = &self.error {
            return format!("error: {error}");
        }
        if let Some(first) = &self.copy_of {
            return format!("it shows the same as {first}: not counted");
        }
        let warned_of = match self.warned_of {
            0 => None,
            cells => Some(format!("{cells} cells with a warning")),
        };
        let unfamiliar = format!("unlike the training cells ({} of the cells are uncertain)", self.uncertain);
        let caveats = self.caveats.iter().map(ToString::to_string);
        let unfamiliar = self.unfamiliar.then_some(unfamiliar);
        caveats.chain(unfamiliar).chain(warned_of).collect::<Vec<_>>().join("; ")
    }
}

impl CellRow {
    /// The rows of all objects of a photograph; `calls` are those of its red cells.
    pub(crate) fn of_objects(photo: &ListedImage, smear: &Smear, calls: &[Call]) -> Vec<Self> {
        let mut calls = (1..).zip(calls);
        let row = |object: &crate::object::Object| {
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
            Ok((smear, _)) => smear.note(&positive),
            Err(_) => description.calling_note(),
        };
        Self {
            photographs,
            patients,
            unknown_patients: unknown,
            rule,
            made_by,
            cells,
            readings: Vec::new(),
            positive,
        }
    }

    /// Photographs that could not be read, or were refused.
    #[must_use]
    pub fn failed(&self) -> usize {
        self.photographs.iter().filter(|field| field.error.is_some()).count()
    }

    /// One row per object: `image,number,x,y,w,h,probability,called,patient,touches_border,warning,excluded`.
    ///
    /// # Errors
    /// None but those of memory, as the rows are plain values.
    pub fn csv(&self) -> csv::Result<String> {
        let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
        writer.write_record(COLUMNS)?;
        self.cells.iter().try_for_each(|cell| writer.serialize(cell))?;
        let bytes = writer.into_inner().map_err(csv::IntoInnerError::into_error)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Writes `cells.csv` and `smear.json`.
    pub(crate) fn write(&self, folder: &Path) -> malaria_files::Result<()> {
        let path = folder.join("cells.csv");
        let failed = malaria_files::Error::io("write", &path);
        let csv = self.csv().map_err(|error| failed(std::io::Error::other(error)))?;
        malaria_files::write(&path, csv.as_bytes()).map_err(failed)?;
        malaria_files::write_json(&folder.join("smear.json"), self)
    }

    /// One line for each photograph with an error, a copy or a caveat.
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
        let unknown = match self.unknown_patients {
            0 => String::new(),
            photographs => {
                format!("photographs of unknown patients, which count for no patient: {photographs}\n")
            }
        };
        format!(
            "{}\n{}{unknown}\nThese are counts of infected cells, not of parasites; neither species nor stages are identified.\n{}\n{}\n\
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
            let patient = count.patient.as_deref().unwrap_or("all");
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
