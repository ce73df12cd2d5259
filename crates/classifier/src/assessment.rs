//! Confidence intervals, predictive values and patient-level results of a test set.

use std::path::PathBuf;

use malaria_metrics::{
    BinaryCounts, Bootstrap, Interval, Intervals, PatientCall, PatientCells, PatientMetrics, PatientResult,
    PatientRule, delong_interval, expected_calibration_error, intervals, patient_metrics,
    resampled_patient_metrics, wilson_interval,
};
use serde::{Deserialize, Serialize};

use crate::{decision::DecisionRule, error::Result, scored::Scored};

/// Shares of infected cells that predictive values are told at: data sets hold far more infected cells than smears do.
const PREVALENCES: [f64; 3] = [0.001, 0.01, 0.05];
/// Shares of infected cells that patients are resampled to.
const PARASITAEMIAS: [f64; 4] = [0.001, 0.005, 0.01, 0.05];
/// Cells that the WHO has counted of a smear at most before it is called negative by a count of cells.
const CELLS_OF_A_SMEAR: u64 = 5_000;
/// Counts of cells that detection limits are told at.
const CELLS_COUNTED: [u64; 3] = [100, 1_000, CELLS_OF_A_SMEAR];
/// Probability of being found that a detection limit asks for.
const POWER: f64 = 0.95;
/// Bins of the calibration curve and of [`Assessment::calibration_error`].
pub const CALIBRATION_BINS: usize = 10;
/// Level of the intervals.
const CONFIDENCE: f64 = 0.95;

/// How sure the figures of a [`Summary`](malaria_metrics::Summary) are, and what they come to for patients.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Assessment {
    /// Patients evaluated.
    pub n_patients: usize,
    /// Cells whose name tells no patient. The intervals take each for a patient of its own, which makes them too narrow.
    pub cells_without_patient: usize,
    /// Intervals by drawing patients anew (cells, where no patients are known).
    pub intervals: Intervals,
    /// Intervals that take every cell for independent, as most publications do. Cells of one patient are not: these are
    /// too narrow, and stand here to be compared.
    pub intervals_over_cells: CellIntervals,
    /// Expected calibration error of the positive class's probability over ten bins, a fraction.
    pub calibration_error: f64,
    /// Predictive values where few cells are infected.
    pub at_prevalence: Vec<AtPrevalence>,
    /// What the calls of cells come to for patients; `None` where no threshold was chosen, no patient is known, cells of
    /// the same patients were learned from, there are more classes than two, or the threshold gives no [rule](crate::Threshold::patient_rule).
    pub roll_up: Option<RollUp>,
}

/// 95 % intervals over cells.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CellIntervals {
    /// Wilson's, of the accuracy.
    pub accuracy: Option<Interval>,
    /// Wilson's, of the sensitivity.
    pub sensitivity: Option<Interval>,
    /// Wilson's, of the specificity.
    pub specificity: Option<Interval>,
    /// DeLong's, of the area under the ROC curve.
    pub auc: Option<Interval>,
}

/// What a call of a cell is worth where this share of all cells is infected.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AtPrevalence {
    /// Share of cells that are infected.
    pub prevalence: f64,
    /// Share of positive calls that are right; `None` where no false alarm was seen, so that nobody knows how rare they are.
    pub ppv: Option<f64>,
    /// Share of negative calls that are right; `None` where no infected cell was missed.
    pub npv: Option<f64>,
}

/// From calls of cells to calls of patients.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RollUp {
    /// How patients are called. The rates are those of the cells that the threshold was chosen on; the patients of a cross-validation
    /// are each called by those of the other folds.
    pub rule: PatientRule,
    /// Patients called by all of their cells, of which far more are infected than in a smear.
    pub as_they_are: PatientMetrics,
    /// Patients called as if their smears had been counted, at several shares of infected cells: by
    /// [`resampled_patient_metrics`](malaria_metrics::resampled_patient_metrics).
    pub resampled: Vec<Resampled>,
    /// The least that can be found.
    pub detection_limits: Vec<DetectionLimit>,
}

/// Calls of patients as if smears had been counted of which a share is infected.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resampled {
    /// Share of the infected patients' cells that are infected.
    pub infected_share: f64,
    /// Cells counted, a patient.
    pub cells: u64,
    /// What they are called.
    #[serde(flatten)]
    pub figures: PatientMetrics,
}

