//! Invalid input gives an error that names the place.

use malaria_metrics::{
    BinaryCounts, ConfusionMatrix, Error, Probabilities, Target, brier_score, calibration_curve,
    choose_threshold, classification_report, expected_calibration_error, log_loss, pr_curve, roc_curve,
    summarise, summarise_predicted, wilson_interval,
};

fn names() -> [String; 2] {
    ["Parasitized".to_owned(), "Uninfected".to_owned()]
}

/// The errors of all functions that take class probabilities, for the same input.
fn refusals(truth: &[usize], probabilities: &[f64]) -> [Error; 4] {
    [
        summarise(truth, probabilities, &names(), 0).unwrap_err(),
        summarise_predicted(truth, probabilities, &vec![0; truth.len()], &names(), 0).unwrap_err(),
        log_loss(truth, Probabilities::new(probabilities, 2)).unwrap_err(),
        brier_score(truth, Probabilities::new(probabilities, 2)).unwrap_err(),
    ]
}

/// The errors of all functions that take scores, for the same input.
fn score_refusals(truth: &[bool], scores: &[f64]) -> [Error; 6] {
    [
        roc_curve(truth, scores).unwrap_err(),
        pr_curve(truth, scores).unwrap_err(),
        calibration_curve(truth, scores, 10).unwrap_err(),
        expected_calibration_error(truth, scores, 10).unwrap_err(),
        choose_threshold(truth, scores, Target::Sensitivity(0.9)).unwrap_err(),
        BinaryCounts::at_threshold(truth, scores, 0.5).unwrap_err(),
    ]
}

#[test]
fn numbers_outside_0_to_1_are_refused() {
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1e-9, 1.0 + 1e-9] {
        for error in refusals(&[0, 1], &[0.5, 0.5, 0.5, bad]) {
            assert!(matches!(&error, Error::OutOfRange { value, .. } if value.to_bits() == bad.to_bits()));
            assert!(error.to_string().starts_with("probability of class 1 of sample 1: expected"), "{error}");
        }
        for error in score_refusals(&[true, false], &[bad, 0.5]) {
            assert!(
                error.to_string().starts_with("score of sample 0: expected a number from 0 to 1"),
                "{error}"
            );
        }
        for error in [
            BinaryCounts::at_threshold(&[true], &[0.5], bad).unwrap_err(),
            choose_threshold(&[true, false], &[0.5, 0.4], Target::Specificity(bad)).unwrap_err(),
            wilson_interval(1, 2, bad).unwrap_err(),
            BinaryCounts::of_class(&ConfusionMatrix::new(2).unwrap(), 0).unwrap().ppv_at(bad).unwrap_err(),
            BinaryCounts::of_class(&ConfusionMatrix::new(2).unwrap(), 0).unwrap().npv_at(bad).unwrap_err(),
        ] {
            assert!(matches!(error, Error::OutOfRange { .. }), "{error}");
        }
    }
}

#[test]
fn probabilities_that_do_not_sum_to_one_are_refused() {
    for error in refusals(&[0, 1], &[0.5, 0.5, 0.9, 0.2]) {
        assert!(matches!(error, Error::NotNormalized { sample: 1, .. }), "{error}");
    }
    assert!(summarise(&[0], &[0.7, 0.3001], &names(), 0).is_ok(), "rounding is allowed");
}

#[test]
fn empty_inputs_are_refused() {
    assert_eq!(refusals(&[], &[]), [const { Error::Empty }; 4]);
    assert_eq!(score_refusals(&[], &[]), [const { Error::Empty }; 6]);
    let matrix = ConfusionMatrix::new(2).unwrap();
    assert_eq!(classification_report(&matrix, &["a", "b"], None), Err(Error::Empty));
}

