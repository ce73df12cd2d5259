//! Patient-level results on a test set.

use std::path::PathBuf;

use malaria_metrics::{
    Bootstrap, CellCounts, Interval, PatientCall, PatientCaller, PatientCells, PatientMetrics, PatientResult,
    Target, choose_threshold, cluster_bootstrap, delong_interval, exact_interval, percent, roc_curve,
};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{
    detection_limit::DetectionLimit,
    error::Result,
    patient_rule::{SmearDecision, SmearRule},
    scored::Scored,
};

/// Shares of infected cells for which detection is reported.
const PARASITAEMIAS: [f64; 6] = [0.001, 0.005, 0.01, 0.02, 0.05, 0.1];
/// Cells of a smear that is counted in full.
const CELLS_OF_A_SMEAR: u64 = 5_000;
/// Share of the healthy patients below the cutoff of [`PatientRoc`].
const ROC_SPECIFICITY: f64 = 0.95;
/// Level of the intervals.
const CONFIDENCE: f64 = 0.95;

/// Calls of patients from the calls of their cells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PatientAssessment {
    /// How new patients are called. In a cross-validation, the patients below are called by the rules chosen on the other folds.
    pub rule: SmearRule,
    /// Minimum number of cells for calling a patient "not detected".
    pub cells_needed: u64,
    /// Patients called by all their cells, of which far more are infected than in a smear.
    pub as_they_are: PatientMetrics,
    /// Patients called positive by smears of 5,000 cells: the probability of a positive call, given the patient's own cells
    /// and the rule, averaged over patients. Without shares if the cells as a whole are unlike the training cells, since the
    /// rates are then unknown.
    pub found: Found,
    /// Patients whose own uninfected cells, as they are, exceed the limit of blank of their number: observed false alarms beside
    /// the estimated ones of `found`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub above_blank: Option<AboveBlank>,
    /// The smallest shares of infected cells that are detected; empty if the cells as a whole are unlike the training cells, since the
    /// limits are then unknown.
    pub detection_limits: Vec<DetectionLimit>,
    /// How well the share of positive cells separates infected from healthy patients; `None` if one kind is missing.
    pub roc: Option<PatientRoc>,
}

/// Shares of patients called positive by smears with this number of cells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// Cells per smear.
    pub cells: u64,
    /// Share of the healthy patients, and its interval over patients; `None` without healthy patients.
    pub healthy: Option<f64>,
    /// Interval of [`healthy`](Self::healthy).
    pub healthy_interval: Option<Interval>,
    /// The infected patients by their share of infected cells, beginning with 0; empty without infected patients.
    pub infected: Vec<FoundAt>,
}

/// The share of infected patients called positive at one share of infected cells.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FoundAt {
    /// Share of the cells that is infected.
    pub infected_share: f64,
    /// Share of the patients called positive.
    pub found: f64,
    /// Its bootstrap interval over patients.
    pub interval: Option<Interval>,
    /// The excess over the share that false alarms alone give.
    pub excess: f64,
}

/// Numbers of patients whose uninfected cells alone would give a positive call.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AboveBlank {
    /// Among infected and among healthy patients.
    pub patients: [u64; 2],
    /// Of so many with uninfected cells.
    pub of: [u64; 2],
    /// [Exact intervals](exact_interval) of their shares.
    pub intervals: [Option<Interval>; 2],
}

/// The patients' shares of positive cells as a test for infection.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PatientRoc {
    /// Area under the ROC curve of the shares.
    pub auc: f64,
    /// DeLong's interval over patients.
    pub auc_interval: Option<Interval>,
    /// Infected patients at or above, and healthy patients below, the cutoff under which 95 % of the healthy patients of the
    /// other folds lie; `None` without folds.
    pub by_cut: Option<[u64; 2]>,
    /// [Exact intervals](exact_interval) of the shares of these patients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_cut_intervals: Option<[Option<Interval>; 2]>,
    /// Infected and healthy patients.
    pub patients: [u64; 2],
}

/// A patient with the index of their rule and its result.
struct Called {
    cells: PatientCells,
    rule: usize,
    result: PatientResult,
}

impl Called {
    fn infected(&self) -> bool {
        self.cells.infected.cells > 0
    }
}

/// Calls the known patients of `scored`.
fn called(scored: &Scored<'_>, decision: &SmearDecision, callers: &[PatientCaller]) -> Result<Vec<Called>> {
    let (patients, tallies) = (scored.patients_of_smears(decision)?, scored.tallies()?);
    let call = |(cells, rule): (PatientCells, usize)| {
        let mut result = callers[rule].evaluate(cells.all())?;
        let unlike = decision.rules()[rule].is_unfamiliar(&tallies[cells.patient.as_str()]);
        if unlike && result.call != PatientCall::Positive {
            result = PatientResult::not_called(result.called);
        }
        Ok(Called { cells, rule, result })
    };
    patients.into_par_iter().map(call).collect()
}

