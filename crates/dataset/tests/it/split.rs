//! Splits by cell and by patient: sizes, seeds, leakage, refused splits.

use std::collections::BTreeSet;

use malaria_dataset::{Error, Index, Protocol, Split, SplitConfig, Subset, split};

use crate::support::{BY_PATIENT, Folder, like_the_nih, made_up, split_of};

fn sizes(split: &Split) -> [usize; 3] {
    Subset::ALL.map(|subset| split.subset(subset).len())
}

fn parasitized(index: &Index, subset: &[usize]) -> usize {
    subset.iter().filter(|&&i| index.samples[i].class == 0).count()
}

#[test]
fn the_whole_set_is_split_as_in_the_tutorial() {
    let index = made_up(&[(1, 13_779, 13_779)]);
    let split = split(&index, &SplitConfig::default()).unwrap();
    assert_eq!(sizes(&split), [19_842, 2_204, 5_512]);
    assert!(Subset::ALL.iter().all(|&subset| split.subset(subset).is_sorted()));
    // Shuffled: neither of a single class nor exactly half and half.
    let share = parasitized(&index, &split.test);
    assert!((2_600..2_900).contains(&share) && share != 2_756, "{share}");
}

#[test]
fn fractions_are_rounded_down_to_whole_cells() {
    for (cells, test_fraction, validation_fraction, expected) in [
        (11, 0.2, 0.1, [8, 0, 3]),
        (25, 0.2, 0.1, [18, 2, 5]),
        (10, 0.9, 0.5, [1, 0, 9]),
        (40, 0.9, 0.5, [2, 2, 36]),
        (100, 0.25, 0.3, [53, 22, 25]),
    ] {
        let index = made_up(&[(1, cells / 2, cells - cells / 2)]);
        let config = SplitConfig { test_fraction, validation_fraction, ..SplitConfig::default() };
        match split(&index, &config) {
            Ok(split) => assert_eq!(sizes(&split), expected, "{cells} cells"),
            Err(Error::NotEnoughData { reason }) => {
                assert!(reason.contains("validation set") && expected[1] == 0, "{cells} cells: {reason}");
            }
            Err(other) => panic!("{cells} cells: {other}"),
        }
    }
}

#[test]
fn stratified_splits_have_the_same_sizes_and_equal_class_shares() {
    let index = made_up(&[(1, 300, 701)]);
    let plain = split(&index, &SplitConfig::default()).unwrap();
    let even = split(&index, &SplitConfig { stratified: true, ..SplitConfig::default() }).unwrap();
    assert_eq!(sizes(&plain), [720, 80, 201]);
    assert_eq!(sizes(&even), [720, 80, 201]);
    assert_eq!(
        Subset::ALL.map(|subset| parasitized(&index, even.subset(subset))),
        [216, 24, 60],
        "three tenths of each subset, by largest remainder"
    );
    assert_ne!(parasitized(&index, &plain.test), 60);
}

#[test]
fn each_seed_gives_another_split() {
    let index = like_the_nih();
    let by_cell = SplitConfig::default();
    for config in [by_cell, SplitConfig { stratified: true, ..by_cell }, BY_PATIENT] {
        let tests = (0..10).map(|seed| split(&index, &SplitConfig { seed, ..config }).unwrap().test);
        assert_eq!(tests.collect::<BTreeSet<_>>().len(), 10, "{config:?}");
    }
}

/// Recorded from this crate: if they change, the splits of existing runs cannot be reproduced.
#[test]
fn splits_match_recorded_ones() {
    let index = made_up(&[(1, 2, 2), (2, 1, 3), (3, 0, 3), (4, 4, 2), (5, 3, 1), (6, 1, 2)]);
    let coarse =
        SplitConfig { test_fraction: 0.25, validation_fraction: 0.25, seed: 7, ..SplitConfig::default() };
    let subsets = |config: &SplitConfig| {
        let split = split(&index, config).unwrap();
        [split.train, split.validation, split.test]
    };
    assert_eq!(subsets(&coarse), GOLDEN_RANDOM);
    assert_eq!(subsets(&SplitConfig { stratified: true, ..coarse }), GOLDEN_STRATIFIED);
    assert_eq!(subsets(&SplitConfig { protocol: Protocol::Patient, ..coarse }), GOLDEN_PATIENT);
}

