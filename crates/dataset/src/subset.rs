//! The three subsets of a split (training, validation, test), and folder names that mean one of them.

use serde::{Deserialize, Serialize};
use strum::VariantNames;

use crate::error::Error;

/// One of the three subsets of a split.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumString,
    strum::VariantNames,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase", parse_err_ty = Error, parse_err_fn = unknown_subset)]
pub enum Subset {
    /// Cells that the weights are fitted to.
    Train,
    /// Cells on which the epoch and the threshold are chosen.
    Validation,
    /// Cells that are evaluated once, after the last decision.
    Test,
}

impl Subset {
    /// All three, in the order train, validation, test.
    pub const ALL: [Self; 3] = [Self::Train, Self::Validation, Self::Test];

    /// Its folder in the tutorial's tree: `training`, `validation` or `testing`.
    #[must_use]
    pub const fn folder(self) -> &'static str {
        match self {
            Self::Train => "training",
            Self::Validation => "validation",
            Self::Test => "testing",
        }
    }

    /// Whether a model has seen the cells before its test: it is trained or selected on them.
    #[must_use]
    pub const fn is_seen_in_training(self) -> bool {
        matches!(self, Self::Train | Self::Validation)
    }
}

fn unknown_subset(found: &str) -> Error {
    Error::unknown_name("subset", found, Subset::VARIANTS)
}

/// Whether a folder has a common name for a subset of a split: `train`, `val`, `Test`, `test_set`. If such folders were
/// read as classes, a model would be trained to distinguish training cells from test cells.
pub(crate) fn is_subset_name(folder: &str) -> bool {
    let names = ["train", "training", "val", "valid", "validation", "dev", "test", "testing"];
    let word = folder.to_lowercase().replace(['_', '-', ' '], "");
    let word = ["set", "data"].iter().find_map(|end| word.strip_suffix(end)).unwrap_or(&word);
    names.contains(&word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subset_names_parse_back() {
        for subset in Subset::ALL {
            assert_eq!(subset.to_string().parse::<Subset>().unwrap(), subset);
        }
        let message = "training".parse::<Subset>().unwrap_err().to_string();
        assert!(message.contains("`training`") && message.contains("train, validation, test"), "{message}");
    }
}
