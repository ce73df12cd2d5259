//! Parsers of flags, whose errors name the expected value, and the flags that identify patients.

use std::{num::NonZeroU64, path::PathBuf, str::FromStr};

use malaria_resnet::dataset::{PatientNames, PatientPattern};

/// The source of each picture's patient.
#[derive(clap::Args)]
pub(crate) struct Patients {
    /// Regular expression with one group, which matches the patient in a picture's path below the folder (separator /):
    /// '([^/_]+)_[^/]*$' matches the file name up to its first _ [default: names like NLM's, such as C33P1_1.png for
    /// patient C33]
    #[arg(long, value_name = "REGEX", conflicts_with = "patients")]
    patient_pattern: Option<PatientPattern>,
    /// CSV with the columns file (such a path) and patient
    #[arg(long, value_name = "FILE.csv")]
    patients: Option<PathBuf>,
}

/// Advice on pictures of unknown patients.
pub(crate) const PATIENT_ADVICE: &str = "name the patients with --patient-pattern or --patients";

impl Patients {
    /// `None` without a flag.
    pub(crate) fn names(&self) -> Option<PatientNames> {
        let pattern = self.patient_pattern.clone().map(PatientNames::Pattern);
        pattern.or(self.patients.clone().map(PatientNames::Table))
    }
}

/// A fraction from 0 to 1.
pub(crate) fn fraction(text: &str) -> Result<f64, String> {
    let meant = match text.trim_end_matches('%').trim().parse::<f64>() {
        Ok(percent) if percent > 1.0 && percent <= 100.0 => format!("; did you mean {}?", percent / 100.0),
        _ => String::new(),
    };
    number(text, |share| (0.0..=1.0).contains(share), &format!("a fraction from 0 to 1, such as 0.95{meant}"))
}

/// A finite number above 0.
pub(crate) fn above_0(text: &str) -> Result<f64, String> {
    number(text, |value: &f64| *value > 0.0 && value.is_finite(), "a number above 0")
}

/// A whole number of at least 1.
pub(crate) fn count<T: FromStr>(text: &str) -> Result<T, String> {
    let is_count = text.parse::<NonZeroU64>().is_ok();
    number(text, |_| is_count, "a whole number of at least 1")
}

/// A number of folds.
pub(crate) fn folds(text: &str) -> Result<usize, String> {
    number(text, |folds| *folds >= 2, "a whole number of at least 2")
}

/// A seed.
pub(crate) fn seed(text: &str) -> Result<u64, String> {
    number(text, |_| true, &format!("a whole number from 0 to {}", u64::MAX))
}

fn number<T: FromStr>(text: &str, good: impl Fn(&T) -> bool, expected: &str) -> Result<T, String> {
    text.parse().ok().filter(good).ok_or_else(|| format!("expected {expected}"))
}
