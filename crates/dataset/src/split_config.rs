//! The settings of a split.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How samples are dealt out to the sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// Each cell by itself, as in the tutorial. One patient's cells land on several sides, so figures are optimistic.
    #[default]
    Random,
    /// Each patient as a whole: what a classifier meets when it is shown a new patient's blood.
    Patient,
    /// As found: the trees of a `training/validation/testing` folder, or the rows of a manifest.
    Given,
    /// Every cell is learned from and none is left to evaluate by: for the model that goes into use once others have been
    /// evaluated.
    All,
}

impl Protocol {
    /// All four.
    pub const ALL: [Self; 4] = [Self::Random, Self::Patient, Self::Given, Self::All];

    /// Its name in settings: `random`, `patient`, `given` or `all`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Patient => "patient",
            Self::Given => "given",
            Self::All => "all",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Protocol {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let known = || Self::ALL.map(Self::name).join(", ");
        Self::ALL.into_iter().find(|protocol| protocol.name() == name).ok_or_else(|| Error::UnknownName {
            what: "protocol",
            found: name.to_owned(),
            expected: known(),
        })
    }
}

/// One fold of a cross-validation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fold {
    /// Which, from 1 to `of`.
    pub number: usize,
    /// How many there are.
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
    /// How samples are dealt out. Default: random.
    pub protocol: Protocol,
    /// Whether each side of a random split gets the same share of every class. Default: false, as in the tutorial.
    /// A patient split always balances classes, as far as whole patients allow.
    pub stratified: bool,
    /// Share of all cells for the test side, above 0 and below 1. Default: 0.2. A fold takes `1 / of` instead.
    pub test_fraction: f64,
    /// Share for validation of the cells that are not for test, above 0 and below 1. Default: 0.1.
    pub validation_fraction: f64,
    /// Seed of the shuffle. Default: 42.
    pub seed: u64,
    /// The fold of a cross-validation whose test side this split's is to be. Default: none, one split by itself.
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
    /// Refuses what cannot be asked of any data.
    ///
    /// # Errors
    /// Where a fraction is not above 0 and below 1, or the fold is not one of at least 2.
    pub fn check(&self) -> Result<()> {
        for (field, value) in
            [("test_fraction", self.test_fraction), ("validation_fraction", self.validation_fraction)]
        {
            // NaN is in no range.
            if !(value > 0.0 && value < 1.0) {
                return Err(Error::BadFraction { field, value });
            }
        }
        if let Some(Fold { number, of }) = self.fold {
            if of < 2 {
                return Err(Error::BadFolds { folds: of, reason: "at least 2 are needed" });
            }
            if !(1..=of).contains(&number) {
                return Err(Error::BadFold { number, of });
            }
            if matches!(self.protocol, Protocol::Given | Protocol::All) {
                return Err(cannot_fold(of));
            }
        }
        Ok(())
    }
}

/// The refusal of folds under a protocol that has none.
pub(crate) fn cannot_fold(folds: usize) -> Error {
    Error::BadFolds { folds, reason: "`given` has one test side and `all` has none; use random or patient" }
}
