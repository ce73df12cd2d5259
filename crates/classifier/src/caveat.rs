//! Caveats: limits of the metrics, shown beside them.

use malaria_dataset::Protocol;
use serde::{Deserialize, Serialize};

use crate::{
    assessment::Assessment,
    decision::DecisionRule,
    scored::{FEW_CELLS, Scored},
};

/// Bootstrap intervals over fewer patients are too narrow.
const FEW_PATIENTS: usize = 30;

/// A reason to read metrics with care. Its JSON has a stable key under `caveat`; its `Display` is the wording in the terminal, on
/// pages and on model cards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, strum::Display)]
#[serde(tag = "caveat", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Caveat {
    /// The tested cells are synthetic.
    #[strum(to_string = "These cells are synthetic: the metrics say nothing about malaria.")]
    SyntheticCells,
    /// The model was trained on synthetic cells.
    #[strum(
        to_string = "The model was trained on synthetic cells: its predictions for real cells mean nothing."
    )]
    ModelOfSyntheticCells,
    /// Cells were excluded from the training set on request.
    #[strum(to_string = "Cells excluded from the training set on request: {cells}.")]
    Excluded {
        /// Number of cells.
        cells: usize,
    },
    /// Cells were excluded from the training set of every fold on request.
    #[strum(
        to_string = "Cells excluded from every training set on request: {cells}. They were still used as test cells."
    )]
    ExcludedFromFolds {
        /// Number of cells.
        cells: usize,
    },
    /// The initial weights were trained on some of the test cells.
    #[strum(
        to_string = "The initial weights were trained or selected on {cells} of the test cells: the metrics are optimistic."
    )]
    SeenByInit {
        /// Number of cells.
        cells: usize,
    },
    /// The initial weights were trained on some of the validation cells.
    #[strum(
        to_string = "The initial weights were trained or selected on {cells} of the validation cells: the threshold chosen on them may not reach its target on new cells."
    )]
    ValidationSeenByInit {
        /// Number of cells.
        cells: usize,
    },
    /// It is unknown whether the initial weights were trained on test cells.
    #[strum(
        to_string = "A parent run of the initial weights can no longer be read: they may have been trained or selected on the test cells, and the metrics may be optimistic."
    )]
    InitUnknown,
    /// The model or a parent of it was trained or selected on some of the tested cells.
    #[strum(
        to_string = "The model or one of its parents was trained or selected on {cells} of these cells: the metrics are optimistic."
    )]
    SeenInTraining {
        /// Number of cells.
        cells: usize,
    },
    /// A parent run of the model can no longer be read.
    #[strum(
        to_string = "The model also descends from {run}, which can no longer be read: it may have been trained or selected on these cells."
    )]
    ParentMissing {
        /// Its directory.
        run: String,
    },
    /// Some of the evaluated pictures have the same pixels.
    #[strum(
        to_string = "Copies of other pictures (same pixels) among these cells: {cells}. Every copy is counted."
    )]
    Copies {
        /// Number of copies.
        cells: usize,
    },
    /// Some pictures are in the folders of several classes.
    #[strum(to_string = "Pictures in folders of more than one class, so a label is wrong: {pictures}.")]
    DoublyLabelled {
        /// Number of pictures.
        pictures: usize,
    },
    /// Some pictures are unlike the training cells.
    #[strum(
        to_string = "{cells} of the {of} pictures are unlike the training cells in size, background, sharpness or colour: their calls are unreliable, and `predict` does not count them for patients."
    )]
    UnlikeTraining {
        /// Number of pictures.
        cells: usize,
        /// Number of all pictures.
        of: usize,
    },
    /// The scores rank most cells in the wrong order.
    #[strum(
        to_string = "Most cells are ranked in the wrong order (area under the ROC curve far below 0.5): are the class folders exchanged?"
    )]
    ClassesExchanged,
    /// A class has few cells or none.
    #[strum(
        to_string = "Cells of the class {class}: only {cells}. The accuracy and the metrics that need this class are not reported for fewer than ten cells."
    )]
    FewCells {
        /// The class.
        class: String,
        /// Number of its cells.
        cells: usize,
    },
    /// Probabilities are means over mirror images, and the threshold was chosen without them.
    #[strum(
        to_string = "Probabilities are means over four mirror images of each cell; the threshold was chosen without them."
    )]
    MirrorImages,
    /// The threshold of each fold was chosen on the other folds.
    #[strum(
        to_string = "Each fold's cells are called at a threshold chosen on the other folds' cells; the threshold for new cells was chosen on all cells."
    )]
    FoldThresholds,
    /// There is a threshold for new cells, but not one for every fold.
    #[strum(
        to_string = "Cells are called by their most probable class here: on the cells of all folds but one, no threshold reaches the target."
    )]
    NoFoldThresholds,
    /// There is no threshold.
    #[strum(
        to_string = "Cells are called by their most probable class: no threshold reached the target on the cells for choosing it, or one class had no cells."
    )]
    NoThreshold,
    /// There are so few patients that the intervals are too narrow.
    #[strum(to_string = "With so few patients ({patients}) the intervals are too narrow.")]
    FewPatients {
        /// Number of patients.
        patients: usize,
    },
    /// Cells whose patient is unknown.
    #[strum(
        to_string = "Cells of unknown patients: {cells}. Each counts as a separate patient, which makes the intervals too narrow."
    )]
    UnknownPatients {
        /// Number of cells.
        cells: usize,
    },
}

