//! The list of files that set-up writes into the folder of libtorch.

use std::fmt;
use std::path::Path;

use crate::error::Error;

/// File name of the list.
pub const MARKER_FILE: &str = "malaria-setup.txt";

/// The contents of a folder that set-up has made. The list is written last, so a folder with a list was complete.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marker {
    /// `cpu` or `cuda`.
    pub variant: String,
    /// SHA-256 and file name of each wheel that was unpacked.
    pub wheels: Vec<(String, String)>,
    /// Size in bytes of each library, and its path relative to the folder, with `/` as separator.
    pub files: Vec<(u64, String)>,
}

impl fmt::Display for Marker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# Written by `cargo xtask setup`, which compares it with what it would fetch.")?;
        writeln!(f, "variant {}", self.variant)?;
        for (sha256, name) in &self.wheels {
            writeln!(f, "wheel {sha256} {name}")?;
        }
        for (bytes, path) in &self.files {
            writeln!(f, "file {bytes} {path}")?;
        }
        Ok(())
    }
}

impl Marker {
    /// Reads the list in `folder`; `None` if there is none.
    ///
    /// # Errors
    /// [`Error::Marker`] if the list cannot be read.
    pub fn read(folder: &Path) -> Result<Option<Self>, Error> {
        let path = folder.join(MARKER_FILE);
        let fail = |reason: String| Error::Marker { path: path.clone(), reason };
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(fail(error.to_string())),
        };
        let mut marker = Self::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let unknown = || fail(format!("unknown line `{line}`"));
            let (kind, rest) = line.split_once(' ').ok_or_else(unknown)?;
            match (kind, rest.split_once(' ')) {
                ("variant", None) => marker.variant = rest.to_owned(),
                ("wheel", Some((sha256, name))) => marker.wheels.push((sha256.to_owned(), name.to_owned())),
                ("file", Some((bytes, name))) => {
                    marker.files.push((bytes.parse().map_err(|_| unknown())?, name.to_owned()));
                }
                _ => return Err(unknown()),
            }
        }
        Ok(Some(marker))
    }

    /// Checks that every library is still there with the same size.
    ///
    /// # Errors
    /// [`Error::MissingFile`] and [`Error::WrongSize`].
    pub fn verify(&self, folder: &Path) -> Result<(), Error> {
        for (expected, name) in &self.files {
            let path = folder.join(name);
            match std::fs::metadata(&path).map(|file| file.len()) {
                Err(_) => return Err(Error::MissingFile { path }),
                Ok(found) if found != *expected => {
                    return Err(Error::WrongSize { path, expected: *expected, found });
                }
                Ok(_) => {}
            }
        }
        Ok(())
    }
}