fn callers(decision: &SmearDecision) -> Option<Vec<PatientCaller>> {
    decision.rules().par_iter().map(|rule| rule.caller().ok()).collect()
}

impl PatientAssessment {
    /// Calls the known patients; `None` if none is known or a rule detects nothing.
    pub(crate) fn of(scored: &Scored<'_>, decision: &SmearDecision) -> Result<Option<Self>> {
        let (Some(callers), Ok(stored)) = (callers(decision), decision.stored.caller()) else {
            return Ok(None);
        };
        let patients = called(scored, decision, &callers)?;
        if patients.is_empty() {
            return Ok(None);
        }
        let calls: Vec<(bool, PatientCall)> =
            patients.iter().map(|patient| (patient.infected(), patient.result.call)).collect();
        let unlike = decision.stored.is_unfamiliar(&scored.tally()?);
        let detection_limits = match decision.of_folds {
            _ if unlike => Vec::new(),
            None => DetectionLimit::of(&stored).to_vec(),
            Some(_) => {
                let by_stored = SmearDecision { stored: decision.stored.clone(), of_folds: None };
                let estimated_from = scored.patients_of_smears(&by_stored)?.into_iter();
                DetectionLimit::with_intervals(
                    &stored,
                    &estimated_from.map(|(cells, _)| cells).collect::<Vec<_>>(),
                )?
            }
        };
        Ok(Some(Self {
            rule: decision.stored.clone(),
            cells_needed: stored.cells_needed(),
            as_they_are: PatientMetrics::of(&calls)?,
            found: Found::of(if unlike { &[] } else { &patients }, &callers)?,
            above_blank: AboveBlank::of(&patients, &callers)?,
            detection_limits,
            roc: PatientRoc::of(&patients, scored, decision)?,
        }))
    }
}

/// Writes one row per known patient, called by all their cells:
/// `patient,cells,infected,called_positive,infected_share,low,high,call,detection_limit,more_cells`.
///
/// Returns the path, or writes nothing without a roll-up, see [`Assessment`](crate::Assessment).
///
/// # Errors
/// [`Error::File`](crate::Error::File); an older file of that name then stays.
pub fn write_patients(
    path: PathBuf,
    scored: &Scored<'_>,
    decision: Option<&SmearDecision>,
) -> Result<Option<PathBuf>> {
    #[derive(Serialize)]
    struct Row {
        patient: String,
        cells: u64,
        /// By their labels.
        infected: u64,
        called_positive: u64,
        infected_share: Option<f64>,
        low: f64,
        high: f64,
        call: &'static str,
        detection_limit: Option<f64>,
        more_cells: Option<u64>,
    }
    let Some((decision, callers)) = decision.and_then(|decision| Some((decision, callers(decision)?))) else {
        return Ok(None);
    };
    let rows =
        called(scored, decision, &callers)?.into_iter().map(|Called { cells: patient, result, .. }| {
            let PatientResult { called, infected_share, interval: Interval { low, high }, call, .. } = result;
            let (call, detection_limit, more_cells) = match call {
                PatientCall::Positive => ("positive", None, None),
                PatientCall::NotDetected { detection_limit } => ("not-detected", Some(detection_limit), None),
                PatientCall::TooFewCells { more_cells } => ("too-few-cells", None, Some(more_cells)),
                PatientCall::NotCalled => ("not-called", None, None),
            };
            Row {
                patient: patient.patient,
                cells: called.cells,
                infected: patient.infected.cells,
                called_positive: called.positive,
                infected_share,
                low,
                high,
                call,
                detection_limit,
                more_cells,
            }
        });
    malaria_files::write_csv(&path, rows)?;
    Ok(Some(path))
}