impl Caveat {
    /// The caveats of metrics by `rule`, and of their intervals.
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

    /// The caveats of evaluated pictures: `copies`, pictures in folders of more than one class, and those `unlike` the
    /// training cells among `of`.
    pub fn of_pictures(
        copies: usize,
        doubly_labelled: usize,
        unlike: usize,
        of: usize,
    ) -> impl Iterator<Item = Self> {
        let caveats = [
            (copies, Self::Copies { cells: copies }),
            (doubly_labelled, Self::DoublyLabelled { pictures: doubly_labelled }),
            (unlike, Self::UnlikeTraining { cells: unlike, of }),
        ];
        caveats.into_iter().filter_map(|(number, caveat)| (number > 0).then_some(caveat))
    }

    /// The caveats of classes with fewer than ten cells.
    pub fn of_classes(scored: &Scored<'_>) -> Vec<Self> {
        let cells = |class: usize| scored.truth.iter().filter(|&&truth| truth == class).count();
        let few = |(class, name): (usize, &String)| {
            let cells = cells(class);
            (cells < FEW_CELLS).then(|| Self::FewCells { class: name.clone(), cells })
        };
        scored.classes.iter().enumerate().filter_map(few).collect()
    }

    /// The caveats of initial weights that were trained on these numbers of `test` and `validation` cells, `None` if they
    /// are unknown.
    pub fn of_init(test: Option<usize>, validation: Option<usize>) -> Vec<Self> {
        let (Some(test), Some(validation)) = (test, validation) else { return vec![Self::InitUnknown] };
        let caveats = [
            (test, Self::SeenByInit { cells: test }),
            (validation, Self::ValidationSeenByInit { cells: validation }),
        ];
        caveats.into_iter().filter_map(|(cells, caveat)| (cells > 0).then_some(caveat)).collect()
    }
}

/// The protocol as text, with its effect on the metrics.
pub fn protocol_note(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Random => {
            "random split: cells of one patient are in several sets, so the metrics are optimistic"
        }
        Protocol::Patient => "patient split: no patient is in two sets",
        Protocol::Given => "split given by the folder's training, validation and testing trees",
        Protocol::All => "trained on every cell: none is left for evaluating the model",
    }
}

#[cfg(test)]
mod tests {
    use malaria_metrics::{OperatingPoint, Target};

    use super::*;
    use crate::decision::{ChosenOn, Threshold};

