//! Reads and writes JSON and CSV files.

use std::{fs, io, path::Path};

use serde::{Serialize, de::DeserializeOwned};

use crate::error::{Error, Result};

/// Writes `value` as indented JSON that ends with a line break.
///
/// # Errors
/// [`Error::Content`] for a value that JSON cannot represent; [`Error::Io`]. An existing file then stays.
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let mut text = serde_json::to_string_pretty(value)
        .map_err(|error| content(path, "writable as JSON", error.to_string()))?;
    text.push('\n');
    crate::write(path, text.as_bytes()).map_err(Error::io("write", path))
}

/// Reads a JSON file. `expected` names its contents in errors, such as `the settings of a run`.
///
/// # Errors
/// [`Error::Io`] and [`Error::Content`].
pub fn read_json<T: DeserializeOwned>(path: &Path, expected: &'static str) -> Result<T> {
    let text = fs::read_to_string(path).map_err(Error::io("read", path))?;
    serde_json::from_str(&text).map_err(|error| content(path, expected, error.to_string()))
}

/// Writes rows as CSV: structs with their field names as header, lists without a header.
///
/// # Errors
/// [`Error::Io`]; an existing file then stays.
pub fn write_csv<T: Serialize>(path: &Path, rows: impl IntoIterator<Item = T>) -> Result<()> {
    let write = || -> io::Result<()> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        for row in rows {
            writer.serialize(row).map_err(io::Error::other)?;
        }
        crate::write(path, &writer.into_inner().map_err(csv::IntoInnerError::into_error)?)
    };
    write().map_err(Error::io("write", path))
}

/// Reads the rows of a CSV file with a header. `expected` names its contents in errors.
///
/// # Errors
/// [`Error::Io`] and [`Error::Content`].
pub fn read_csv<T: DeserializeOwned>(path: &Path, expected: &'static str) -> Result<Vec<T>> {
    let bytes = fs::read(path).map_err(Error::io("read", path))?;
    let rows: Result<Vec<T>, csv::Error> = csv::Reader::from_reader(bytes.as_slice()).deserialize().collect();
    rows.map_err(|error| content(path, expected, error.to_string()))
}

/// Removes a file if it exists.
///
/// # Errors
/// [`Error::Io`] if it exists and cannot be removed.
pub fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", path)(error)),
        _ => Ok(()),
    }
}

fn content(path: &Path, expected: &'static str, reason: String) -> Error {
    Error::Content { path: path.to_owned(), expected, reason }
}
