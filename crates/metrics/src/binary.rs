//! Metrics of two classes from their four counts.

use serde::{Deserialize, Serialize};

use crate::check;
use crate::confusion::{ConfusionMatrix, ratio};
use crate::error::Result;

/// The four counts of a two-class test.
///
/// Every metric is a fraction, unless noted otherwise, and `None` where its denominator is 0: a sensitivity without a
/// positive sample is unknown, neither 0 nor 1.
///
/// ```
/// use malaria_metrics::BinaryCounts;
///
/// let counts = BinaryCounts { true_positives: 90, false_negatives: 10, true_negatives: 95, false_positives: 5 };
/// assert_eq!(counts.sensitivity(), Some(0.90));
/// assert_eq!(counts.specificity(), Some(0.95));
/// // On a balanced set 95 % of positive calls are right; where 2 % of cells are infected, 27 %.
/// assert!(counts.ppv().unwrap() > 0.94);
/// assert!(counts.ppv_at(0.02)?.unwrap() < 0.27);
/// # Ok::<(), malaria_metrics::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BinaryCounts {
    /// Positive samples called positive.
    pub true_positives: u64,
    /// Positive samples called negative.
    pub false_negatives: u64,
    /// Negative samples called negative.
    pub true_negatives: u64,
    /// Negative samples called positive.
    pub false_positives: u64,
}

impl BinaryCounts {
    /// Counts the samples; scores of at least `threshold` are called positive. `truth` `[N]` is `true` for positive, `scores`
    /// `[N]` and `threshold` lie in `[0, 1]`.
    ///
    /// # Errors
    /// No samples, lengths that differ, or a score or threshold that is NaN or outside `[0, 1]`.
    pub fn at_threshold(truth: &[bool], scores: &[f64], threshold: f64) -> Result<Self> {
        check::fraction(|| "threshold".into(), threshold)?;
        check::binary(truth, scores)?;
        let called: Vec<bool> = scores.iter().map(|&score| score >= threshold).collect();
        Self::of_calls(truth, &called)
    }

    /// Counts the samples; `truth` `[N]` and `called` `[N]` are `true` for positive.
    ///
    /// # Errors
    /// No samples, or lengths that differ.
    pub fn of_calls(truth: &[bool], called: &[bool]) -> Result<Self> {
        check::length("calls", truth.len(), called.len())?;
        check::not_empty(truth)?;
        let count = |is_positive: bool, called_positive: bool| {
            let samples = truth.iter().zip(called);
            samples.filter(|&(&t, &c)| t == is_positive && c == called_positive).count() as u64
        };
        Ok(Self {
            true_positives: count(true, true),
            false_negatives: count(true, false),
            true_negatives: count(false, false),
            false_positives: count(false, true),
        })
    }

    /// Counts the samples of `matrix`, the class `positive` against all others.
    ///
    /// # Errors
    /// [`Error::ClassOutOfRange`](crate::Error::ClassOutOfRange).
    pub fn of_class(matrix: &ConfusionMatrix, positive: usize) -> Result<Self> {
        check::class(|| "positive class".into(), positive, matrix.classes())?;
        let true_positives = matrix.get(positive, positive).unwrap_or(0);
        let false_negatives = matrix.true_counts()[positive] - true_positives;
        let false_positives = matrix.predicted_counts()[positive] - true_positives;
        let true_negatives = matrix.total() - true_positives - false_negatives - false_positives;
        Ok(Self { true_positives, false_negatives, true_negatives, false_positives })
    }

    /// Positive samples.
    pub fn positives(&self) -> u64 {
        self.true_positives + self.false_negatives
    }

    /// Negative samples.
    pub fn negatives(&self) -> u64 {
        self.true_negatives + self.false_positives
    }

    /// Share of the positive samples called positive; also recall.
    pub fn sensitivity(&self) -> Option<f64> {
        ratio(self.true_positives, self.positives())
    }

    /// Share of the negative samples called negative.
    pub fn specificity(&self) -> Option<f64> {
        ratio(self.true_negatives, self.negatives())
    }

    /// Positive predictive value, the share of positive calls that are right, at the samples' own prevalence;
    /// also precision.
    pub fn ppv(&self) -> Option<f64> {
        ratio(self.true_positives, self.true_positives + self.false_positives)
    }

    /// Negative predictive value, the share of negative calls that are right, at the samples' own prevalence.
    pub fn npv(&self) -> Option<f64> {
        ratio(self.true_negatives, self.true_negatives + self.false_negatives)
    }

