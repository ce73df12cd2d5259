//! Confidence intervals, predictive values and patient-level results of a test set.

use malaria_metrics::{
    BinaryCounts, Bootstrap, CellCounts, Interval, Intervals, cluster_bootstrap, delong_interval,
    expected_calibration_error, intervals, wilson_interval,
};
use serde::{Deserialize, Serialize};

use crate::{
    decision::DecisionRule, error::Result, patient_results::PatientAssessment, patient_rule::SmearDecision,
    scored::Scored,
};

/// Shares of infected cells for predictive values: data sets contain far more infected cells than smears do.
const PREVALENCES: [f64; 3] = [0.001, 0.01, 0.05];
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
    /// Cells of unknown patients. Each counts as a separate patient, which makes the intervals too narrow.
    pub cells_without_patient: usize,
    /// Intervals from a bootstrap over patients (over cells if no patients are known).
    pub intervals: Intervals,
    /// Intervals that assume independent cells, for comparison with publications. Cells of one patient are not independent:
    /// these intervals are too narrow.
    pub intervals_over_cells: CellIntervals,
    /// Expected calibration error of the positive class's probability over ten bins, a fraction.
    pub calibration_error: f64,
    /// Predictive values at low prevalence.
    pub at_prevalence: Vec<PredictiveValues>,
    /// Mean sensitivity over patients, in which patients with many cells do not dominate; `None` without known infected patients.
    pub sensitivity_by_patient: PatientMean,
    /// Mean specificity over patients.
    pub specificity_by_patient: PatientMean,
    /// Calls of patients; `None` if no patient is known or no [`SmearDecision`] detects an infection.
    pub roll_up: Option<PatientAssessment>,
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
pub struct PredictiveValues {
    /// Share of cells that are infected.
    pub prevalence: f64,
    /// Share of positive calls that are right; `None` without a false alarm, since the rate of false alarms is then unknown.
    pub ppv: Option<f64>,
    /// Share of negative calls that are right; `None` where no infected cell was missed.
    pub npv: Option<f64>,
    /// Bootstrap interval of the positive predictive value over patients.
    pub ppv_interval: Option<Interval>,
    /// Bootstrap interval of the negative predictive value over patients.
    pub npv_interval: Option<Interval>,
}

/// The mean over patients of a share of their cells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PatientMean {
    /// The mean; `None` without such patients.
    pub mean: Option<f64>,
    /// Its bootstrap interval over patients.
    pub interval: Option<Interval>,
}

/// A patient, or a cell of an unknown patient.
#[derive(PartialEq, Eq, Hash)]
enum Cluster<'a> {
    Patient(&'a str),
    Cell(usize),
}

impl Assessment {
    /// Assesses the `scored` cells by `rule`, and the patients by `smears`, which must be `None` if the model was trained on
    /// any of them.
    ///
    /// # Errors
    /// [`Error::Metrics`](crate::Error::Metrics) for no cells, or numbers that do not match.
    pub fn of(scored: &Scored<'_>, rule: &DecisionRule, smears: Option<&SmearDecision>) -> Result<Self> {
        let Scored { truth, positive, patients, .. } = *scored;
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
        let by_patient = scored.by_patient(rule)?;
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
            at_prevalence: PredictiveValues::of(&scored.counts_by_patient(rule), &PREVALENCES)?,
            sensitivity_by_patient: PatientMean::of(by_patient.iter().map(|patient| patient.infected))?,
            specificity_by_patient: PatientMean::of(by_patient.iter().map(|patient| CellCounts {
                positive: patient.uninfected.cells - patient.uninfected.positive,
                ..patient.uninfected
            }))?,
            roll_up: match smears {
                Some(smears) => PatientAssessment::of(scored, smears)?,
                None => None,
            },
        })
    }

    /// The number of patients as text that follows "cells of".
    pub fn patients(&self) -> String {
        match self.n_patients {
            0 => "unknown patients".to_owned(),
            number => format!("{number} patients"),
        }
    }
}

