//! Counts of cells by patient, and the differences between patients.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::check;
use crate::error::{Error, Result};

/// Numbers of cells and of positive cells of one patient.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CellCounts {
    /// Cells evaluated.
    pub cells: u64,
    /// Cells called positive.
    pub positive: u64,
}

/// The labelled cells of one patient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PatientCells {
    /// The patient's name.
    pub patient: String,
    /// Cells labelled infected.
    pub infected: CellCounts,
    /// Cells labelled uninfected.
    pub uninfected: CellCounts,
}

impl CellCounts {
    /// Checks the counts.
    ///
    /// # Errors
    /// [`Error::TooManySuccesses`] for more positive cells than cells.
    pub(crate) fn check(self) -> Result<()> {
        if self.positive > self.cells {
            return Err(Error::TooManySuccesses { successes: self.positive, trials: self.cells });
        }
        Ok(())
    }
}

impl PatientCells {
    /// All cells together.
    pub fn all(&self) -> CellCounts {
        let Self { infected, uninfected, .. } = self;
        CellCounts {
            cells: infected.cells + uninfected.cells,
            positive: infected.positive + uninfected.positive,
        }
    }
}

/// Counts cells by patient, in the order of the patients' names. `patients`, `infected` (the label) and `positive` (the
/// call) have one value per cell.
///
/// # Errors
/// Lengths that differ.
pub fn by_patient<S: AsRef<str>>(
    patients: &[S],
    infected: &[bool],
    positive: &[bool],
) -> Result<Vec<PatientCells>> {
    check::length("labels", patients.len(), infected.len())?;
    check::length("calls", patients.len(), positive.len())?;
    let mut found: BTreeMap<&str, [CellCounts; 2]> = BTreeMap::new();
    for ((patient, &infected), &positive) in patients.iter().zip(infected).zip(positive) {
        let called = &mut found.entry(patient.as_ref()).or_default()[usize::from(infected)];
        called.cells += 1;
        called.positive += u64::from(positive);
    }
    let cells = found.into_iter().map(|(patient, [uninfected, infected])| PatientCells {
        patient: patient.to_owned(),
        infected,
        uninfected,
    });
    Ok(cells.collect())
}

/// The correlation of the calls of any two cells of a patient, in `[0, 1]`; 0 if patients differ by no more than chance or
/// all calls are the same. `None` with fewer than two patients, or without two cells of one patient.
///
/// Source: the analysis-of-variance estimator, as in M. S. Ridout et al., "Estimating intraclass correlation for binary
/// data", Biometrics 55 (1999).
pub fn intra_patient_correlation(patients: &[CellCounts]) -> Option<f64> {
    let patients: Vec<(f64, f64)> = patients
        .iter()
        .filter(|called| called.cells > 0)
        .map(|called| (called.cells as f64, called.positive as f64))
        .collect();
    let count = patients.len() as f64;
    let total: f64 = patients.iter().map(|(cells, _)| cells).sum();
    if count < 2.0 || total <= count {
        return None;
    }
    let positive: f64 = patients.iter().map(|(_, positive)| positive).sum();
    let squares: f64 = patients.iter().map(|(cells, positive)| positive * positive / cells).sum();
    let between = (squares - positive * positive / total) / (count - 1.0);
    let within = (positive - squares) / (total - count);
    let size = (total - patients.iter().map(|(cells, _)| cells * cells).sum::<f64>() / total) / (count - 1.0);
    let correlation = (between - within) / (between + (size - 1.0) * within);
    // 0 / 0 if all calls are the same.
    Some(if correlation.is_nan() { 0.0 } else { correlation.clamp(0.0, 1.0) })
}
