//! Reads the rows of a CSV file with their line numbers, for error messages.

use std::fs;
use std::path::Path;

use csv::StringRecord;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};

/// The rows of the CSV file at `path`, each with its line number, from 1. Its header has at least these `columns`, in any order.
///
/// # Errors
/// [`Error::File`] if it cannot be read; [`Error::Table`] if it lacks a column or has an invalid row.
pub(crate) fn read_rows<T: DeserializeOwned>(path: &Path, columns: &[&str]) -> Result<Vec<(u64, T)>> {
    let contents = fs::read(path).map_err(Error::io("read", path))?;
    let mut csv = malaria_files::csv_reader(path, &contents, columns, "a table")?;
    // Excel's first line, `sep=;`, is not read.
    let skipped = contents.len() - csv.get_ref().len();
    let bad = |line: u64, reason: String| Error::Table { path: path.to_path_buf(), line, reason };
    let header = csv.headers().map_err(|error| bad(1, error.to_string()))?.clone();
    // Column names in upper or lower case.
    let header: StringRecord = header.iter().map(str::to_lowercase).collect();
    if columns.iter().any(|column| header.iter().filter(|found| found == column).count() != 1) {
        let found = header.iter().collect::<Vec<_>>().join(",");
        return Err(bad(1, format!("expected the columns {}, found {found}", columns.join(","))));
    }
    let mut rows = Vec::new();
    let mut record = StringRecord::new();
    let (mut line, mut counted) = (1, 0);
    loop {
        // The reader's own line numbers count neither the line breaks of Windows nor empty lines correctly.
        let at = (skipped + csv.position().byte() as usize).min(contents.len());
        let start = at + contents[at..].iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        line += contents[counted..start].iter().filter(|byte| **byte == b'\n').count() as u64;
        counted = start;
        match csv.read_record(&mut record) {
            Ok(true) => {}
            Ok(false) => return Ok(rows),
            Err(error) => return Err(bad(line, error.to_string())),
        }
        if record.iter().all(|field| field.trim().is_empty()) {
            continue;
        }
        rows.push((line, record.deserialize(Some(&header)).map_err(|error| bad(line, error.to_string()))?));
    }
}
