//! The flags that select pictures and name their patients.

use std::path::PathBuf;

use anyhow::{Result, anyhow};
use clap::Args;
use malaria_dataset::{Error, Listed, PatientNames, PatientPattern, list_images};

use crate::terminal::note;

#[derive(Args)]
pub(crate) struct Patients {
    /// Regular expression with one group, which matches the patient in a picture's path below its folder (separator /):
    /// '([^/_]+)_[^/]*$' matches the file name up to its first _ [default: names like NLM's, such as C33P1_1.png for
    /// patient C33]
    #[arg(long, value_name = "REGEX", conflicts_with = "patients")]
    patient_pattern: Option<PatientPattern>,
    /// CSV with the columns file (such a path) and patient
    #[arg(long, value_name = "FILE.csv")]
    patients: Option<PathBuf>,
}

impl Patients {
    /// Whether a flag is given.
    pub(crate) fn are_given(&self) -> bool {
        self.patient_pattern.is_some() || self.patients.is_some()
    }

    /// The pictures at `paths` with their patients. `with_notes` prints the notes on them, unless a table ends with these.
    pub(crate) fn list(&self, paths: &[PathBuf], with_notes: bool) -> Result<Listed> {
        let pattern = self.patient_pattern.clone().map(PatientNames::Pattern);
        let patients = pattern.or(self.patients.clone().map(PatientNames::Table)).unwrap_or_default();
        let listed = list_images(paths, &patients).map_err(|error| match error {
            error @ Error::Config { .. } => anyhow!("--patient-pattern: {error}"),
            error @ Error::Table { .. } => anyhow!("--patients: {error}"),
            error => error.into(),
        })?;
        if with_notes {
            listed.notes.iter().for_each(|words| note(format_args!("warning: {words}")));
        }
        Ok(listed)
    }
}
