//! What can be wrong with a libtorch.

use std::fmt;
use std::path::PathBuf;

use crate::version::LIBTORCH_VERSION;

/// Why there is no usable libtorch. The message names the folder, what was expected, what was found and what to do.
//
// Written by hand where other crates derive it: a dependency would have to be built before this crate can speak.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// Neither `LIBTORCH`, nor `LIBTORCH_USE_PYTORCH`, nor a libtorch in `/usr/lib`.
    NotConfigured,
    /// `LIBTORCH` is a relative path, which every build script would take from another folder.
    Relative {
        /// The path.
        path: PathBuf,
    },
    /// The folder that `LIBTORCH` names does not exist.
    NoFolder {
        /// The folder.
        path: PathBuf,
    },
    /// A file of libtorch is not there.
    MissingFile {
        /// The file.
        path: PathBuf,
    },
    /// A file that set-up wrote has changed its size since.
    WrongSize {
        /// The file.
        path: PathBuf,
        /// Size in bytes when it was set up.
        expected: u64,
        /// Size in bytes now.
        found: u64,
    },
    /// Another release than the one that tch is written for.
    WrongVersion {
        /// What was looked at.
        path: PathBuf,
        /// Its version.
        found: String,
    },
    /// The list of files that set-up left behind cannot be read.
    Marker {
        /// The list.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// `LIBTORCH_USE_PYTORCH` is set, and the Python that is found has no PyTorch.
    Python {
        /// The interpreter that was asked.
        interpreter: String,
        /// What it said.
        reason: String,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotConfigured => write!(
                f,
                "no libtorch is configured: set LIBTORCH to the `.libtorch` folder that `cargo xtask setup` makes in \
                 malaria-resnet, or to the folder of your own libtorch {LIBTORCH_VERSION}"
            ),
            Self::Relative { path } => write!(
                f,
                "LIBTORCH is `{}`, which does not begin at the root folder: give the whole path",
                path.display()
            ),
            Self::NoFolder { path } => write!(
                f,
                "libtorch is not set up: {} does not exist. Run `cargo xtask setup` in the malaria-resnet folder, or \
                 set LIBTORCH to the folder of your own libtorch {LIBTORCH_VERSION}",
                path.display()
            ),
            Self::MissingFile { path } => write!(
                f,
                "libtorch is incomplete: {} is missing. Run `cargo xtask setup` in the malaria-resnet folder; if \
                 LIBTORCH is your own, it has to name a folder with the `lib` and `include` of libtorch \
                 {LIBTORCH_VERSION}",
                path.display()
            ),
            Self::WrongSize { path, expected, found } => write!(
                f,
                "libtorch is damaged: {} has {found} bytes instead of {expected}. Run `cargo xtask setup` in the \
                 malaria-resnet folder",
                path.display()
            ),
            Self::WrongVersion { path, found } => write!(
                f,
                "wrong libtorch: version {LIBTORCH_VERSION} is needed, and {} is version {found}. Unset LIBTORCH and \
                 LIBTORCH_USE_PYTORCH to use the one that `cargo xtask setup` fetches, or point them to \
                 {LIBTORCH_VERSION}",
                path.display()
            ),
            Self::Marker { path, reason } => write!(
                f,
                "libtorch's list of files {} is damaged: {reason}. Run `cargo xtask setup` in the malaria-resnet \
                 folder",
                path.display()
            ),
            Self::Python { interpreter, reason } => write!(
                f,
                "LIBTORCH_USE_PYTORCH is set, but `{interpreter}` has no usable PyTorch: {reason}. Install torch \
                 {LIBTORCH_VERSION} for it, or unset LIBTORCH_USE_PYTORCH to use the libtorch that `cargo xtask \
                 setup` fetches"
            ),
        }
    }
}

impl std::error::Error for Error {}
