//! The error of this crate.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::changes::Changes;
use crate::patient_names::UnknownPatients;

/// Result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An image file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadImage {
    /// The file.
    pub path: PathBuf,
    /// The kind of problem.
    pub problem: ImageProblem,
    /// What is wrong with it, as the rest of a sentence: "is empty", "cannot be decoded as Png: …".
    pub reason: String,
}

/// The kind of problem of a [`BadImage`], for programs with their own texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, strum::EnumIter, strum::IntoStaticStr)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum ImageProblem {
    /// The file cannot be read.
    Unreadable,
    /// The file has no bytes.
    Empty,
    /// A HEIC photograph, the format of many phones.
    Heic,
    /// Not a PNG, JPEG, BMP, TIFF or WebP.
    OtherFormat,
    /// Truncated or corrupt.
    Damaged,
    /// The file has too many bytes, or the image too many pixels.
    TooLarge,
    /// An animation, or several pages or channels.
    SeveralPictures,
    /// Pixels that do not become 8-bit RGB: floating-point values out of range, transparent everywhere, or another
    /// unsupported kind.
    OtherPixels,
    /// Nearly uniform.
    ShowsNothing,
    /// A photograph of many cells, or too large for a picture of one cell.
    ManyCells,
}

impl ImageProblem {
    /// Its name in JSON, such as `other-format`.
    #[must_use]
    pub fn key(self) -> &'static str {
        self.into()
    }
}

/// Every error of this crate. Messages name the place, what was expected, what was found and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder that could not be read, written, listed or created.
    #[error(transparent)]
    File(#[from] malaria_files::Error),
    /// A file or folder that is missing or has other contents than expected.
    #[error("`{}` {reason}", path.display())]
    Path {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong and what to do, as the rest of a sentence: "does not exist; …".
        reason: String,
    },
    /// A setting or argument that is out of range.
    #[error("{field} is {found}; expected {expected}")]
    Config {
        /// Name of the setting.
        field: &'static str,
        /// Its value.
        found: String,
        /// The values that are allowed.
        expected: String,
    },
    /// Too few cells, patients or classes for the split.
    #[error("{reason}")]
    NotEnoughData {
        /// What is missing, and what to do.
        reason: String,
    },
    /// Cells of unknown patients in a split by patient.
    #[error("{0}; a split by patient needs the patient of every picture")]
    UnknownPatients(UnknownPatients),
    /// A split that does not fit its index, or that has patients in several subsets under `patient`.
    #[error("{reason}")]
    InvalidSplit {
        /// What is wrong with it.
        reason: String,
    },
    /// A manifest or a table of patients that is invalid or does not match the folder.
    #[error("`{}`, line {line}: {reason}", path.display())]
    Table {
        /// The CSV file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong there.
        reason: String,
    },
    /// A data folder whose cells differ from those of the manifest.
    #[error("`{}` does not hold the cells of `{}`: {changes}; give a folder that does, or start a new run", root.display(), manifest.display())]
    DataChanged {
        /// The manifest.
        manifest: PathBuf,
        /// The data folder.
        root: PathBuf,
        /// The differences.
        changes: Box<Changes>,
    },
    /// An image file that cannot be used.
    #[error("`{}` {}", .0.path.display(), .0.reason)]
    BadImage(BadImage),
    /// Image files of a folder that cannot be used.
    #[error("{} of the images in `{}` cannot be used; repair, remove or skip them:{}", bad.len(), root.display(), lines(bad))]
    BadImages {
        /// The data folder.
        root: PathBuf,
        /// All of them, in the order of their paths.
        bad: Vec<BadImage>,
    },
    /// More pixels than fit in memory.
    #[error(
        "{cells} cells of {size} x {size} x 3 bytes do not fit in memory; use a smaller size or fewer cells"
    )]
    NoMemory {
        /// Number of cells.
        cells: usize,
        /// Side of a cell in pixels.
        size: u32,
    },
    /// A download that failed at every address.
    #[cfg(feature = "download")]
    #[error("cannot download `{}`: {}; the received data is kept for the next try", path.display(), failures.iter().map(|(url, problem)| format!("{url}: {problem}")).collect::<Vec<_>>().join("; "))]
    Download {
        /// The folder that should have been created.
        path: PathBuf,
        /// Each address with its last problem.
        failures: Vec<(String, String)>,
    },
    /// A download that was stopped on request.
    #[cfg(feature = "download")]
    #[error("the download was stopped; the received data is kept, and the same command continues from there")]
    DownloadStopped,
}

/// One line per image, without omissions, since each image needs attention.
pub(crate) fn lines(bad: &[BadImage]) -> String {
    bad.iter().map(|bad| format!("\n  `{}` {}", bad.path.display(), bad.reason)).collect()
}

impl Error {
    /// The kind of problem of an [image](Self::BadImage).
    #[must_use]
    pub fn image_problem(&self) -> Option<ImageProblem> {
        match self {
            Self::BadImage(bad) => Some(bad.problem),
            _ => None,
        }
    }

    /// Wraps a system error with the action and the path.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl Fn(std::io::Error) -> Self + use<> {
        let wrap = malaria_files::Error::io(action, path);
        move |source| Self::File(wrap(source))
    }

    pub(crate) fn path(path: &Path, reason: impl Into<String>) -> Self {
        Self::Path { path: path.to_path_buf(), reason: reason.into() }
    }

    pub(crate) fn config(field: &'static str, found: impl ToString, expected: impl Into<String>) -> Self {
        Self::Config { field, found: found.to_string(), expected: expected.into() }
    }

    /// The error for a word that is not one of the `known` names.
    pub(crate) fn unknown_name(field: &'static str, found: &str, known: &[&str]) -> Self {
        Self::config(field, format_args!("`{found}`"), format!("one of {}", known.join(", ")))
    }
}
