//! Metrics against their definitions, computed directly on random predictions.

use malaria_metrics::{
    BinaryCounts, ConfusionMatrix, Error, OperatingPoint, Summary, Target, choose_threshold, pr_curve,
    predict_at, roc_curve, summarise, summarise_predicted, wilson_interval,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Truth and scores of 1 to 40 samples, with many ties.
fn binary_problem(seed: u64) -> (Vec<bool>, Vec<f64>) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let n = rng.random_range(1..=40);
    let levels = rng.random_range(1..=30);
    let share = rng.random::<f64>();
    let truth = (0..n).map(|_| rng.random_bool(share)).collect();
    let scores = (0..n).map(|_| f64::from(rng.random_range(0..=levels)) / f64::from(levels)).collect();
    (truth, scores)
}

fn scores_of(truth: &[bool], scores: &[f64], class: bool) -> Vec<f64> {
    truth.iter().zip(scores).filter(|(truth, _)| **truth == class).map(|(_, score)| *score).collect()
}

#[test]
fn auc_is_the_share_of_correctly_ordered_pairs() {
    let mut compared = 0;
    for seed in 0..500 {
        let (truth, scores) = binary_problem(seed);
        let (positives, negatives) = (scores_of(&truth, &scores, true), scores_of(&truth, &scores, false));
        let order = |positive: f64, negative: f64| match positive.total_cmp(&negative) {
            std::cmp::Ordering::Greater => 1.0,
            std::cmp::Ordering::Equal => 0.5,
            std::cmp::Ordering::Less => 0.0,
        };
        let pairs = positives.iter().flat_map(|&p| negatives.iter().map(move |&n| order(p, n)));
        let expected = pairs.sum::<f64>() / (positives.len() * negatives.len()) as f64;
        match roc_curve(&truth, &scores).unwrap() {
            Some(roc) => {
                compared += 1;
                assert!((roc.auc - expected).abs() < 1e-14, "seed {seed}: {} is not {expected}", roc.auc);
            }
            None => assert!(positives.is_empty() || negatives.is_empty(), "seed {seed}"),
        }
    }
    assert!(compared > 300);
}

#[test]
fn curves_have_the_rates_of_each_threshold() {
    for seed in 0..200 {
        let (truth, scores) = binary_problem(seed);
        let (positives, negatives) = (scores_of(&truth, &scores, true), scores_of(&truth, &scores, false));
        let reaching =
            |scores: &[f64], threshold| scores.iter().filter(|&&score| score >= threshold).count() as f64;
        if let Some(roc) = roc_curve(&truth, &scores).unwrap() {
            for point in roc.points {
                let expected = reaching(&positives, point.threshold) / positives.len() as f64;
                assert_eq!(point.true_positive_rate, expected);
                let expected = reaching(&negatives, point.threshold) / negatives.len() as f64;
                assert_eq!(point.false_positive_rate, expected);
            }
        }
        if let Some(pr) = pr_curve(&truth, &scores).unwrap() {
            let (_, called_some) = pr.points.split_last().unwrap();
            for point in called_some {
                assert_eq!(point.recall, reaching(&positives, point.threshold) / positives.len() as f64);
                assert_eq!(
                    point.precision,
                    reaching(&positives, point.threshold) / reaching(&scores, point.threshold)
                );
            }
        }
    }
}

