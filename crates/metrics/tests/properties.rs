//! Properties of the metrics for arbitrary predictions.

use malaria_metrics::{
    BinaryCounts, Bootstrap, CalibrationBin, ConfusionMatrix, Probabilities, apply_temperature, argmax,
    brier_score, calibration_curve, delong_interval, expected_calibration_error, fit_temperature, intervals,
    log_loss, pr_curve, roc_curve, wilson_interval,
};
use proptest::collection::vec;
use proptest::prelude::{
    Just, ProptestConfig, Strategy, any, prop_assert, prop_assert_eq, prop_assume, prop_oneof, proptest,
};

/// The number of classes, up to four, and the true and predicted class of up to sixty samples.
fn labels() -> impl Strategy<Value = (usize, Vec<(usize, usize)>)> {
    (2..5_usize).prop_flat_map(|classes| (Just(classes), vec((0..classes, 0..classes), 1..60)))
}

/// Truth and scores of up to sixty samples, many of them tied.
fn scored() -> impl Strategy<Value = (Vec<bool>, Vec<f64>)> {
    let score = prop_oneof![(0..=8_u8).prop_map(|eighths| f64::from(eighths) / 8.0), 0.0..=1.0_f64];
    vec((any::<bool>(), score), 1..60).prop_map(|samples| samples.into_iter().unzip())
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-9
}

/// A fraction, `None` where the denominator is 0.
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
    fn metrics_of_a_matrix_equal_direct_counts((classes, samples) in labels()) {
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
            let counts = BinaryCounts::of_class(&matrix, t).unwrap();
            prop_assert_eq!(counts.sensitivity(), share(right, own));
            prop_assert_eq!(counts.specificity(), share(rejected, n - own));
            prop_assert_eq!(counts.ppv(), share(right, called));
            prop_assert_eq!(counts.npv(), share(rejected, n - called));
            prop_assert_eq!(counts.f1(), share(2 * right, own + called));
            prop_assert_eq!(counts.accuracy(), share(right + rejected, n));
            // The correlation of two columns of zeros and ones.
            let (x, y) = (own as f64 / n as f64, called as f64 / n as f64);
            let deviation = (x * (1.0 - x) * y * (1.0 - y)).sqrt();
            let mcc = (deviation > 0.0).then(|| (right as f64 / n as f64 - x * y) / deviation);
            prop_assert_eq!(counts.mcc().is_some(), mcc.is_some());
            prop_assert!(counts.mcc().zip(mcc).is_none_or(|(a, b)| close(a, b)), "{:?} {mcc:?}", counts.mcc());
            // Agreement beyond that of random calls with the same frequencies.
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
    fn the_auc_depends_on_the_order_alone((truth, scores) in scored()) {
        let auc = |truth: &[bool], scores: &[f64]| roc_curve(truth, scores).unwrap().map(|roc| roc.auc);
        // Skips scores whose ties change through rounding.
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
    fn delongs_interval_contains_the_auc_and_widens_with_confidence(
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
    fn wilsons_interval_contains_the_share_and_is_symmetric(
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
        let predicted: Vec<usize> = rows.chunks(2).map(argmax).collect();
        let found = intervals(&labels, Probabilities::new(&rows, 2), &predicted, 0, &patients[..labels.len()], &settings).unwrap();
        let distinct = patients[..labels.len()].iter().collect::<std::collections::BTreeSet<_>>().len();
        prop_assert_eq!(found.clusters, distinct);
        for interval in [found.accuracy, found.sensitivity, found.specificity, found.auc].into_iter().flatten() {
            prop_assert!(0.0 <= interval.low && interval.low <= interval.high && interval.high <= 1.0, "{interval:?}");
        }
    }

    #[test]
    fn bins_partition_the_samples((truth, scores) in scored(), bins in 1..20_usize) {
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
        let at = |temperature| apply_temperature(Probabilities::new(&rows, 3), temperature).unwrap();
        let same = at(1.0);
        prop_assert!(same.iter().zip(&rows).all(|(a, b)| close(*a, *b)));
        for (before, after) in rows.chunks(3).zip(at(other).chunks(3)) {
            prop_assert!(close(after.iter().sum(), 1.0));
            for (a, b) in [(0, 1), (1, 2), (2, 0)] {
                prop_assert!(before[a] < before[b] || after[a] >= after[b]);
                prop_assert!(before[a] > before[b] || after[a] <= after[b]);
            }
        }
        let loss = |rows: &[f64]| log_loss(&truth, Probabilities::new(rows, 3)).unwrap();
        prop_assert!(loss(&rows) >= 0.0 && brier_score(&truth, Probabilities::new(&rows, 3)).unwrap() >= 0.0);
        if let Some(best) = fit_temperature(&truth, Probabilities::new(&rows, 3)).unwrap() {
            prop_assert!(loss(&at(best)) <= loss(&at(other)) + 1e-9, "{best} is worse than {other}");
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
        // At the samples' own prevalence they equal the counted shares.
        let own = (tp + fn_) as f64 / (tp + fn_ + tn + fp) as f64;
        prop_assert!(close(at(own).0, counts.ppv().unwrap()) && close(at(own).1, counts.npv().unwrap()));
    }
}
