use malaria_dataset::Index;
use malaria_edge::{ChosenOn, Threshold};
use malaria_metrics::{
    AtThreshold, BinaryCounts, OperatingPoint, Summary, Target, choose_threshold, one_vs_rest,
};

use crate::{Classifier, Result};

/// Specificity of the published figure by patient (Rajaraman et al. 2018), at which sensitivities are compared.
pub(crate) const PUBLISHED_SPECIFICITY: f64 = 0.972;

/// What is known of some cells of a data folder.
pub(crate) struct Labelled<'a> {
    /// Their classes.
    pub(crate) truth: Vec<usize>,
    /// Whose they are.
    pub(crate) patients: Vec<Option<&'a str>>,
}

impl<'a> Labelled<'a> {
    pub(crate) fn new(index: &'a Index, indices: &[usize]) -> Self {
        let samples = || indices.iter().map(|&i| &index.samples[i]);
        Self {
            truth: samples().map(|sample| sample.class).collect(),
            patients: samples().map(|sample| sample.patient.as_deref()).collect(),
        }
    }
}

/// What one cell's class and the model's probabilities of it are, for many cells.
#[derive(Clone, Copy)]
pub(crate) struct Said<'a> {
    /// True classes, `[N]`.
    pub(crate) truth: &'a [usize],
    /// `[N, classes]`, row by row.
    pub(crate) probabilities: &'a [f64],
    pub(crate) classes: &'a [String],
    /// Index of the positive class.
    pub(crate) positive: usize,
    /// Whose cell each is, `[N]`; `None` where nobody knows.
    pub(crate) patients: &'a [Option<&'a str>],
}

/// From which probability on cells are called positive.
pub(crate) struct Calling {
    /// What is stored with the model, and told.
    pub(crate) threshold: Threshold,
    /// What each cell is called at, `[N]`, where that is another: in a cross-validation, what was chosen on the other folds' cells.
    pub(crate) of_cells: Option<Vec<Threshold>>,
}

impl From<Threshold> for Calling {
    fn from(threshold: Threshold) -> Self {
        Self { threshold, of_cells: None }
    }
}

impl Calling {
    /// What cell `i` is called at.
    pub(crate) fn of_cell(&self, i: usize) -> &Threshold {
        self.of_cells.as_ref().map_or(&self.threshold, |of_cells| &of_cells[i])
    }

    /// Whether cell `i` is called positive, by its probability of being so.
    pub(crate) fn calls(&self, i: usize, score: f64) -> bool {
        score >= self.of_cell(i).point.threshold
    }

    /// The same of all cells, `[N]`.
    pub(crate) fn called(&self, scores: &[f64]) -> Vec<bool> {
        scores.iter().enumerate().map(|(i, &score)| self.calls(i, score)).collect()
    }
}

impl<'a> Said<'a> {
    /// What `classifier` says of `cells`.
    pub(crate) fn new(classifier: &'a Classifier, cells: &'a Labelled<'a>, probabilities: &'a [f64]) -> Self {
        Self {
            truth: &cells.truth,
            probabilities,
            classes: &classifier.classes,
            positive: classifier.positive,
            patients: &cells.patients,
        }
    }

    /// The place on the ROC curve that reaches `target` best; `None` where cells are of one class only, or no
    /// threshold reaches it.
    pub(crate) fn operating_point(self, target: Target) -> Result<Option<OperatingPoint>> {
        let (is_positive, scores) =
            one_vs_rest(self.truth, self.probabilities, self.classes.len(), self.positive)?;
        match choose_threshold(&is_positive, &scores, target) {
            Ok(point) => Ok(Some(point)),
            Err(
                malaria_metrics::Error::ClassAbsent { .. } | malaria_metrics::Error::TargetOutOfReach { .. },
            ) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Every figure, those of `calling` among them.
    pub(crate) fn figures(self, calling: Option<&Calling>) -> Result<Summary> {
        let Said { truth, probabilities, classes, positive, .. } = self;
        let mut figures = malaria_metrics::evaluate(truth, probabilities, classes, positive)?;
        if let Some(calling) = calling {
            let (is_positive, scores) = one_vs_rest(truth, probabilities, classes.len(), positive)?;
            let counts = BinaryCounts::of_calls(&is_positive, &calling.called(&scores))?;
            figures.at_threshold = Some(AtThreshold::of(&counts, calling.threshold.point.threshold));
        }
        Ok(figures)
    }

    /// The threshold for `target`, as [`Said::operating_point`] finds it. What its cells tell of patients counts where these are
    /// `new_patients`, of whom the models have learned nothing.
    pub(crate) fn threshold(
        self,
        target: Target,
        chosen_on: ChosenOn,
        new_patients: bool,
    ) -> Result<Option<Threshold>> {
        let Some(point) = self.operating_point(target)? else { return Ok(None) };
        let false_positive_correlation =
            if new_patients { self.false_positive_correlation(point.threshold)? } else { None };
        Ok(Some(Threshold { target, chosen_on, point, false_positive_correlation }))
    }
}