impl PredictiveValues {
    /// Predictive values of calls with these counts of each patient (or cell of an unknown one), at each of `prevalences`.
    ///
    /// # Errors
    /// [`Error::Metrics`](crate::Error::Metrics) for a share that is not a fraction, or no patients.
    pub fn of(patients: &[BinaryCounts], prevalences: &[f64]) -> Result<Vec<Self>> {
        let values = |counts: &BinaryCounts, prevalence: f64| -> Result<[Option<f64>; 2]> {
            let ppv = counts.ppv_at(prevalence)?.filter(|_| counts.false_positives > 0);
            Ok([ppv, counts.npv_at(prevalence)?.filter(|_| counts.false_negatives > 0)])
        };
        let sum = |drawn: &[usize]| {
            let total = |of: fn(&BinaryCounts) -> u64| drawn.iter().map(|&i| of(&patients[i])).sum();
            BinaryCounts {
                true_positives: total(|counts| counts.true_positives),
                false_negatives: total(|counts| counts.false_negatives),
                true_negatives: total(|counts| counts.true_negatives),
                false_positives: total(|counts| counts.false_positives),
            }
        };
        let each: Vec<usize> = (0..patients.len()).collect();
        let at = |&prevalence: &f64| {
            let [ppv, npv] = values(&sum(&each), prevalence)?;
            // The prevalence is a fraction here.
            let resampled = |drawn: &[usize]| values(&sum(drawn), prevalence).unwrap_or_default();
            let [ppv_interval, npv_interval] = cluster_bootstrap(&each, &Bootstrap::default(), resampled)?;
            Ok(Self { prevalence, ppv, npv, ppv_interval, npv_interval })
        };
        prevalences.iter().map(at).collect()
    }
}

impl PatientMean {
    /// The mean share of positive cells over the patients who have cells.
    fn of(patients: impl Iterator<Item = CellCounts>) -> Result<Self> {
        let shares = patients.filter(|counts| counts.cells > 0);
        let shares: Vec<f64> = shares.map(|counts| counts.positive as f64 / counts.cells as f64).collect();
        if shares.is_empty() {
            return Ok(Self::default());
        }
        let each: Vec<usize> = (0..shares.len()).collect();
        let mean = |drawn: &[usize]| drawn.iter().map(|&i| shares[i]).sum::<f64>() / drawn.len() as f64;
        let [interval] = cluster_bootstrap(&each, &Bootstrap::default(), |drawn| [Some(mean(drawn))])?;
        Ok(Self { mean: Some(mean(&each)), interval })
    }
}

#[cfg(test)]
mod tests {
    use malaria_metrics::{OperatingPoint, PatientRule, PositiveRate, Target};

    use super::*;
    use crate::decision::{ChosenOn, Threshold};
    use crate::patient_rule::SmearRule;

    fn classes() -> [String; 2] {
        ["Parasitized".to_owned(), "Uninfected".to_owned()]
    }

    #[test]
    fn cells_and_patients_are_called_by_the_rules_of_their_folds() {
        // Two patients of 400 infected and 400 uninfected cells each, with probabilities of 0.6 and 0.1.
        let (truth, classes) = ([0, 1].repeat(800), classes());
        let patients: Vec<Option<&str>> =
            (0..1_600).map(|i| Some(if i < 800 { "C1" } else { "C2" })).collect();
        let probabilities = [0.6, 0.4, 0.1, 0.9].repeat(800);
        let scored = Scored {
            truth: &truth,
            probabilities: &probabilities,
            classes: &classes,
            positive: 0,
            patients: &patients,
        };
        let threshold = |threshold| Threshold {
            target: Target::Specificity(0.98),
            chosen_on: ChosenOn::OutOfFold,
            point: OperatingPoint { threshold, sensitivity: 0.9, specificity: 0.98 },
        };
        let halves = |low, high| [vec![low; 800], vec![high; 800]].concat();
        let rule = DecisionRule::FoldThresholds {
            stored: threshold(0.5),
            of_cells: halves(threshold(0.5), threshold(0.7)),
        };
        assert_eq!(scored.summary(&rule).unwrap().sensitivity, Some(0.5));
        let smear = |threshold, alarms| SmearRule {
            threshold,
            chosen_on: ChosenOn::OutOfFold,
            max_uncertain: None,
            rates: PatientRule {
                uninfected: PositiveRate::known(alarms, 0.01),
                infected: PositiveRate::known(0.9, 0.05),
            },
        };
        let assess = |smears: &SmearDecision| Assessment::of(&scored, &rule, Some(smears)).unwrap();
        let apart = |other: SmearRule| {
            let of_cells = (0..1_600).map(|i| i / 800).collect();
            SmearDecision {
                stored: smear(0.5, 0.02),
                of_folds: Some((vec![smear(0.5, 0.02), other], of_cells)),
            }
        };
        let infected = |smears: &SmearDecision| assess(smears).roll_up.unwrap().as_they_are.infected;
        let one = SmearDecision { stored: smear(0.5, 0.02), of_folds: None };
        assert_eq!(infected(&one).positive, 2);
        let strict = infected(&apart(smear(0.7, 0.02)));
        assert_eq!((strict.positive, strict.not_detected), (1, 1));
        // The calls of the cells are the same, but false alarms at the rate of one fold explain half of them.
        assert_eq!(infected(&apart(smear(0.5, 0.45))).positive, 1);

        let Assessment { sensitivity_by_patient, specificity_by_patient, .. } = assess(&one);
        assert_eq!((sensitivity_by_patient.mean, specificity_by_patient.mean), (Some(0.5), Some(1.0)));
        assert_eq!(Assessment::of(&scored, &rule, None).unwrap().roll_up, None);
    }

