use std::ops::RangeInclusive;

/// Everything this crate refuses, with what was expected, what was found and where.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There are no samples.
    #[error("no samples: at least one is needed")]
    Empty,

    /// Two inputs that go together differ in length.
    #[error("{what}: expected {expected} values, found {found}")]
    LengthMismatch {
        /// The input whose length is wrong.
        what: &'static str,
        /// The length that the other inputs ask for.
        expected: usize,
        /// The length found.
        found: usize,
    },

    /// A problem with fewer classes than the figures need.
    #[error("expected at least {expected} classes, found {found}")]
    TooFewClasses {
        /// The fewest classes that make sense here.
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

    /// A number that has to be a finite fraction within bounds and is not.
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
        /// What its probabilities sum to.
        sum: f64,
    },

    /// The rows of a confusion matrix do not make a square.
    #[error("confusion matrix: row {row} has {found} columns, expected {expected}, one for each row")]
    NotSquare {
        /// The offending row, from 0.
        row: usize,
        /// The number of rows.
        expected: usize,
        /// The number of columns found in that row.
        found: usize,
    },

    /// The classes to report on are none, or name one class twice.
    #[error("labels: expected distinct classes and at least one, found {labels:?}")]
    InvalidLabels {
        /// The labels given.
        labels: Vec<usize>,
    },

    /// A calibration curve of no bins.
    #[error("bins: expected at least 1, found 0")]
    NoBins,

    /// A bootstrap without a draw.
    #[error("resamples: expected at least 1, found 0")]
    NoResamples,

    /// A temperature that no logits can be divided by.
    #[error("temperature: expected a positive, finite number, found {value}")]
    Temperature {
        /// What was given.
        value: f64,
    },

    /// Calls of cells that say nothing about a patient.
    #[error(
        "expected a false positive rate below the sensitivity of {sensitivity}, found {false_positive_rate}: such calls \
         say nothing about a patient"
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
        "target {figure} {target} is out of reach: the best that any threshold among the scores gives is \
         {best}; ask for that or less"
    )]
    TargetOutOfReach {
        /// `sensitivity` or `specificity`.
        figure: &'static str,
        /// What was asked for, a fraction.
        target: f64,
        /// The most there is, a fraction.
        best: f64,
    },
}

/// What this crate's functions return.
pub type Result<T> = std::result::Result<T, Error>;
