//! One photograph's objects, calls and counts as plain data, for programs that show them and let a person correct them.

use image::RgbImage;
use imageproc::geometry::approximate_polygon_dp;
use imageproc::point::Point;
use malaria_classifier::{Description, Prediction, classify_pictures};
use malaria_dataset::{Cells, Fingerprint, ListedImage};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::find::{Smear, find_cells};
use crate::object::{Bounds, Kind};
use crate::quality::Caveat;
use crate::report::FieldCount;

/// How far an outline may be off, in diameters of a cell.
const OUTLINE_ERROR: f32 = 0.01;

/// Everything found in one photograph.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FieldReading {
    /// Width in pixels of the photograph turned upright.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// The counts, and what limits the trust in them.
    pub count: FieldCount,
    /// The [key](Error::key) of the reason why the photograph was refused; `None` if it was not.
    pub refusal: Option<String>,
    /// Red cells and everything else, from the top left to the bottom right by their highest pixel.
    pub objects: Vec<FoundObject>,
}

/// An object in a photograph, with its call if it is a red cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FoundObject {
    /// What it is.
    pub kind: Kind,
    /// The smallest rectangle around it, in pixels of the photograph turned upright.
    #[serde(flatten)]
    pub bounds: Bounds,
    /// Corners of its outline, in order; may be left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outline: Vec<[u32; 2]>,
    /// Probability of the positive class, in `[0, 1]`; `None` for what is no red cell.
    pub probability: Option<f64>,
    /// Whether it is a red cell called positive.
    pub infected: bool,
    /// Whether it differs from the training cells, which makes its probability unreliable.
    pub warned: bool,
    /// Whether it reaches the edge of the picture, so that part of it may be missing.
    pub touches_border: bool,
    /// What a person says that it is; `None` while nobody has said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judgement: Option<Judgement>,
}

/// What a person says that an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Judgement {
    /// An infected red cell.
    Infected,
    /// An uninfected red cell.
    Uninfected,
    /// Not a red cell, or not a single one.
    NoRedCell,
}

/// The call of a red cell.
pub(crate) struct Call {
    pub(crate) probability: f64,
    pub(crate) infected: bool,
    /// Its class by that call.
    pub(crate) class: String,
    /// How it differs from the training cells.
    pub(crate) warning: Option<String>,
}

impl Call {
    /// The calls of the red cells of a photograph: by the threshold for smears where there is one, else by that for single cells.
    pub(crate) fn of_cells<E: From<malaria_dataset::Error>>(
        description: &Description,
        positive: usize,
        photo: &RgbImage,
        smear: &Smear,
        network: impl FnMut(&Cells) -> Result<Vec<f64>, E>,
    ) -> Result<Vec<Self>, E> {
        let threshold = description.patient_caller().ok().map(|(rule, _)| rule.threshold);
        let crops: Vec<RgbImage> = smear.red_cells().map(|cell| cell.crop(photo)).collect();
        let cells = classify_pictures(description, positive, &crops, network)?;
        Ok(cells.into_iter().map(|cell| Self::of(description, threshold, cell)).collect())
    }

    fn of(description: &Description, threshold: Option<f64>, cell: Prediction) -> Self {
        let Description { classes, positive, .. } = description;
        // Pictures in memory have both.
        let (class, probability) = (cell.class.unwrap_or_default(), cell.probability.unwrap_or_default());
        let infected = threshold.map_or(class == *positive, |threshold| probability >= threshold);
        let other = classes.iter().find(|class| *class != positive);
        let class = match (infected, class == *positive) {
            (true, _) => positive.clone(),
            (false, true) => other.cloned().unwrap_or_default(),
            (false, false) => class,
        };
        Self { probability, infected, class, warning: cell.warning }
    }
}

impl FoundObject {
    /// All objects of a photograph; `calls` are those of its red cells.
    pub(crate) fn of_smear(smear: &Smear, calls: &[Call]) -> Vec<Self> {
        let mut calls = calls.iter();
        let found = |object: &crate::object::Object| {
            let call = if object.kind == Kind::RedCell { calls.next() } else { None };
            Self {
                kind: object.kind,
                bounds: object.bounds,
                outline: thinned(&object.outline, OUTLINE_ERROR * smear.cell_diameter),
                probability: call.map(|call| call.probability),
                infected: call.is_some_and(|call| call.infected),
                warned: call.is_some_and(|call| call.warning.is_some()),
                touches_border: object.touches_border,
                judgement: None,
            }
        };
        smear.objects.iter().map(found).collect()
    }