impl Found {
    fn of(patients: &[Called], callers: &[PatientCaller]) -> Result<Self> {
        let (cells, shares) = (CELLS_OF_A_SMEAR, [&[0.0], PARASITAEMIAS.as_slice()].concat());
        // The rates of a patient without uninfected cells are those of other patients and say nothing about this patient's
        // false alarms.
        let with_cells: Vec<&Called> =
            patients.iter().filter(|patient| patient.cells.uninfected.cells > 0).collect();
        let found = |infected: bool| -> Result<Vec<Vec<f64>>> {
            let of_kind: Vec<&&Called> =
                with_cells.iter().filter(|patient| patient.infected() == infected).collect();
            let shares = if infected { &shares[..] } else { &shares[..1] };
            let found =
                |patient: &&&Called| Ok(callers[patient.rule].found(&patient.cells, cells, shares)?);
            of_kind.par_iter().map(found).collect()
        };
        let average = |of_patients: &[Vec<f64>], i: usize| -> Result<Option<(f64, Option<Interval>)>> {
            if of_patients.is_empty() {
                return Ok(None);
            }
            let each: Vec<usize> = (0..of_patients.len()).collect();
            let mean =
                |drawn: &[usize]| drawn.iter().map(|&j| of_patients[j][i]).sum::<f64>() / drawn.len() as f64;
            let [interval] = cluster_bootstrap(&each, &Bootstrap::default(), |drawn| [Some(mean(drawn))])?;
            Ok(Some((mean(&each), interval)))
        };
        let (infected, healthy) = (found(true)?, found(false)?);
        let mut rows = Vec::new();
        for (i, &infected_share) in shares.iter().enumerate() {
            let Some((found, interval)) = average(&infected, i)? else { break };
            let baseline = rows.first().map_or(found, |first: &FoundAt| first.found);
            rows.push(FoundAt { infected_share, found, interval, excess: found - baseline });
        }
        let (healthy, healthy_interval) = average(&healthy, 0)?.unzip();
        Ok(Self { cells, healthy, healthy_interval: healthy_interval.flatten(), infected: rows })
    }
}

impl AboveBlank {
    fn of(patients: &[Called], callers: &[PatientCaller]) -> Result<Option<Self>> {
        let (mut above, mut of) = ([0; 2], [0; 2]);
        for patient in patients {
            let CellCounts { cells, positive } = patient.cells.uninfected;
            let kind = usize::from(!patient.infected());
            of[kind] += u64::from(cells > 0);
            above[kind] += u64::from(positive > callers[patient.rule].limit_of_blank(cells));
        }
        let intervals = intervals(above, of)?;
        Ok((of != [0; 2]).then_some(Self { patients: above, of, intervals }))
    }

    pub(crate) fn note(self) -> String {
        let share = |i: usize| {
            let ends = self.intervals[i]
                .map(|ends| format!(" ({} to {})", percent(Some(ends.low)), percent(Some(ends.high))));
            format!("{} of {}{}", self.patients[i], self.of[i], ends.unwrap_or_default())
        };
        format!(
            " In the test set itself, the uninfected cells alone exceed the limit of blank in {} infected and {} healthy patients.",
            share(0),
            share(1)
        )
    }
}

/// Exact intervals of two shares.
fn intervals(parts: [u64; 2], of: [u64; 2]) -> Result<[Option<Interval>; 2]> {
    Ok([exact_interval(parts[0], of[0], CONFIDENCE)?, exact_interval(parts[1], of[1], CONFIDENCE)?])
}

impl PatientRoc {
    fn of(patients: &[Called], scored: &Scored<'_>, decision: &SmearDecision) -> Result<Option<Self>> {
        let infected: Vec<bool> = patients.iter().map(Called::infected).collect();
        let shares: Vec<f64> = patients.iter().map(|patient| patient.result.positive_share).collect();
        let Some(roc) = roc_curve(&infected, &shares)? else { return Ok(None) };
        let mut by_cut = (decision.rules().len() > 1).then_some([0, 0]);
        for (fold, rule) in decision.rules().iter().enumerate() {
            // The other folds' cells too are called at the threshold of this fold, which was chosen on them.
            let by_rule = SmearDecision { stored: rule.clone(), of_folds: None };
            let share = |(cells, _): (PatientCells, usize)| {
                let CellCounts { cells, positive } = cells.all();
                positive as f64 / cells as f64
            };
            let shares: Vec<f64> = scored.patients_of_smears(&by_rule)?.into_iter().map(share).collect();
            let of = |i: &usize| patients[*i].rule == fold;
            let (own, others): (Vec<usize>, Vec<usize>) = (0..patients.len()).partition(of);
            let truth: Vec<bool> = others.iter().map(|&i| infected[i]).collect();
            let scores: Vec<f64> = others.iter().map(|&i| shares[i]).collect();
            let cut = choose_threshold(&truth, &scores, Target::Specificity(ROC_SPECIFICITY));
            match (&mut by_cut, cut) {
                (Some([found, below]), Ok(cut)) => {
                    for i in own {
                        let above = shares[i] >= cut.threshold;
                        *found += u64::from(infected[i] && above);
                        *below += u64::from(!infected[i] && !above);
                    }
                }
                _ => by_cut = None,
            }
        }
        let n_infected = infected.iter().filter(|infected| **infected).count() as u64;
        let of = [n_infected, infected.len() as u64 - n_infected];
        Ok(Some(Self {
            auc: roc.auc,
            auc_interval: delong_interval(&infected, &shares, CONFIDENCE)?,
            by_cut,
            by_cut_intervals: by_cut.map(|counts| intervals(counts, of)).transpose()?,
            patients: of,
        }))
    }
}
