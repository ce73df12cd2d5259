//! Errors in locating libtorch.

use std::fmt;
use std::path::PathBuf;

use crate::version::LIBTORCH_VERSION;

/// The reason why there is no usable libtorch. The message names the folder, what was expected, what was found and what to do.
// Written by hand, since this crate has no dependencies.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// Neither `LIBTORCH` nor `LIBTORCH_USE_PYTORCH` is set, and `/usr/lib` has no libtorch.
    NotConfigured,
    /// `LIBTORCH` is a relative path, which each build script would resolve differently.
    Relative {
        /// The path.
        path: PathBuf,
    },
    /// The folder that `LIBTORCH` names does not exist.
    NoFolder {
        /// The folder.
        path: PathBuf,
    },
    /// A file of libtorch is missing.
    MissingFile {
        /// The file.
        path: PathBuf,
    },
    /// A file does not have the size recorded by set-up.
    WrongSize {
        /// The file.
        path: PathBuf,
        /// Size in bytes when it was set up.
        expected: u64,
        /// Size in bytes now.
        found: u64,
    },
    /// The version is not the one required by tch.
    WrongVersion {
        /// The folder of libtorch.
        path: PathBuf,
        /// Its version.
        found: String,
    },
    /// The list of files that set-up wrote cannot be read.
    Marker {
        /// The list.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// `LIBTORCH_USE_PYTORCH` is set, and the Python found has no PyTorch.
    Python {
        /// The interpreter.
        interpreter: String,
        /// Its error message.
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
            Self::Relative { path } => {
                write!(f, "LIBTORCH is the relative path `{}`: expected an absolute path", path.display())
            }
            Self::NoFolder { path } => write!(
                f,
                "libtorch is not set up: {} does not exist. Run `cargo xtask setup` in the malaria-resnet folder, or \
                 set LIBTORCH to the folder of your own libtorch {LIBTORCH_VERSION}",
                path.display()
            ),
            Self::MissingFile { path } => write!(
                f,
                "libtorch is incomplete: {} is missing. Run `cargo xtask setup` in the malaria-resnet folder; a \
                 LIBTORCH of your own must name the folder that contains `lib` and `include` of libtorch \
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
