//! A table of patient calls.

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::interval::{Interval, exact_interval};
use crate::patient_rule::PatientCall;

/// Level of the intervals.
const CONFIDENCE: f64 = 0.95;

/// Numbers of calls of patients who are all infected or all healthy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct CallCounts {
    /// Patients called positive.
    pub positive: u64,
    /// Patients without detected parasites.
    pub not_detected: u64,
    /// Patients with too few cells.
    pub too_few_cells: u64,
    /// Patients who are not called, since their cells are unlike the training cells.
    #[serde(default)]
    pub not_called: u64,
    /// 95 % interval of the share called positive, [`exact_interval`] over patients. For infected patients it is the
    /// sensitivity in the worst case, in which all patients without a call would be missed.
    pub positive_interval: Option<Interval>,
    /// 95 % interval of the share without detected parasites. For healthy patients it is the specificity in the worst case.
    pub not_detected_interval: Option<Interval>,
}

impl CallCounts {
    /// All patients.
    pub fn total(self) -> u64 {
        self.positive + self.not_detected + self.too_few_cells + self.not_called
    }

    fn of(calls: impl Iterator<Item = PatientCall>) -> Result<Self> {
        let mut counts = Self::default();
        for call in calls {
            match call {
                PatientCall::Positive => counts.positive += 1,
                PatientCall::NotDetected { .. } => counts.not_detected += 1,
                PatientCall::TooFewCells { .. } => counts.too_few_cells += 1,
                PatientCall::NotCalled => counts.not_called += 1,
            }
        }
        let interval = |part| exact_interval(part, counts.total(), CONFIDENCE);
        Ok(Self {
            positive_interval: interval(counts.positive)?,
            not_detected_interval: interval(counts.not_detected)?,
            ..counts
        })
    }
}

/// Calls of infected and healthy patients.
///
/// Too few cells are a separate result, not an error: B. Shinkins et al., "Diagnostic accuracy studies: how to report and analyse
/// inconclusive test results", BMJ 346 (2013), f2778.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PatientMetrics {
    /// Calls of patients with at least one infected cell.
    pub infected: CallCounts,
    /// Calls of patients without infected cells.
    pub healthy: CallCounts,
}

impl PatientMetrics {
    /// Counts the calls of patients, each with `true` for an infected one.
    ///
    /// # Errors
    /// None for fewer than 2^64 patients.
    pub fn of(calls: &[(bool, PatientCall)]) -> Result<Self> {
        let of = |infected: bool| {
            CallCounts::of(calls.iter().filter(|call| call.0 == infected).map(|call| call.1))
        };
        Ok(Self { infected: of(true)?, healthy: of(false)? })
    }
}
