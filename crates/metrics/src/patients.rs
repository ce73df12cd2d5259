//! Patient calls from the calls of their cells.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::beta_binomial::{BetaBinomial, root};
use crate::check;
use crate::error::{Error, Result};
use crate::interval::Interval;

/// Upper limit of [`PatientRule::cells_for_a_negative`]: far more cells than anybody counts.
const MAX_CELLS: u64 = 1_000_000;

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

/// The correlation of the calls of any two cells of a patient, in `[0, 1]`; 0 where patients differ by no more than chance,
/// or all cells are called alike. `None` with fewer than two patients, or without two cells of one patient.
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
    // 0 / 0 where every cell is called alike.
    Some(if correlation.is_nan() { 0.0 } else { correlation.clamp(0.0, 1.0) })
}

/// The rule by which patients are called from the calls of their cells.
///
/// A model calls some uninfected cells positive, in some patients more than in others. So a patient's share of positive
/// cells has to be compared with that rate and its spread.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PatientRule {
    /// Share of infected cells that the model calls positive, in `[0, 1]`.
    pub sensitivity: f64,
    /// Share of uninfected cells that it calls positive, below `sensitivity`.
    pub false_positive_rate: f64,
    /// [`intra_patient_correlation`] of the false alarms, in `[0, 1)`: how much their rate differs between patients. Calls of
    /// infected cells are assumed to differ as much, which was not measured and makes upper ends and detection limits wider.
    pub correlation: f64,
    /// Level of intervals and calls, in `[0, 1)`.
    pub confidence: f64,
    /// A patient is called negative only if this share of infected cells can be excluded, in `(0, 1]`.
    pub relevant_share: f64,
}

/// The call of a patient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PatientCall {
    /// More positive cells than false alarms explain.
    Positive,
    /// Fewer positive cells than the relevant share of infected cells would give.
    Negative,
    /// Neither: more cells are needed, or a better model.
    Undecided,
}

/// The result for one patient.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PatientResult {
    /// The counted cells.
    pub called: CellCounts,
    /// Share of the cells called positive.
    pub positive_share: f64,
    /// Estimated share of infected cells (the parasitaemia): the positive share corrected for false alarms and missed cells,
    /// clamped to 0 and 1.
    pub infected_share: f64,
    /// Interval of the infected share.
    pub interval: Interval,
    /// The call.
    pub call: PatientCall,
}

impl PatientRule {
    /// Checks the rule.
    ///
    /// # Errors
    /// A value out of its range, or a false positive rate that is not below the sensitivity.
    pub fn check(&self) -> Result<()> {
        check::fraction(|| "sensitivity".into(), self.sensitivity)?;
        check::fraction(|| "false positive rate".into(), self.false_positive_rate)?;
        for (what, value) in [("correlation", self.correlation), ("confidence", self.confidence)] {
            if !(0.0..1.0).contains(&value) {
                return Err(Error::OutOfRange { what: format!("{what} (below 1)"), value, range: 0.0..=1.0 });
            }
        }
        if !(self.relevant_share > 0.0 && self.relevant_share <= 1.0) {
            let (what, value) = ("relevant share (above 0)".to_owned(), self.relevant_share);
            return Err(Error::OutOfRange { what, value, range: 0.0..=1.0 });
        }
        if self.false_positive_rate >= self.sensitivity {
            let (false_positive_rate, sensitivity) = (self.false_positive_rate, self.sensitivity);
            return Err(Error::UninformativeRates { false_positive_rate, sensitivity });
        }
        Ok(())
    }

    /// Calls a patient from the calls of some of their cells.
    ///
    /// The estimate is Rogan and Gladen's ("Estimating prevalence from the results of a screening test", American Journal of
    /// Epidemiology 107, 1978). Its interval is the two-sided exact interval of a beta-binomial count with the rule's correlation
    /// (Clopper and Pearson's without correlation); sensitivity and false positive rate are taken as exact.
    ///
    /// ```
    /// use malaria_metrics::{CellCounts, PatientCall, PatientRule};
    ///
    /// let rule = PatientRule {
    ///     sensitivity: 0.95,
    ///     false_positive_rate: 0.03,
    ///     correlation: 0.0,
    ///     confidence: 0.95,
    ///     relevant_share: 0.05,
    /// };
    /// let call = |positive| rule.evaluate(CellCounts { cells: 200, positive }).map(|result| result.call);
    /// assert_eq!(call(40)?, PatientCall::Positive);
    /// assert_eq!(call(10)?, PatientCall::Undecided);
    /// assert_eq!(call(2)?, PatientCall::Negative);
    /// # Ok::<(), malaria_metrics::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`PatientRule::check`]; no cell, or more positive cells than cells.
    pub fn evaluate(&self, called: CellCounts) -> Result<PatientResult> {
        self.check()?;
        let call = self.call(called)?;
        let CellCounts { cells, positive } = called;
        let positive_share = positive as f64 / cells as f64;
        let rates = BetaBinomial::rates(cells, positive, self.correlation, self.confidence);
        Ok(PatientResult {
            called,
            positive_share,
            infected_share: self.infected(positive_share),
            interval: Interval { low: self.infected(rates.low), high: self.infected(rates.high) },
            call,
        })
    }

