//! Choosing the threshold for the cells of smears.

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::patient_rule::{PatientCaller, PatientRule};
use crate::patients::by_patient;
use crate::rank::{self, Cut, Cuts};

/// Cells of a smear for which the detection limit is minimised.
const CELLS: u64 = 5_000;
/// Minimum factor by which the number of false alarms grows from one candidate to the next.
const GROWTH: f64 = 1.2;
/// Maximum share of false alarms of a candidate.
const MAX_ALARMS: f64 = 0.2;
/// Minimum number of false alarms of a candidate. With fewer, their distribution over patients is determined by the prior
/// only: one alarm in 10,347 cells of 150 patients gave a limit of blank of 0 of 5,000 cells, although at that rate every
/// third patient would have an alarm if patients did not differ.
const MIN_ALARMS: u64 = 10;

/// A threshold for cells of smears, with the rates of positive calls at this threshold.
#[derive(Debug, Clone, PartialEq)]
pub struct SmearPoint {
    /// Cells of at least this score are called positive.
    pub threshold: f64,
    /// The rates on the cells that the threshold was chosen on.
    pub rule: PatientRule,
    /// The [detection limit](PatientCaller::detection_limit) of 5,000 cells.
    pub detection_limit: f64,
}

/// The threshold with the lowest [detection limit](PatientCaller::detection_limit) of 5,000 cells, on the `scores` `[N]` of
/// cells of `patients` `[N]`; `infected` `[N]` are their labels. `None` if no threshold has such a limit, for example with a
/// single patient.
///
/// It is far stricter than a threshold for single cells, since nearly all cells of a smear are uninfected. Candidates are
/// scores between which the number of false alarms grows by a fifth, from ten alarms to alarms in a fifth of the uninfected
/// cells; candidates with fewer than ten are used only if there are no others.
///
/// The choice of the candidates and of the criterion is our own; the sources of the criterion are at
/// [`limit_of_blank`](PatientCaller::limit_of_blank).
///
/// # Errors
/// No samples, lengths that differ, or a score that is NaN or outside `[0, 1]`.
pub fn choose_smear_threshold<S: AsRef<str> + Sync>(
    patients: &[S],
    infected: &[bool],
    scores: &[f64],
) -> Result<Option<SmearPoint>> {
    let points = candidates(infected, scores)?
        .into_par_iter()
        .map(|threshold| {
            let positive: Vec<bool> = scores.iter().map(|&score| score >= threshold).collect();
            let Some(rule) = PatientRule::estimate(&by_patient(patients, infected, &positive)?)? else {
                return Ok(None);
            };
            match PatientCaller::new(&rule) {
                Ok(caller) => Ok(caller.detection_limit(CELLS).map(|detection_limit| SmearPoint {
                    threshold,
                    rule,
                    detection_limit,
                })),
                Err(Error::UninformativeRates { .. }) => Ok(None),
                Err(error) => Err(error),
            }
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(points.into_iter().flatten().min_by(|a, b| a.detection_limit.total_cmp(&b.detection_limit)))
}

/// Thresholds by falling value: the lowest of those with the same number of false alarms, thinned.
fn candidates(infected: &[bool], scores: &[f64]) -> Result<Vec<f64>> {
    let Cuts { cuts, negatives, .. } = rank::cuts(infected, scores)?;
    let mut chosen: Vec<Cut> = Vec::new();
    for cut in cuts {
        let alarms = cut.false_positives;
        match chosen.last_mut() {
            Some(last) if last.false_positives == alarms => *last = cut,
            Some(last) if (alarms as f64) < GROWTH * last.false_positives as f64 => {}
            _ if alarms as f64 <= MAX_ALARMS * negatives as f64 => chosen.push(cut),
            _ => break,
        }
    }
    let known = |cut: &Cut| cut.false_positives >= MIN_ALARMS;
    if chosen.iter().any(known) {
        chosen.retain(known);
    }
    Ok(chosen.into_iter().map(|cut| cut.threshold).collect())
}
