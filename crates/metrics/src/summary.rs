//! All metrics of one set of predictions.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::binary::{BinaryCounts, Discrimination};
use crate::check;
use crate::confusion::{Average, AverageScores, ClassScores, ConfusionMatrix};
use crate::curves::{pr_curve, roc_curve};
use crate::error::Result;
use crate::probabilities::Probabilities;
use crate::proper::{brier_score, log_loss};

/// The metrics of one set of predictions, ready for JSON. All are fractions except `n`, `discrimination`, `mcc`,
/// `cohens_kappa` and `log_loss`; an undefined one is `None`, in JSON `null`.
///
/// [`summarise`] predicts the most probable class of each sample; [`summarise_predicted`] takes any predictions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Summary {
    /// Number of samples.
    pub n: usize,
    /// Class names, in the order of the classes' indices.
    pub classes: Vec<String>,
    /// Name of the positive class of sensitivity, specificity, PPV, NPV, F1, AUC and average precision; all other
    /// classes are negative.
    pub positive_class: String,
    /// Share of samples whose predicted class is the true one.
    pub accuracy: Option<f64>,
    /// Share of samples whose most probable class is the true one, regardless of the predicted class.
    pub accuracy_argmax: Option<f64>,
    /// Share of the positive samples predicted positive.
    pub sensitivity: Option<f64>,
    /// Share of the negative samples predicted negative.
    pub specificity: Option<f64>,
    /// Area under the ROC curve.
    pub auc: Option<f64>,
    /// Share of positive calls that are right.
    pub ppv: Option<f64>,
    /// Share of negative calls that are right.
    pub npv: Option<f64>,
    /// F1 of the positive class.
    pub f1: Option<f64>,
    /// Youden's J and the likelihood ratios.
    #[serde(flatten)]
    pub discrimination: Discrimination,
    /// Matthews correlation coefficient over all classes, from -1 to 1.
    pub mcc: Option<f64>,
    /// Cohen's kappa over all classes, at most 1.
    #[serde(default)]
    pub cohens_kappa: Option<f64>,
    /// Mean recall over all classes.
    pub balanced_accuracy: Option<f64>,
    /// Average precision, a summary of the precision-recall curve.
    pub average_precision: Option<f64>,
    /// Cross-entropy over all classes, in nats.
    pub log_loss: f64,
    /// Brier score, see [`brier_score`].
    pub brier: f64,
    /// Counts by true class (rows) and predicted class (columns), in the order of `classes`.
    pub confusion: ConfusionMatrix,
    /// Precision, recall and F1 of each class against all others, in the order of `classes`.
    #[serde(default)]
    pub by_class: Vec<ClassScores>,
    /// Precision, recall and F1 averaged over the classes: `micro`, `macro` and `weighted`.
    #[serde(default)]
    pub averages: BTreeMap<Average, AverageScores>,
}

/// Computes a [`Summary`].
///
/// `truth` `[N]` holds the true classes, `probabilities` `[N, C]` row by row the probability of each class, and
/// `classes` `[C]` the class names; `positive` is the index of the positive class. A sample is called by its
/// highest probability ([`argmax`]).
///
/// ```
/// use malaria_metrics::summarise;
///
/// let classes = ["Parasitized".to_owned(), "Uninfected".to_owned()];
/// let summary = summarise(&[0, 0, 1], &[0.9, 0.1, 0.4, 0.6, 0.2, 0.8], &classes, 0)?;
/// assert_eq!(summary.positive_class, "Parasitized");
/// assert_eq!((summary.sensitivity, summary.specificity, summary.auc), (Some(0.5), Some(1.0), Some(1.0)));
/// # Ok::<(), malaria_metrics::Error>(())
/// ```
///
/// # Errors
/// No samples, fewer than 2 classes, lengths that do not fit, a class out of range, a probability that is NaN
/// or outside `[0, 1]`, or a sample whose probabilities do not sum to 1 within 0.01.
pub fn summarise(
    truth: &[usize],
    probabilities: &[f64],
    classes: &[String],
    positive: usize,
) -> Result<Summary> {
    let rows = Probabilities::new(probabilities, classes.len());
    check::probabilities(truth, rows)?;
    let predicted = Vec::from_iter(rows.rows().map(argmax));
    summarise_predicted(truth, probabilities, &predicted, classes, positive)
}

