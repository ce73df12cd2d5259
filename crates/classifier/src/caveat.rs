//! The limits of a figure, to be shown beside it.

use std::{fmt, path::PathBuf};

use malaria_dataset::Protocol;
use serde::{Deserialize, Serialize};

use crate::{assessment::Assessment, decision::DecisionRule};

/// Patients below which bootstrap intervals are known to be too narrow.
const FEW_PATIENTS: usize = 30;

/// A reason to read figures with care. Its JSON has a stable key under `caveat`; the words are those of its `Display`, in the
/// terminal, on pages and on model cards alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "caveat", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Caveat {
    /// The tested cells are drawn ones.
    SyntheticCells,
    /// The model has learned from synthetic cells.
    ModelOfSyntheticCells,
    /// Cells were kept out of the training set on request.
    Excluded {
        /// How many.
        cells: usize,
    },
    /// Cells were kept out of the training set of every fold on request.
    ExcludedFromFolds {
        /// How many.
        cells: usize,
    },
    /// The weights that training started from know some of the test cells.
    SeenByInit {
        /// How many.
        cells: usize,
    },
    /// Nobody knows whether the weights that training started from know test cells.
    InitUnknown,
    /// The model, or one that it comes from, knows some of the tested cells.
    SeenInTraining {
        /// How many.
        cells: usize,
    },
    /// A run that the model comes from cannot be read any more.
    ParentMissing {
        /// Where it should be.
        run: PathBuf,
    },
    /// Probabilities are means over mirror images, and the threshold was chosen without them.
    MirrorImages,
    /// Each fold's cells have a threshold of the other folds.
    FoldThresholds,
    /// There is a threshold for new cells, but not one for every fold.
    NoFoldThresholds,
    /// There is no threshold.
    NoThreshold,
    /// So few patients that intervals are too narrow.
    FewPatients {
        /// How many.
        patients: usize,
    },
    /// Cells whose patient is unknown.
    UnknownPatients {
        /// How many.
        cells: usize,
    },
}

impl Caveat {
    /// The caveats of figures by `rule`, and of their intervals.
    pub fn of(rule: &DecisionRule, threshold_stored: bool, assessment: &Assessment) -> Vec<Self> {
        let mut caveats = Vec::new();
        match rule {
            DecisionRule::FoldThresholds { .. } => caveats.push(Self::FoldThresholds),
            DecisionRule::Argmax if threshold_stored => caveats.push(Self::NoFoldThresholds),
            DecisionRule::Argmax => caveats.push(Self::NoThreshold),
            DecisionRule::Threshold(_) => {}
        }
        let (patients, cells) = (assessment.n_patients, assessment.cells_without_patient);
        if (1..FEW_PATIENTS).contains(&patients) {
            caveats.push(Self::FewPatients { patients });
        }
        if cells > 0 {
            caveats.push(Self::UnknownPatients { cells });
        }
        caveats
    }

    /// The caveat of weights that training started from, of which `seen` test cells were known; `None` where that is not known.
    pub fn of_init(seen: Option<usize>) -> Option<Self> {
        match seen {
            Some(0) => None,
            Some(cells) => Some(Self::SeenByInit { cells }),
            None => Some(Self::InitUnknown),
        }
    }
}

impl fmt::Display for Caveat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SyntheticCells => {
                write!(f, "These cells are drawn: the figures say nothing about malaria.")
            }
            Self::ModelOfSyntheticCells => {
                write!(
                    f,
                    "The model has learned from synthetic cells: its predictions for others mean nothing."
                )
            }
            Self::Excluded { cells } => {
                write!(f, "Cells left out of the training set on request: {cells}.")
            }
            Self::ExcludedFromFolds { cells } => write!(
                f,
                "Cells left out of every training set on request: {cells}; they were tested all the same."
            ),
            Self::SeenByInit { cells } => write!(
                f,
                "The weights that training started from had learned from {cells} of the test cells: the figures are too good."
            ),
            Self::InitUnknown => write!(
                f,
                "A run that the first weights come from cannot be read any more: they may have learned from the test cells, and \
                 the figures be too good."
            ),
            Self::SeenInTraining { cells } => write!(
                f,
                "The model, or one that it comes from, has learned from {cells} of these cells, or was chosen by them: the figures \
                 are too good."
            ),
            Self::ParentMissing { run } => write!(
                f,
                "The model comes from {}, too, which cannot be read any more: it may have learned from these cells.",
                run.display()
            ),
            Self::MirrorImages => write!(
                f,
                "Each cell was shown in four mirror images, and the mean of the probabilities taken; the threshold was chosen \
                 without them."
            ),
            Self::FoldThresholds => write!(
                f,
                "Each fold's cells are called at a threshold chosen on the other folds' cells; the one for new cells was chosen on \
                 all of them."
            ),
            Self::NoFoldThresholds => write!(
                f,
                "Cells are called by the most probable class here: the cells of all folds but one reach no threshold as was asked \
                 for."
            ),
            Self::NoThreshold => write!(
                f,
                "Cells are called by the most probable class: no threshold reached what was asked for on the cells to choose it \
                 on, or there were none of one class."
            ),
            Self::FewPatients { patients } => {
                write!(f, "With so few patients ({patients}) the intervals are too narrow.")
            }
            Self::UnknownPatients { cells } => write!(
                f,
                "Cells of unknown patient, each taken for a patient of its own, which makes the intervals too narrow: {cells}."
            ),
        }
    }
}

