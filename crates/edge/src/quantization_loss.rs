//! The accuracy cost of float16 and int8 weights.

use std::collections::HashSet;

use malaria_metrics::{Bootstrap, Interval, cluster_bootstrap};
use serde::{Deserialize, Serialize};

use crate::error::Result;

/// The accuracy cost of storing weights in fewer bits.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct QuantizationLoss {
    /// Cells compared.
    pub n: usize,
    /// Patients of these cells.
    pub n_patients: usize,
    /// Cells that the model was trained or selected on.
    pub seen_in_training: usize,
    /// Cells whose call differs from that with float32 weights.
    #[serde(alias = "flipped")]
    pub changed_calls: usize,
    /// Sensitivity with float32 weights minus that with the smaller ones; `None` without a positive cell.
    pub sensitivity_loss: Option<LossEstimate>,
    /// Specificity with float32 weights minus that with the smaller ones; `None` without a negative cell.
    pub specificity_loss: Option<LossEstimate>,
    /// The same two losses at the threshold for smears, by which patients are called; `None` without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub smear_losses: Option<[Option<LossEstimate>; 2]>,
}

/// A difference of two fractions, positive for a loss.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LossEstimate {
    /// The difference on these cells.
    pub estimate: f64,
    /// 95 % interval by a bootstrap over patients; `None` where it is undefined, such as without a change in any patient.
    pub interval: Option<Interval>,
    /// Cells of the class.
    #[serde(default)]
    pub cells: usize,
}

impl LossEstimate {
    /// The largest loss that these cells do not rule out: the upper end of the interval, or 3 divided by the number of cells
    /// (the rule of three) if that is larger.
    ///
    /// Non-inferiority is shown by the end of the interval, not by the estimate. Sources: G. Piaggio et al., "Reporting of
    /// noninferiority and equivalence randomized trials", JAMA 308 (2012); J. A. Hanley and A. Lippman-Hand, "If nothing
    /// goes wrong, is everything all right?", JAMA 249 (1983).
    pub fn upper(&self) -> f64 {
        let rule_of_three = (3.0 / self.cells.max(1) as f64).min(1.0);
        self.interval.map_or(self.estimate, |interval| interval.high).max(rule_of_three)
    }
}

/// The calls of one cell with float32 and with smaller weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CellCalls<'a> {
    /// Whether the cell is of the positive class.
    pub is_positive: bool,
    /// Whether it is called positive with float32 weights.
    pub full: bool,
    /// Whether it is called positive with the smaller weights.
    pub reduced: bool,
    /// Its patient; a cell of an unknown patient counts as a separate patient.
    pub patient: Option<&'a str>,
}

/// Compares the calls of `cells` at one threshold, `seen_in_training` of which the model was trained on.
///
/// # Errors
/// [`Error::Metrics`](crate::Error::Metrics) when there are no cells.
pub fn quantization_loss(cells: &[CellCalls<'_>], seen_in_training: usize) -> Result<QuantizationLoss> {
    let clusters: Vec<(Option<&str>, usize)> = cells
        .iter()
        .enumerate()
        .map(|(i, cell)| (cell.patient, if cell.patient.is_some() { 0 } else { i }))
        .collect();
    let both = |drawn: &[usize]| {
        let drawn = || drawn.iter().map(|&i| cells[i]);
        [loss(drawn(), true), loss(drawn(), false)]
    };
    let all: Vec<usize> = (0..cells.len()).collect();
    let intervals = cluster_bootstrap(&clusters, &Bootstrap::default(), both)?;
    let [sensitivity_loss, specificity_loss] = [0, 1].map(|metric| {
        let cells = cells.iter().filter(|cell| cell.is_positive == (metric == 0)).count();
        both(&all)[metric].map(|estimate| LossEstimate { estimate, interval: intervals[metric], cells })
    });
    Ok(QuantizationLoss {
        n: cells.len(),
        n_patients: cells.iter().filter_map(|cell| cell.patient).collect::<HashSet<_>>().len(),
        seen_in_training,
        changed_calls: cells.iter().filter(|cell| cell.full != cell.reduced).count(),
        sensitivity_loss,
        specificity_loss,
        smear_losses: None,
    })
}

/// The decrease of the share of correct calls in one class.
fn loss<'a>(cells: impl Iterator<Item = CellCalls<'a>>, positive: bool) -> Option<f64> {
    let (mut n, mut change) = (0_u64, 0_i64);
    for cell in cells.filter(|cell| cell.is_positive == positive) {
        n += 1;
        change += i64::from(cell.full == positive) - i64::from(cell.reduced == positive);
    }
    (n > 0).then(|| change as f64 / n as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(is_positive: bool, full: bool, reduced: bool, patient: &str) -> CellCalls<'_> {
        CellCalls { is_positive, full, reduced, patient: Some(patient) }
    }

    #[test]
    fn changed_calls_are_counted_and_losses_split_by_class() {
        let mut cells = Vec::new();
        for patient in ["C1", "C2", "C3", "C4", "C5"] {
            // Of four positive cells one is lost; of four negative ones one is gained.
            cells.extend([true, true, true, false].map(|reduced| cell(true, true, reduced, patient)));
            cells.extend([true, false, false, false].map(|full| cell(false, full, false, patient)));
        }
        let found = quantization_loss(&cells, 7).unwrap();
        assert_eq!((found.n, found.n_patients, found.seen_in_training, found.changed_calls), (40, 5, 7, 10));
        assert_eq!(found.sensitivity_loss.unwrap().estimate, 0.25);
        assert_eq!(found.specificity_loss.unwrap().estimate, -0.25);
    }

    #[test]
    fn intervals_resample_patients() {
        // All of the loss is in one patient of twenty.
        let names: Vec<String> = (0..20).map(|patient| format!("C{patient}")).collect();
        let cells: Vec<CellCalls<'_>> = names
            .iter()
            .enumerate()
            .flat_map(|(i, name)| (0..50).map(move |_| cell(true, true, i != 0, name)))
            .collect();
        let loss = quantization_loss(&cells, 0).unwrap().sensitivity_loss.unwrap();
        let interval = loss.interval.unwrap();
        assert_eq!(loss.estimate, 0.05);
        assert!(interval.low <= 0.0 && interval.high > 0.1, "{interval:?}");
        assert_eq!(loss.upper(), interval.high);
        // A few cells with better calls do not rule out a loss.
        let better =
            LossEstimate { estimate: -0.1, interval: Some(Interval { low: -0.3, high: 0.0 }), cells: 10 };
        assert_eq!(better.upper(), 0.3);
    }

    #[test]
    fn a_class_without_cells_has_no_loss() {
        let found =
            quantization_loss(&[cell(true, true, true, "C1"), cell(true, true, true, "C2")], 0).unwrap();
        let none = LossEstimate { estimate: 0.0, interval: None, cells: 2 };
        assert_eq!(found.sensitivity_loss, Some(none));
        // Two unchanged cells do not rule out any loss; a thousand rule out 0.3 %.
        assert_eq!((none.upper(), LossEstimate { cells: 1_000, ..none }.upper()), (1.0, 0.003));
        assert_eq!(found.specificity_loss, None);
        assert!(quantization_loss(&[], 0).is_err());
    }
}
