//! `--json`: the result as a document for programs.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::Serialize;

use crate::terminal::{check_file, note, print};

/// Where to write the result as JSON.
#[derive(clap::Args)]
pub(crate) struct Json {
    /// Write the result as one JSON document to FILE.json or, without a name, to standard output; the text then goes to
    /// standard error
    #[arg(long, value_name = "FILE.json", num_args = 0..=1, default_missing_value = STDOUT, value_parser = target)]
    json: Option<PathBuf>,
}

/// The name that means standard output.
const STDOUT: &str = "-";

/// Parses the file name; the required ending keeps `--json a_cell.png` from overwriting a picture.
fn target(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    if text == STDOUT || path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json")) {
        return Ok(path);
    }
    Err("expected a name that ends in .json, or - for standard output".to_owned())
}

impl Json {
    /// The named file, if any.
    pub(crate) fn file(&self) -> Option<&PathBuf> {
        self.json.as_ref().filter(|path| *path != Path::new(STDOUT))
    }

    /// Whether the document goes to standard output.
    pub(crate) fn takes_stdout(&self) -> bool {
        self.json.is_some() && self.file().is_none()
    }

    /// Refuses a file that cannot be written, before any work.
    pub(crate) fn check(&self) -> Result<()> {
        self.file().map_or(Ok(()), |path| check_file(path, &["json"]))
    }

    /// Writes the file, if one is named.
    pub(crate) fn write(&self, document: &impl Serialize) -> Result<()> {
        let Some(path) = self.file() else { return Ok(()) };
        Ok(malaria_files::write_json(path, document)?)
    }

    /// Prints the text of a result, and the document if it goes to standard output.
    pub(crate) fn print(&self, words: &str, document: &impl Serialize) -> Result<()> {
        if self.takes_stdout() {
            note(words);
            return Ok(print(serde_json::to_string_pretty(document)?)?);
        }
        Ok(print(words)?)
    }

    /// [`print`](Self::print) and [`write`](Self::write). If one fails, the other is still done.
    pub(crate) fn result(&self, words: &str, document: &impl Serialize) -> Result<()> {
        let printed = self.print(words, document);
        self.write(document)?;
        printed
    }
}
