//! Folds by cell and by patient.

use std::collections::BTreeSet;

use malaria_dataset::{Error, Fold, Protocol, SplitConfig, k_fold, split};

use crate::support::{BY_PATIENT, like_the_nih, made_up};

#[test]
fn folds_by_cell_have_their_shares_and_other_validation_cells() {
    let index = made_up(&[(1, 20, 33)]);
    for stratified in [false, true] {
        let folds = k_fold(&index, &SplitConfig { stratified, ..SplitConfig::default() }, 5).unwrap();
        for fold in &folds {
            // A tenth of the 42 or 43 cells outside the test set.
            assert_eq!(fold.validation.len(), 4);
            assert_eq!(fold.config.test_fraction, 0.2);
            let parasitized = fold.test.iter().filter(|&&i| index.samples[i].class == 0).count();
            assert!(parasitized == 4 || !stratified, "{parasitized}");
        }
        let held: BTreeSet<&Vec<usize>> = folds.iter().map(|fold| &fold.validation).collect();
        assert_eq!(held.len(), 5, "each fold holds out other cells");
    }
}

#[test]
fn folds_by_patient_have_their_shares_of_cells_and_of_infected_cells() {
    let index = like_the_nih();
    let share = index.class_counts()[0] as f64 / index.samples.len() as f64;
    let folds = k_fold(&index, &BY_PATIENT, 5).unwrap();
    for fold in &folds {
        for (subset, asked) in [(&fold.train, 0.72), (&fold.validation, 0.08), (&fold.test, 0.2)] {
            let size = subset.len() as f64 / index.samples.len() as f64;
            assert!((size - asked).abs() < 0.01, "{size}, not {asked}");
            let positive =
                subset.iter().filter(|&&i| index.samples[i].class == 0).count() as f64 / subset.len() as f64;
            assert!((positive - share).abs() < 0.02, "{positive}, not {share}");
        }
    }
    let infected: BTreeSet<_> =
        index.samples.iter().filter(|cell| cell.class == 0).map(|cell| &cell.patient).collect();
    let healthy = |subset: &[usize]| {
        let patients: BTreeSet<_> = subset.iter().map(|&i| &index.samples[i].patient).collect();
        patients.difference(&infected).count()
    };
    let in_folds: Vec<usize> = folds.iter().map(|fold| healthy(&fold.test)).collect();
    assert!(in_folds.iter().max().unwrap() - in_folds.iter().min().unwrap() <= 1, "{in_folds:?}");
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
    let given = SplitConfig { protocol: Protocol::Given, ..BY_PATIENT };
    for (config, folds) in [(BY_PATIENT, 0), (BY_PATIENT, 1), (SplitConfig::default(), 41), (given, 5)] {
        let refused = k_fold(&index, &config, folds);
        assert!(matches!(refused, Err(Error::Config { field: "folds", .. })), "{config:?}, {folds} folds");
    }
    // Two folds of three patients leave one fold with a single patient for training and validation.
    let index = made_up(&[(1, 5, 5), (2, 5, 5), (3, 5, 5)]);
    too_few(&index, 2, "found 1 patients; expected at least 2");
}

#[test]
fn an_invalid_fold_is_refused() {
    let given = SplitConfig { protocol: Protocol::Given, ..BY_PATIENT };
    for (config, number, of, name) in [
        (BY_PATIENT, 0, 5, "fold"),
        (BY_PATIENT, 6, 5, "fold"),
        (BY_PATIENT, 1, 1, "folds"),
        (given, 1, 5, "folds"),
    ] {
        let config = SplitConfig { fold: Some(Fold { number, of }), ..config };
        let refused = split(&like_the_nih(), &config);
        assert!(matches!(refused, Err(Error::Config { field, .. }) if field == name), "{config:?}");
    }
}