#[test]
fn the_chosen_threshold_is_the_best_that_reaches_the_target() {
    let (mut chosen, mut refused) = (0, 0);
    for seed in 0..500 {
        let (truth, scores) = binary_problem(seed);
        let (positives, negatives) = (scores_of(&truth, &scores, true), scores_of(&truth, &scores, false));
        if positives.is_empty() || negatives.is_empty() {
            continue;
        }
        let points = Vec::from_iter(scores.iter().map(|&threshold| OperatingPoint {
            threshold,
            sensitivity: positives.iter().filter(|&&score| score >= threshold).count() as f64
                / positives.len() as f64,
            specificity: negatives.iter().filter(|&&score| score < threshold).count() as f64
                / negatives.len() as f64,
        }));
        // Every second goal is one that a threshold reaches exactly.
        let goal =
            if seed % 2 == 0 { points[0].sensitivity } else { ChaCha8Rng::seed_from_u64(seed).random() };
        for target in [Target::Sensitivity(goal), Target::Specificity(goal)] {
            let split = |point: &OperatingPoint| match target {
                Target::Sensitivity(_) => (point.sensitivity, point.specificity),
                Target::Specificity(_) => (point.specificity, point.sensitivity),
            };
            match choose_threshold(&truth, &scores, target) {
                Ok(ours) => {
                    chosen += 1;
                    assert!(points.contains(&ours), "seed {seed}: {ours:?} is not what its threshold gives");
                    let (targeted, other) = split(&ours);
                    assert!(targeted >= goal, "seed {seed}: {ours:?} misses {target:?}");
                    for point in points.iter().filter(|point| split(point).0 >= goal) {
                        let (their_targeted, their_other) = split(point);
                        assert!(other >= their_other, "seed {seed}: {point:?} beats {ours:?} for {target:?}");
                        assert!(
                            other > their_other || targeted >= their_targeted,
                            "seed {seed}: {point:?} ties"
                        );
                    }
                }
                Err(Error::TargetOutOfReach { metric, target, best }) => {
                    refused += 1;
                    assert_eq!((metric, target), ("specificity", goal));
                    let highest = points.iter().map(|point| point.specificity).fold(0.0, f64::max);
                    assert_eq!(best, highest);
                    assert!(highest < goal);
                }
                Err(error) => panic!("seed {seed}: {error}"),
            }
        }
    }
    assert!(chosen > 400 && refused > 5, "{chosen} chosen, {refused} refused");
}

#[test]
fn evaluating_at_the_chosen_threshold_gives_its_rates() {
    let classes = ["Parasitized".to_owned(), "Uninfected".to_owned()];
    let truth = [0, 1, 0, 1, 0, 1, 0];
    let scores = [0.9, 0.3, 0.35, 0.4, 0.7, 0.1, 0.55];
    let probabilities = Vec::from_iter(scores.iter().flat_map(|&score| [score, 1.0 - score]));
    let point = choose_threshold(&truth.map(|class| class == 0), &scores, Target::Specificity(0.9)).unwrap();
    assert_eq!((point.threshold, point.sensitivity, point.specificity), (0.55, 0.75, 1.0));
    let predicted: Vec<usize> =
        probabilities.chunks(2).map(|row| predict_at(row, 0, point.threshold)).collect();
    let metrics = summarise_predicted(&truth, &probabilities, &predicted, &classes, 0).unwrap();
    assert_eq!(metrics.sensitivity, Some(point.sensitivity));
    assert_eq!(metrics.specificity, Some(point.specificity));
    assert_eq!((metrics.accuracy, metrics.ppv, metrics.npv), (Some(6.0 / 7.0), Some(1.0), Some(0.75)));
}

#[test]
fn a_tie_goes_to_the_first_class() {
    let classes = ["a", "b", "c"].map(String::from);
    let summary = summarise(&[0, 1, 2], &[0.4, 0.4, 0.2, 0.2, 0.4, 0.4, 0.4, 0.2, 0.4], &classes, 1).unwrap();
    let rows = summary.confusion.rows().map(<[u64]>::to_vec);
    assert_eq!(Vec::from_iter(rows), [[1, 0, 0], [0, 1, 0], [1, 0, 0]]);
}

#[test]
fn merged_matrices_equal_the_matrix_of_all_samples() {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let mut labels = |n| Vec::from_iter((0..n).map(|_| rng.random_range(0..5_usize)));
    let (truth, predicted) = (labels(100), labels(100));
    let whole = ConfusionMatrix::from_labels(&truth, &predicted, 5).unwrap();
    let mut merged = ConfusionMatrix::new(5).unwrap();
    for (truth, predicted) in truth.chunks(33).zip(predicted.chunks(33)) {
        merged.merge(&ConfusionMatrix::from_labels(truth, predicted, 5).unwrap()).unwrap();
    }
    assert_eq!(merged, whole);
    assert_eq!(merged.total(), 100);
    let diagonal = (0..5).map(|class| merged.get(class, class).unwrap());
    assert_eq!(merged.correct(), diagonal.sum::<u64>());
}

#[test]
fn rows_are_true_classes() {
    let matrix = ConfusionMatrix::from_labels(&[0, 0, 0, 1], &[1, 1, 0, 1], 2).unwrap();
    assert_eq!(matrix.get(0, 1), Some(2));
    assert_eq!(matrix.get(1, 0), Some(0));
    assert_eq!((matrix.get(2, 0), matrix.get(0, 2)), (None, None));
    assert_eq!((matrix.true_counts(), matrix.predicted_counts()), (vec![3, 1], vec![1, 3]));
    assert_eq!(BinaryCounts::of_class(&matrix, 0).unwrap().sensitivity(), Some(1.0 / 3.0));
}

