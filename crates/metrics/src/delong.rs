//! DeLong's interval of the area under the ROC curve.

use crate::error::Result;
use crate::interval::{Interval, normal_deviate};
use crate::{check, rank};

/// DeLong's interval of the area under the ROC curve of `scores` `[N]` in `[0, 1]` against `truth` `[N]`, `true` for
/// positive, at the level `confidence`, such as 0.95, clamped to 0 and 1. `None` with fewer than two samples of either
/// class, and where the scores of the classes do not overlap and the variance is 0.
///
/// It assumes independent samples. For cells of the same patients, use
/// [`cluster_bootstrap`](crate::cluster_bootstrap) over patients.
///
/// Sources: E. R. DeLong et al., "Comparing the areas under two or more correlated receiver operating characteristic
/// curves: a nonparametric approach", Biometrics 44 (1988); by ranks, as X. Sun and W. Xu, "Fast implementation of
/// DeLong's algorithm", IEEE Signal Processing Letters 21 (2014).
///
/// ```
/// let truth = [false, false, true, false, true, true];
/// let interval = malaria_metrics::delong_interval(&truth, &[0.1, 0.2, 0.3, 0.6, 0.7, 0.9], 0.95)?.unwrap();
/// assert!(interval.low < 8.0 / 9.0 && interval.high == 1.0);
/// # Ok::<(), malaria_metrics::Error>(())
/// ```
///
/// # Errors
/// No samples, lengths that differ, a score that is NaN or outside `[0, 1]`, or a confidence outside `[0, 1]`.
pub fn delong_interval(truth: &[bool], scores: &[f64], confidence: f64) -> Result<Option<Interval>> {
    check::fraction(|| "confidence".into(), confidence)?;
    let Some(roc) = crate::roc_curve(truth, scores)? else { return Ok(None) };
    let own = |class: bool| -> Vec<f64> {
        truth.iter().zip(scores).filter(|(truth, _)| **truth == class).map(|(_, &score)| score).collect()
    };
    let (positives, negatives) = (own(true), own(false));
    if positives.len() < 2 || negatives.len() < 2 {
        return Ok(None);
    }
    let variance = (variance(&shares_below(&positives, &negatives)) / positives.len() as f64)
        + (variance(&shares_below(&negatives, &positives)) / negatives.len() as f64);
    if variance == 0.0 {
        return Ok(None);
    }
    if confidence == 1.0 {
        return Ok(Some(Interval { low: 0.0, high: 1.0 }));
    }
    let half_width = normal_deviate(confidence) * variance.sqrt();
    Ok(Some(Interval { low: (roc.auc - half_width).max(0.0), high: (roc.auc + half_width).min(1.0) }))
}

/// For each of `scores` the share of `others` below it, ties counted half.
fn shares_below(scores: &[f64], others: &[f64]) -> Vec<f64> {
    let others = rank::sorted(others);
    let below = |score: f64| others.partition_point(|&other| other < score);
    let not_above = |score: f64| others.partition_point(|&other| other <= score);
    scores.iter().map(|&score| (below(score) + not_above(score)) as f64 / (2 * others.len()) as f64).collect()
}

/// Sample variance of at least two values.
fn variance(values: &[f64]) -> f64 {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (values.len() - 1) as f64
}
