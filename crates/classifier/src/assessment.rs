//! Confidence intervals, predictive values and patient-level results of a test set.

use malaria_metrics::{
    BinaryCounts, Bootstrap, CellCounts, Interval, Intervals, cluster_bootstrap, delong_interval,
    exact_interval, expected_calibration_error, intervals, wilson_interval,
};
use serde::{Deserialize, Serialize};

use crate::{
    decision::DecisionRule,
    error::Result,
    patient_results::PatientAssessment,
    patient_rule::SmearDecision,
    scored::{FEW_CELLS, Scored},
};

/// Shares of infected cells for predictive values: data sets contain far more infected cells than smears do.
const PREVALENCES: [f64; 3] = [0.001, 0.01, 0.05];
/// Bins of the calibration curve and of [`Assessment::calibration_error`].
pub const CALIBRATION_BINS: usize = 10;
/// Level of the intervals.
const CONFIDENCE: f64 = 0.95;

/// Confidence intervals, predictive values and patient-level results of a test set, besides its
/// [`Summary`](malaria_metrics::Summary). Like [`Scored::known_metrics`], without those that need a class with fewer than ten
/// cells.
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
    /// Mean sensitivity over patients, in which patients with many cells do not dominate.
    pub sensitivity_by_patient: PatientMean,
    /// Mean specificity over patients.
    pub specificity_by_patient: PatientMean,
    /// Calls of patients; `None` if no patient is known or no [`SmearDecision`] detects an infection.
    #[serde(alias = "roll_up")]
    pub patient_level: Option<PatientAssessment>,
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
    /// The mean; `None` without such patients, or with fewer than ten cells of the class.
    pub mean: Option<f64>,
    /// Its bootstrap interval over patients. If every patient's share is 0 or 1, resampling may show no other value: then the
    /// [exact interval](exact_interval) of the share of patients.
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
        let mut intervals =
            intervals(truth, scored.rows(), &predicted, positive, &clusters, &Bootstrap::default())?;
        let cells_without_patient = patients.iter().filter(|patient| patient.is_none()).count();
        let known = scored.known_metrics(rule)?;
        let confusion = &known.confusion;
        let counts = BinaryCounts::of_class(confusion, positive)?;
        let wilson = |part, whole| wilson_interval(part, whole, CONFIDENCE);
        let by_patient = scored.by_patient(rule)?;
        let only = |metric: Option<f64>, interval: Option<Interval>| interval.filter(|_| metric.is_some());
        intervals.accuracy = only(known.accuracy, intervals.accuracy);
        intervals.sensitivity = only(known.sensitivity, intervals.sensitivity);
        intervals.specificity = only(known.specificity, intervals.specificity);
        intervals.auc = only(known.auc, intervals.auc);
        // Only patients whose cells suffice for the metric.
        let patients = |metric: Option<f64>| by_patient.iter().filter(move |_| metric.is_some());
        Ok(Self {
            n_patients: intervals.clusters - cells_without_patient,
            cells_without_patient,
            intervals,
            intervals_over_cells: CellIntervals {
                accuracy: only(known.accuracy, wilson(confusion.correct(), confusion.total())?),
                sensitivity: only(known.sensitivity, wilson(counts.true_positives, counts.positives())?),
                specificity: only(known.specificity, wilson(counts.true_negatives, counts.negatives())?),
                auc: only(known.auc, delong_interval(&is_positive, &scores, CONFIDENCE)?),
            },
            calibration_error: expected_calibration_error(&is_positive, &scores, CALIBRATION_BINS)?,
            at_prevalence: PredictiveValues::of(&scored.counts_by_patient(rule), &PREVALENCES)?,
            sensitivity_by_patient: PatientMean::of(
                patients(known.sensitivity).map(|patient| patient.infected),
            )?,
            specificity_by_patient: PatientMean::of(patients(known.specificity).map(|patient| CellCounts {
                positive: patient.uninfected.cells - patient.uninfected.positive,
                ..patient.uninfected
            }))?,
            patient_level: match smears {
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
    /// Predictive values of calls with these counts of each patient (or cell of an unknown one), at each of `prevalences`:
    /// `None` with fewer than ten positive or negative cells.
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
            let all = sum(&each);
            let [ppv, npv] = values(&all, prevalence)?;
            if all.positives().min(all.negatives()) < FEW_CELLS as u64 {
                return Ok(Self { prevalence, ppv: None, npv: None, ppv_interval: None, npv_interval: None });
            }
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
        let interval = if shares.iter().all(|&share| share == 0.0 || share == 1.0) {
            let whole = shares.iter().filter(|&&share| share == 1.0).count();
            exact_interval(whole as u64, shares.len() as u64, CONFIDENCE)?
        } else {
            cluster_bootstrap(&each, &Bootstrap::default(), |drawn| [Some(mean(drawn))])?[0]
        };
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
        let infected = |smears: &SmearDecision| assess(smears).patient_level.unwrap().as_they_are.infected;
        let one = SmearDecision { stored: smear(0.5, 0.02), of_folds: None };
        assert_eq!(infected(&one).positive, 2);
        let strict = infected(&apart(smear(0.7, 0.02)));
        assert_eq!((strict.positive, strict.not_detected), (1, 1));
        // The calls of the cells are the same, but false alarms at the rate of one fold explain half of them.
        assert_eq!(infected(&apart(smear(0.5, 0.45))).positive, 1);

        let Assessment { sensitivity_by_patient, specificity_by_patient, .. } = assess(&one);
        assert_eq!((sensitivity_by_patient.mean, specificity_by_patient.mean), (Some(0.5), Some(1.0)));
        // No resample of patients without an error has one, which does not make the mean certain.
        assert_eq!(sensitivity_by_patient.interval, exact_interval(1, 2, CONFIDENCE).unwrap());
        assert_eq!(specificity_by_patient.interval, exact_interval(2, 2, CONFIDENCE).unwrap());
        assert_eq!(Assessment::of(&scored, &rule, None).unwrap().patient_level, None);
    }

    #[test]
    fn results_that_need_a_class_of_few_cells_are_not_known() {
        let known = |positives: usize, negatives: usize| {
            let truth = [vec![0; positives], vec![1; negatives]].concat();
            // Every third cell is called wrongly.
            let right = |i: usize| if !i.is_multiple_of(3) { truth[i] } else { 1 - truth[i] };
            let probabilities = (0..truth.len()).flat_map(|i| [[0.9, 0.1], [0.1, 0.9]][right(i)]);
            let names = ["C1", "C2", "C3", "C4", "C5"];
            let scored = Scored {
                truth: &truth,
                probabilities: &probabilities.collect::<Vec<_>>(),
                classes: &classes(),
                positive: 0,
                patients: &(0..truth.len()).map(|i| Some(names[i % 5])).collect::<Vec<_>>(),
            };
            let found = Assessment::of(&scored, &DecisionRule::Argmax, None).unwrap();
            let (patients, cells, at) =
                (&found.intervals, found.intervals_over_cells, found.at_prevalence[0]);
            let of_accuracy = [patients.accuracy, patients.auc, cells.accuracy, cells.auc];
            let of_ppv = [at.ppv_interval, at.npv_interval];
            let of_sensitivity =
                [patients.sensitivity, cells.sensitivity, found.sensitivity_by_patient.interval];
            let of_specificity =
                [patients.specificity, cells.specificity, found.specificity_by_patient.interval];
            let all = |intervals: &[Option<Interval>]| {
                let known = intervals.iter().flatten().count();
                assert!(known == 0 || known == intervals.len(), "{found:?}");
                known > 0
            };
            [all(&of_accuracy), all(&of_ppv), all(&of_sensitivity), all(&of_specificity)]
        };
        assert_eq!(known(20, 20), [true; 4]);
        assert_eq!(known(9, 20), [false, false, false, true]);
        assert_eq!(known(20, 9), [false, false, true, false]);
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
        let patient_level = PatientAssessment::of(&scored, &smears).unwrap().unwrap();
        let found = &patient_level.found;
        let [none, .., most] = found.infected.as_slice() else { panic!("{found:?}") };
        assert_eq!((none.infected_share, none.excess, most.infected_share), (0.0, 0.0, 0.1));
        assert!(none.found > 5.0 * found.healthy.unwrap(), "{found:?}");
        assert!(found.infected.is_sorted_by(|a, b| a.found <= b.found), "{found:?}");
        assert!((most.excess - (most.found - none.found)).abs() < 1e-12 && most.excess > 0.3, "{found:?}");
        let interval = none.interval.unwrap();
        assert!(interval.low < none.found && none.found < interval.high, "{found:?}");
        let roc = patient_level.roc.unwrap();
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

        // For cells unlike the training cells, no rate is known: neither limits nor shares of smears are reported.
        let stored = SmearRule { max_uncertain: Some(0.5), ..apart.stored };
        let unlike = SmearDecision { stored, of_folds: None };
        let patient_level = PatientAssessment::of(&scored, &unlike).unwrap().unwrap();
        assert!(patient_level.detection_limits.is_empty() && patient_level.found.infected.is_empty());
        let titles: String = patient_level.tables().into_iter().map(|table| table.title).collect();
        assert!(titles.contains("are unknown: the cells are unlike the training cells"), "{titles}");
        assert!(!titles.contains("At least") && !titles.contains("by smears of"), "{titles}");
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
