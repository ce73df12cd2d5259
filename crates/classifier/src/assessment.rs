//! Confidence intervals, predictive values and patient-level results of a test set.

use std::path::PathBuf;

use malaria_metrics::{
    BinaryCounts, Bootstrap, Interval, Intervals, PatientCall, PatientCells, PatientMetrics, PatientResult,
    PatientRule, delong_interval, expected_calibration_error, intervals, patient_metrics,
    resampled_patient_metrics, wilson_interval,
};
use serde::{Deserialize, Serialize};

use crate::{decision::DecisionRule, error::Result, scored::Scored};

/// Shares of infected cells for predictive values: data sets hold far more infected cells than smears do.
const PREVALENCES: [f64; 3] = [0.001, 0.01, 0.05];
/// Shares of infected cells in simulated smears.
const PARASITAEMIAS: [f64; 4] = [0.001, 0.005, 0.01, 0.05];
/// By the procedure of the WHO, at most so many cells of a thin smear are counted before it is called negative.
const CELLS_OF_A_SMEAR: u64 = 5_000;
/// Numbers of cells for detection limits.
const CELLS_COUNTED: [u64; 3] = [100, 1_000, CELLS_OF_A_SMEAR];
/// Probability of a positive call at the detection limit.
const POWER: f64 = 0.95;
/// Bins of the calibration curve and of [`Assessment::calibration_error`].
pub const CALIBRATION_BINS: usize = 10;
/// Level of the intervals.
const CONFIDENCE: f64 = 0.95;

/// Confidence intervals, predictive values and patient-level results of a test set, besides its
/// [`Summary`](malaria_metrics::Summary).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Assessment {
    /// Patients evaluated.
    pub n_patients: usize,
    /// Cells of unknown patients. Each counts as a patient of its own, which makes the intervals too narrow.
    pub cells_without_patient: usize,
    /// Intervals by a bootstrap over patients (over cells, where no patients are known).
    pub intervals: Intervals,
    /// Intervals that assume independent cells, for comparison with publications. Cells of one patient are not independent:
    /// these intervals are too narrow.
    pub intervals_over_cells: CellIntervals,
    /// Expected calibration error of the positive class's probability over ten bins, a fraction.
    pub calibration_error: f64,
    /// Predictive values at low prevalence.
    pub at_prevalence: Vec<AtPrevalence>,
    /// Calls of patients; `None` where no patient is known, the model has learned from cells of these patients, there are more
    /// classes than two, or the threshold is missing or gives no [rule](crate::Threshold::patient_rule).
    pub roll_up: Option<RollUp>,
}

/// 95 % intervals over cells.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CellIntervals {
    /// Wilson's interval of the accuracy.
    pub accuracy: Option<Interval>,
    /// Wilson's interval of the sensitivity.
    pub sensitivity: Option<Interval>,
    /// Wilson's interval of the specificity.
    pub specificity: Option<Interval>,
    /// DeLong's interval of the area under the ROC curve.
    pub auc: Option<Interval>,
}

/// Predictive values at one prevalence.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AtPrevalence {
    /// Share of cells that are infected.
    pub prevalence: f64,
    /// Share of positive calls that are right; `None` without a false alarm, where the rate of false alarms is unknown.
    pub ppv: Option<f64>,
    /// Share of negative calls that are right; `None` where no infected cell was missed.
    pub npv: Option<f64>,
}

/// Calls of patients from the calls of their cells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RollUp {
    /// How patients are called, with the error rates on the cells that the threshold was chosen on. In a cross-validation each patient
    /// is called by the error rates on the other folds.
    pub rule: PatientRule,
    /// Patients called by all their cells, of which far more are infected than in a smear.
    pub as_they_are: PatientMetrics,
    /// Patients called by simulated smears at several shares of infected cells, see
    /// [`resampled_patient_metrics`](malaria_metrics::resampled_patient_metrics).
    pub resampled: Vec<Resampled>,
    /// The smallest shares of infected cells that are detected.
    pub detection_limits: Vec<DetectionLimit>,
}

/// Calls of patients by simulated smears.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resampled {
    /// Share of the infected patients' cells that are infected.
    pub infected_share: f64,
    /// Cells per smear.
    pub cells: u64,
    /// The calls.
    #[serde(flatten)]
    pub metrics: PatientMetrics,
}

/// The smallest share of infected cells at which 95 of 100 patients are called positive.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct DetectionLimit {
    /// Cells counted.
    pub cells: u64,
    /// The share; `None` where even patients whose cells are all infected are called positive less often.
    pub infected_share: Option<f64>,
}

/// A patient, or a cell of an unknown patient.
#[derive(PartialEq, Eq, Hash)]
enum Cluster<'a> {
    Patient(&'a str),
    Cell(usize),
}

impl Assessment {
    /// Assesses the `scored` cells by `rule`. Patients are called only with `new_patients`: where the model has not learned from
    /// any of them.
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
            // With more than two classes, the others may be other infections.
            roll_up: if new_patients && classes.len() == 2 { RollUp::of(scored, rule)? } else { None },
        })
    }

    /// The number of patients, in words that follow "cells of".
    pub fn patients(&self) -> String {
        match self.n_patients {
            0 => "unknown patients".to_owned(),
            number => format!("{number} patients"),
        }
    }

    /// Writes one row per patient, called by all their cells:
    /// `patient,cells,infected,called_positive,infected_share,low,high,call,relevant_share`. A negative call says that fewer than
    /// `relevant_share` of the cells are infected.
    ///
    /// Returns the path, or writes nothing without a [roll-up](Self::roll_up).
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
            Ok(Row {
                patient: patient.patient,
                cells: called.cells,
                infected: patient.infected.cells,
                called_positive: called.positive,
                infected_share,
                low,
                high,
                call,
                relevant_share: rule.relevant_share,
            })
        };
        let patients = scored.by_patient(rule)?;
        malaria_files::write_csv(&path, patients.into_iter().map(row).collect::<Result<Vec<_>>>()?)?;
        Ok(Some(path))
    }
}

impl AtPrevalence {
    /// Predictive values of calls with these `counts`, at each of `prevalences`.
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
    /// Calls the known patients; `None` where none is known, or a threshold is missing or gives no rule.
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
            let metrics = resampled_patient_metrics(rule_of, &patients, infected_share, cells, 0)?;
            Ok(Resampled { infected_share, cells, metrics })
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
    fn cells_and_patients_are_called_by_the_thresholds_of_their_folds() {
        // Two patients of five infected cells each, all with a probability of 0.6.
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
        // The cells are called alike, but false alarms at the rate of one fold explain five positive cells.
        assert_eq!(infected(&apart(threshold(0.5, 0.8))).positive, 1);
    }
}