#[test]
fn metrics_of_an_empty_matrix_are_undefined() {
    let matrix = ConfusionMatrix::from_labels(&[], &[], 2).unwrap();
    let counts = BinaryCounts::of_class(&matrix, 0).unwrap();
    let metrics = [
        matrix.accuracy(),
        matrix.mcc(),
        matrix.cohens_kappa(),
        matrix.balanced_accuracy(),
        counts.sensitivity(),
        counts.specificity(),
        counts.f1(),
        counts.ppv_at(0.1).unwrap(),
    ];
    assert_eq!(metrics, [None; 8]);
    assert_eq!(wilson_interval(0, 0, 0.95).unwrap(), None);
}

#[test]
fn wilson_intervals_end_exactly_at_0_and_1() {
    for trials in 1..2000 {
        for confidence in [0.5, 0.9, 0.95, 0.99] {
            assert_eq!(wilson_interval(0, trials, confidence).unwrap().unwrap().low, 0.0);
            assert_eq!(wilson_interval(trials, trials, confidence).unwrap().unwrap().high, 1.0);
        }
    }
}

#[test]
fn wilson_intervals_widen_with_confidence() {
    let interval = |confidence| wilson_interval(7, 9, confidence).unwrap().unwrap();
    assert_eq!((interval(0.0).low, interval(0.0).high), (7.0 / 9.0, 7.0 / 9.0));
    assert_eq!((interval(1.0).low, interval(1.0).high), (0.0, 1.0));
    for (narrow, wide) in [(0.5, 0.9), (0.9, 0.99), (0.99, 1.0 - 1e-15)] {
        assert!(interval(wide).low < interval(narrow).low && interval(narrow).high < interval(wide).high);
    }
}

#[test]
fn summary_round_trips_through_json_with_its_field_names() {
    let classes = ["Parasitized".to_owned(), "Uninfected".to_owned()];
    let (truth, probabilities) = ([1, 1, 1], [0.1, 0.9, 0.3, 0.7, 0.8, 0.2]);
    let summary = summarise(&truth, &probabilities, &classes, 0).unwrap();

    let json = serde_json::to_value(&summary).unwrap();
    let expected = serde_json::json!({
        "n": 3,
        "classes": ["Parasitized", "Uninfected"],
        "positive_class": "Parasitized",
        "accuracy": 2.0 / 3.0,
        "accuracy_argmax": 2.0 / 3.0,
        "sensitivity": null,
        "specificity": 2.0 / 3.0,
        "auc": null,
        "ppv": 0.0,
        "npv": 1.0,
        "f1": 0.0,
        "youdens_j": null,
        "positive_likelihood_ratio": null,
        "negative_likelihood_ratio": null,
        "mcc": null,
        "cohens_kappa": 0.0,
        "balanced_accuracy": null,
        "average_precision": null,
        "log_loss": summary.log_loss,
        "brier": summary.brier,
        "confusion": [[0, 0], [1, 2]],
        "by_class": [
            {"precision": 0.0, "recall": null, "f1": 0.0, "support": 0},
            {"precision": 1.0, "recall": 2.0 / 3.0, "f1": 0.8, "support": 3},
        ],
        "averages": {
            "micro": {"precision": 2.0 / 3.0, "recall": 2.0 / 3.0, "f1": 2.0 / 3.0},
            "macro": {"precision": 0.5, "recall": 2.0 / 3.0, "f1": 0.4},
            // NumPy multiplies by the support and divides by it, which rounds.
            "weighted": {"precision": 1.0, "recall": 2.0 / 3.0, "f1": 0.8 * 3.0 / 3.0},
        },
    });
    assert_eq!(json, expected);
    assert_eq!(serde_json::from_value::<Summary>(json).unwrap(), summary);
}

#[test]
fn negative_zero_ties_with_zero() {
    let roc = roc_curve(&[true, false, true, false], &[0.0, -0.0, -0.0, 0.0]).unwrap().unwrap();
    assert_eq!((roc.auc, roc.points.len()), (0.5, 2));
}