    /// The smallest share of infected cells at which a patient of `cells` cells is called positive with probability `power`;
    /// `None` where even a patient whose cells are all infected is called positive less often.
    ///
    /// # Errors
    /// As [`PatientRule::check`]; no cells; a power outside `[0, 1]`.
    pub fn detection_limit(&self, cells: u64, power: f64) -> Result<Option<f64>> {
        self.check()?;
        check::fraction(|| "power".into(), power)?;
        if cells == 0 {
            return Err(Error::Empty);
        }
        let Some(needed) = self.count_needed(cells) else { return Ok(None) };
        let reached = |share: f64| self.count(cells, self.rate_at(share)).at_least(needed);
        if reached(1.0) < power {
            return Ok(None);
        }
        Ok(Some(root(|share| reached(share) - power)))
    }

    /// The smallest number of cells at which a patient without a positive cell is called negative; `None` above a million.
    /// Patients of fewer cells are never called negative.
    ///
    /// # Errors
    /// As [`PatientRule::check`].
    pub fn cells_for_a_negative(&self) -> Result<Option<u64>> {
        self.check()?;
        let tail = (1.0 - self.confidence) / 2.0;
        let rate = self.rate_at(self.relevant_share);
        let enough = |cells: u64| self.count(cells, rate).at_most(0) < tail;
        if !enough(MAX_CELLS) {
            return Ok(None);
        }
        // Bisection: the probability of no positive cell falls with the number of cells.
        let (mut too_few, mut enough_cells) = (0, MAX_CELLS);
        while enough_cells - too_few > 1 {
            let middle = too_few.midpoint(enough_cells);
            if enough(middle) { enough_cells = middle } else { too_few = middle }
        }
        Ok(Some(enough_cells))
    }

    /// [`evaluate`](Self::evaluate) without the interval, by the same tails.
    pub(crate) fn call(&self, called: CellCounts) -> Result<PatientCall> {
        let CellCounts { cells, positive } = called;
        if cells == 0 {
            return Err(Error::Empty);
        }
        if positive > cells {
            return Err(Error::TooManySuccesses { successes: positive, trials: cells });
        }
        let tail = (1.0 - self.confidence) / 2.0;
        // Positive if the interval's lower end is above 0, negative if its upper end is below the relevant share.
        if self.count(cells, self.false_positive_rate).at_least(positive) < tail {
            return Ok(PatientCall::Positive);
        }
        if self.count(cells, self.rate_at(self.relevant_share)).at_most(positive) < tail {
            return Ok(PatientCall::Negative);
        }
        Ok(PatientCall::Undecided)
    }

    /// The smallest number of positive cells, of `cells`, that makes a patient positive; `None` where even all do not.
    fn count_needed(&self, cells: u64) -> Option<u64> {
        let alarms = self.count(cells, self.false_positive_rate);
        let tail = (1.0 - self.confidence) / 2.0;
        let mut probability = 0.0;
        let enough = (0..=cells).rev().take_while(|&count| {
            probability += alarms.probability(count);
            probability < tail
        });
        enough.last()
    }

    pub(crate) fn count(&self, cells: u64, rate: f64) -> BetaBinomial {
        BetaBinomial { cells, rate, correlation: self.correlation }
    }

    /// The share of cells called positive at this share of infected cells.
    fn rate_at(&self, infected_share: f64) -> f64 {
        self.false_positive_rate + infected_share * (self.sensitivity - self.false_positive_rate)
    }

    /// The inverse of [`rate_at`](Self::rate_at), clamped to 0 and 1.
    fn infected(&self, positive_share: f64) -> f64 {
        let share =
            (positive_share - self.false_positive_rate) / (self.sensitivity - self.false_positive_rate);
        share.clamp(0.0, 1.0)
    }
}