const GOLDEN_RANDOM: [&[usize]; 3] =
    [&[0, 1, 4, 6, 7, 8, 9, 13, 14, 15, 16, 19, 21, 23], &[2, 12, 18, 22], &[3, 5, 10, 11, 17, 20]];
const GOLDEN_STRATIFIED: [&[usize]; 3] =
    [&[1, 2, 5, 6, 9, 10, 11, 14, 16, 17, 18, 19, 20, 21], &[0, 7, 12, 22], &[3, 4, 8, 13, 15, 23]];
const GOLDEN_PATIENT: [&[usize]; 3] =
    [&[2, 3, 4, 5, 6, 10, 13, 14, 15, 16, 17, 18, 19, 20, 22, 23], &[0, 1, 11, 12], &[7, 8, 9, 21]];

#[test]
fn subsets_by_patient_have_their_shares_of_cells_and_of_infected_cells() {
    let index = like_the_nih();
    let share = index.class_counts()[0] as f64 / index.samples.len() as f64;
    for seed in 0..10 {
        let split = split(&index, &SplitConfig { seed, ..BY_PATIENT }).unwrap();
        assert_eq!(split.leakage(&index).patients, 150);
        for (subset, asked) in Subset::ALL.into_iter().zip([0.72, 0.08, 0.2]) {
            let cells = split.subset(subset);
            let size = cells.len() as f64 / index.samples.len() as f64;
            assert!((size - asked).abs() < 0.01, "seed {seed}: {subset} holds {size} of the cells");
            let positive = parasitized(&index, cells) as f64 / cells.len() as f64;
            assert!((positive - share).abs() < 0.015, "seed {seed}: {positive} of {subset}, {share} of all");
        }
    }
}

#[test]
fn three_patients_are_enough_and_two_are_not() {
    let index = made_up(&[(1, 5, 5), (2, 50, 50), (3, 5, 5)]);
    assert_eq!(sizes(&split(&index, &BY_PATIENT).unwrap()), [100, 10, 10]);
    // A subset with a share of less than half a patient still gets one.
    let index = made_up(&[(1, 5, 5), (2, 5, 5), (3, 5, 5), (4, 5, 5), (5, 5, 5)]);
    let little = SplitConfig { test_fraction: 0.02, validation_fraction: 0.02, ..BY_PATIENT };
    assert_eq!(sizes(&split(&index, &little).unwrap()), [30, 10, 10]);
    let index = made_up(&[(1, 5, 5), (2, 50, 50)]);
    let message = split(&index, &BY_PATIENT).unwrap_err().to_string();
    assert!(message.contains("found 2 patients; expected at least 3"), "{message}");
}

#[test]
fn only_a_split_by_patient_refuses_cells_of_unknown_patients() {
    let mut index = like_the_nih();
    index.samples[70].patient = None;
    let message = split(&index, &BY_PATIENT).unwrap_err().to_string();
    let expected =
        format!("unknown patients: 1 of {}, first `{}`", index.samples.len(), index.samples[70].path);
    assert!(message.contains(&expected), "{message}");
    let leakage = split(&index, &SplitConfig::default()).unwrap().leakage(&index);
    assert_eq!(leakage.cells_without_patient, 1);
}

#[test]
fn leakage_counts_patients_and_test_cells() {
    let index = made_up(&[(2, 1, 1), (10, 2, 2), (9, 1, 2)]);
    let of = |patient: &str| -> Vec<usize> {
        (0..index.samples.len()).filter(|&i| index.samples[i].patient.as_deref() == Some(patient)).collect()
    };
    let (two, nine, ten) = (of("C2"), of("C9"), of("C10"));
    let (train, test) = ([&two[..1], &nine[2..], &ten[..1]].concat(), [&two[1..], &ten[1..]].concat());
    let mut split = split_of(&train, &nine[..2], &test);
    let leakage = split.leakage(&index);
    assert_eq!(leakage.shared_patients, ["C2", "C9", "C10"]);
    assert_eq!((leakage.patients, leakage.shared_test_cells, leakage.cells_without_patient), (3, 1 + 3, 0));
    split.check(&index).unwrap();
    split.config.protocol = Protocol::Patient;
    let message = split.check(&index).unwrap_err().to_string();
    assert!(
        message.starts_with("3 patients have cells in more than one subset") && message.contains("`C10`"),
        "{message}"
    );
}

