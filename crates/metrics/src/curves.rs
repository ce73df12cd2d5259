//! ROC and precision-recall curves.

use crate::error::Result;
use crate::rank::{self, Cut, Cuts};

/// The point of one threshold on a ROC curve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RocPoint {
    /// Samples of at least this score are called positive; infinite for the first point, with no positive calls.
    pub threshold: f64,
    /// Share of the negative samples called positive, 1 - specificity.
    pub false_positive_rate: f64,
    /// Share of the positive samples called positive, the sensitivity.
    pub true_positive_rate: f64,
}

/// A receiver operating characteristic curve, from (0, 0) to (1, 1).
#[derive(Debug, Clone, PartialEq)]
pub struct RocCurve {
    /// One point per distinct score, by falling thresholds, after the point without positive calls.
    pub points: Vec<RocPoint>,
    /// The area under the curve: the share of pairs of one positive and one negative sample in which the
    /// positive one scores higher, ties counted half.
    pub auc: f64,
}

/// The ROC curve of `scores` `[N]` in `[0, 1]`, the probability of the positive class, against `truth` `[N]`,
/// `true` for positive. `None` if all samples are of one class.
///
/// The points are those of scikit-learn's `roc_curve(truth, scores, drop_intermediate=False)`: tied samples of both classes
/// give a slope.
///
/// ```
/// let roc = malaria_metrics::roc_curve(&[false, false, true, true], &[0.1, 0.4, 0.35, 0.8])?.unwrap();
/// assert_eq!(roc.auc, 0.75);
/// assert!(malaria_metrics::roc_curve(&[true, true], &[0.1, 0.4])?.is_none());
/// # Ok::<(), malaria_metrics::Error>(())
/// ```
///
/// # Errors
/// No samples, lengths that differ, or a score that is NaN or outside `[0, 1]`.
pub fn roc_curve(truth: &[bool], scores: &[f64]) -> Result<Option<RocCurve>> {
    let Cuts { cuts, positives, negatives } = rank::cuts(truth, scores)?;
    if positives == 0 || negatives == 0 {
        return Ok(None);
    }
    let mut points =
        vec![RocPoint { threshold: f64::INFINITY, false_positive_rate: 0.0, true_positive_rate: 0.0 }];
    let (mut last_true, mut last_false) = (0, 0);
    // The doubled trapezia are whole numbers of pairs, so that only the last division rounds.
    let mut doubled_area: u128 = 0;
    for Cut { threshold, true_positives, false_positives } in cuts {
        doubled_area += u128::from(false_positives - last_false) * u128::from(true_positives + last_true);
        (last_true, last_false) = (true_positives, false_positives);
        points.push(RocPoint {
            threshold,
            false_positive_rate: false_positives as f64 / negatives as f64,
            true_positive_rate: true_positives as f64 / positives as f64,
        });
    }
    let auc = doubled_area as f64 / (2 * u128::from(positives) * u128::from(negatives)) as f64;
    Ok(Some(RocCurve { points, auc }))
}

/// The point of one threshold on a precision-recall curve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PrPoint {
    /// Samples of at least this score are called positive; infinite for the last point, with no positive calls.
    pub threshold: f64,
    /// Share of the positive calls that are right; 1, by convention, without positive calls.
    pub precision: f64,
    /// Share of the positive samples called positive.
    pub recall: f64,
}

/// A precision-recall curve.
#[derive(Debug, Clone, PartialEq)]
pub struct PrCurve {
    /// One point per distinct score, by rising thresholds, before the point without positive calls.
    pub points: Vec<PrPoint>,
    /// Precision averaged over the steps in recall, without interpolation.
    pub average_precision: f64,
}

/// The precision-recall curve of `scores` `[N]` in `[0, 1]` against `truth` `[N]`, `true` for positive. `None`
/// without a positive sample, where scikit-learn gives an average precision of 0.
///
/// The points are those of scikit-learn's `precision_recall_curve`.
///
/// ```
/// let curve = malaria_metrics::pr_curve(&[false, false, true, true], &[0.1, 0.4, 0.35, 0.8])?.unwrap();
/// assert_eq!(curve.points[0].precision, 0.5);
/// assert!((curve.average_precision - (1.0 / 2.0 + 2.0 / 3.0 / 2.0)).abs() < 1e-15);
/// # Ok::<(), malaria_metrics::Error>(())
/// ```
///
/// # Errors
/// No samples, lengths that differ, or a score that is NaN or outside `[0, 1]`.
pub fn pr_curve(truth: &[bool], scores: &[f64]) -> Result<Option<PrCurve>> {
    let Cuts { cuts, positives, .. } = rank::cuts(truth, scores)?;
    if positives == 0 {
        return Ok(None);
    }
    let mut points = vec![PrPoint { threshold: f64::INFINITY, precision: 1.0, recall: 0.0 }];
    let mut average_precision = 0.0;
    let mut last_true = 0;
    for Cut { threshold, true_positives, false_positives } in cuts {
        let precision = true_positives as f64 / (true_positives + false_positives) as f64;
        average_precision += precision * (true_positives - last_true) as f64 / positives as f64;
        last_true = true_positives;
        points.push(PrPoint { threshold, precision, recall: true_positives as f64 / positives as f64 });
    }
    points.reverse();
    Ok(Some(PrCurve { points, average_precision }))
}