    /// Whether it counts as a red cell: as the person says, else as the finder.
    #[must_use]
    pub fn is_red_cell(&self) -> bool {
        match self.judgement {
            Some(judgement) => judgement != Judgement::NoRedCell,
            None => self.kind == Kind::RedCell,
        }
    }
}

/// An outline with fewer corners, at most `error` pixels off (Ramer, Douglas and Peucker).
fn thinned(outline: &[[u32; 2]], error: f32) -> Vec<[u32; 2]> {
    if outline.len() < 3 {
        return outline.to_vec();
    }
    let points: Vec<Point<u32>> = outline.iter().map(|&[x, y]| Point::new(x, y)).collect();
    approximate_polygon_dp(&points, f64::from(error), true).iter().map(|point| [point.x, point.y]).collect()
}

impl FieldReading {
    /// A photograph that was not read yet.
    pub(crate) fn of(name: &str, patient: Option<String>) -> Self {
        let count = FieldCount::named(name, patient);
        Self { width: 0, height: 0, count, refusal: None, objects: Vec::new() }
    }

    /// A photograph that could not be read because of `error`.
    #[must_use]
    pub fn unreadable(name: &str, error: &Error) -> Self {
        let mut reading = Self::of(name, None);
        reading.refuse(error);
        reading
    }

    /// The counts, computed anew from the objects, of the model with this `description`.
    #[must_use]
    pub fn recounted(&self, description: &Description) -> FieldCount {
        let mut count = self.count.clone();
        count.count(description, &self.objects);
        count
    }

    pub(crate) fn decoded(&mut self, photo: &RgbImage, pixels: &Fingerprint) {
        (self.width, self.height) = photo.dimensions();
        self.count.pixels_sha256 = Some(pixels.hex());
    }

    /// The photograph `listed`, which shows the same as the `first` one: it does not count.
    pub(crate) fn repeats(self, listed: &ListedImage, first: &ListedImage) -> Self {
        let mut count = FieldCount::named(&self.count.image, self.count.patient);
        count.pixels_sha256 = self.count.pixels_sha256;
        let path = first.path.to_string_lossy();
        if listed.patient == first.patient {
            count.copy_of = Some(path.into_owned());
        } else {
            count.error = Some(format!("it shows the cells of {path}, which is another patient's"));
        }
        Self { count, objects: Vec::new(), ..self }
    }

    /// Records why there are no cells. A blank photograph is not refused.
    pub(crate) fn refuse(&mut self, error: &Error) {
        if matches!(error, Error::Blank) {
            self.count.caveats.push(Caveat::Blank);
            return;
        }
        self.refusal = Some(error.key().to_owned());
        self.count.error = Some(error.to_string());
    }

    pub(crate) fn fill(&mut self, description: &Description, smear: &Smear, calls: &[Call]) {
        self.objects = FoundObject::of_smear(smear, calls);
        self.count.caveats.clone_from(&smear.caveats);
        self.count.cell_diameter = Some(smear.cell_diameter);
        self.count.quality = Some(smear.quality);
        self.count.count(description, &self.objects);
    }
}

/// Finds and calls the cells of one `photo`, u8 RGB, which is called `name`. A photograph that is refused has the reason in its counts.
///
/// `description` is a model's, `positive` the index of its positive class, and `network` computes the probability of each class, `[N,
/// classes]` row by row.
///
/// # Errors
/// Those of `network`.
pub fn read_field<E: From<malaria_dataset::Error>>(
    description: &Description,
    positive: usize,
    name: &str,
    photo: &RgbImage,
    network: impl FnMut(&Cells) -> Result<Vec<f64>, E>,
) -> Result<FieldReading, E> {
    let mut reading = FieldReading::of(name, None);
    reading.decoded(photo, &Fingerprint::of_pixels(photo));
    match find_cells(photo) {
        Ok(smear) => {
            let calls = Call::of_cells(description, positive, photo, &smear, network)?;
            reading.fill(description, &smear, &calls);
        }
        Err(error) => reading.refuse(&error),
    }
    Ok(reading)
}
