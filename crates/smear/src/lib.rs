//! Finds and counts red blood cells in photographs of thin blood smears.
//!
//! A photograph, u8 RGB, becomes a [`Smear`]: red cells with outline, box, area and mask; white cells, platelets, debris and
//! clumps, by kind; and the limits of the counts. Everything is measured relative to the picture's own cells, so that
//! camera, magnification and stain do not matter. Research software, not a medical device.
//!
//! The steps, one module each: the photograph is reduced to one size of cells (`scale`); the field of view (`field`) and the
//! background's light (`illumination`) give the darkness of each pixel; the dark part is the foreground (`foreground`);
//! outlines are fitted to it (`outline`); the set of outlines that explains it best is chosen (`separate`) and sorted by
//! kind (`classify_regions`); the quality of the result is measured (`quality`).
//!
//! ```
//! use malaria_dataset::{SmearConfig, synthetic_smear};
//! use malaria_smear::{Kind, find_cells};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let config = SmearConfig { width: 640, height: 480, cell_diameter: 60.0, cells: 20, ..SmearConfig::default() };
//! let smear = find_cells(&synthetic_smear(&config)?.image)?;
//! assert_eq!(smear.count(Kind::RedCell), 20);
//! assert!((smear.cell_diameter / 60.0 - 1.0).abs() < 0.15);
//! # Ok(())
//! # }
//! ```

mod annotate;
mod call;
mod classify_regions;
mod count;
mod counts;
mod debug_steps;
mod duplicates;
mod error;
mod field;
mod field_result;
mod find;
mod finder_errors;
mod flag_values;
mod foreground;
mod illumination;
mod object;
mod object_record;
mod outcome;
mod outline;
mod peaks;
mod photo;
mod plane;
mod quality;
mod report;
mod result_pictures;
mod reviewed_smear;
mod scale;
mod separate;
mod shape;

pub use annotate::{annotated, annotated_with};
pub use count::{CountOptions, check_outside, count_patients, count_smears};
pub use counts::{FieldCount, PatientCount, PerMicrolitre};
pub use debug_steps::find_cells_and_write_steps;
pub use error::{Error, Result};
pub use field_result::{FieldResult, analyse_field};
pub use find::{Smear, find_cells};
pub use flag_values::{parse_haematocrit, parse_patient, parse_red_cells, red_cells_of_haematocrit};
pub use object::{Bounds, Kind, Object};
pub use object_record::{Judgement, ObjectRecord};
pub use outcome::outcome;
pub use photo::read_photo;
pub use quality::{Caveat, Quality};
pub use report::{CellRow, SmearReport};
pub use reviewed_smear::{AddedCell, Corrected, REVIEW_FORMAT, ReviewedField, ReviewedSmear, Summary};