#[test]
fn check_refuses_splits_that_do_not_fit() {
    let index = made_up(&[(1, 3, 3)]);
    split_of(&[0, 3], &[1], &[2]).check(&index).unwrap();
    for (split, words) in [
        (split_of(&[], &[1], &[2]), "the train set of the split is empty"),
        (split_of(&[0, 3], &[], &[2]), "the validation set of the split is empty"),
        (split_of(&[0, 3], &[1], &[]), "the test set of the split is empty"),
        (split_of(&[0, 3], &[1], &[6]), "names sample 6, but there are only 6"),
        (split_of(&[0, 3], &[1], &[3]), "twice: in train and in test"),
        (split_of(&[0, 3, 3], &[1], &[2]), "twice: in train and in train"),
        (split_of(&[0, 1], &[3], &[2]), "holds no sample of `Uninfected`"),
    ] {
        let message = split.check(&index).unwrap_err().to_string();
        assert!(message.contains(words), "{message}");
    }
}

#[test]
fn fractions_must_be_above_0_and_below_1() {
    for bad in [0.0, 1.0, -0.1, 1.5, f64::NAN, f64::INFINITY] {
        let config = SplitConfig { test_fraction: bad, ..SplitConfig::default() };
        assert!(matches!(config.check(), Err(Error::Config { field: "test_fraction", .. })), "{bad}");
        let config = SplitConfig { validation_fraction: bad, ..SplitConfig::default() };
        assert!(matches!(config.check(), Err(Error::Config { field: "validation_fraction", .. })), "{bad}");
        assert!(split(&like_the_nih(), &config).is_err());
    }
}

#[test]
fn a_tree_is_split_as_given() {
    let folder = Folder::with(&[
        "training/a/C1_1.png",
        "training/b/C1_2.png",
        "validation/a/C1_3.png",
        "validation/b/C2_4.png",
        "testing/a/C3_5.png",
        "testing/b/C3_6.png",
    ]);
    let index = folder.open();
    let given = SplitConfig { protocol: Protocol::Given, ..SplitConfig::default() };
    let found = split(&index, &given).unwrap();
    assert_eq!((&*found.test, &*found.train, &*found.validation), (&[0, 1][..], &[2, 3][..], &[4, 5][..]));
    assert_eq!(found.leakage(&index).shared_patients, ["C1"]);
    let message = split(&like_the_nih(), &given).unwrap_err().to_string();
    assert!(message.contains("is not a split tree"), "{message}");
}

#[test]
fn all_puts_every_cell_into_training() {
    let index = made_up(&[(1, 5, 3), (2, 4, 6)]);
    let all = SplitConfig { protocol: Protocol::All, ..SplitConfig::default() };
    let found = split(&index, &all).unwrap();
    assert_eq!(found.train, (0..18).collect::<Vec<_>>());
    assert!(found.validation.is_empty() && found.test.is_empty());
    // Empty subsets are valid under this protocol only.
    let random = Split { config: SplitConfig::default(), ..found.clone() };
    let nothing = Split { train: Vec::new(), ..found };
    for (split, empty) in [(random, "validation set"), (nothing, "train set")] {
        let refused = split.check(&index);
        assert!(matches!(refused, Err(Error::NotEnoughData { reason }) if reason.contains(empty)));
    }
}

#[test]
fn settings_parse_back_and_unknown_fields_are_refused() {
    let config = SplitConfig { protocol: Protocol::Patient, seed: u64::MAX, ..SplitConfig::default() };
    let text = serde_json::to_string(&config).unwrap();
    assert!(text.contains(r#""protocol":"patient""#), "{text}");
    assert_eq!(serde_json::from_str::<SplitConfig>(&text).unwrap(), config);
    assert_eq!(serde_json::from_str::<SplitConfig>("{}").unwrap(), SplitConfig::default());
    assert!(serde_json::from_str::<SplitConfig>(r#"{"sed": 1}"#).is_err());
    for protocol in Protocol::ALL {
        assert_eq!(protocol.to_string().parse::<Protocol>().unwrap(), protocol);
    }
    assert!("Patient".parse::<Protocol>().unwrap_err().to_string().contains("random, patient, given"));
}
