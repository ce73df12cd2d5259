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
    // Editors on Windows begin files with a byte order mark.
    serde_json::from_str(text.trim_start_matches('\u{feff}'))
        .map_err(|error| content(path, expected, error.to_string()))
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
    let rows: Result<Vec<T>, csv::Error> = csv_reader(path, &bytes, expected)?.deserialize().collect();
    rows.map_err(|error| content(path, expected, error.to_string()))
}

/// A reader for the contents of a CSV file, also as spreadsheets write it: with a byte order mark, and separated by
/// semicolons or tabs if the header has no comma.
///
/// # Errors
/// [`Error::Content`] for UTF-16 and for a workbook, with what to do; `expected` names the contents, as in [`read_csv`].
pub fn csv_reader<'a>(path: &Path, bytes: &'a [u8], expected: &'static str) -> Result<csv::Reader<&'a [u8]>> {
    let refuse = |found: &str| Err(content(path, expected, format!("{found}: save it as CSV in UTF-8")));
    match bytes {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => return refuse("it is text in UTF-16"),
        [b'P', b'K', 3, 4, ..] => return refuse("it is a workbook or another zip archive"),
        _ => {}
    }
    let header = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let separator = b",;\t".iter().find(|separator| header.contains(separator)).unwrap_or(&b',');
    Ok(csv::ReaderBuilder::new().trim(csv::Trim::Headers).delimiter(*separator).from_reader(bytes))
}

/// `text` without control characters except line breaks and tabs: file names may contain codes that control a terminal.
pub fn printable(text: &str) -> String {
    let shown = |c: char| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c };
    text.chars().map(shown).collect()
}

/// `text` on one line: line breaks and tabs in a name could pass for other rows.
pub fn one_line(text: &str) -> String {
    text.replace(['\n', '\r', '\t'], "\u{fffd}")
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
