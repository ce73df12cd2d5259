//! The errors of this crate.

use std::ops::RangeInclusive;

/// Invalid input, with what was expected, what was found and where.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There are no samples.
    #[error("no samples: at least one is needed")]
    Empty,

    /// Two inputs that must have the same length do not.
    #[error("{what}: expected {expected} values, found {found}")]
    LengthMismatch {
        /// The input whose length is wrong.
        what: &'static str,
        /// The length of the other inputs.
        expected: usize,
        /// The length found.
        found: usize,
    },

    /// Too few classes.
    #[error("expected at least {expected} classes, found {found}")]
    TooFewClasses {
        /// The minimum number of classes.
        expected: usize,
        /// The number of classes found.
        found: usize,
    },

    /// A class index at or above the number of classes.
    #[error("{what}: class {class} does not exist, expected an index below {classes}")]
    ClassOutOfRange {
        /// The input that holds the class, with the position inside it where there is one.
        what: String,
        /// The class found.
        class: usize,
        /// The number of classes.
        classes: usize,
    },

    /// A number outside its range.
    #[error("{what}: expected a number from {} to {}, found {value}", range.start(), range.end())]
    OutOfRange {
        /// The input or parameter, with the position inside it where there is one.
        what: String,
        /// The value found; may be NaN.
        value: f64,
        /// The values allowed.
        range: RangeInclusive<f64>,
    },

    /// The class probabilities of one sample do not add up to 1.
    #[error("probabilities of sample {sample} sum to {sum}, expected 1 (softmax outputs, not logits)")]
    NotNormalized {
        /// Position of the sample, from 0.
        sample: usize,
        /// The sum of its probabilities.
        sum: f64,
    },

    /// A confusion matrix that is not square.
    #[error("confusion matrix: row {row} has {found} columns, expected {expected}, one for each row")]
    NotSquare {
        /// The offending row, from 0.
        row: usize,
        /// The number of rows.
        expected: usize,
        /// The number of columns found in that row.
        found: usize,
    },

    /// The classes to report on are empty or repeated.
    #[error("labels: expected distinct classes and at least one, found {labels:?}")]
    InvalidLabels {
        /// The labels given.
        labels: Vec<usize>,
    },

    /// A calibration curve without bins.
    #[error("bins: expected at least 1, found 0")]
    NoBins,

    /// A bootstrap without resamples.
    #[error("resamples: expected at least 1, found 0")]
    NoResamples,

    /// A temperature that is not positive and finite.
    #[error("temperature: expected a positive, finite number, found {value}")]
    Temperature {
        /// The value found.
        value: f64,
    },

    /// Infected cells are called positive too rarely, or uninfected ones too often, to detect an infection.
    #[error(
        "given their uncertainty, the rates of positive calls of {sensitivity:.4} (infected cells) and \
         {false_positive_rate:.4} (uninfected cells) do not detect an infection in 95 of 100 patients even \
         if all their cells are infected"
    )]
    UninformativeRates {
        /// Share of uninfected cells called positive.
        false_positive_rate: f64,
        /// Share of infected cells called positive.
        sensitivity: f64,
    },

    /// More successes than trials.
    #[error("successes: expected at most {trials}, the number of trials, found {successes}")]
    TooManySuccesses {
        /// The successes given.
        successes: u64,
        /// The trials given.
        trials: u64,
    },

    /// A threshold cannot be chosen from samples of one class.
    #[error("no {class} sample: choosing a threshold needs samples of both classes")]
    ClassAbsent {
        /// `positive` or `negative`.
        class: &'static str,
    },

    /// No threshold among the scores reaches the target.
    #[error(
        "no threshold reaches the target {metric} of {target}: the highest {metric} of any threshold is {best}; choose \
         a target of at most that"
    )]
    TargetOutOfReach {
        /// `sensitivity` or `specificity`.
        metric: &'static str,
        /// The target, a fraction.
        target: f64,
        /// The highest value of any threshold, a fraction.
        best: f64,
    },
}

/// Result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;
