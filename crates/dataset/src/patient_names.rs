//! The patient of each picture, from the picture's name or from a table.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use regex::Regex;
use serde::{Deserialize, Serialize};

use crate::csv_rows::read_rows;
use crate::error::{Error, Result};
use crate::nih_names::patient_of;
use crate::wording::listing;

/// The source of a picture's patient. In JSON `"nlm"`, `{"pattern": "…"}` or `{"table": "…"}`.
///
/// A pattern and a table refer to the path of a picture below the given folder, with `/` between its parts on every system.
/// In a `training/validation/testing` tree the path begins with the class folder, so that they also apply to the folder that
/// the tree was built from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PatientNames {
    /// The file name, in the form of NLM's: see [`patient_of`].
    #[default]
    Nlm,
    /// A pattern of the path.
    Pattern(PatientPattern),
    /// A CSV file with the columns `file`, the path, and `patient`, empty or a word such as `unknown` or `n/a` where it is
    /// unknown. Other columns are ignored.
    Table(PathBuf),
}

/// A regular expression with one group, which matches the patient in a path.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PatientPattern(Regex);

/// The pictures of unknown patients in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnknownPatients {
    /// Their number.
    pub cells: usize,
    /// Number of all pictures.
    pub of: usize,
    /// Path of the first of them.
    pub first: String,
}

impl UnknownPatients {
    /// The unknown ones among pictures given by path and patient; `None` if every patient is known.
    pub fn among<'a>(
        pictures: impl ExactSizeIterator<Item = (Cow<'a, str>, &'a Option<String>)>,
    ) -> Option<Self> {
        let of = pictures.len();
        let mut unknown = pictures.filter(|(_, patient)| patient.is_none());
        let first = unknown.next()?.0.into_owned();
        Some(Self { cells: 1 + unknown.count(), of, first })
    }
}

impl fmt::Display for UnknownPatients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cells, of, first } = self;
        write!(f, "pictures of unknown patients: {cells} of {of}, first `{first}`")
    }
}

impl PatientNames {
    /// The patient of each of the pictures at `paths`; `None` where it is unknown.
    ///
    /// # Errors
    /// [`Error::Config`] for a pattern that matches no path. For a table, [`Error::File`] if it cannot be read, and
    /// [`Error::Table`] if it has no such columns, two patients for one picture, or a file that matches no picture or
    /// several pictures.
    pub(crate) fn patients(&self, paths: &[&str]) -> Result<Vec<Option<String>>> {
        match self {
            Self::Nlm => {
                Ok(paths.iter().map(|path| patient_of(path.rsplit('/').next().unwrap_or(path))).collect())
            }
            Self::Pattern(pattern) => pattern.patients(paths),
            Self::Table(file) => read_table(file, paths),
        }
    }
}

impl PatientPattern {
    fn patients(&self, paths: &[&str]) -> Result<Vec<Option<String>>> {
        let patient =
            |path: &&str| self.0.captures(path)?.get(1).and_then(|group| patient_name(group.as_str()));
        let patients: Vec<Option<String>> = paths.iter().map(patient).collect();
        if patients.iter().all(Option::is_none) {
            let first = paths.first().map(|path| format!(", such as `{path}`")).unwrap_or_default();
            let found = format!("`{self}`, which finds no patient in any of the {} paths", paths.len());
            return Err(self.error(found, &format!("one that matches the paths of pictures{first}")));
        }
        Ok(patients)
    }

    pub(crate) fn error(&self, found: String, expected: &str) -> Error {
        Error::config("the patient pattern", found, expected)
    }
}

impl fmt::Display for PatientPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

impl FromStr for PatientPattern {
    type Err = Error;

    /// # Errors
    /// [`Error::Config`] if `text` is not a regular expression with exactly one group.
    fn from_str(text: &str) -> Result<Self> {
        let refuse = |found: String| {
            let expected =
                r"a regular expression with one group around the patient, such as `([^/_]+)_[^/]*$`";
            Err(Error::config("the patient pattern", format_args!("`{text}`, {found}"), expected))
        };
        match Regex::new(text) {
            // The whole match counts as a group, too.
            Ok(regex) if regex.captures_len() == 2 => Ok(Self(regex)),
            Ok(regex) => refuse(format!("with {} groups", regex.captures_len() - 1)),
            // The last line of the message is the reason; the preceding lines show the position.
            Err(error) => {
                let error = error.to_string();
                let reason = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
                refuse(format!("which is invalid: {reason}"))
            }
        }
    }
}

impl TryFrom<String> for PatientPattern {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<PatientPattern> for String {
    fn from(pattern: PatientPattern) -> Self {
        pattern.to_string()
    }
}

impl PartialEq for PatientPattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for PatientPattern {}

/// Words for an unknown patient, and the errors of spreadsheets.
const UNKNOWN: [&str; 17] = [
    "", "unknown", "n/a", "na", "none", "null", "nan", "?", "-", "--", "#N/A", "#REF!", "#VALUE!", "#NAME?",
    "#DIV/0!", "#NUM!", "#NULL!",
];

/// `text` without the spaces around it, also those that cannot be seen.
fn trimmed(text: &str) -> &str {
    let invisible = |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}');
    text.trim_matches(|c: char| c.is_whitespace() || invisible(c))
}

