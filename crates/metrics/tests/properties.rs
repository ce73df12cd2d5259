//! Figures against their definitions, computed the slow way on random predictions.

use malaria_metrics::{
    BinaryCounts, Bootstrap, CalibrationBin, Called, ConfusionMatrix, Error, OperatingPoint, PatientCall,
    PatientRule, Summary, Target, apply_temperature, brier_score, calibration_curve, choose_threshold,
    cluster_bootstrap, delong_interval, evaluate, evaluate_at, expected_calibration_error, fit_temperature,
    intervals, log_loss, pr_curve, roc_curve, wilson_interval,
};
use proptest::collection::vec;
use proptest::prelude::{
    Just, ProptestConfig, Strategy, any, prop_assert, prop_assert_eq, prop_assume, prop_oneof, proptest,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Truth and scores of 1 to 40 samples; few distinct scores, so that ties abound.
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
fn auc_is_the_share_of_pairs_in_order() {
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
fn curves_pass_through_what_each_threshold_gives() {
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
fn threshold_is_the_best_of_all_that_reach_the_target() {
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
        // Every other time one that a threshold reaches exactly.
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
                Err(Error::TargetOutOfReach { figure, target: asked, best }) => {
                    refused += 1;
                    assert_eq!((figure, asked), ("specificity", goal));
                    let most = points.iter().map(|point| point.specificity).fold(0.0, f64::max);
                    assert_eq!(best, most);
                    assert!(most < goal);
                }
                Err(error) => panic!("seed {seed}: {error}"),
            }
        }
    }
    assert!(chosen > 400 && refused > 5, "{chosen} chosen, {refused} refused");
}

#[test]
fn chosen_threshold_gives_the_same_figures_when_evaluated() {
    let classes = ["Parasitized".to_owned(), "Uninfected".to_owned()];
    let truth = [0, 1, 0, 1, 0, 1, 0];
    let scores = [0.9, 0.3, 0.35, 0.4, 0.7, 0.1, 0.55];
    let probabilities = Vec::from_iter(scores.iter().flat_map(|&score| [score, 1.0 - score]));
    let point = choose_threshold(&truth.map(|class| class == 0), &scores, Target::Specificity(0.9)).unwrap();
    assert_eq!((point.threshold, point.sensitivity, point.specificity), (0.55, 0.75, 1.0));
    let figures = evaluate_at(&truth, &probabilities, &classes, 0, point.threshold).unwrap();
    assert_eq!(figures.sensitivity, Some(point.sensitivity));
    assert_eq!(figures.specificity, Some(point.specificity));
    assert_eq!((figures.accuracy, figures.ppv, figures.npv), (6.0 / 7.0, Some(1.0), Some(0.75)));
}

#[test]
fn a_tie_goes_to_the_first_class() {
    let classes = ["a", "b", "c"].map(String::from);
    let summary = evaluate(&[0, 1, 2], &[0.4, 0.4, 0.2, 0.2, 0.4, 0.4, 0.4, 0.2, 0.4], &classes, 1).unwrap();
    let rows = summary.confusion.rows().map(<[u64]>::to_vec);
    assert_eq!(Vec::from_iter(rows), [[1, 0, 0], [0, 1, 0], [1, 0, 0]]);
}

#[test]
fn merged_matrices_are_the_matrix_of_the_whole() {
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
    assert_eq!(matrix.one_vs_rest(0).unwrap().sensitivity(), Some(1.0 / 3.0));
}

#[test]
fn an_empty_matrix_defines_nothing() {
    let matrix = ConfusionMatrix::from_labels(&[], &[], 2).unwrap();
    let counts = matrix.one_vs_rest(0).unwrap();
    let figures = [
        matrix.accuracy(),
        matrix.mcc(),
        matrix.cohens_kappa(),
        matrix.balanced_accuracy(),
        counts.sensitivity(),
        counts.specificity(),
        counts.f1(),
        counts.ppv_at(0.1).unwrap(),
    ];
    assert_eq!(figures, [None; 8]);
    assert_eq!(wilson_interval(0, 0, 0.95).unwrap(), None);
}

