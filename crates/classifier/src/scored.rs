//! Labelled cells with predicted probabilities: their metrics, and thresholds chosen on them.

use std::collections::BTreeMap;

use malaria_dataset::Index;
use malaria_metrics::{
    AverageScores, BinaryCounts, Discrimination, OperatingPoint, PatientCells, Probabilities, Summary,
    Target, argmax, by_patient, choose_smear_threshold, choose_threshold, one_vs_rest, summarise_predicted,
};

use crate::{
    decision::{ChosenOn, DecisionRule, Threshold, call},
    error::Result,
    patient_rule::{CellTally, SmearDecision, SmearRule},
};

/// Minimum number of patients with infected cells, and with uninfected cells, for calling new patients: error rates of
/// patient calls were simulated down to nine.
const MIN_PATIENTS: usize = 8;
/// Metrics of a class with fewer cells say nothing.
pub(crate) const FEW_CELLS: usize = 10;
/// Share of the patients whose share of uncertain cells counts as usual.
const USUAL_PATIENTS: f64 = 0.99;

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

    /// All metrics of the classes predicted by `rule`.
    ///
    /// # Errors
    /// [`Error::Metrics`](crate::Error::Metrics) for no cells, or numbers that do not match.
    pub fn summary(&self, rule: &DecisionRule) -> Result<Summary> {
        let Scored { truth, probabilities, classes, positive, .. } = *self;
        // Checks the lengths before `predicted` splits rows.
        self.one_vs_rest()?;
        Ok(summarise_predicted(truth, probabilities, &self.predicted(rule), classes, positive)?)
    }

    /// [`summary`](Self::summary) without the metrics that a class of fewer than ten cells leaves unknown;
    /// [`Caveat::FewCells`](crate::Caveat::FewCells) gives the reason.
    ///
    /// # Errors
    /// As [`summary`](Self::summary).
    pub fn known_metrics(&self, rule: &DecisionRule) -> Result<Summary> {
        let mut summary = self.summary(rule)?;
        let counts = summary.confusion.true_counts();
        let few = |cells: u64| cells < FEW_CELLS as u64;
        let [few_positives, few_negatives] =
            [counts[self.positive], summary.confusion.total() - counts[self.positive]].map(few);
        if counts.iter().any(|&cells| few(cells)) {
            (summary.accuracy, summary.accuracy_argmax, summary.balanced_accuracy) = (None, None, None);
            (summary.mcc, summary.cohens_kappa) = (None, None);
            let none = AverageScores { precision: None, recall: None, f1: None };
            summary.averages.values_mut().for_each(|scores| *scores = none);
        }
        for scores in &mut summary.by_class {
            if few(scores.support) {
                scores.recall = None;
            }
            if few(scores.support) || few(summary.confusion.total() - scores.support) {
                (scores.precision, scores.f1) = (None, None);
            }
        }
        if few_positives {
            summary.sensitivity = None;
        }
        if few_negatives {
            summary.specificity = None;
        }
        if few_positives || few_negatives {
            (summary.auc, summary.average_precision) = (None, None);
            (summary.ppv, summary.npv, summary.f1) = (None, None, None);
            summary.discrimination = Discrimination::default();
        }
        Ok(summary)
    }

    /// Whether each cell is of the positive class, and its probability of that class, both `[N]`.
    ///
    /// # Errors
    /// As [`summary`](Self::summary).
    pub fn one_vs_rest(&self) -> Result<(Vec<bool>, Vec<f64>)> {
        Ok(one_vs_rest(self.truth, self.rows(), self.positive)?)
    }

    /// The point on the ROC curve that reaches `target` with the best other metric; `None` if all cells are of one class or
    /// no threshold reaches the target.
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

    /// The threshold for `target`, see [`operating_point`](Self::operating_point).
    ///
    /// # Errors
    /// As [`summary`](Self::summary).
    pub fn threshold(&self, target: Target, chosen_on: ChosenOn) -> Result<Option<Threshold>> {
        Ok(self.operating_point(target)?.map(|point| Threshold { target, chosen_on, point }))
    }

    /// The rule for calling new patients, chosen on these patients, on whom the model must not have been trained. `None`
    /// with more than two classes, with fewer than eight patients with either kind of cells, or if no threshold detects an
    /// infection.
    ///
    /// # Errors
    /// As [`summary`](Self::summary).
    pub fn smear_rule(&self, chosen_on: ChosenOn) -> Result<Option<SmearRule>> {
        let (is_positive, scores) = self.one_vs_rest()?;
        let known = self.known();
        let number = |infected: bool| {
            let of_kind = known.iter().filter(|&&(i, _)| is_positive[i] == infected).map(|&(_, name)| name);
            of_kind.collect::<std::collections::BTreeSet<_>>().len()
        };
        if self.classes.len() != 2 || number(true) < MIN_PATIENTS || number(false) < MIN_PATIENTS {
            return Ok(None);
        }
        let names: Vec<&str> = known.iter().map(|&(_, name)| name).collect();
        let infected: Vec<bool> = known.iter().map(|&(i, _)| is_positive[i]).collect();
        let scores: Vec<f64> = known.iter().map(|&(i, _)| scores[i]).collect();
        let Some(point) = choose_smear_threshold(&names, &infected, &scores)? else { return Ok(None) };
        let tallies = self.tallies()?;
        let mut uncertain: Vec<f64> = tallies.values().filter_map(CellTally::uncertain_share).collect();
        uncertain.sort_unstable_by(f64::total_cmp);
        let usual = (USUAL_PATIENTS * uncertain.len() as f64).ceil() as usize;
        let max_uncertain = usual.checked_sub(1).map(|last| uncertain[last]);
        Ok(Some(SmearRule { threshold: point.threshold, chosen_on, max_uncertain, rates: point.rule }))
    }

    /// Each known patient's cells, none of which counts as positive.
    pub(crate) fn tallies(&self) -> Result<BTreeMap<&str, CellTally>> {
        let (_, scores) = self.one_vs_rest()?;
        let mut tallies: BTreeMap<&str, CellTally> = BTreeMap::new();
        for (i, name) in self.known() {
            tallies.entry(name).or_default().count(scores[i], false);
        }
        Ok(tallies)
    }

    /// All cells, none of which counts as positive.
    pub(crate) fn tally(&self) -> Result<CellTally> {
        let (_, scores) = self.one_vs_rest()?;
        let mut tally = CellTally::default();
        scores.into_iter().for_each(|score| tally.count(score, false));
        Ok(tally)
    }

    /// Positions and names of the cells of known patients.
    fn known(&self) -> Vec<(usize, &str)> {
        self.patients.iter().enumerate().filter_map(|(i, patient)| Some((i, (*patient)?))).collect()
    }

    /// The known patients' cells, called at the thresholds of `decision`, and the index of each patient's rule. All cells of a patient are
    /// in one fold.
    pub(crate) fn patients_of_smears(&self, decision: &SmearDecision) -> Result<Vec<(PatientCells, usize)>> {
        let (is_positive, scores) = self.one_vs_rest()?;
        let threshold = |i: usize| decision.rules()[decision.of_cell(i)].threshold;
        let patients = self.count_by_patient(&is_positive, |i| scores[i] >= threshold(i))?;
        let rules: BTreeMap<&str, usize> =
            self.known().into_iter().map(|(i, name)| (name, decision.of_cell(i))).collect();
        let with_rule = |patient: PatientCells| {
            let rule = rules.get(patient.patient.as_str()).copied().unwrap_or(0);
            (patient, rule)
        };
        Ok(patients.into_iter().map(with_rule).collect())
    }

    /// The cells of known patients, called by `rule`.
    pub(crate) fn by_patient(&self, rule: &DecisionRule) -> Result<Vec<PatientCells>> {
        let predicted = self.predicted(rule);
        self.count_by_patient(&self.one_vs_rest()?.0, |i| predicted[i] == self.positive)
    }

    /// The calls of each patient's cells by `rule`; a cell of an unknown patient counts as a separate patient.
    pub fn counts_by_patient(&self, rule: &DecisionRule) -> Vec<BinaryCounts> {
        let mut known: BTreeMap<&str, usize> = BTreeMap::new();
        let mut counts: Vec<BinaryCounts> = Vec::new();
        for (i, predicted) in self.predicted(rule).into_iter().enumerate() {
            let next = counts.len();
            let place = self.patients[i].map_or(next, |patient| *known.entry(patient).or_insert(next));
            if place == next {
                counts.push(BinaryCounts::default());
            }
            let counts = &mut counts[place];
            let count = match (self.truth[i] == self.positive, predicted == self.positive) {
                (true, true) => &mut counts.true_positives,
                (true, false) => &mut counts.false_negatives,
                (false, false) => &mut counts.true_negatives,
                (false, true) => &mut counts.false_positives,
            };
            *count += 1;
        }
        counts
    }

    fn count_by_patient(
        &self,
        is_positive: &[bool],
        called: impl Fn(usize) -> bool,
    ) -> Result<Vec<PatientCells>> {
        let known = self.known();
        let names: Vec<&str> = known.iter().map(|&(_, name)| name).collect();
        let of =
            |which: &dyn Fn(usize) -> bool| -> Vec<bool> { known.iter().map(|&(i, _)| which(i)).collect() };
        Ok(by_patient(&names, &of(&|i| is_positive[i]), &of(&called))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_of_few_cells_are_not_known() {
        let known = |positives: usize, negatives: usize| {
            let truth = [vec![0; positives], vec![1; negatives]].concat();
            let probabilities = truth.iter().flat_map(|&class| [[0.9, 0.1], [0.2, 0.8]][class]);
            let scored = Scored {
                truth: &truth,
                probabilities: &probabilities.collect::<Vec<_>>(),
                classes: &["Parasitized".to_owned(), "Uninfected".to_owned()],
                positive: 0,
                patients: &vec![None; truth.len()],
            };
            let found = scored.known_metrics(&DecisionRule::Argmax).unwrap();
            // The scores of a class agree with the metrics of the positive one.
            let of_class = found.by_class[0];
            assert_eq!(
                (of_class.precision, of_class.recall, of_class.f1),
                (found.ppv, found.sensitivity, found.f1)
            );
            assert!(found.averages.values().all(|scores| scores.f1.is_some() == found.accuracy.is_some()));
            [found.accuracy, found.accuracy_argmax, found.sensitivity, found.specificity, found.auc]
        };
        assert_eq!(known(10, 10), [Some(1.0); 5]);
        assert_eq!(known(9, 10), [None, None, None, Some(1.0), None]);
        assert_eq!(known(100, 0), [None, None, Some(1.0), None, None]);
    }

    #[test]
    fn few_patients_give_no_smear_rule() {
        // Twenty cells per patient; a tenth of the infected cells is missed.
        let rule = |infected: usize, healthy: usize| {
            let names: Vec<String> = (0..infected + healthy).map(|patient| format!("C{patient}")).collect();
            let cells = || (0..20 * names.len()).map(|i| (i / 20, i % 20));
            let of: Vec<Option<&str>> = cells().map(|(patient, _)| Some(names[patient].as_str())).collect();
            let truth: Vec<usize> = cells().map(|(patient, _)| usize::from(patient >= infected)).collect();
            let positive = |(patient, cell)| if patient < infected && cell > 1 { 0.9 } else { 0.1 };
            let probabilities: Vec<f64> = cells().map(positive).flat_map(|p| [p, 1.0 - p]).collect();
            let scored = Scored {
                truth: &truth,
                probabilities: &probabilities,
                classes: &["Parasitized".to_owned(), "Uninfected".to_owned()],
                positive: 0,
                patients: &of,
            };
            scored.smear_rule(ChosenOn::Validation).unwrap()
        };
        let found = rule(8, 8).unwrap();
        assert_eq!(
            (found.threshold, found.rates.infected.mean, found.rates.uninfected.patients),
            (0.9, 0.9, 8)
        );
        assert_eq!([rule(7, 8), rule(8, 7)], [None, None]);
    }
}
