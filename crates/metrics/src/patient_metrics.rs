//! How often patients are called right, by their own cells and in smears simulated from them.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Binomial, Distribution};
use serde::{Deserialize, Serialize};

use crate::check;
use crate::error::{Error, Result};
use crate::interval::{Interval, wilson_interval};
use crate::patients::{CellCounts, PatientCall, PatientCells, PatientRule};

/// Calls of several patients of the same truth.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallCounts {
    /// Patients called positive.
    pub positive: u64,
    /// Patients called negative.
    pub negative: u64,
    /// Patients not decided on.
    pub undecided: u64,
}

impl CallCounts {
    /// All of them.
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

/// How often patients are called right.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PatientMetrics {
    /// Calls of patients with at least one infected cell.
    pub infected: CallCounts,
    /// Calls of patients without.
    pub healthy: CallCounts,
    /// Share of the infected patients called positive; an undecided one counts as missed.
    pub sensitivity: Option<f64>,
    /// Wilson's 95 % interval of it: patients, unlike cells, are independent.
    pub sensitivity_interval: Option<Interval>,
    /// Share of the healthy patients called negative; an undecided one counts as an error.
    pub specificity: Option<f64>,
    /// Wilson's 95 % interval of it.
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

/// Calls every patient by all of their cells, by the rule that `rule_of` has for them: one for all, or, in a cross-validation, one a
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

/// Calls every patient as if `cells` of their cells had been counted with `infected_share` of them infected (rounded to
/// whole cells). Data sets hold far more infected cells than a smear does; this is what a smear would give if patients differ as the
/// rule says.
///
/// How often the patient's cells of either kind are called positive is drawn from what their own cells leave open, given the rule's rates
/// and how much patients differ in them (the posterior of the beta-binomial model that patients are called by); the counts are drawn at
/// that rate. So a patient of few cells is not taken for as extreme as chance has made those. Infected cells are taken to differ between
/// patients as much as false alarms do: where they differ more, too many infected patients are found here.
///
/// Infected patients need cells of both kinds, and are left out otherwise; the healthy are drawn without infected cells. The draws are a function of
/// the seed and the patients' order.
///
/// # Errors
/// As [`PatientRule::check`]; no cell, a share outside `[0, 1]`, more positive cells than cells.
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
