//! Temperature scaling.

use crate::check;
use crate::error::Result;
use crate::probabilities::Probabilities;

/// The range of temperatures; beyond it, all probabilities are equal, or 0 and 1.
const RANGE: [f64; 2] = [1e-3, 1e3];

/// The temperature that minimizes the [`log_loss`](crate::log_loss) of `probabilities` `[N, C]`, row by row, against `truth`
/// `[N]` after [`apply_temperature`]. It is above 1 for an overconfident model.
///
/// `None` if the minimum is not between 0.001 and 1,000: if all samples are called correctly or the probabilities are
/// uninformative, a more extreme temperature always fits better. Fit it on validation data.
///
/// Source: C. Guo et al., "On calibration of modern neural networks", ICML 2017. The loss is convex in the inverse
/// temperature; its minimum is found by bisection of the slope.
///
/// ```
/// use malaria_metrics::{Probabilities, apply_temperature, fit_temperature};
///
/// // Right in four of five cases, with a probability of 99 % in all.
/// let truth = [0, 0, 0, 0, 1];
/// let probabilities = [0.99, 0.01].repeat(5);
/// let probabilities = Probabilities::new(&probabilities, 2);
/// let temperature = fit_temperature(&truth, probabilities)?.unwrap();
/// let calibrated = apply_temperature(probabilities, temperature)?;
/// assert!((calibrated[0] - 0.8).abs() < 1e-9);
/// # Ok::<(), malaria_metrics::Error>(())
/// ```
///
/// # Errors
/// As [`log_loss`](crate::log_loss).
pub fn fit_temperature(truth: &[usize], probabilities: Probabilities<'_>) -> Result<Option<f64>> {
    check::probabilities(truth, probabilities)?;
    // If this is positive, the loss falls with the sharpness, 1 / temperature.
    let slope = |sharpness: f64| -> f64 {
        let rows = probabilities.rows().zip(truth);
        rows.map(|(row, &class)| {
            let scaled = scaled(row, sharpness);
            let mean: f64 = row.iter().zip(&scaled).map(|(&p, &weight)| weight * logarithm(p)).sum();
            logarithm(row[class]) - mean
        })
        .sum()
    };
    let [mut low, mut high] = [1.0 / RANGE[1], 1.0 / RANGE[0]];
    if slope(low) <= 0.0 || slope(high) >= 0.0 {
        return Ok(None);
    }
    // Bisection of the logarithm down to two neighbouring numbers.
    loop {
        let middle = (low * high).sqrt();
        if middle <= low || middle >= high {
            return Ok(Some(1.0 / middle));
        }
        if slope(middle) > 0.0 { low = middle } else { high = middle }
    }
}

/// `probabilities` `[N, C]`, row by row, with the logits divided by `temperature`.
///
/// # Errors
/// A temperature that is not positive and finite, no class, or a number of probabilities that is not a multiple of C.
pub fn apply_temperature(probabilities: Probabilities<'_>, temperature: f64) -> Result<Vec<f64>> {
    check::temperature(temperature)?;
    let Probabilities { values, classes } = probabilities;
    if classes == 0 {
        return Err(crate::Error::TooFewClasses { expected: 1, found: 0 });
    }
    check::length("probabilities", values.len().next_multiple_of(classes), values.len())?;
    for (i, &value) in values.iter().enumerate() {
        check::fraction(|| format!("probability {i}"), value)?;
    }
    Ok(probabilities.rows().flat_map(|row| scaled(row, 1.0 / temperature)).collect())
}

/// Softmax of the logarithms of `row` times `sharpness`.
fn scaled(row: &[f64], sharpness: f64) -> Vec<f64> {
    let logits: Vec<f64> = row.iter().map(|&p| sharpness * logarithm(p)).collect();
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = logits.iter().map(|logit| (logit - largest).exp()).collect();
    let total: f64 = weights.iter().sum();
    weights.iter().map(|weight| weight / total).collect()
}

/// The logarithm, finite also for a probability of 0.
fn logarithm(probability: f64) -> f64 {
    probability.max(f64::MIN_POSITIVE).ln()
}
