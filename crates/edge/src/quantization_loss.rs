//! What storing weights in fewer bits changes.

use std::collections::HashSet;

use malaria_metrics::{Bootstrap, Interval, cluster_bootstrap};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How calls of cells change when weights are stored in fewer bits.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct QuantizationLoss {
    /// Cells compared.
    pub n: usize,
    /// Patients that they are of.
    pub n_patients: usize,
    /// Cells among them that the model has learned from.
    pub seen_in_training: usize,
    /// Cells that are called otherwise than by float32 weights.
    pub flipped: usize,
    /// Sensitivity with float32 weights less that with the smaller ones; `None` without a positive cell.
    pub sensitivity_loss: Option<LossEstimate>,
    /// The same for specificity; `None` without a negative cell.
    pub specificity_loss: Option<LossEstimate>,
}

/// A difference of two fractions, positive where something is lost.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LossEstimate {
    /// The difference on these cells.
    pub estimate: f64,
    /// 95 % interval, by drawing patients anew; `None` where that gives none, as where nothing is lost or won in any patient:
    /// to write 0 to 0 would be to know more than these cells tell.
    pub interval: Option<Interval>,
}

/// A cell as it is called by either form of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CellCalls<'a> {
    /// Whether it is of the positive class.
    pub is_positive: bool,
    /// Whether float32 weights call it so.
    pub full: bool,
    /// Whether the smaller weights do.
    pub reduced: bool,
    /// Whose it is; a cell of nobody stands for itself.
    pub patient: Option<&'a str>,
}

/// Compares the calls of `cells`, of which the model has learned from `seen_in_training`.
///
/// # Errors
/// [`Error::Figures`] when there are no cells.
pub fn quantization_loss(cells: &[CellCalls<'_>], seen_in_training: usize) -> Result<QuantizationLoss> {
    let clusters: Vec<(Option<&str>, usize)> = cells
        .iter()
        .enumerate()
        .map(|(i, cell)| (cell.patient, if cell.patient.is_some() { 0 } else { i }))
        .collect();
    let both = |drawn: &[usize]| {
        let drawn = || drawn.iter().map(|&i| cells[i]);
        [lost(drawn(), true), lost(drawn(), false)]
    };
    let all: Vec<usize> = (0..cells.len()).collect();
    let intervals = cluster_bootstrap(&clusters, &Bootstrap::default(), both)?;
    let [sensitivity_loss, specificity_loss] = [0, 1].map(|figure| {
        both(&all)[figure].map(|estimate| LossEstimate { estimate, interval: intervals[figure] })
    });
    Ok(QuantizationLoss {
        n: cells.len(),
        n_patients: cells.iter().filter_map(|cell| cell.patient).collect::<HashSet<_>>().len(),
        seen_in_training,
        flipped: cells.iter().filter(|cell| cell.full != cell.reduced).count(),
        sensitivity_loss,
        specificity_loss,
    })
}

/// By how much the share of cells called right falls among those of one class.
fn lost<'a>(cells: impl Iterator<Item = CellCalls<'a>>, positive: bool) -> Option<f64> {
    let (mut n, mut change) = (0_u64, 0_i64);
    for cell in cells.filter(|cell| cell.is_positive == positive) {
        n += 1;
        change += i64::from(cell.full == positive) - i64::from(cell.reduced == positive);
    }
    (n > 0).then(|| change as f64 / n as f64)
}

impl From<malaria_metrics::Error> for Error {
    fn from(error: malaria_metrics::Error) -> Self {
        Error::Figures { reason: error.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(is_positive: bool, full: bool, reduced: bool, patient: &str) -> CellCalls<'_> {
        CellCalls { is_positive, full, reduced, patient: Some(patient) }
    }

    #[test]
    fn flips_count_once_and_losses_by_class() {
        let mut cells = Vec::new();
        for patient in ["C1", "C2", "C3", "C4", "C5"] {
            // Of four positive cells one is lost; of four negative ones one is gained.
            cells.extend([true, true, true, false].map(|reduced| cell(true, true, reduced, patient)));
            cells.extend([true, false, false, false].map(|full| cell(false, full, false, patient)));
        }
        let quantization_loss = quantization_loss(&cells, 7).unwrap();
        assert_eq!(
            (
                quantization_loss.n,
                quantization_loss.n_patients,
                quantization_loss.seen_in_training,
                quantization_loss.flipped
            ),
            (40, 5, 7, 10)
        );
        assert_eq!(quantization_loss.sensitivity_loss.unwrap().estimate, 0.25);
        assert_eq!(quantization_loss.specificity_loss.unwrap().estimate, -0.25);
    }

    #[test]
    fn intervals_draw_patients() {
        // All the loss is in one patient of twenty: whether that one is drawn decides.
        let names: Vec<String> = (0..20).map(|patient| format!("C{patient}")).collect();
        let cells: Vec<CellCalls<'_>> = names
            .iter()
            .enumerate()
            .flat_map(|(i, name)| (0..50).map(move |_| cell(true, true, i != 0, name)))
            .collect();
        let lost = quantization_loss(&cells, 0).unwrap().sensitivity_loss.unwrap();
        let interval = lost.interval.unwrap();
        assert_eq!(lost.estimate, 0.05);
        assert!(interval.low <= 0.0 && interval.high > 0.1, "{interval:?}");
    }

    #[test]
    fn a_class_that_is_absent_has_nothing_to_lose() {
        let quantization_loss =
            quantization_loss(&[cell(true, true, true, "C1"), cell(true, true, true, "C2")], 0).unwrap();
        assert_eq!(quantization_loss.sensitivity_loss, Some(LossEstimate { estimate: 0.0, interval: None }));
        assert_eq!(quantization_loss.specificity_loss, None);
        assert!(super::quantization_loss(&[], 0).is_err());
    }
}
