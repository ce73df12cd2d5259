//! Folds by cell and by patient.

use std::collections::BTreeSet;

use malaria_dataset::{Error, Fold, Protocol, SplitConfig, k_fold, split};

use crate::support::{like_the_nih, made_up};

const BY_PATIENT: SplitConfig = SplitConfig {
    protocol: Protocol::Patient,
    stratified: false,
    test_fraction: 0.2,
    validation_fraction: 0.1,
    seed: 3,
    fold: None,
};

#[test]
fn every_cell_is_tested_once() {
    let index = made_up(&[(1, 20, 33)]);
    for stratified in [false, true] {
        let config = SplitConfig { stratified, ..SplitConfig::default() };
        let folds = k_fold(&index, &config, 5).unwrap();
        let mut tested: Vec<usize> = folds.iter().flat_map(|fold| fold.test.clone()).collect();
        tested.sort_unstable();
        assert_eq!(tested, (0..53).collect::<Vec<_>>());
        for fold in &folds {
            assert!((10..=11).contains(&fold.test.len()));
            // A tenth of the remaining 42 or 43.
            assert_eq!(fold.validation.len(), 4);
            assert_eq!(fold.train.len() + 4 + fold.test.len(), 53);
            assert_eq!(fold.config.test_fraction, 0.2);
            let parasitized = fold.test.iter().filter(|&&i| index.samples[i].class == 0).count();
            if stratified {
                assert_eq!(parasitized, 4);
            }
        }
        let held: BTreeSet<&Vec<usize>> = folds.iter().map(|fold| &fold.validation).collect();
        assert_eq!(held.len(), 5, "each fold holds out other cells");
    }
}

#[test]
fn every_patient_is_tested_once_and_stays_whole() {
    let index = like_the_nih();
    let share = index.class_counts()[0] as f64 / index.samples.len() as f64;
    let folds = k_fold(&index, &BY_PATIENT, 5).unwrap();
    let mut tested: Vec<usize> = folds.iter().flat_map(|fold| fold.test.clone()).collect();
    tested.sort_unstable();
    assert_eq!(tested, (0..index.samples.len()).collect::<Vec<_>>());
    for fold in &folds {
        assert!(fold.leakage(&index).shared_patients.is_empty());
        for (side, asked) in [(&fold.train, 0.72), (&fold.validation, 0.08), (&fold.test, 0.2)] {
            let size = side.len() as f64 / index.samples.len() as f64;
            assert!((size - asked).abs() < 0.01, "{size}, not {asked}");
            let positive =
                side.iter().filter(|&&i| index.samples[i].class == 0).count() as f64 / side.len() as f64;
            assert!((positive - share).abs() < 0.02, "{positive}, not {share}");
        }
    }
    assert_eq!(k_fold(&index, &BY_PATIENT, 5).unwrap(), folds);
    let other = k_fold(&index, &SplitConfig { seed: 4, ..BY_PATIENT }, 5).unwrap();
    assert_ne!(other[0].test, folds[0].test);
}

#[test]
fn impossible_folds_are_refused() {
    let index = made_up(&[(1, 5, 5), (2, 5, 5), (3, 5, 5), (4, 5, 5)]);
    assert_eq!(k_fold(&index, &BY_PATIENT, 4).unwrap().len(), 4);
    let too_few = |index, folds, words: &str| {
        let message = k_fold(index, &BY_PATIENT, folds).unwrap_err().to_string();
        assert!(message.contains(words), "{message}");
    };
    too_few(&index, 5, "found 4 patients; expected at least 5");
    for folds in [0, 1] {
        assert!(matches!(k_fold(&index, &BY_PATIENT, folds), Err(Error::Config { field: "folds", .. })));
    }
    let refused = k_fold(&index, &SplitConfig::default(), 41);
    assert!(matches!(refused, Err(Error::Config { field: "folds", .. })));
    let given = SplitConfig { protocol: Protocol::Given, ..SplitConfig::default() };
    assert!(matches!(k_fold(&index, &given, 5), Err(Error::Config { field: "folds", .. })));
    // Two folds of three patients leave one fold with a single patient for training and validation.
    let index = made_up(&[(1, 5, 5), (2, 5, 5), (3, 5, 5)]);
    too_few(&index, 2, "found 1 patients; expected at least 2");
}

#[test]
fn a_single_fold_equals_the_same_fold_of_all() {
    let index = like_the_nih();
    for config in [BY_PATIENT, SplitConfig::default()] {
        let folds = k_fold(&index, &config, 5).unwrap();
        for (number, expected) in (1..).zip(&folds) {
            let fold = Some(Fold { number, of: 5 });
            assert_eq!(expected.config.fold, fold);
            assert_eq!(&split(&index, &SplitConfig { fold, ..config }).unwrap(), expected);
        }
    }
    for number in [0, 6] {
        let config = SplitConfig { fold: Some(Fold { number, of: 5 }), ..BY_PATIENT };
        assert!(matches!(split(&index, &config), Err(Error::Config { field: "fold", .. })));
    }
    let config = SplitConfig { fold: Some(Fold { number: 1, of: 1 }), ..BY_PATIENT };
    assert!(matches!(split(&index, &config), Err(Error::Config { field: "folds", .. })));
    let given =
        SplitConfig { protocol: Protocol::Given, fold: Some(Fold { number: 1, of: 5 }), ..BY_PATIENT };
    assert!(matches!(split(&index, &given), Err(Error::Config { field: "folds", .. })));
}
