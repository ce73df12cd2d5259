//! Proper scoring rules: log loss and Brier score.

use crate::check;
use crate::error::Result;
use crate::probabilities::Probabilities;

/// Mean cross-entropy, in nats, of `probabilities` `[N, C]`, row by row, against `truth` `[N]`.
///
/// As in scikit-learn's `log_loss` on 64-bit floats, a probability of 0 counts as 2.2e-16 (the machine epsilon), so one
/// confident mistake costs 36 instead of infinity.
///
/// ```
/// use malaria_metrics::{Probabilities, log_loss};
///
/// let loss = log_loss(&[0, 1], Probabilities::new(&[0.8, 0.2, 0.5, 0.5], 2))?;
/// assert!((loss - (-(0.8_f64.ln()) - 0.5_f64.ln()) / 2.0).abs() < 1e-15);
/// # Ok::<(), malaria_metrics::Error>(())
/// ```
///
/// # Errors
/// No samples, fewer than 2 classes, lengths that do not fit, a class out of range, a probability that is NaN
/// or outside `[0, 1]`, or a sample whose probabilities do not sum to 1 within 0.01.
pub fn log_loss(truth: &[usize], probabilities: Probabilities<'_>) -> Result<f64> {
    check::probabilities(truth, probabilities)?;
    let rows = probabilities.rows().zip(truth);
    let total: f64 = rows.map(|(row, &class)| -row[class].clamp(f64::EPSILON, 1.0 - f64::EPSILON).ln()).sum();
    Ok(total / truth.len() as f64)
}

/// Brier score, as scikit-learn's `brier_score_loss`: the mean squared distance between `probabilities` `[N, C]`, row by row,
/// and the one-hot truth. With two classes it is halved, the mean squared error of either probability, from 0 to 1; with more
/// it is from 0 to 2.
///
/// ```
/// use malaria_metrics::{Probabilities, brier_score};
///
/// let brier = brier_score(&[0, 1], Probabilities::new(&[0.8, 0.2, 0.5, 0.5], 2))?;
/// assert!((brier - (0.04 + 0.25) / 2.0).abs() < 1e-15);
/// # Ok::<(), malaria_metrics::Error>(())
/// ```
///
/// # Errors
/// As [`log_loss`].
pub fn brier_score(truth: &[usize], probabilities: Probabilities<'_>) -> Result<f64> {
    check::probabilities(truth, probabilities)?;
    let distance = |(row, &class): (&[f64], &usize)| -> f64 {
        let one_hot = |column| if column == class { 1.0 } else { 0.0 };
        row.iter().enumerate().map(|(column, &value)| (one_hot(column) - value).powi(2)).sum()
    };
    let total: f64 = probabilities.rows().zip(truth).map(distance).sum();
    let scale = if probabilities.classes == 2 { 0.5 } else { 1.0 };
    Ok(scale * total / truth.len() as f64)
}