/// Computes a [`Summary`] for the predicted classes `predicted` `[N]`, such as those of [`predict_at`]; the other
/// arguments are those of [`summarise`].
///
/// ```
/// # use malaria_metrics::{summarise_predicted, predict_at};
/// # let classes = ["Parasitized".to_owned(), "Uninfected".to_owned()];
/// # let (truth, probabilities) = ([0, 0, 1], [0.9, 0.1, 0.4, 0.6, 0.2, 0.8]);
/// let predicted: Vec<usize> = probabilities.chunks(2).map(|row| predict_at(row, 0, 0.3)).collect();
/// let summary = summarise_predicted(&truth, &probabilities, &predicted, &classes, 0)?;
/// assert_eq!((summary.sensitivity, summary.accuracy), (Some(1.0), Some(1.0)));
/// assert_eq!(summary.accuracy_argmax, Some(2.0 / 3.0));
/// # Ok::<(), malaria_metrics::Error>(())
/// ```
///
/// # Errors
/// As [`summarise`]; also another number of predictions than samples, or one out of range.
pub fn summarise_predicted(
    truth: &[usize],
    probabilities: &[f64],
    predicted: &[usize],
    classes: &[String],
    positive: usize,
) -> Result<Summary> {
    let rows = Probabilities::new(probabilities, classes.len());
    let (is_positive, scores) = one_vs_rest(truth, rows, positive)?;
    let confusion = ConfusionMatrix::from_labels(truth, predicted, classes.len())?;
    let counts = BinaryCounts::of_class(&confusion, positive)?;
    let argmax_classes = rows.rows().map(argmax);
    let right = argmax_classes.zip(truth).filter(|(class, truth)| class == *truth).count();
    Ok(Summary {
        n: truth.len(),
        classes: classes.to_vec(),
        positive_class: classes[positive].clone(),
        accuracy: confusion.accuracy(),
        accuracy_argmax: Some(right as f64 / truth.len() as f64),
        sensitivity: counts.sensitivity(),
        specificity: counts.specificity(),
        auc: roc_curve(&is_positive, &scores)?.map(|curve| curve.auc),
        ppv: counts.ppv(),
        npv: counts.npv(),
        f1: counts.f1(),
        discrimination: counts.discrimination(),
        mcc: confusion.mcc(),
        cohens_kappa: confusion.cohens_kappa(),
        balanced_accuracy: confusion.balanced_accuracy(),
        average_precision: pr_curve(&is_positive, &scores)?.map(|curve| curve.average_precision),
        log_loss: log_loss(truth, rows)?,
        brier: brier_score(truth, rows)?,
        by_class: confusion.class_scores(),
        averages: Average::ALL.map(|average| (average, confusion.average_scores(average))).into(),
        confusion,
    })
}

/// The class `positive` against all others: whether each sample is positive, and its probability of being positive,
/// both `[N]`: the input of curves, calibration and thresholds.
///
/// `truth` `[N]` holds the true classes and `probabilities` `[N, classes]` row by row the probability of each.
///
/// # Errors
/// As [`summarise`].
pub fn one_vs_rest(
    truth: &[usize],
    probabilities: Probabilities<'_>,
    positive: usize,
) -> Result<(Vec<bool>, Vec<f64>)> {
    check::probabilities(truth, probabilities)?;
    let Probabilities { values, classes } = probabilities;
    check::class(|| "positive class".into(), positive, classes)?;
    let is_positive = truth.iter().map(|&class| class == positive).collect();
    let scores = values.iter().skip(positive).step_by(classes).copied().collect();
    Ok((is_positive, scores))
}

/// The class with the highest probability in `row`, the first of equal ones, as `numpy.argmax`.
pub fn argmax(row: &[f64]) -> usize {
    (1..row.len()).fold(0, |best, class| if row[class] > row[best] { class } else { best })
}

/// The predicted class at a decision threshold: `positive` where its probability is at least `threshold`, else the most
/// probable other class.
///
/// # Panics
/// If `positive` is out of range.
pub fn predict_at(row: &[f64], positive: usize, threshold: f64) -> usize {
    if row[positive] >= threshold {
        return positive;
    }
    let mut others = row.to_vec();
    others[positive] = f64::NEG_INFINITY;
    argmax(&others)
}
