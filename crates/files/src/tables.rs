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
    let rows: Result<Vec<T>, csv::Error> = csv_reader(path, &bytes, &[], expected)?.deserialize().collect();
    rows.map_err(|error| content(path, expected, error.to_string()))
}

/// A reader for the contents of a CSV file, also as spreadsheets write it: with a byte order mark, after a line `sep=;`, and
/// separated by commas, semicolons or tabs, whichever gives the `columns` (in lower case), or else by the first of them in
/// the header.
///
/// # Errors
/// [`Error::Content`] for other encodings than UTF-8 and for a workbook, with what to do; `expected` names the contents, as in
/// [`read_csv`].
pub fn csv_reader<'a>(
    path: &Path,
    bytes: &'a [u8],
    columns: &[&str],
    expected: &'static str,
) -> Result<csv::Reader<&'a [u8]>> {
    let refuse = |found: &str| {
        let reason = format!("{found}: save it as CSV in UTF-8 (in Excel: `CSV UTF-8`)");
        Err(content(path, expected, reason))
    };
    match bytes {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => return refuse("it is text in UTF-16"),
        [b'P', b'K', 3, 4, ..] | [0xd0, 0xcf, 0x11, 0xe0, ..] => {
            return refuse("it is a workbook or another archive");
        }
        _ if std::str::from_utf8(bytes).is_err() => return refuse("it is not text in UTF-8"),
        _ => {}
    }
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let (bytes, named) = match text.strip_prefix(b"sep=") {
        Some([separator @ (b',' | b';' | b'\t'), rest @ ..])
            if rest.starts_with(b"\r") || rest.starts_with(b"\n") =>
        {
            (rest.trim_ascii_start(), Some(*separator))
        }
        _ => (bytes, None),
    };
    let header = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let header = String::from_utf8_lossy(header).to_lowercase();
    let around = |c: char| c.is_whitespace() || c == '"' || c == '\u{feff}';
    let has = |separator: u8, column: &str| {
        header.split(char::from(separator)).any(|found| found.trim_matches(around) == column)
    };
    let has_columns =
        |separator: &u8| !columns.is_empty() && columns.iter().all(|column| has(*separator, column));
    let separators = [b',', b';', b'\t'];
    let suitable = separators.into_iter().find(has_columns);
    let first = || separators.into_iter().find(|separator| header.as_bytes().contains(separator));
    let separator = named.or(suitable).or_else(first).unwrap_or(b',');
    Ok(csv::ReaderBuilder::new().trim(csv::Trim::Headers).delimiter(separator).from_reader(bytes))
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