    #[test]
    fn smears_of_infected_patients_are_found_beyond_false_alarms() {
        // 20 infected patients, half of whom have one false alarm in fifty uninfected cells, and 20 healthy ones.
        let names: Vec<String> = (0..40).map(|patient| format!("C{patient}")).collect();
        let cells = || (0..4_000).map(|i| (i / 100, i % 100));
        let patients: Vec<Option<&str>> = cells().map(|(patient, _)| Some(names[patient].as_str())).collect();
        let infected = |(patient, cell)| patient < 20 && cell < 50;
        let truth: Vec<usize> = cells().map(|cell| usize::from(!infected(cell))).collect();
        let positive = |(patient, cell)| infected((patient, cell)) || patient < 10 && cell > 98;
        let probabilities: Vec<f64> = cells()
            .map(positive)
            .flat_map(|positive| if positive { [0.9, 0.1] } else { [0.1, 0.9] })
            .collect();
        let scored = Scored {
            truth: &truth,
            probabilities: &probabilities,
            classes: &classes(),
            positive: 0,
            patients: &patients,
        };
        let stored = scored.smear_rule(ChosenOn::Validation).unwrap().unwrap();
        let smears = SmearDecision { stored, of_folds: None };
        let roll_up = PatientAssessment::of(&scored, &smears).unwrap().unwrap();
        let found = &roll_up.found;
        let [none, .., most] = found.infected.as_slice() else { panic!("{found:?}") };
        assert_eq!((none.infected_share, none.excess, most.infected_share), (0.0, 0.0, 0.1));
        assert!(none.found > 5.0 * found.healthy.unwrap(), "{found:?}");
        assert!(found.infected.is_sorted_by(|a, b| a.found <= b.found), "{found:?}");
        assert!((most.excess - (most.found - none.found)).abs() < 1e-12 && most.excess > 0.3, "{found:?}");
        let interval = none.interval.unwrap();
        assert!(interval.low < none.found && none.found < interval.high, "{found:?}");
        let roc = roll_up.roc.unwrap();
        assert_eq!((roc.auc, roc.by_cut, roc.patients), (1.0, None, [20, 20]));
        let folds = |patient: usize| patient % 2;
        let apart = SmearDecision {
            of_folds: Some((
                vec![smears.stored.clone(); 2],
                cells().map(|(patient, _)| folds(patient)).collect(),
            )),
            ..smears
        };
        assert_eq!(
            PatientAssessment::of(&scored, &apart).unwrap().unwrap().roc.unwrap().by_cut,
            Some([20, 20])
        );
    }

    #[test]
    fn predictive_values_have_intervals_over_patients() {
        let counts = |misses, alarms| BinaryCounts {
            true_positives: 20 - misses,
            false_negatives: misses,
            true_negatives: 20 - alarms,
            false_positives: alarms,
        };
        let patients: Vec<BinaryCounts> = (0..60).map(|i| counts(i % 3, i % 2)).collect();
        let [at] = PredictiveValues::of(&patients, &[0.01]).unwrap().try_into().unwrap();
        // 95 % and 2.5 %: 0.01 * 0.95 / (0.01 * 0.95 + 0.99 * 0.025)
        assert!((at.ppv.unwrap() - 0.27737226277372).abs() < 1e-12, "{at:?}");
        let interval = at.ppv_interval.unwrap();
        // Alarms of a patient are 0 or 1: the mean of 60 has a standard error of 13 %.
        assert!(
            interval.low > 0.2 && interval.low < 0.26 && interval.high > 0.3 && interval.high < 0.36,
            "{at:?}"
        );
        assert_eq!(PredictiveValues::of(&[counts(0, 0); 3], &[0.01]).unwrap()[0].ppv, None);
        assert!(PredictiveValues::of(&patients, &[1.5]).is_err());
    }
}
