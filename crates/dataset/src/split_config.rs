//! The settings of a split.

use std::fmt;

use serde::{Deserialize, Serialize};
use strum::VariantNames;

use crate::error::{Error, Result};

/// How samples are divided into the subsets of a split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[derive(strum::Display, strum::EnumString, strum::VariantNames)]
#[strum(serialize_all = "lowercase", parse_err_ty = Error, parse_err_fn = unknown_protocol)]
pub enum Protocol {
    /// Each cell separately, as in the tutorial. A patient's cells fall into several subsets, so the metrics are
    /// optimistic.
    #[default]
    Random,
    /// Each patient as a whole: estimates the performance on new patients.
    Patient,
    /// As given by the trees of a `training/validation/testing` folder, or by the rows of a manifest.
    Given,
    /// Every cell is used for training and none for evaluation: for the final model, after cross-validation has estimated its
    /// performance.
    All,
}

impl Protocol {
    /// All four.
    pub const ALL: [Self; 4] = [Self::Random, Self::Patient, Self::Given, Self::All];
}

fn unknown_protocol(found: &str) -> Error {
    Error::unknown_name("protocol", found, Protocol::VARIANTS)
}

/// One fold of a cross-validation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fold {
    /// Number of this fold, from 1 to `of`.
    pub number: usize,
    /// Number of folds.
    pub of: usize,
}

impl fmt::Display for Fold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fold {} of {}", self.number, self.of)
    }
}

/// Settings of a split. The defaults are the tutorial's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SplitConfig {
    /// How samples are divided. Default: random.
    pub protocol: Protocol,
    /// Whether each subset of a random split has the same share of every class. Default: false, as in the tutorial.
    /// A patient split always balances classes, as far as whole patients allow.
    pub stratified: bool,
    /// Share of all cells for the test set, above 0 and below 1. Default: 0.2. A fold uses `1 / of` instead.
    pub test_fraction: f64,
    /// Share for validation of the cells outside the test set, above 0 and below 1. Default: 0.1.
    pub validation_fraction: f64,
    /// Seed of the shuffle. Default: 42.
    pub seed: u64,
    /// The fold of a cross-validation to use as the test set. Default: none, a single split.
    pub fold: Option<Fold>,
}

impl Default for SplitConfig {
    fn default() -> Self {
        Self {
            protocol: Protocol::Random,
            stratified: false,
            test_fraction: 0.2,
            validation_fraction: 0.1,
            seed: 42,
            fold: None,
        }
    }
}

impl SplitConfig {
    /// Refuses settings that are invalid for all data.
    ///
    /// # Errors
    /// [`Error::Config`] if a fraction is not above 0 and below 1, if there are fewer than 2 folds or no fold of that number, or for
    /// folds under [`Protocol::Given`] and [`Protocol::All`].
    pub fn check(&self) -> Result<()> {
        for (field, value) in
            [("test_fraction", self.test_fraction), ("validation_fraction", self.validation_fraction)]
        {
            // Also refuses NaN.
            if !(value > 0.0 && value < 1.0) {
                return Err(Error::config(field, value, "a fraction above 0 and below 1, such as 0.2"));
            }
        }
        if let Some(Fold { number, of }) = self.fold {
            if of < 2 {
                return Err(Error::config("folds", of, "at least 2"));
            }
            if !(1..=of).contains(&number) {
                return Err(Error::config("fold", number, format!("a number from 1 to {of}")));
            }
            if matches!(self.protocol, Protocol::Given | Protocol::All) {
                return Err(cannot_fold(of));
            }
        }
        Ok(())
    }
}

/// The error for folds under a protocol without them.
pub(crate) fn cannot_fold(folds: usize) -> Error {
    let expected =
        "none, since `given` has a fixed test set and `all` has none; use random or patient for folds";
    Error::config("folds", folds, expected)
}
