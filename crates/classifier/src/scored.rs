//! Labelled cells and what a model says of them.

use malaria_dataset::Index;
use malaria_metrics::{
    OperatingPoint, Probabilities, Summary, Target, argmax, choose_threshold, evaluate_predicted, one_vs_rest,
};

use crate::{
    decision::{ChosenOn, DecisionRule, Threshold, call},
    error::Result,
};

/// True classes and patients of some cells of a data folder.
#[derive(Clone, Debug)]
pub struct GroundTruth<'a> {
    /// Their classes, `[N]`.
    pub classes: Vec<usize>,
    /// Their patients, `[N]`; `None` where the name tells none.
    pub patients: Vec<Option<&'a str>>,
}

impl<'a> GroundTruth<'a> {
    /// That of the cells at `indices` of `index`.
    ///
    /// # Panics
    /// Where an index is not below the number of cells, as slices do.
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
    pub fn most_probable(&self) -> Vec<usize> {
        self.rows().rows().map(argmax).collect()
    }

    /// All metrics of the classes that `rule` gives.
    ///
    /// # Errors
    /// [`Error::Metrics`](crate::Error::Metrics) for no cells, or numbers that do not fit each other.
    pub fn summary(&self, rule: &DecisionRule) -> Result<Summary> {
        let Scored { truth, probabilities, classes, positive, .. } = *self;
        // What does not fit is refused here, before rows are cut from it.
        self.one_vs_rest()?;
        Ok(evaluate_predicted(truth, probabilities, &self.predicted(rule), classes, positive)?)
    }

    /// Whether each cell is of the positive class, and its probability of being so, both `[N]`.
    ///
    /// # Errors
    /// As [`summary`](Self::summary).
    pub fn one_vs_rest(&self) -> Result<(Vec<bool>, Vec<f64>)> {
        Ok(one_vs_rest(self.truth, self.rows(), self.positive)?)
    }

    /// The place on the ROC curve that reaches `target` best; `None` where cells are of one class only, or no
    /// threshold reaches it.
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

    /// The threshold for `target`, as [`operating_point`](Self::operating_point) finds it. What its cells tell of patients counts
    /// where these are `new_patients`, of whom the models have learned nothing.
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
}
