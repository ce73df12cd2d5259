//! The result for one photograph as plain data: objects, calls and counts, for programs that show them and let a person
//! correct them.

use std::collections::HashMap;
use std::path::PathBuf;

use image::RgbImage;
use malaria_classifier::Description;
use malaria_dataset::{Cells, Fingerprint, ListedImage};
use serde::{Deserialize, Serialize};

use crate::call::Call;
use crate::counts::FieldCount;
use crate::error::Error;
use crate::find::{Smear, find_cells};
use crate::object_record::ObjectRecord;
use crate::quality::Caveat;

/// Everything found in one photograph.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FieldResult {
    /// Width in pixels of the photograph turned upright.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// The counts and their limits.
    pub count: FieldCount,
    /// The [key](Error::key) of the reason why the photograph was refused; `None` if it was not.
    pub refusal: Option<String>,
    /// Red cells and everything else, from the top left to the bottom right by their highest pixel.
    pub objects: Vec<ObjectRecord>,
}

impl FieldResult {
    /// A photograph that has not been read yet.
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

    /// The counts for the model with this `description`, recomputed from the objects.
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

    /// The result for the photograph `listed`, which shows the same cells as the `first` one and therefore does not
    /// count. If they belong to two patients, the first one does not count either: its path is added to `shared`, with
    /// that of `listed`. If the patient of only one of them is known, that one is the `first`.
    pub(crate) fn into_copy_of(
        self,
        first: &ListedImage,
        listed: &ListedImage,
        shared: &mut HashMap<PathBuf, PathBuf>,
    ) -> Self {
        let mut count = self.count.shared_with(&first.path);
        if listed.patient == first.patient || listed.patient.is_none() {
            count.error = None;
            count.copy_of = Some(first.path.to_string_lossy().into_owned());
        } else {
            shared.entry(first.path.clone()).or_insert_with(|| listed.path.clone());
        }
        Self { count, objects: Vec::new(), ..self }
    }

    /// Records the reason why there are no cells. A blank photograph is not refused.
    pub(crate) fn refuse(&mut self, error: &Error) {
        if matches!(error, Error::Blank) {
            self.count.caveats.push(Caveat::Blank);
            return;
        }
        self.refusal = Some(error.key());
        self.count.error = Some(error.to_string());
    }

    pub(crate) fn fill(&mut self, description: &Description, smear: &Smear, calls: &[Call]) {
        self.objects = ObjectRecord::of_smear(smear, calls);
        self.count.caveats.clone_from(&smear.caveats);
        self.count.cell_diameter = Some(smear.cell_diameter);
        self.count.quality = Some(smear.quality);
        self.count.count(description, &self.objects);
    }
}

/// Finds and calls the cells of one `photo`, u8 RGB, called `name`. If the photograph is refused, its counts contain the reason.
///
/// `description` is a model's, `positive` the index of its positive class, and `network` computes the probability of each class, `[N,
/// classes]` row by row.
///
/// # Errors
/// Those of `network`.
pub fn analyse_field<E: From<malaria_dataset::Error>>(
    description: &Description,
    positive: usize,
    name: &str,
    photo: &RgbImage,
    network: impl FnMut(&Cells) -> Result<Vec<f64>, E>,
) -> Result<FieldResult, E> {
    let mut reading = FieldResult::of(name, None);
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
