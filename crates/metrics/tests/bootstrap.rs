//! Bootstrap intervals over clusters.

use malaria_metrics::{
    Bootstrap, Error, Probabilities, argmax, cluster_bootstrap, intervals, predict_at, summarise,
    summarise_predicted,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

#[test]
fn whole_clusters_are_resampled() {
    let clusters = ["a", "b", "a", "c", "b", "a"];
    let settings = Bootstrap { resamples: 500, ..Bootstrap::default() };
    let seen = std::sync::Mutex::new([const { Vec::new() }; 2]);
    let [interval] = cluster_bootstrap(&clusters, &settings, |drawn| {
        let count = |of: &str| drawn.iter().filter(|&&i| clusters[i] == of).count();
        let (a, b, c) = (count("a"), count("b"), count("c"));
        assert!(a % 3 == 0 && b % 2 == 0, "{drawn:?}");
        // Three of three clusters are drawn, or one is left out for the jackknife.
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
    assert_eq!(drawn.len(), 27, "all ways to draw three of three, except the original samples");
    left_out.sort();
    assert_eq!(left_out, [vec![0, 2, 5, 1, 4], vec![0, 2, 5, 3], vec![1, 4, 3]]);
}

#[test]
fn the_interval_of_a_mean_agrees_with_its_standard_error() {
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
    // The standard error of a 2.5 % quantile of 4,000 draws is about 4 % of the half width.
    assert!((centre - interval.low - half).abs() < 0.15 * half, "{interval:?}, {centre} ± {half}");
    assert!((interval.high - centre - half).abs() < 0.15 * half, "{interval:?}, {centre} ± {half}");
    assert_eq!(cluster_bootstrap(&own, &settings, mean).unwrap(), [Some(interval)], "the seed decides");
    let other = Bootstrap { seed: 1, ..settings };
    assert_ne!(cluster_bootstrap(&own, &other, mean).unwrap(), [Some(interval)]);
}

#[test]
fn mostly_undefined_or_constant_metrics_have_no_interval() {
    let settings = Bootstrap { resamples: 100, ..Bootstrap::default() };
    let own: Vec<usize> = (0..50).collect();
    let found = cluster_bootstrap(&own, &settings, |_| [None, Some(1.0)]).unwrap();
    assert_eq!(found, [None, None]);
    assert_eq!(cluster_bootstrap(&[7; 50], &settings, |_| [Some(1.0)]).unwrap(), [None]);
    let none = Bootstrap { resamples: 0, ..settings };
    assert_eq!(cluster_bootstrap(&own, &none, |_| [Some(1.0)]), Err(Error::NoResamples));
    assert_eq!(cluster_bootstrap::<u8, 1>(&[], &settings, |_| [Some(1.0)]), Err(Error::Empty));
    let beyond = Bootstrap { confidence: 1.5, ..settings };
    assert!(matches!(cluster_bootstrap(&own, &beyond, |_| [Some(1.0)]), Err(Error::OutOfRange { .. })));
}

#[test]
fn intervals_belong_to_the_metrics_of_a_summary() {
    // 60 patients with six cells each and identical calls within a patient: sensitivity 0.9, specificity 0.6, so that no
    // metric equals another.
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
    let summary = summarise(&truth, &probabilities, &classes, 0).unwrap();
    assert_eq!((summary.sensitivity, summary.specificity), (Some(0.9), Some(0.6)));
    let predicted: Vec<usize> = probabilities.chunks(2).map(argmax).collect();
    let by_patient = intervals(
        &truth,
        Probabilities::new(&probabilities, 2),
        &predicted,
        0,
        &patients,
        &Bootstrap::default(),
    )
    .unwrap();
    let cells: Vec<usize> = (0..360).collect();
    let by_cell = intervals(
        &truth,
        Probabilities::new(&probabilities, 2),
        &predicted,
        0,
        &cells,
        &Bootstrap::default(),
    )
    .unwrap();
    assert_eq!((by_patient.clusters, by_cell.clusters), (60, 360));
    for (clustered, single, value) in [
        (by_patient.accuracy, by_cell.accuracy, Some(0.75)),
        (by_patient.sensitivity, by_cell.sensitivity, Some(0.9)),
        (by_patient.specificity, by_cell.specificity, Some(0.6)),
        (by_patient.auc, by_cell.auc, Some(0.75)),
    ] {
        let (clustered, single, value) = (clustered.unwrap(), single.unwrap(), value.unwrap());
        assert!(clustered.low < value && value < clustered.high, "{value} outside {clustered:?}");
        // Six identical cells count as one, so the interval is wider by the square root of six.
        let wider = (clustered.high - clustered.low) / (single.high - single.low);
        assert!((1.9..3.0).contains(&wider), "{wider} times as wide");
    }
    let short = intervals(
        &truth,
        Probabilities::new(&probabilities, 2),
        &predicted,
        0,
        &patients[..7],
        &Bootstrap::default(),
    );
    assert!(matches!(short, Err(Error::LengthMismatch { what: "clusters", .. })));
}

#[test]
fn intervals_equal_evaluating_every_resample() {
    // Few distinct scores, so that many are tied; three classes; some resamples have no positive sample.
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
    let argmax_classes: Vec<usize> = probabilities.chunks(3).map(argmax).collect();
    let found =
        intervals(&truth, Probabilities::new(&probabilities, 3), &argmax_classes, 1, &patients, &settings)
            .unwrap();
    let expected = cluster_bootstrap(&patients, &settings, |drawn| {
        let truth: Vec<usize> = drawn.iter().map(|&i| truth[i]).collect();
        let rows: Vec<f64> = drawn.iter().flat_map(|&i| probabilities[3 * i..3 * i + 3].to_vec()).collect();
        let summary = summarise(&truth, &rows, &classes, 1).unwrap();
        [summary.accuracy, summary.sensitivity, summary.specificity, summary.auc]
    })
    .unwrap();
    assert_eq!([found.accuracy, found.sensitivity, found.specificity, found.auc], expected);

    // The same with the classes predicted at a threshold.
    let predicted: Vec<usize> = probabilities.chunks(3).map(|row| predict_at(row, 1, 0.2)).collect();
    let at = intervals(&truth, Probabilities::new(&probabilities, 3), &predicted, 1, &patients, &settings)
        .unwrap();
    let at_threshold = cluster_bootstrap(&patients, &settings, |drawn| {
        let rows: Vec<f64> = drawn.iter().flat_map(|&i| probabilities[3 * i..3 * i + 3].to_vec()).collect();
        let [truth, predicted] =
            [&truth, &predicted].map(|all| drawn.iter().map(|&i| all[i]).collect::<Vec<usize>>());
        let at = summarise_predicted(&truth, &rows, &predicted, &classes, 1).unwrap();
        [at.accuracy, at.sensitivity, at.specificity, at.auc]
    })
    .unwrap();
    assert_eq!([at.accuracy, at.sensitivity, at.specificity, at.auc], at_threshold);
    assert_ne!(at.sensitivity, found.sensitivity);
    let short =
        intervals(&truth, Probabilities::new(&probabilities, 3), &predicted[1..], 1, &patients, &settings);
    assert!(matches!(short, Err(Error::LengthMismatch { what: "predictions", .. })));

    assert!(expected.iter().all(|interval| interval.is_some_and(|interval| interval.low < interval.high)));
}
