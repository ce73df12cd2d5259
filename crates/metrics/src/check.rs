//! Checks of input, shared by the metrics.

use crate::error::{Error, Result};
use crate::probabilities::Probabilities;

/// Tolerance for the sum of a sample's probabilities: half-precision softmax and CSV files with four decimals pass, logits
/// and unnormalised scores do not.
const SUM_TOLERANCE: f64 = 1e-2;

pub(crate) fn not_empty<T>(values: &[T]) -> Result<()> {
    if values.is_empty() { Err(Error::Empty) } else { Ok(()) }
}

pub(crate) fn length(what: &'static str, expected: usize, found: usize) -> Result<()> {
    if expected == found { Ok(()) } else { Err(Error::LengthMismatch { what, expected, found }) }
}

pub(crate) fn class(what: impl FnOnce() -> String, class: usize, classes: usize) -> Result<()> {
    if class < classes { Ok(()) } else { Err(Error::ClassOutOfRange { what: what(), class, classes }) }
}

/// Refuses NaN and values outside `[0, 1]`.
pub(crate) fn fraction(what: impl FnOnce() -> String, value: f64) -> Result<()> {
    let range = 0.0..=1.0;
    if range.contains(&value) { Ok(()) } else { Err(Error::OutOfRange { what: what(), value, range }) }
}

/// Checks the samples of a two-class problem: at least one, each with a flag and a score in `[0, 1]`.
pub(crate) fn binary(truth: &[bool], scores: &[f64]) -> Result<()> {
    not_empty(truth)?;
    length("scores", truth.len(), scores.len())?;
    scores.iter().enumerate().try_for_each(|(i, &score)| fraction(|| format!("score of sample {i}"), score))
}

/// Checks class probabilities `[N, C]`, row by row, and true classes `[N]`; N is at least 1 and C at least 2.
pub(crate) fn probabilities(truth: &[usize], probabilities: Probabilities<'_>) -> Result<()> {
    let Probabilities { values, classes } = probabilities;
    if classes < 2 {
        return Err(Error::TooFewClasses { expected: 2, found: classes });
    }
    not_empty(truth)?;
    length("probabilities", truth.len() * classes, values.len())?;
    for (sample, (&label, row)) in truth.iter().zip(probabilities.rows()).enumerate() {
        class(|| format!("truth of sample {sample}"), label, classes)?;
        for (column, &value) in row.iter().enumerate() {
            fraction(|| format!("probability of class {column} of sample {sample}"), value)?;
        }
        let sum: f64 = row.iter().sum();
        if (sum - 1.0).abs() > SUM_TOLERANCE {
            return Err(Error::NotNormalized { sample, sum });
        }
    }
    Ok(())
}

pub(crate) fn temperature(value: f64) -> Result<()> {
    if value > 0.0 && value.is_finite() { Ok(()) } else { Err(Error::Temperature { value }) }
}