#[test]
fn inputs_of_different_lengths_are_refused() {
    for error in refusals(&[0, 1], &[0.5, 0.5]) {
        assert_eq!(error, Error::LengthMismatch { what: "probabilities", expected: 4, found: 2 });
    }
    for error in score_refusals(&[true, false], &[0.5]) {
        assert_eq!(error, Error::LengthMismatch { what: "scores", expected: 2, found: 1 });
    }
    let error = ConfusionMatrix::from_labels(&[0, 1], &[0], 2).unwrap_err();
    assert_eq!(error.to_string(), "predictions: expected 2 values, found 1");
    let mut matrix = ConfusionMatrix::new(2).unwrap();
    assert!(matrix.merge(&ConfusionMatrix::new(3).unwrap()).is_err());
    assert!(matrix.to_table(&["one"]).is_err());
    assert!(classification_report(&matrix, &["one"], None).is_err());
}

#[test]
fn classes_that_do_not_exist_are_refused() {
    for error in refusals(&[0, 2], &[0.5, 0.5, 0.5, 0.5]) {
        let what = "truth of sample 1".to_owned();
        assert_eq!(error, Error::ClassOutOfRange { what, class: 2, classes: 2 });
    }
    for (truth, predicted, place) in [(3, 0, "truth of sample 0"), (0, 3, "prediction of sample 0")] {
        let error = ConfusionMatrix::from_labels(&[truth], &[predicted], 3).unwrap_err();
        assert_eq!(error.to_string(), format!("{place}: class 3 does not exist, expected an index below 3"));
    }
    assert!(matches!(summarise(&[0], &[0.5, 0.5], &names(), 2), Err(Error::ClassOutOfRange { .. })));
    assert!(matches!(
        BinaryCounts::of_class(&ConfusionMatrix::new(2).unwrap(), 2),
        Err(Error::ClassOutOfRange { .. })
    ));
}

#[test]
fn too_few_classes_are_refused() {
    assert_eq!(ConfusionMatrix::new(0), Err(Error::TooFewClasses { expected: 1, found: 0 }));
    let one = [names()[0].clone()];
    assert_eq!(summarise(&[0], &[1.0], &one, 0), Err(Error::TooFewClasses { expected: 2, found: 1 }));
}

#[test]
fn missing_and_repeated_labels_of_a_report_are_refused() {
    let matrix = ConfusionMatrix::from_labels(&[0, 1], &[0, 1], 2).unwrap();
    for labels in [&[][..], &[0, 0], &[1, 0, 1]] {
        let error = classification_report(&matrix, &["a", "b"], Some(labels)).unwrap_err();
        assert_eq!(error, Error::InvalidLabels { labels: labels.to_vec() });
    }
    let error = classification_report(&matrix, &["a", "b"], Some(&[2])).unwrap_err();
    assert!(matches!(error, Error::ClassOutOfRange { class: 2, .. }));
}

#[test]
fn matrices_that_are_not_square_are_refused() {
    let error = ConfusionMatrix::from_rows(&[vec![1, 2], vec![3]]).unwrap_err();
    assert_eq!(error, Error::NotSquare { row: 1, expected: 2, found: 1 });
    assert!(serde_json::from_str::<ConfusionMatrix>("[[1,2,3],[4,5,6]]").is_err());
    assert!(serde_json::from_str::<ConfusionMatrix>("[]").is_err());
}

#[test]
fn targets_that_no_threshold_reaches_are_refused() {
    for (truth, class) in [([true; 3], "negative"), ([false; 3], "positive")] {
        for target in [Target::Sensitivity(0.9), Target::Specificity(0.9)] {
            assert_eq!(choose_threshold(&truth, &[0.1, 0.2, 0.3], target), Err(Error::ClassAbsent { class }));
        }
    }
    let error =
        choose_threshold(&[true, false, false], &[0.5, 0.9, 0.1], Target::Specificity(0.75)).unwrap_err();
    assert_eq!(error, Error::TargetOutOfReach { metric: "specificity", target: 0.75, best: 0.5 });
}

#[test]
fn more_successes_than_trials_and_zero_bins_are_refused() {
    assert_eq!(wilson_interval(3, 2, 0.95), Err(Error::TooManySuccesses { successes: 3, trials: 2 }));
    assert_eq!(calibration_curve(&[true], &[0.5], 0), Err(Error::NoBins));
    assert_eq!(expected_calibration_error(&[true], &[0.5], 0), Err(Error::NoBins));
}
