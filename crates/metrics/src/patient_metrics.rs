//! Metrics of patient calls, by the patients' own cells and by simulated smears.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Binomial, Distribution};
use serde::{Deserialize, Serialize};

use crate::check;
use crate::error::{Error, Result};
use crate::interval::{Interval, wilson_interval};
use crate::patients::{CellCounts, PatientCall, PatientCells, PatientRule};

/// Numbers of calls of patients who are all infected or all healthy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallCounts {
    /// Patients called positive.
    pub positive: u64,
    /// Patients called negative.
    pub negative: u64,
    /// Undecided patients.
    pub undecided: u64,
}

impl CallCounts {
    /// All patients.
    pub fn total(self) -> u64 {
        self.positive + self.negative + self.undecided
    }

    fn add(&mut self, call: PatientCall) {
        match call {
            PatientCall::Positive => self.positive += 1,
            PatientCall::Negative => self.negative += 1,
            PatientCall::Undecided => self.undecided += 1,
        }
    }
}

/// Sensitivity and specificity of patient calls.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PatientMetrics {
    /// Calls of patients with at least one infected cell.
    pub infected: CallCounts,
    /// Calls of patients without infected cells.
    pub healthy: CallCounts,
    /// Share of the infected patients called positive; an undecided one counts as missed.
    pub sensitivity: Option<f64>,
    /// Wilson's 95 % interval of the sensitivity: patients, unlike cells, are independent.
    pub sensitivity_interval: Option<Interval>,
    /// Share of the healthy patients called negative; an undecided one counts as an error.
    pub specificity: Option<f64>,
    /// Wilson's 95 % interval of the specificity.
    pub specificity_interval: Option<Interval>,
}

impl PatientMetrics {
    fn of(infected: CallCounts, healthy: CallCounts) -> Result<Self> {
        let share =
            |right: u64, calls: CallCounts| (calls.total() > 0).then(|| right as f64 / calls.total() as f64);
        Ok(Self {
            infected,
            healthy,
            sensitivity: share(infected.positive, infected),
            sensitivity_interval: wilson_interval(infected.positive, infected.total(), 0.95)?,
            specificity: share(healthy.negative, healthy),
            specificity_interval: wilson_interval(healthy.negative, healthy.total(), 0.95)?,
        })
    }
}

/// Calls every patient by all their cells. `rule_of` gives the rule of a patient: the same for all, or in a cross-validation one per
/// fold.
///
/// # Errors
/// As [`PatientRule::evaluate`].
pub fn patient_metrics(
    rule_of: impl Fn(&PatientCells) -> PatientRule,
    patients: &[PatientCells],
) -> Result<PatientMetrics> {
    let (mut infected, mut healthy) = (CallCounts::default(), CallCounts::default());
    for patient in patients {
        let side = if patient.infected.cells > 0 { &mut infected } else { &mut healthy };
        let rule = rule_of(patient);
        rule.check()?;
        side.add(rule.call(patient.all())?);
    }
    PatientMetrics::of(infected, healthy)
}

/// Calls every patient by a simulated smear of `cells` cells, `infected_share` of them infected (rounded to whole cells). Data sets
/// hold far more infected cells than smears do.
///
/// The rates at which a patient's infected and uninfected cells are called positive are sampled from their posterior given the
/// patient's own cells and the rule (the beta-binomial model that patients are called by), then the counts at these rates. So a
/// patient of few cells does not keep a rate that is extreme by chance. Infected cells are assumed to differ between patients as much
/// as false alarms do: if they differ more, the simulated sensitivity is too high.
///
/// Patients without uninfected cells are skipped. Smears of healthy patients have no infected cells. The samples are a function of the
/// seed and the patients' order.
///
/// # Errors
/// As [`PatientRule::check`]; no cells, a share outside `[0, 1]`, more positive cells than cells.
pub fn resampled_patient_metrics(
    rule_of: impl Fn(&PatientCells) -> PatientRule,
    patients: &[PatientCells],
    infected_share: f64,
    cells: u64,
    seed: u64,
) -> Result<PatientMetrics> {
    check::fraction(|| "share of infected cells".into(), infected_share)?;
    let (mut infected, mut healthy) = (CallCounts::default(), CallCounts::default());
    for (stream, patient) in (0..).zip(patients.iter().filter(|patient| patient.uninfected.cells > 0)) {
        for CellCounts { cells, positive } in [patient.infected, patient.uninfected] {
            if positive > cells {
                return Err(Error::TooManySuccesses { successes: positive, trials: cells });
            }
        }
        let rule = rule_of(patient);
        rule.check()?;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        let mut draw = |mean: f64, seen: CellCounts, count: u64| -> Result<u64> {
            let rate = rule.count(seen.cells, mean).rate_given(seen.positive, &mut rng);
            check::fraction(|| "rate of positive calls".into(), rate)?;
            Ok(Binomial::new(count, rate).map_or(0, |counts| counts.sample(&mut rng)))
        };
        let sick = patient.infected.cells > 0;
        let parasites = if sick { (infected_share * cells as f64).round() as u64 } else { 0 };
        let mut positive = draw(rule.false_positive_rate, patient.uninfected, cells - parasites)?;
        if parasites > 0 {
            positive += draw(rule.sensitivity, patient.infected, parasites)?;
        }
        let side = if sick { &mut infected } else { &mut healthy };
        side.add(rule.call(CellCounts { cells, positive })?);
    }
    PatientMetrics::of(infected, healthy)
}