/// A patient's name; `None` for [`UNKNOWN`].
fn patient_name(text: &str) -> Option<String> {
    let name = trimmed(text);
    let known = !UNKNOWN.iter().any(|word| name.eq_ignore_ascii_case(word));
    known.then(|| name.to_owned())
}

/// Words on names that may be of the same patient; `None` if there are none.
pub(crate) fn similar_patients<'a>(names: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut similar: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for name in BTreeSet::from_iter(names) {
        similar.entry(without_zeros(name)).or_default().push(name);
    }
    let names: Vec<&str> = similar.into_values().filter(|names| names.len() > 1).flatten().collect();
    let words = || {
        format!(
            "patients whose names differ only in case, leading zeros or a final `.0`, and who count as different patients: {}",
            listing(&names)
        )
    };
    (!names.is_empty()).then(words)
}

/// `name` in lower case, without a final `.0` and the leading zeros of its numbers. Digits after a decimal point are no number
/// of their own.
fn without_zeros(name: &str) -> String {
    let name = name.to_lowercase();
    let (mut key, mut digits) = (String::new(), 0);
    for c in name.strip_suffix(".0").unwrap_or(&name).chars() {
        if !c.is_ascii_digit() {
            digits = if digits > 0 && matches!(c, '.' | ',') { 2 } else { 0 };
        } else if digits == 1 && key.ends_with('0') {
            key.pop();
        } else {
            digits += 1;
        }
        key.push(c);
    }
    key
}

/// `path` with a `?` for each letter outside ASCII, whether it is one character (Unicode NFC) or a letter and its accents
/// (NFD, as macOS writes names).
fn without_accents(path: &str) -> String {
    let mut letters = String::new();
    for c in path.chars() {
        if matches!(c, '\u{300}'..='\u{36f}') {
            letters.pop();
        }
        letters.push(if c.is_ascii() { c } else { '?' });
    }
    letters
}

/// The patients in the CSV `file`, in the order of `paths`.
fn read_table(file: &Path, paths: &[&str]) -> Result<Vec<Option<String>>> {
    #[derive(Deserialize)]
    struct Row {
        file: String,
        patient: String,
    }
    if file.is_dir() {
        return Err(Error::path(file, "is a folder; expected a CSV file with the columns file and patient"));
    }
    let bad = |line: u64, reason: String| Error::Table { path: file.to_path_buf(), line, reason };
    let mut pictures: HashMap<&str, Vec<usize>> = HashMap::new();
    (0..paths.len()).for_each(|i| pictures.entry(paths[i]).or_default().push(i));
    let mut patients = vec![None; paths.len()];
    let mut line_of: HashMap<usize, u64> = HashMap::new();
    for (line, Row { file, patient }) in read_rows(file, &["file", "patient"])? {
        if [&file, &patient].iter().any(|text| text.contains('\n')) {
            return Err(bad(
                line,
                "expected a file and a patient, found a line break in one: is a quote not closed?".to_owned(),
            ));
        }
        let file = trimmed(&file).trim_start_matches("./");
        let &[i] = pictures.get(file).map_or(&[][..], Vec::as_slice) else {
            let first = paths.first().map(|path| format!(", such as `{path}`")).unwrap_or_default();
            let same_letters = |path: &&&str| without_accents(path) == without_accents(file);
            let found = if pictures.contains_key(file) {
                "which is the path of several".to_owned()
            } else if let Some(path) = paths.iter().find(same_letters).filter(|_| !file.is_ascii()) {
                format!(
                    "which is not one; in `{path}`, letters with accents are encoded in another way (Unicode NFC or NFD)"
                )
            } else {
                "which is not one".to_owned()
            };
            let expected =
                format!("the path of a picture below the folder, with `/` between its parts{first}");
            return Err(bad(line, format!("expected {expected}; found `{file}`, {found}")));
        };
        let patient = patient_name(&patient);
        if let Some(first) = line_of.insert(i, line).filter(|_| patients[i] != patient) {
            let [found, before] = [&patient, &patients[i]].map(|name| name.as_deref().unwrap_or_default());
            let reason =
                format!("expected one patient for `{file}`; found `{found}`, and `{before}` on line {first}");
            return Err(bad(line, reason));
        }
        patients[i] = patient;
    }
    Ok(patients)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leading_zeros_are_not_those_after_a_decimal_point() {
        assert_eq!(similar_patients(["1.05", "1.5", "2,05", "2,5"].into_iter()), None);
        let words = similar_patients(["01.5", "1.5", "P.01", "p.1", "7", "7.0"].into_iter()).unwrap();
        assert!(words.ends_with("`01.5`, `1.5`, `7`, `7.0`, `P.01`, `p.1`"), "{words}");
    }
}