/// The smallest share of infected cells that is found in 95 of 100 patients.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct DetectionLimit {
    /// Cells counted.
    pub cells: u64,
    /// The share; `None` where not even a patient of infected cells alone would be found so often.
    pub infected_share: Option<f64>,
}

/// A patient, or a cell that stands for itself since nobody knows whose it is.
#[derive(PartialEq, Eq, Hash)]
enum Cluster<'a> {
    Patient(&'a str),
    Cell(usize),
}

impl Assessment {
    /// What a [`Summary`](malaria_metrics::Summary) of the `scored` cells by `rule` leaves open. Patients are called only with
    /// `new_patients`: where the model has learned nothing from any of them.
    ///
    /// # Errors
    /// [`Error::Metrics`](crate::Error::Metrics) for no cells, or numbers that do not fit each other.
    pub fn of(scored: &Scored<'_>, rule: &DecisionRule, new_patients: bool) -> Result<Self> {
        let Scored { truth, classes, positive, patients, .. } = *scored;
        let (is_positive, scores) = scored.one_vs_rest()?;
        let clusters: Vec<Cluster<'_>> = patients
            .iter()
            .enumerate()
            .map(|(i, patient)| patient.map_or(Cluster::Cell(i), Cluster::Patient))
            .collect();
        let predicted = scored.predicted(rule);
        let intervals =
            intervals(truth, scored.rows(), &predicted, positive, &clusters, &Bootstrap::default())?;
        let cells_without_patient = patients.iter().filter(|patient| patient.is_none()).count();
        let confusion = scored.summary(rule)?.confusion;
        let counts = BinaryCounts::of_class(&confusion, positive)?;
        let wilson = |part, whole| wilson_interval(part, whole, CONFIDENCE);
        Ok(Self {
            n_patients: intervals.clusters - cells_without_patient,
            cells_without_patient,
            intervals,
            intervals_over_cells: CellIntervals {
                accuracy: wilson(confusion.correct(), confusion.total())?,
                sensitivity: wilson(counts.true_positives, counts.positives())?,
                specificity: wilson(counts.true_negatives, counts.negatives())?,
                auc: delong_interval(&is_positive, &scores, CONFIDENCE)?,
            },
            calibration_error: expected_calibration_error(&is_positive, &scores, CALIBRATION_BINS)?,
            at_prevalence: AtPrevalence::of(&counts, &PREVALENCES)?,
            // Of more classes than two, those that are not the positive one may be other infections.
            roll_up: if new_patients && classes.len() == 2 { RollUp::of(scored, rule)? } else { None },
        })
    }

    /// How many patients, in words that follow "cells of".
    pub fn patients(&self) -> String {
        match self.n_patients {
            0 => "unknown patients".to_owned(),
            number => format!("{number} patients"),
        }
    }

    /// Writes one row a patient, each called by all of their cells:
    /// `patient,cells,infected,called_positive,infected_share,low,high,call,relevant_share`. A negative call excludes that last share.
    /// Nothing where patients are not called, that is without a [roll-up](Self::roll_up); gives the path otherwise.
    ///
    /// # Errors
    /// [`Error::File`](crate::Error::File); an older file of that name then stays.
    pub fn write_patients(
        &self,
        path: PathBuf,
        scored: &Scored<'_>,
        rule: &DecisionRule,
    ) -> Result<Option<PathBuf>> {
        #[derive(Serialize)]
        struct Row {
            patient: String,
            cells: u64,
            /// By their labels.
            infected: u64,
            called_positive: u64,
            infected_share: f64,
            low: f64,
            high: f64,
            call: PatientCall,
            relevant_share: f64,
        }
        let rules = self.roll_up.as_ref().and_then(|_| scored.patient_rules(rule));
        let Some(rules) = rules else { return Ok(None) };
        let row = |patient: PatientCells| -> Result<Row> {
            let rule = rules[patient.patient.as_str()];
            let PatientResult { called, infected_share, interval: Interval { low, high }, call, .. } =
                rule.evaluate(patient.all())?;
            let relevant_share = rule.relevant_share;
            let (cells, called_positive) = (called.cells, called.positive);
            let infected = patient.infected.cells;
            let patient = patient.patient;
            Ok(Row {
                patient,
                cells,
                infected,
                called_positive,
                infected_share,
                low,
                high,
                call,
                relevant_share,
            })
        };
        let patients = scored.by_patient(rule)?;
        malaria_files::write_csv(&path, patients.into_iter().map(row).collect::<Result<Vec<_>>>()?)?;
        Ok(Some(path))
    }
}