    #[test]
    fn json_keys_are_stable_and_words_contain_the_numbers() {
        let run = "runs/gone".to_owned();
        for (caveat, json, words) in [
            (Caveat::SyntheticCells, r#"{"caveat":"synthetic-cells"}"#, "say nothing about malaria"),
            (
                Caveat::ModelOfSyntheticCells,
                r#"{"caveat":"model-of-synthetic-cells"}"#,
                "trained on synthetic cells",
            ),
            (Caveat::Excluded { cells: 3 }, r#"{"caveat":"excluded","cells":3}"#, "on request: 3."),
            (
                Caveat::ExcludedFromFolds { cells: 3 },
                r#"{"caveat":"excluded-from-folds","cells":3}"#,
                "request: 3.",
            ),
            (
                Caveat::SeenByInit { cells: 4 },
                r#"{"caveat":"seen-by-init","cells":4}"#,
                "on 4 of the test cells",
            ),
            (
                Caveat::ValidationSeenByInit { cells: 4 },
                r#"{"caveat":"validation-seen-by-init","cells":4}"#,
                "on 4 of the validation cells",
            ),
            (Caveat::InitUnknown, r#"{"caveat":"init-unknown"}"#, "can no longer be read"),
            (
                Caveat::SeenInTraining { cells: 5 },
                r#"{"caveat":"seen-in-training","cells":5}"#,
                "on 5 of these",
            ),
            (Caveat::ParentMissing { run }, r#"{"caveat":"parent-missing","run":"runs/gone"}"#, "runs/gone"),
            (Caveat::Copies { cells: 6 }, r#"{"caveat":"copies","cells":6}"#, "among these cells: 6."),
            (
                Caveat::DoublyLabelled { pictures: 7 },
                r#"{"caveat":"doubly-labelled","pictures":7}"#,
                "a label is wrong: 7.",
            ),
            (
                Caveat::UnlikeTraining { cells: 8, of: 9 },
                r#"{"caveat":"unlike-training","cells":8,"of":9}"#,
                "8 of the 9 pictures",
            ),
            (
                Caveat::ClassesExchanged,
                r#"{"caveat":"classes-exchanged"}"#,
                "are the class folders exchanged?",
            ),
            (
                Caveat::FewCells { class: "Uninfected".to_owned(), cells: 3 },
                r#"{"caveat":"few-cells","class":"Uninfected","cells":3}"#,
                "Cells of the class Uninfected: only 3.",
            ),
            (Caveat::MirrorImages, r#"{"caveat":"mirror-images"}"#, "four mirror images"),
            (Caveat::FoldThresholds, r#"{"caveat":"fold-thresholds"}"#, "the other folds' cells"),
            (Caveat::NoFoldThresholds, r#"{"caveat":"no-fold-thresholds"}"#, "all folds but one"),
            (Caveat::NoThreshold, r#"{"caveat":"no-threshold"}"#, "no threshold reached the target"),
            (Caveat::FewPatients { patients: 7 }, r#"{"caveat":"few-patients","patients":7}"#, "(7)"),
            (
                Caveat::UnknownPatients { cells: 8 },
                r#"{"caveat":"unknown-patients","cells":8}"#,
                "unknown patients: 8.",
            ),
        ] {
            assert_eq!(serde_json::to_string(&caveat).unwrap(), json);
            assert_eq!(serde_json::from_str::<Caveat>(json).unwrap(), caveat);
            assert!(caveat.to_string().contains(words), "{caveat}");
        }
    }

    #[test]
    fn caveats_follow_from_the_rule_and_the_patients() {
        let classes = ["Parasitized", "Uninfected"].map(str::to_owned);
        let names: Vec<String> = (0..40).map(|patient| format!("C{patient}")).collect();
        let of = |patients: usize, unknown: bool, rule: &DecisionRule, stored: bool| {
            // Two cells per patient, one of each class.
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
            Caveat::of(rule, stored, &Assessment::of(&scored, rule, None).unwrap())
        };
        let threshold = Threshold {
            target: Target::Specificity(0.9),
            chosen_on: ChosenOn::Validation,
            point: OperatingPoint { threshold: 0.5, sensitivity: 1.0, specificity: 1.0 },
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
    fn initial_weights_have_a_caveat_unless_they_were_trained_on_no_test_cell() {
        assert_eq!(Caveat::of_init(Some(0), Some(0)), []);
        let both = [Caveat::SeenByInit { cells: 3 }, Caveat::ValidationSeenByInit { cells: 2 }];
        assert_eq!(Caveat::of_init(Some(3), Some(2)), both);
        assert_eq!(Caveat::of_init(None, Some(2)), [Caveat::InitUnknown]);
    }
}