    /// Positive predictive value where the share `prevalence` of samples is positive (Bayes' theorem on
    /// sensitivity and specificity).
    ///
    /// # Errors
    /// [`Error::OutOfRange`](crate::Error::OutOfRange) for a prevalence outside `[0, 1]`.
    pub fn ppv_at(&self, prevalence: f64) -> Result<Option<f64>> {
        check::fraction(|| "prevalence".into(), prevalence)?;
        Ok(self.sensitivity().zip(self.specificity()).and_then(|(sensitivity, specificity)| {
            bayes(sensitivity * prevalence, (1.0 - specificity) * (1.0 - prevalence))
        }))
    }

    /// Negative predictive value where the share `prevalence` of samples is positive.
    ///
    /// # Errors
    /// [`Error::OutOfRange`](crate::Error::OutOfRange) for a prevalence outside `[0, 1]`.
    pub fn npv_at(&self, prevalence: f64) -> Result<Option<f64>> {
        check::fraction(|| "prevalence".into(), prevalence)?;
        Ok(self.sensitivity().zip(self.specificity()).and_then(|(sensitivity, specificity)| {
            bayes(specificity * (1.0 - prevalence), (1.0 - sensitivity) * prevalence)
        }))
    }

    /// Share of correct calls.
    pub fn accuracy(&self) -> Option<f64> {
        self.matrix().accuracy()
    }

    /// Mean of sensitivity and specificity.
    pub fn balanced_accuracy(&self) -> Option<f64> {
        self.matrix().balanced_accuracy()
    }

    /// Harmonic mean of [`ppv`](Self::ppv) and [`sensitivity`](Self::sensitivity); undefined only if no sample is positive
    /// and none is called positive.
    pub fn f1(&self) -> Option<f64> {
        ratio(2 * self.true_positives, 2 * self.true_positives + self.false_positives + self.false_negatives)
    }

    /// Matthews correlation coefficient, from -1 to 1.
    pub fn mcc(&self) -> Option<f64> {
        self.matrix().mcc()
    }

    /// Cohen's kappa, agreement beyond chance, at most 1.
    pub fn cohens_kappa(&self) -> Option<f64> {
        self.matrix().cohens_kappa()
    }

    /// Youden's J, sensitivity + specificity - 1, from -1 to 1.
    pub fn youdens_j(&self) -> Option<f64> {
        Some(self.sensitivity()? + self.specificity()? - 1.0)
    }

    /// Positive likelihood ratio, sensitivity / (1 - specificity): the factor by which a positive call multiplies the odds
    /// of being positive. `None` without a false positive, where it has no finite value.
    pub fn positive_likelihood_ratio(&self) -> Option<f64> {
        ratio(self.true_positives * self.negatives(), self.false_positives * self.positives())
    }

    /// Negative likelihood ratio, (1 - sensitivity) / specificity: the factor by which a negative call multiplies the odds
    /// of being positive. `None` without a true negative, where it has no finite value.
    pub fn negative_likelihood_ratio(&self) -> Option<f64> {
        ratio(self.false_negatives * self.negatives(), self.true_negatives * self.positives())
    }

    /// [`youdens_j`](Self::youdens_j) and the two likelihood ratios.
    pub fn discrimination(&self) -> Discrimination {
        Discrimination {
            youdens_j: self.youdens_j(),
            positive_likelihood_ratio: self.positive_likelihood_ratio(),
            negative_likelihood_ratio: self.negative_likelihood_ratio(),
        }
    }

    fn matrix(&self) -> ConfusionMatrix {
        ConfusionMatrix::square([
            [self.true_positives, self.false_negatives],
            [self.false_positives, self.true_negatives],
        ])
    }
}

/// Metrics that combine sensitivity and specificity and do not depend on the prevalence; `None` where undefined.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Discrimination {
    /// Youden's J, sensitivity + specificity - 1, from -1 to 1.
    pub youdens_j: Option<f64>,
    /// Factor by which a positive call multiplies the odds of being positive.
    pub positive_likelihood_ratio: Option<f64>,
    /// Factor by which a negative call multiplies the odds of being positive.
    pub negative_likelihood_ratio: Option<f64>,
}

/// The share of correct calls, from the probabilities of correct and wrong calls.
fn bayes(right: f64, wrong: f64) -> Option<f64> {
    (right + wrong > 0.0).then(|| right / (right + wrong))
}
