//! Labelled cells with predicted probabilities: their metrics, and the threshold chosen on them.

use std::collections::BTreeMap;

use malaria_dataset::Index;
use malaria_metrics::{
    OperatingPoint, PatientCells, PatientRule, Probabilities, Summary, Target, argmax, by_patient,
    choose_threshold, evaluate_predicted, intra_patient_correlation, one_vs_rest,
};

use crate::{
    decision::{ChosenOn, DecisionRule, Threshold, call},
    error::Result,
};

/// Minimum numbers of patients with uninfected cells and of false alarms among these to estimate the rate of false alarms in new
/// patients: with ten alarms the rate is known to a third of itself.
const MIN_PATIENTS: usize = 10;
const MIN_ALARMS: u64 = 10;

/// True classes and patients of cells of a data folder.
#[derive(Clone, Debug)]
pub struct GroundTruth<'a> {
    /// Classes, `[N]`.
    pub classes: Vec<usize>,
    /// Patients, `[N]`; `None` where unknown.
    pub patients: Vec<Option<&'a str>>,
}

impl<'a> GroundTruth<'a> {
    /// The truth of the cells at `indices` of `index`.
    ///
    /// # Panics
    /// If an index is out of range.
    pub fn new(index: &'a Index, indices: &[usize]) -> Self {
        let samples = || indices.iter().map(|&i| &index.samples[i]);
        Self {
            classes: samples().map(|sample| sample.class).collect(),
            patients: samples().map(|sample| sample.patient.as_deref()).collect(),
        }
    }
}

/// True classes and predicted probabilities of a set of cells.
#[derive(Clone, Copy, Debug)]
pub struct Scored<'a> {
    /// True classes, `[N]`.
    pub truth: &'a [usize],
    /// `[N, classes]`, row by row.
    pub probabilities: &'a [f64],
    /// Class names.
    pub classes: &'a [String],
    /// Index of the positive class.
    pub positive: usize,
    /// The patient of each cell, `[N]`; `None` where it is unknown.
    pub patients: &'a [Option<&'a str>],
}

