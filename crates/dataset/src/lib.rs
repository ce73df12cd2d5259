//! Indexes, splits and decodes folders of cell images.
//!
//! The start of the data flow: files => [`Index`] (sorted samples with class and patient) =>
//! [`Split`] (train, validation, test; by cell or by patient) => [`Cells`] (decoded, resized, u8
//! `[N, size, size, 3]`). A split can be written to and read from CSV ([`write_manifest`], [`read_manifest`]), or copied to
//! folders ([`build_tree`]). This crate has no tensors: the crates above it use [`Cells`] and positions.
//!
//! ```
//! use image::{Rgb, RgbImage};
//! use malaria_dataset::{Index, LoadOptions, SplitConfig, load, split};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let data = tempfile::tempdir()?;
//! for class in ["Parasitized", "Uninfected"] {
//!     std::fs::create_dir(data.path().join(class))?;
//!     for cell in 0..20 {
//!         let picture = RgbImage::from_pixel(90, 70, Rgb([200, 120, 5 * cell]));
//!         picture.save(data.path().join(class).join(format!("C{cell}_thinF_IMG_1_cell_1.png")))?;
//!     }
//! }
//! let index = Index::open(data.path())?;
//! let loaded = load(index, LoadOptions::default())?;
//! let split = split(&loaded.index, &SplitConfig::default())?;
//! assert_eq!(loaded.cells.pixels().len(), 40 * 64 * 64 * 3);
//! assert_eq!([split.train.len(), split.validation.len(), split.test.len()], [29, 3, 8]);
//! # Ok(())
//! # }
//! ```

mod build_tree;
mod byte_checks;
mod cells;
mod changes;
mod csv_rows;
mod decode;
#[cfg(feature = "download")]
mod download;
mod error;
mod file_names;
mod fingerprint;
mod index;
mod input_check;
mod list;
mod manifest;
mod nih_names;
mod partition;
mod patient_names;
mod resize;
mod split;
mod split_config;
mod subset;
mod synthetic;
mod walk;
mod wording;

pub use build_tree::{BuildReport, Link, build_tree};
pub use cells::{Cells, LoadOptions, Loaded, load};
pub use changes::Changes;
pub use decode::{decode, decode_photo, decode_within, read_image, read_photo};
#[cfg(feature = "download")]
pub use download::{DownloadConfig, DownloadProgress, download};
pub use error::{BadImage, Error, ImageProblem, Result};
pub use fingerprint::{Duplicate, Fingerprint, duplicates};
pub use index::{Index, Sample};
pub use input_check::{ImageStats, InputCheck, InputWarning, MAX_CELL_SIDE, shows_many_cells};
pub use list::{Listed, ListedImage, list_images};
pub use manifest::{Manifest, ManifestEntry, read_manifest, write_manifest};
pub use nih_names::{nih_name, patient_of};
pub use patient_names::{PatientNames, PatientPattern, UnknownPatients};
pub use resize::{ResizePolicy, resize};
pub use split::{Leakage, Split, k_fold, split};
pub use split_config::{Fold, Protocol, SplitConfig};
pub use subset::Subset;
pub use synthetic::{
    SmearConfig, SmearKind, SmearObject, SyntheticCell, SyntheticConfig, SyntheticSmear, synthetic_cell,
    synthetic_smear, write_synthetic, write_synthetic_smear,
};
pub use wording::ignored_note;
