//! Calibration curve and calibration error.

use serde::{Deserialize, Serialize};

use crate::check;
use crate::error::{Error, Result};

/// The samples whose probability falls into one bin. All values except `count` are fractions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CalibrationBin {
    /// Lower edge, exclusive except for 0.
    pub lower: f64,
    /// Upper edge, inclusive.
    pub upper: f64,
    /// Samples in the bin, at least 1.
    pub count: u64,
    /// Their mean probability of being positive.
    pub mean_probability: f64,
    /// The share of positive samples, which equals the mean probability under perfect calibration.
    pub positive_share: f64,
}

/// The calibration curve in `bins` equal bins of `[0, 1]`, without empty bins, as scikit-learn's `calibration_curve` with
/// `strategy="uniform"`.
///
/// `truth` `[N]` is `true` for positive, `probabilities` `[N]` are those of the positive class.
///
/// ```
/// let bins = malaria_metrics::calibration_curve(&[false, true, true], &[0.1, 0.3, 0.9], 2)?;
/// assert_eq!((bins[0].count, bins[0].mean_probability, bins[0].positive_share), (2, 0.2, 0.5));
/// assert_eq!((bins[1].count, bins[1].mean_probability, bins[1].positive_share), (1, 0.9, 1.0));
/// # Ok::<(), malaria_metrics::Error>(())
/// ```
///
/// # Errors
/// No samples, lengths that differ, a probability that is NaN or outside `[0, 1]`, or no bins.
pub fn calibration_curve(truth: &[bool], probabilities: &[f64], bins: usize) -> Result<Vec<CalibrationBin>> {
    check::binary(truth, probabilities)?;
    if bins == 0 {
        return Err(Error::NoBins);
    }
    // A multiple of the width, as in numpy.linspace: the edge is 3 * 0.1, which differs from 0.3.
    let edge = |index: usize| if index == bins { 1.0 } else { index as f64 * (1.0 / bins as f64) };
    let inner_edges = Vec::from_iter((1..bins).map(edge));

    let mut sums = vec![(0_u64, 0_u64, 0.0); bins];
    for (&positive, &probability) in truth.iter().zip(probabilities) {
        let (count, positives, total) = &mut sums[inner_edges.partition_point(|&edge| edge < probability)];
        *count += 1;
        *positives += u64::from(positive);
        *total += probability;
    }
    let bin = |(index, (count, positives, total)): (usize, (u64, u64, f64))| CalibrationBin {
        lower: edge(index),
        upper: edge(index + 1),
        count,
        mean_probability: total / count as f64,
        positive_share: positives as f64 / count as f64,
    };
    Ok(sums.into_iter().enumerate().filter(|(_, (count, ..))| *count > 0).map(bin).collect())
}

/// Expected calibration error: the distance between mean probability and positive share in each of `bins` equal bins,
/// averaged over the samples, from 0 (perfect) to 1.
///
/// It uses the probability of the positive class, not that of the predicted class as in some definitions.
///
/// # Errors
/// As [`calibration_curve`].
pub fn expected_calibration_error(truth: &[bool], probabilities: &[f64], bins: usize) -> Result<f64> {
    let curve = calibration_curve(truth, probabilities, bins)?;
    let gap = |bin: &CalibrationBin| bin.count as f64 * (bin.mean_probability - bin.positive_share).abs();
    Ok(curve.iter().map(gap).sum::<f64>() / truth.len() as f64)
}