impl Scored<'_> {
    /// The probabilities with their number of classes.
    pub fn rows(&self) -> Probabilities<'_> {
        Probabilities::new(self.probabilities, self.classes.len())
    }

    /// The class of each cell by `rule`, `[N]`.
    pub fn predicted(&self, rule: &DecisionRule) -> Vec<usize> {
        let rows = self.rows().rows().enumerate();
        rows.map(|(i, row)| call(row, self.positive, rule.of_cell(i))).collect()
    }

    /// The most probable class of each cell, `[N]`.
    pub fn argmax_classes(&self) -> Vec<usize> {
        self.rows().rows().map(argmax).collect()
    }

    /// All metrics of the classes that `rule` gives.
    ///
    /// # Errors
    /// [`Error::Metrics`](crate::Error::Metrics) for no cells, or numbers that do not fit each other.
    pub fn summary(&self, rule: &DecisionRule) -> Result<Summary> {
        let Scored { truth, probabilities, classes, positive, .. } = *self;
        // Checks the lengths before `predicted` cuts rows.
        self.one_vs_rest()?;
        Ok(evaluate_predicted(truth, probabilities, &self.predicted(rule), classes, positive)?)
    }

    /// Whether each cell is of the positive class, and its probability of that class, both `[N]`.
    ///
    /// # Errors
    /// As [`summary`](Self::summary).
    pub fn one_vs_rest(&self) -> Result<(Vec<bool>, Vec<f64>)> {
        Ok(one_vs_rest(self.truth, self.rows(), self.positive)?)
    }

    /// The point on the ROC curve that reaches `target` with the most of the other metric; `None` where all cells are of one class
    /// or no threshold reaches the target.
    ///
    /// # Errors
    /// As [`summary`](Self::summary).
    pub fn operating_point(&self, target: Target) -> Result<Option<OperatingPoint>> {
        let (is_positive, scores) = self.one_vs_rest()?;
        match choose_threshold(&is_positive, &scores, target) {
            Ok(point) => Ok(Some(point)),
            Err(
                malaria_metrics::Error::ClassAbsent { .. } | malaria_metrics::Error::TargetOutOfReach { .. },
            ) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The threshold for `target`, see [`operating_point`](Self::operating_point). With `new_patients`, from whom the models have not
    /// learned, it includes the correlation of false alarms that calls of patients need.
    ///
    /// # Errors
    /// As [`summary`](Self::summary).
    pub fn threshold(
        &self,
        target: Target,
        chosen_on: ChosenOn,
        new_patients: bool,
    ) -> Result<Option<Threshold>> {
        let Some(point) = self.operating_point(target)? else { return Ok(None) };
        let mut threshold = Threshold { target, chosen_on, point, false_positive_correlation: None };
        if new_patients {
            threshold.false_positive_correlation =
                self.false_positive_correlation(&DecisionRule::Threshold(threshold))?;
        }
        Ok(Some(threshold))
    }

    /// The rule of each known patient; `None` where a patient has none. Where patients are called, all cells of a patient have the
    /// same threshold.
    pub(crate) fn patient_rules(&self, decision: &DecisionRule) -> Option<BTreeMap<&str, PatientRule>> {
        let known = self.patients.iter().enumerate().filter_map(|(i, patient)| Some((i, (*patient)?)));
        known.map(|(i, patient)| Some((patient, decision.of_cell(i)?.patient_rule().ok()?))).collect()
    }

    /// The cells of known patients.
    pub(crate) fn by_patient(&self, rule: &DecisionRule) -> Result<Vec<PatientCells>> {
        let predicted = self.predicted(rule);
        let known: Vec<(usize, &str)> =
            self.patients.iter().enumerate().filter_map(|(i, patient)| Some((i, (*patient)?))).collect();
        let names: Vec<&str> = known.iter().map(|&(_, name)| name).collect();
        let of_positive = |classes: &[usize]| -> Vec<bool> {
            known.iter().map(|&(i, _)| classes[i] == self.positive).collect()
        };
        Ok(by_patient(&names, &of_positive(self.truth), &of_positive(&predicted))?)
    }

    /// Intra-patient correlation of the false alarms by `rule`; `None` with too few alarms or patients with uninfected cells.
    fn false_positive_correlation(&self, rule: &DecisionRule) -> Result<Option<f64>> {
        let patients = self.by_patient(rule)?;
        let uninfected: Vec<_> =
            patients.iter().map(|patient| patient.uninfected).filter(|called| called.cells > 0).collect();
        let alarms: u64 = uninfected.iter().map(|called| called.positive).sum();
        if uninfected.len() < MIN_PATIENTS || alarms < MIN_ALARMS {
            return Ok(None);
        }
        // `PatientRule` needs a correlation below 1.
        Ok(intra_patient_correlation(&uninfected).map(|correlation| correlation.min(0.999)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_false_alarms_or_patients_give_no_correlation() {
        // Ten uninfected cells per patient; the false alarms are spread over the patients.
        let correlation = |patients: usize, alarms: usize| {
            let names: Vec<String> = (0..patients).map(|patient| format!("C{patient}")).collect();
            let cells = || (0..10 * patients).map(|i| (i / 10, i % 10));
            let of: Vec<Option<&str>> = cells().map(|(patient, _)| Some(names[patient].as_str())).collect();
            let positive = |(patient, cell)| if cell * patients + patient < alarms { 0.9 } else { 0.1 };
            let probabilities: Vec<f64> = cells().map(positive).flat_map(|p| [p, 1.0 - p]).collect();
            let scored = Scored {
                truth: &vec![1; 10 * patients],
                probabilities: &probabilities,
                classes: &["Parasitized".to_owned(), "Uninfected".to_owned()],
                positive: 0,
                patients: &of,
            };
            scored.false_positive_correlation(&DecisionRule::Argmax).unwrap()
        };
        assert!(correlation(12, 10).is_some() && correlation(10, 10).is_some());
        assert_eq!([correlation(12, 9), correlation(9, 12), correlation(2, 1)], [None; 3]);
    }
}
