//! The error of this crate.

use std::{
    io,
    path::{Path, PathBuf},
};

/// An error in reading or writing a file or folder.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system reported an error.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// The action, as a verb: `read`, `write`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The file has other contents than expected.
    #[error("{}: not {expected}: {reason}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// The expected contents.
        expected: &'static str,
        /// The place and kind of the difference.
        reason: String,
    },
    /// A file or a folder with contents exists at the path of a new folder.
    #[error("`{}` already exists and is not an empty folder; it was not changed; remove it or give another name", path.display())]
    Occupied {
        /// The folder that should have been created.
        path: PathBuf,
    },
}

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Wraps a system error with the action and the path.
    pub fn io(action: &'static str, path: &Path) -> impl Fn(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { action, path: path.clone(), source }
    }
}

/// An error and its causes on one line, without causes that the preceding text already contains.
pub fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(found) = cause {
        let words = found.to_string();
        if !text.contains(&words) {
            text += &format!(": {words}");
        }
        cause = found.source();
    }
    text
}
