//! Whole files or none: every write goes to a temporary sibling, is synced and renamed into place.

use std::{fs, io::ErrorKind, path::Path};

use serde::{Serialize, de::DeserializeOwned};

use crate::{Error, Result};

pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    malaria_files::write(path, bytes).map_err(Error::io("write", path))
}

pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let mut text =
        serde_json::to_string_pretty(value).map_err(|error| json(path, "writable as JSON", &error))?;
    text.push('\n');
    write(path, text.as_bytes())
}

pub(crate) fn read_json<T: DeserializeOwned>(path: &Path, expected: &'static str) -> Result<T> {
    let text = fs::read_to_string(path).map_err(Error::io("read", path))?;
    serde_json::from_str(&text).map_err(|error| json(path, expected, &error))
}

/// Writes rows as CSV: structs with their field names as header, lists as they are.
pub(crate) fn write_csv<T: Serialize>(path: &Path, rows: impl IntoIterator<Item = T>) -> Result<()> {
    let failed = |error: csv::Error| Error::io("write", path)(std::io::Error::other(error));
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer.serialize(row).map_err(failed)?;
    }
    let bytes = writer.into_inner().map_err(|error| Error::io("write", path)(error.into_error()))?;
    write(path, &bytes)
}

/// Removes a file, if it is there.
pub(crate) fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::io("remove", path)(error)),
        _ => Ok(()),
    }
}

pub(crate) fn read_csv<T: DeserializeOwned>(path: &Path, expected: &'static str) -> Result<Vec<T>> {
    let bytes = fs::read(path).map_err(Error::io("read", path))?;
    let rows: Result<Vec<T>, csv::Error> = csv::Reader::from_reader(bytes.as_slice()).deserialize().collect();
    rows.map_err(|error| Error::Csv { path: path.to_owned(), expected, reason: error.to_string() })
}

fn json(path: &Path, expected: &'static str, error: &serde_json::Error) -> Error {
    Error::Json { path: path.to_owned(), expected, reason: error.to_string() }
}