/// What figures under this protocol may be taken for.
pub fn protocol_note(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Random => {
            "random split: cells of one patient are on both sides, so the figures are optimistic"
        }
        Protocol::Patient => "patient split: no patient is on two sides",
        Protocol::Given => "split as given by the folder's training, validation and testing trees",
        Protocol::All => "learned from every cell: none was left to evaluate it on",
    }
}

#[cfg(test)]
mod tests {
    use malaria_metrics::{OperatingPoint, Target};

    use super::*;
    use crate::{
        decision::{ChosenOn, Threshold},
        scored::Scored,
    };

    #[test]
    fn keys_in_json_are_stable_and_words_hold_the_numbers() {
        let run = PathBuf::from("runs/gone");
        for (caveat, json, words) in [
            (Caveat::SyntheticCells, r#"{"caveat":"synthetic-cells"}"#, "say nothing about malaria"),
            (
                Caveat::ModelOfSyntheticCells,
                r#"{"caveat":"model-of-synthetic-cells"}"#,
                "learned from synthetic cells",
            ),
            (Caveat::Excluded { cells: 3 }, r#"{"caveat":"excluded","cells":3}"#, "on request: 3."),
            (
                Caveat::ExcludedFromFolds { cells: 3 },
                r#"{"caveat":"excluded-from-folds","cells":3}"#,
                "request: 3;",
            ),
            (
                Caveat::SeenByInit { cells: 4 },
                r#"{"caveat":"seen-by-init","cells":4}"#,
                "from 4 of the test cells",
            ),
            (Caveat::InitUnknown, r#"{"caveat":"init-unknown"}"#, "cannot be read any more"),
            (
                Caveat::SeenInTraining { cells: 5 },
                r#"{"caveat":"seen-in-training","cells":5}"#,
                "from 5 of these",
            ),
            (Caveat::ParentMissing { run }, r#"{"caveat":"parent-missing","run":"runs/gone"}"#, "runs/gone"),
            (Caveat::MirrorImages, r#"{"caveat":"mirror-images"}"#, "four mirror images"),
            (Caveat::FoldThresholds, r#"{"caveat":"fold-thresholds"}"#, "the other folds' cells"),
            (Caveat::NoFoldThresholds, r#"{"caveat":"no-fold-thresholds"}"#, "all folds but one"),
            (Caveat::NoThreshold, r#"{"caveat":"no-threshold"}"#, "no threshold reached"),
            (Caveat::FewPatients { patients: 7 }, r#"{"caveat":"few-patients","patients":7}"#, "(7)"),
            (
                Caveat::UnknownPatients { cells: 8 },
                r#"{"caveat":"unknown-patients","cells":8}"#,
                "too narrow: 8.",
            ),
        ] {
            assert_eq!(serde_json::to_string(&caveat).unwrap(), json);
            assert_eq!(serde_json::from_str::<Caveat>(json).unwrap(), caveat);
            assert!(caveat.to_string().contains(words), "{caveat}");
        }
    }

    #[test]
    fn caveats_follow_from_the_rule_and_from_who_was_tested() {
        let classes = ["Parasitized", "Uninfected"].map(str::to_owned);
        let names: Vec<String> = (0..40).map(|patient| format!("C{patient}")).collect();
        let of = |patients: usize, unknown: bool, rule: &DecisionRule, stored: bool| {
            // Two cells a patient, one of either class.
            let mut owners: Vec<Option<&str>> =
                (0..2 * patients).map(|cell| Some(names[cell / 2].as_str())).collect();
            if unknown {
                owners[..2].fill(None);
            }
            let truth: Vec<usize> = (0..owners.len()).map(|cell| cell % 2).collect();
            let probabilities = [0.7, 0.3, 0.4, 0.6].repeat(patients);
            let scored = Scored {
                truth: &truth,
                probabilities: &probabilities,
                classes: &classes,
                positive: 0,
                patients: &owners,
            };
            Caveat::of(rule, stored, &Assessment::of(&scored, rule, false).unwrap())
        };
        let threshold = Threshold {
            target: Target::Specificity(0.9),
            chosen_on: ChosenOn::Validation,
            point: OperatingPoint { threshold: 0.5, sensitivity: 1.0, specificity: 1.0 },
            false_positive_correlation: None,
        };
        let by_threshold = DecisionRule::Threshold(threshold);
        assert_eq!(of(30, false, &by_threshold, false), []);
        assert_eq!(of(1, true, &by_threshold, false), [Caveat::UnknownPatients { cells: 2 }]);
        assert_eq!(of(29, false, &by_threshold, false), [Caveat::FewPatients { patients: 29 }]);
        assert_eq!(of(40, true, &by_threshold, false), [Caveat::UnknownPatients { cells: 2 }]);
        assert_eq!(of(40, false, &DecisionRule::Argmax, false), [Caveat::NoThreshold]);
        assert_eq!(of(40, false, &DecisionRule::Argmax, true), [Caveat::NoFoldThresholds]);
        let apart = DecisionRule::FoldThresholds { stored: threshold, of_cells: vec![threshold; 80] };
        assert_eq!(of(40, false, &apart, true), [Caveat::FoldThresholds]);
    }

    #[test]
    fn first_weights_have_a_caveat_unless_they_are_known_to_know_no_test_cell() {
        assert_eq!(Caveat::of_init(Some(0)), None);
        assert_eq!(Caveat::of_init(Some(3)), Some(Caveat::SeenByInit { cells: 3 }));
        assert_eq!(Caveat::of_init(None), Some(Caveat::InitUnknown));
    }
}