impl AtPrevalence {
    /// Predictive values of calls counted in `counts`, where these shares of all cells are infected.
    ///
    /// # Errors
    /// [`Error::Metrics`](crate::Error::Metrics) for a share that is not a fraction.
    pub fn of(counts: &BinaryCounts, prevalences: &[f64]) -> Result<Vec<Self>> {
        let at = |&prevalence: &f64| {
            let ppv = counts.ppv_at(prevalence)?.filter(|_| counts.false_positives > 0);
            let npv = counts.npv_at(prevalence)?.filter(|_| counts.false_negatives > 0);
            Ok(Self { prevalence, ppv, npv })
        };
        prevalences.iter().map(at).collect()
    }
}

impl RollUp {
    /// Calls of the known patients; `None` where none is known, there is no threshold, or one gives no rule.
    fn of(scored: &Scored<'_>, decision: &DecisionRule) -> Result<Option<Self>> {
        let rule = decision.stored().and_then(|threshold| threshold.patient_rule().ok());
        let (Some(rule), Some(rules)) = (rule, scored.patient_rules(decision)) else { return Ok(None) };
        let patients = scored.by_patient(decision)?;
        if patients.is_empty() {
            return Ok(None);
        }
        let rule_of = |patient: &PatientCells| rules[patient.patient.as_str()];
        let resampled = PARASITAEMIAS.iter().map(|&infected_share| {
            let cells = CELLS_OF_A_SMEAR;
            let figures = resampled_patient_metrics(rule_of, &patients, infected_share, cells, 0)?;
            Ok(Resampled { infected_share, cells, figures })
        });
        let limits = CELLS_COUNTED
            .iter()
            .map(|&cells| Ok(DetectionLimit { cells, infected_share: rule.detection_limit(cells, POWER)? }));
        Ok(Some(Self {
            rule,
            as_they_are: patient_metrics(rule_of, &patients)?,
            resampled: resampled.collect::<Result<_>>()?,
            detection_limits: limits.collect::<Result<_>>()?,
        }))
    }
}

#[cfg(test)]
mod tests {
    use malaria_metrics::{OperatingPoint, Target};

    use super::*;
    use crate::decision::{ChosenOn, Threshold};

    fn threshold(at: f64, false_alarms: f64) -> Threshold {
        Threshold {
            target: Target::Specificity(1.0 - false_alarms),
            chosen_on: ChosenOn::OutOfFold,
            point: OperatingPoint { threshold: at, sensitivity: 0.9, specificity: 1.0 - false_alarms },
            false_positive_correlation: Some(0.0),
        }
    }

    #[test]
    fn cells_and_patients_are_called_by_what_was_chosen_for_them() {
        // Two patients of five infected cells each, of which all have a probability of 0.6.
        let (truth, classes) = (vec![0; 10], ["Parasitized".to_owned(), "Uninfected".to_owned()]);
        let patients: Vec<Option<&str>> = (0..10).map(|i| Some(if i < 5 { "C1" } else { "C2" })).collect();
        let probabilities = [0.6, 0.4].repeat(10);
        let scored = Scored {
            truth: &truth,
            probabilities: &probabilities,
            classes: &classes,
            positive: 0,
            patients: &patients,
        };
        let (low, high) = (threshold(0.5, 0.02), threshold(0.7, 0.02));
        let apart = |other| DecisionRule::FoldThresholds {
            stored: low,
            of_cells: vec![low; 5].into_iter().chain(vec![other; 5]).collect(),
        };
        assert_eq!(scored.summary(&apart(high)).unwrap().sensitivity, Some(0.5));
        let infected = |rule: &DecisionRule| RollUp::of(&scored, rule).unwrap().unwrap().as_they_are.infected;
        assert_eq!((infected(&apart(high)).positive, infected(&apart(high)).total()), (1, 2));
        assert_eq!(infected(&DecisionRule::Threshold(low)).positive, 2);
        // Called alike, but by rates of which one explains five positive cells by chance.
        assert_eq!(infected(&apart(threshold(0.5, 0.8))).positive, 1);
    }
}