#[test]
fn wilson_ends_exactly_where_nothing_or_everything_succeeds() {
    for trials in 1..2000 {
        for confidence in [0.5, 0.9, 0.95, 0.99] {
            assert_eq!(wilson_interval(0, trials, confidence).unwrap().unwrap().low, 0.0);
            assert_eq!(wilson_interval(trials, trials, confidence).unwrap().unwrap().high, 1.0);
        }
    }
}

#[test]
fn wilson_widens_with_confidence_to_everything() {
    let interval = |confidence| wilson_interval(7, 9, confidence).unwrap().unwrap();
    assert_eq!((interval(0.0).low, interval(0.0).high), (7.0 / 9.0, 7.0 / 9.0));
    assert_eq!((interval(1.0).low, interval(1.0).high), (0.0, 1.0));
    for (narrow, wide) in [(0.5, 0.9), (0.9, 0.99), (0.99, 1.0 - 1e-15)] {
        assert!(interval(wide).low < interval(narrow).low && interval(narrow).high < interval(wide).high);
    }
}

#[test]
fn summary_survives_json_and_names_its_fields() {
    let classes = ["Parasitized".to_owned(), "Uninfected".to_owned()];
    let (truth, probabilities) = ([1, 1, 1], [0.1, 0.9, 0.3, 0.7, 0.8, 0.2]);
    let mut summary = evaluate(&truth, &probabilities, &classes, 0).unwrap();
    summary.at_threshold = Some(evaluate_at(&truth, &probabilities, &classes, 0, 0.25).unwrap());

    let json = serde_json::to_value(&summary).unwrap();
    let expected = serde_json::json!({
        "n": 3,
        "classes": ["Parasitized", "Uninfected"],
        "positive_class": "Parasitized",
        "accuracy": 2.0 / 3.0,
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
            // Times the support and divided by it, as NumPy weights, which rounds.
            "weighted": {"precision": 1.0, "recall": 2.0 / 3.0, "f1": 0.8 * 3.0 / 3.0},
        },
        "at_threshold": {
            "threshold": 0.25,
            "accuracy": 1.0 / 3.0,
            "sensitivity": null,
            "specificity": 1.0 / 3.0,
            "ppv": 0.0,
            "npv": 1.0,
            "youdens_j": null,
            "positive_likelihood_ratio": null,
            "negative_likelihood_ratio": null,
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

#[test]
fn clusters_are_drawn_whole_and_as_many_as_there_are() {
    let clusters = ["a", "b", "a", "c", "b", "a"];
    let settings = Bootstrap { resamples: 500, ..Bootstrap::default() };
    let seen = std::sync::Mutex::new([const { Vec::new() }; 2]);
    let [interval] = cluster_bootstrap(&clusters, &settings, |drawn| {
        let count = |of: &str| drawn.iter().filter(|&&i| clusters[i] == of).count();
        let (a, b, c) = (count("a"), count("b"), count("c"));
        assert!(a % 3 == 0 && b % 2 == 0, "{drawn:?}");
        // Three clusters are drawn of three; or else one is left out of them, to see what it does to the figure.
        let left_out = match a / 3 + b / 2 + c {
            3 => 0,
            2 if a / 3 < 2 && b / 2 < 2 && c < 2 => 1,
            _ => panic!("{drawn:?}"),
        };
        seen.lock().unwrap()[left_out].push(drawn.to_vec());
        [Some(a as f64 / 3.0)]
    })
    .unwrap();
    let interval = interval.unwrap();
    assert!(0.0 <= interval.low && interval.low < 1.0 && 1.0 < interval.high && interval.high <= 3.0);
    let [mut drawn, mut left_out] = seen.into_inner().unwrap();
    drawn.retain(|draw| *draw != [0, 1, 2, 3, 4, 5]);
    drawn.sort();
    drawn.dedup();
    assert_eq!(drawn.len(), 27, "all ways to draw three of three, besides the samples as they are");
    left_out.sort();
    assert_eq!(left_out, [vec![0, 2, 5, 1, 4], vec![0, 2, 5, 3], vec![1, 4, 3]]);
}

#[test]
fn the_bootstrap_of_a_mean_is_as_wide_as_its_standard_error() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let values: Vec<f64> = (0..200).map(|_| rng.random::<f64>()).collect();
    let own: Vec<usize> = (0..values.len()).collect();
    let mean = |drawn: &[usize]| [Some(drawn.iter().map(|&i| values[i]).sum::<f64>() / drawn.len() as f64)];
    let settings = Bootstrap { resamples: 4_000, ..Bootstrap::default() };
    let [interval] = cluster_bootstrap(&own, &settings, mean).unwrap();
    let interval = interval.unwrap();
    let [centre] = mean(&own);
    let centre = centre.unwrap();
    let variance = values.iter().map(|value| (value - centre).powi(2)).sum::<f64>() / 200.0;
    let half = 1.959_964 * (variance / 200.0).sqrt();
    // A 2.5 % quantile of 4,000 draws is itself known to about 4 % of the half width.
    assert!((centre - interval.low - half).abs() < 0.15 * half, "{interval:?}, {centre} ± {half}");
    assert!((interval.high - centre - half).abs() < 0.15 * half, "{interval:?}, {centre} ± {half}");
    assert_eq!(cluster_bootstrap(&own, &settings, mean).unwrap(), [Some(interval)], "the seed decides");
    let other = Bootstrap { seed: 1, ..settings };
    assert_ne!(cluster_bootstrap(&own, &other, mean).unwrap(), [Some(interval)]);
}

#[test]
fn what_is_mostly_undefined_has_no_interval() {
    let settings = Bootstrap { resamples: 100, ..Bootstrap::default() };
    let own: Vec<usize> = (0..50).collect();
    let said = cluster_bootstrap(&own, &settings, |_| [None, Some(1.0)]).unwrap();
    assert_eq!(said, [None, Some(malaria_metrics::Interval { low: 1.0, high: 1.0 })]);
    assert_eq!(cluster_bootstrap(&[7; 50], &settings, |_| [Some(1.0)]).unwrap(), [None]);
    let none = Bootstrap { resamples: 0, ..settings };
    assert_eq!(cluster_bootstrap(&own, &none, |_| [Some(1.0)]), Err(Error::NoResamples));
    assert_eq!(cluster_bootstrap::<u8, 1>(&[], &settings, |_| [Some(1.0)]), Err(Error::Empty));
    let beyond = Bootstrap { confidence: 1.5, ..settings };
    assert!(matches!(cluster_bootstrap(&own, &beyond, |_| [Some(1.0)]), Err(Error::OutOfRange { .. })));
}

#[test]
fn intervals_are_of_the_figures_of_a_summary() {
    // 60 patients with six cells that are all called alike: sensitivity 0.9, specificity 0.6, so that none of the
    // figures passes for another.
    let classes = ["positive".to_owned(), "negative".to_owned()];
    let patients: Vec<usize> = (0..360).map(|cell| cell / 6).collect();
    let truth: Vec<usize> = patients.iter().map(|patient| patient % 2).collect();
    let right = |patient: usize| {
        if patient.is_multiple_of(2) { !patient.is_multiple_of(20) } else { patient % 10 < 6 }
    };
    let probabilities: Vec<f64> = patients
        .iter()
        .flat_map(|&patient| {
            let p = if patient.is_multiple_of(2) == right(patient) { 0.8 } else { 0.2 };
            [p, 1.0 - p]
        })
        .collect();
    let summary = evaluate(&truth, &probabilities, &classes, 0).unwrap();
    assert_eq!((summary.sensitivity, summary.specificity), (Some(0.9), Some(0.6)));
    let by_patient = intervals(&truth, &probabilities, 2, 0, &patients, &Bootstrap::default()).unwrap();
    let cells: Vec<usize> = (0..360).collect();
    let by_cell = intervals(&truth, &probabilities, 2, 0, &cells, &Bootstrap::default()).unwrap();
    assert_eq!((by_patient.clusters, by_cell.clusters), (60, 360));
    for (clustered, single, value) in [
        (by_patient.accuracy, by_cell.accuracy, Some(0.75)),
        (by_patient.sensitivity, by_cell.sensitivity, Some(0.9)),
        (by_patient.specificity, by_cell.specificity, Some(0.6)),
        (by_patient.auc, by_cell.auc, Some(0.75)),
    ] {
        let (clustered, single, value) = (clustered.unwrap(), single.unwrap(), value.unwrap());
        assert!(clustered.low < value && value < clustered.high, "{value} outside {clustered:?}");
        // Six alike are one fact: as wide as for a sixth of the cells, which is the root of six.
        let wider = (clustered.high - clustered.low) / (single.high - single.low);
        assert!((1.9..3.0).contains(&wider), "{wider} times as wide");
    }
    let short = intervals(&truth, &probabilities, 2, 0, &patients[..7], &Bootstrap::default());
    assert!(matches!(short, Err(Error::LengthMismatch { what: "clusters", .. })));
}

#[test]
fn intervals_are_those_of_the_whole_evaluation_of_every_draw() {
    // Few distinct scores, so that many are tied; three classes; some draws hold no positive sample.
    let classes = ["a", "b", "c"].map(str::to_owned);
    let truth: Vec<usize> = (0..60).map(|i| if i < 8 { 1 } else { 2 * (i % 2) }).collect();
    let probabilities: Vec<f64> = (0..60)
        .flat_map(|i| {
            let (b, rest) = ([0.1, 0.2, 0.2, 0.5, 0.7][(i * 7 + truth[i]) % 5], [0.25, 0.6][i % 2]);
            [(1.0 - b) * rest, b, (1.0 - b) * (1.0 - rest)]
        })
        .collect();
    let patients: Vec<usize> = (0..60).map(|i| i / 4).collect();
    let settings = Bootstrap { resamples: 300, ..Bootstrap::default() };
    let found = intervals(&truth, &probabilities, 3, 1, &patients, &settings).unwrap();
    let expected = cluster_bootstrap(&patients, &settings, |drawn| {
        let truth: Vec<usize> = drawn.iter().map(|&i| truth[i]).collect();
        let rows: Vec<f64> = drawn.iter().flat_map(|&i| probabilities[3 * i..3 * i + 3].to_vec()).collect();
        let summary = evaluate(&truth, &rows, &classes, 1).unwrap();
        [Some(summary.accuracy), summary.sensitivity, summary.specificity, summary.auc]
    })
    .unwrap();
    assert_eq!([found.accuracy, found.sensitivity, found.specificity, found.auc], expected);
    assert!(expected.iter().all(|interval| interval.is_some_and(|interval| interval.low < interval.high)));
}

/// Up to sixty samples of up to four classes: their number, and the class and the call of each.
fn labels() -> impl Strategy<Value = (usize, Vec<(usize, usize)>)> {
    (2..5_usize).prop_flat_map(|classes| (Just(classes), vec((0..classes, 0..classes), 1..60)))
}

/// Truth and score of up to sixty samples, many of them tied.
fn scored() -> impl Strategy<Value = (Vec<bool>, Vec<f64>)> {
    let score = prop_oneof![(0..=8_u8).prop_map(|eighths| f64::from(eighths) / 8.0), 0.0..=1.0_f64];
    vec((any::<bool>(), score), 1..60).prop_map(|samples| samples.into_iter().unzip())
}

/// A rule that says something.
fn rule() -> impl Strategy<Value = PatientRule> {
    let correlation = prop_oneof![Just(0.0), 0.0..0.6_f64];
    (0.0..0.9_f64, 0.05..=1.0_f64, correlation, 0.5..0.999_f64, 0.001..=1.0_f64).prop_map(
        |(false_positive_rate, above, correlation, confidence, relevant_share)| PatientRule {
            sensitivity: false_positive_rate + (1.0 - false_positive_rate) * above,
            false_positive_rate,
            correlation,
            confidence,
            relevant_share,
        },
    )
}

/// How far a call is from negative.
fn rank_of(call: PatientCall) -> u8 {
    match call {
        PatientCall::Negative => 0,
        PatientCall::Undecided => 1,
        PatientCall::Positive => 2,
    }
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-9
}

/// The two shares of a fraction, or none where it has no denominator.
fn share(part: usize, whole: usize) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        rng_seed: proptest::test_runner::RngSeed::Fixed(3),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn figures_of_a_matrix_are_those_counted_by_hand((classes, samples) in labels()) {
        let (truth, predicted): (Vec<usize>, Vec<usize>) = samples.iter().copied().unzip();
        let matrix = ConfusionMatrix::from_labels(&truth, &predicted, classes).unwrap();
        let count = |wanted: &dyn Fn(usize, usize) -> bool| samples.iter().filter(|(t, p)| wanted(*t, *p)).count();
        let n = samples.len();
        for t in 0..classes {
            for p in 0..classes {
                prop_assert_eq!(matrix.get(t, p), Some(count(&|a, b| (a, b) == (t, p)) as u64));
            }
            let right = count(&|a, b| a == t && b == t);
            let (own, called) = (count(&|a, _| a == t), count(&|_, b| b == t));
            let rejected = count(&|a, b| a != t && b != t);
            let counts = matrix.one_vs_rest(t).unwrap();
            prop_assert_eq!(counts.sensitivity(), share(right, own));
            prop_assert_eq!(counts.specificity(), share(rejected, n - own));
            prop_assert_eq!(counts.ppv(), share(right, called));
            prop_assert_eq!(counts.npv(), share(rejected, n - called));
            prop_assert_eq!(counts.f1(), share(2 * right, own + called));
            prop_assert_eq!(counts.accuracy(), share(right + rejected, n));
            // As the correlation of two columns of zeros and ones.
            let (x, y) = (own as f64 / n as f64, called as f64 / n as f64);
            let deviation = (x * (1.0 - x) * y * (1.0 - y)).sqrt();
            let mcc = (deviation > 0.0).then(|| (right as f64 / n as f64 - x * y) / deviation);
            prop_assert_eq!(counts.mcc().is_some(), mcc.is_some());
            prop_assert!(counts.mcc().zip(mcc).is_none_or(|(a, b)| close(a, b)), "{:?} {mcc:?}", counts.mcc());
            // Agreement beyond that of two who call at random as often.
            let chance = x * y + (1.0 - x) * (1.0 - y);
            let agreed = (right + rejected) as f64 / n as f64;
            if let Some(kappa) = counts.cohens_kappa() {
                prop_assert!(close(kappa, (agreed - chance) / (1.0 - chance)), "{kappa}");
            }
        }
        prop_assert_eq!(matrix.accuracy(), share(count(&|t, p| t == p), n));
        let shares: Option<Vec<f64>> =
            (0..classes).map(|t| share(count(&|a, b| a == t && b == t), count(&|a, _| a == t))).collect();
        let balanced = shares.map(|shares| shares.iter().sum::<f64>() / classes as f64);
        prop_assert_eq!(matrix.balanced_accuracy().is_some(), balanced.is_some());
        prop_assert!(matrix.balanced_accuracy().zip(balanced).is_none_or(|(a, b)| close(a, b)));
    }

    #[test]
    fn average_precision_is_the_mean_precision_over_the_steps_of_recall((truth, scores) in scored()) {
        let positives = truth.iter().filter(|&&positive| positive).count();
        let mut thresholds = scores.clone();
        thresholds.sort_by(|a, b| b.total_cmp(a));
        thresholds.dedup();
        let (mut expected, mut before) = (0.0, 0);
        for threshold in thresholds {
            let called = || truth.iter().zip(&scores).filter(|(_, score)| **score >= threshold);
            let right = called().filter(|(positive, _)| **positive).count();
            expected += (right - before) as f64 / positives as f64 * right as f64 / called().count() as f64;
            before = right;
        }
        match pr_curve(&truth, &scores).unwrap() {
            Some(curve) => {
                prop_assert!(close(curve.average_precision, expected), "{} {expected}", curve.average_precision);
                prop_assert!((0.0..=1.0 + 1e-12).contains(&curve.average_precision));
            }
            None => prop_assert_eq!(positives, 0),
        }
    }

    #[test]
    fn the_auc_follows_the_order_alone_and_turns_with_it((truth, scores) in scored()) {
        let auc = |truth: &[bool], scores: &[f64]| roc_curve(truth, scores).unwrap().map(|roc| roc.auc);
        // Exact on halves and doubles, so that no ties come or go.
        let squeezed: Vec<f64> = scores.iter().map(|score| 0.5 + score / 2.0).collect();
        let distinct = |scores: &[f64]| scores.iter().map(|score| score.to_bits()).collect::<std::collections::BTreeSet<_>>().len();
        prop_assume!(distinct(&squeezed) == distinct(&scores));
        prop_assert_eq!(auc(&truth, &squeezed), auc(&truth, &scores));
        let opposite: Vec<bool> = truth.iter().map(|positive| !positive).collect();
        if let (Some(one), Some(other)) = (auc(&truth, &scores), auc(&opposite, &scores)) {
            prop_assert!(close(one + other, 1.0) && (0.0..=1.0).contains(&one), "{one} {other}");
        }
    }

    #[test]
    fn delongs_interval_holds_the_auc_and_widens_with_confidence(
        (truth, scores) in scored(),
        confidence in 0.0..1.0_f64,
    ) {
        let interval = |confidence| delong_interval(&truth, &scores, confidence).unwrap();
        if let (Some(wide), Some(narrow)) = (interval(confidence), interval(confidence / 2.0)) {
            let auc = roc_curve(&truth, &scores).unwrap().unwrap().auc;
            prop_assert!(0.0 <= wide.low && wide.low <= auc && auc <= wide.high && wide.high <= 1.0, "{wide:?} {auc}");
            prop_assert!(wide.low <= narrow.low && narrow.high <= wide.high, "{wide:?} {narrow:?}");
        }
    }

    #[test]
    fn wilsons_interval_holds_the_share_and_turns_with_it(
        (successes, trials) in (1..400_u64).prop_flat_map(|trials| (0..=trials, Just(trials))),
        confidence in 0.01..0.9999_f64,
    ) {
        let interval = |successes, trials| wilson_interval(successes, trials, confidence).unwrap().unwrap();
        let share = successes as f64 / trials as f64;
        let (one, other) = (interval(successes, trials), interval(trials - successes, trials));
        prop_assert!(0.0 <= one.low && one.low <= share && share <= one.high && one.high <= 1.0, "{one:?} {share}");
        prop_assert!(close(one.low, 1.0 - other.high) && close(one.high, 1.0 - other.low), "{one:?} {other:?}");
        let more = interval(10 * successes, 10 * trials);
        prop_assert!(more.high - more.low < one.high - one.low, "{more:?} {one:?}");
    }

    #[test]
    fn intervals_over_patients_are_ordered_and_within_bounds(
        (truth, scores) in scored(),
        patients in vec(0..9_u8, 60),
        seed in any::<u64>(),
    ) {
        let labels: Vec<usize> = truth.iter().map(|&positive| usize::from(!positive)).collect();
        let rows: Vec<f64> = scores.iter().flat_map(|&score| [score, 1.0 - score]).collect();
        let settings = Bootstrap { resamples: 60, seed, ..Bootstrap::default() };
        let found = intervals(&labels, &rows, 2, 0, &patients[..labels.len()], &settings).unwrap();
        let distinct = patients[..labels.len()].iter().collect::<std::collections::BTreeSet<_>>().len();
        prop_assert_eq!(found.clusters, distinct);
        for interval in [found.accuracy, found.sensitivity, found.specificity, found.auc].into_iter().flatten() {
            prop_assert!(0.0 <= interval.low && interval.low <= interval.high && interval.high <= 1.0, "{interval:?}");
        }
    }

    #[test]
    fn bins_divide_the_samples_and_hold_their_means((truth, scores) in scored(), bins in 1..20_usize) {
        let curve = calibration_curve(&truth, &scores, bins).unwrap();
        prop_assert_eq!(curve.iter().map(|bin| bin.count).sum::<u64>(), truth.len() as u64);
        let positives = truth.iter().filter(|&&positive| positive).count() as f64;
        prop_assert!(close(curve.iter().map(|bin| bin.positive_share * bin.count as f64).sum(), positives));
        for bin in &curve {
            let slack = 1e-12;
            prop_assert!(bin.lower - slack <= bin.mean_probability && bin.mean_probability <= bin.upper + slack, "{bin:?}");
        }
        let gap = |bin: &CalibrationBin| bin.count as f64 * (bin.mean_probability - bin.positive_share).abs();
        let expected = curve.iter().map(gap).sum::<f64>() / truth.len() as f64;
        let error = expected_calibration_error(&truth, &scores, bins).unwrap();
        prop_assert!(close(error, expected) && (0.0..=1.0).contains(&error), "{error} {expected}");
    }

    #[test]
    fn a_temperature_keeps_the_order_and_the_fitted_one_is_the_best(
        samples in vec((0..3_usize, [0.01..1.0_f64, 0.01..1.0, 0.01..1.0]), 2..30),
        other in 0.05..20.0_f64,
    ) {
        let truth: Vec<usize> = samples.iter().map(|(class, _)| *class).collect();
        let rows = samples.iter().flat_map(|(_, row)| row.map(|weight| weight / row.iter().sum::<f64>()));
        let rows: Vec<f64> = rows.collect();
        let at = |temperature| apply_temperature(&rows, 3, temperature).unwrap();
        let same = at(1.0);
        prop_assert!(same.iter().zip(&rows).all(|(a, b)| close(*a, *b)));
        for (before, after) in rows.chunks(3).zip(at(other).chunks(3)) {
            prop_assert!(close(after.iter().sum(), 1.0));
            for (a, b) in [(0, 1), (1, 2), (2, 0)] {
                prop_assert!(before[a] < before[b] || after[a] >= after[b]);
                prop_assert!(before[a] > before[b] || after[a] <= after[b]);
            }
        }
        let loss = |rows: &[f64]| log_loss(&truth, rows, 3).unwrap();
        prop_assert!(loss(&rows) >= 0.0 && brier_score(&truth, &rows, 3).unwrap() >= 0.0);
        if let Some(best) = fit_temperature(&truth, &rows, 3).unwrap() {
            prop_assert!(loss(&at(best)) <= loss(&at(other)) + 1e-9, "{best} is worse than {other}");
        }
    }

    #[test]
    fn more_positive_cells_never_make_a_patient_less_positive(rule in rule(), cells in 1..120_u64) {
        let results: Vec<_> =
            (0..=cells).map(|positive| rule.judge(Called { cells, positive }).unwrap()).collect();
        for result in &results {
            let (interval, share) = (result.interval, result.infected_share);
            prop_assert!(0.0 <= interval.low && interval.high <= 1.0, "{result:?}");
            // The call is what the interval says, but where rounding decides.
            let relevant = rule.relevant_share;
            match result.call {
                PatientCall::Positive => prop_assert!(interval.low > -1e-9, "{result:?}"),
                PatientCall::Negative => prop_assert!(interval.low < 1e-6 && interval.high < relevant + 1e-6, "{result:?}"),
                PatientCall::Undecided => prop_assert!(interval.low < 1e-6 && interval.high > relevant - 1e-6, "{result:?}"),
            }
            // Low levels, and correlations that no model has, may leave out the estimate, which is no median.
            if rule.confidence >= 0.9 && rule.correlation <= 0.2 {
                prop_assert!(interval.low <= share + 1e-9 && share <= interval.high + 1e-9, "{result:?}");
            }
        }
        for pair in results.windows(2) {
            let [fewer, more] = pair else { unreachable!() };
            prop_assert!(rank_of(fewer.call) <= rank_of(more.call), "{fewer:?} {more:?}");
            prop_assert!(fewer.infected_share <= more.infected_share);
            prop_assert!(fewer.interval.low <= more.interval.low + 1e-9, "{fewer:?} {more:?}");
            prop_assert!(fewer.interval.high <= more.interval.high + 1e-9, "{fewer:?} {more:?}");
        }
    }

    #[test]
    fn a_rule_with_more_false_alarms_never_calls_more_positive(
        rule in rule(),
        share in 0.0..=1.0_f64,
        (cells, positive) in (1..200_u64).prop_flat_map(|cells| (Just(cells), 0..=cells)),
    ) {
        let fewer = PatientRule { false_positive_rate: rule.false_positive_rate * share, ..rule };
        let call = |rule: PatientRule| rule.judge(Called { cells, positive }).unwrap().call == PatientCall::Positive;
        prop_assert!(call(fewer) || !call(rule), "{fewer:?} {rule:?}");
    }

    #[test]
    fn a_higher_power_takes_more_infected_cells(rule in rule(), cells in 1..300_u64, power in 0.01..0.99_f64) {
        let limit = |power| rule.detection_limit(cells, power).unwrap();
        match (limit(power / 2.0), limit(power)) {
            (Some(low), Some(high)) => prop_assert!(0.0 <= low && low <= high + 1e-9 && high <= 1.0, "{low} {high}"),
            (low, high) => prop_assert!(high.is_none(), "{low:?} {high:?}"),
        }
    }

    #[test]
    fn predictive_values_move_with_prevalence(
        [tp, fn_, tn, fp] in [1..50_u64, 1..50_u64, 1..50_u64, 1..50_u64],
        rarer in 0.0..=1.0_f64,
        prevalence in 0.0..=1.0_f64,
    ) {
        let counts = BinaryCounts { true_positives: tp, false_negatives: fn_, true_negatives: tn, false_positives: fp };
        let at = |prevalence| {
            (counts.ppv_at(prevalence).unwrap().unwrap(), counts.npv_at(prevalence).unwrap().unwrap())
        };
        let ((ppv, npv), (rare_ppv, rare_npv)) = (at(prevalence), at(prevalence * rarer));
        prop_assert!(rare_ppv <= ppv + 1e-12 && npv <= rare_npv + 1e-12);
        prop_assert!([ppv, npv, rare_ppv, rare_npv].iter().all(|value| (0.0..=1.0).contains(value)));
        // At the samples' own prevalence they are the shares counted.
        let own = (tp + fn_) as f64 / (tp + fn_ + tn + fp) as f64;
        prop_assert!(close(at(own).0, counts.ppv().unwrap()) && close(at(own).1, counts.npv().unwrap()));
    }
}
