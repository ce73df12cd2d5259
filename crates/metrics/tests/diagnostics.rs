//! DeLong's interval, temperature scaling, correlation within patients and the label audit against SciPy, cleanlab and the definitions.
//! `fixtures/diagnostics.py` writes the references.

use malaria_metrics::{
    CellCounts, Interval, Probabilities, apply_temperature, delong_interval, fit_temperature,
    intra_patient_correlation, label_audit, log_loss,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Reference {
    delong: Vec<DeLong>,
    temperature: Vec<Temperature>,
    correlations: Vec<Correlation>,
    audits: Vec<Audit>,
}

#[derive(Deserialize)]
struct DeLong {
    truth: Vec<bool>,
    scores: Vec<f64>,
    confidence: f64,
    interval: [f64; 2],
}

#[derive(Deserialize)]
struct Temperature {
    truth: Vec<usize>,
    classes: usize,
    probabilities: Vec<f64>,
    temperature: f64,
    loss: f64,
    calibrated: Vec<f64>,
}

#[derive(Deserialize)]
struct Correlation {
    cells: Vec<u64>,
    positive: Vec<u64>,
    correlation: f64,
}

#[derive(Deserialize)]
struct Audit {
    truth: Vec<usize>,
    classes: usize,
    probabilities: Vec<f64>,
    found: Vec<usize>,
}

fn reference() -> Reference {
    serde_json::from_str(include_str!("fixtures/diagnostics.json")).unwrap()
}

#[track_caller]
fn same(what: &str, ours: f64, theirs: f64, tolerance: f64) {
    assert!((ours - theirs).abs() <= tolerance, "{what}: {ours}, expected {theirs}");
}

#[track_caller]
fn same_interval(what: &str, ours: Interval, theirs: [f64; 2], tolerance: f64) {
    same(&format!("{what}, low"), ours.low, theirs[0], tolerance);
    same(&format!("{what}, high"), ours.high, theirs[1], tolerance);
}

#[test]
fn delong_intervals_match_the_definition() {
    for DeLong { truth, scores, confidence, interval } in reference().delong {
        let ours = delong_interval(&truth, &scores, confidence).unwrap().unwrap();
        same_interval(&format!("{} samples at {confidence}", truth.len()), ours, interval, 1e-12);
    }
}

#[test]
fn areas_with_zero_variance_have_no_delong_interval() {
    assert_eq!(delong_interval(&[true, false, false], &[0.9, 0.1, 0.2], 0.95).unwrap(), None);
    assert_eq!(delong_interval(&[true, true], &[0.9, 0.1], 0.95).unwrap(), None);
    // Perfectly separated classes.
    assert_eq!(delong_interval(&[true, true, false, false], &[0.9, 0.8, 0.1, 0.2], 0.95).unwrap(), None);
}

#[test]
fn temperatures_match_scipy() {
    for case in reference().temperature {
        let found = fit_temperature(&case.truth, Probabilities::new(&case.probabilities, case.classes))
            .unwrap()
            .unwrap();
        // SciPy compares values, which locates a minimum only to the square root of the rounding error.
        same("temperature", found, case.temperature, 1e-6 * case.temperature);
        let calibrated =
            apply_temperature(Probabilities::new(&case.probabilities, case.classes), found).unwrap();
        let loss = log_loss(&case.truth, Probabilities::new(&calibrated, case.classes)).unwrap();
        same("loss", loss, case.loss, 1e-12);
        for (ours, theirs) in calibrated.iter().zip(case.calibrated) {
            same("probability", *ours, theirs, 1e-6);
        }
    }
}

#[test]
fn there_is_no_temperature_where_a_more_extreme_one_is_always_better() {
    let right = [0.9, 0.1, 0.2, 0.8];
    assert_eq!(fit_temperature(&[0, 1], Probabilities::new(&right, 2)).unwrap(), None);
    assert_eq!(fit_temperature(&[1, 0], Probabilities::new(&right, 2)).unwrap(), None);
    assert!(
        fit_temperature(&[0, 1, 1], Probabilities::new(&[1.0, 0.0, 0.2, 0.8, 0.9, 0.1], 2))
            .unwrap()
            .is_some()
    );
    let unchanged = apply_temperature(Probabilities::new(&[0.25, 0.75], 2), 1.0).unwrap();
    same("probability", unchanged[0], 0.25, 1e-15);
    same("probability", unchanged[1], 0.75, 1e-15);
    for wrong in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(apply_temperature(Probabilities::new(&[0.25, 0.75], 2), wrong).is_err(), "{wrong}");
    }
}

#[test]
fn correlations_match_the_analysis_of_variance() {
    for Correlation { cells, positive, correlation } in reference().correlations {
        let patients: Vec<CellCounts> =
            cells.iter().zip(&positive).map(|(&cells, &positive)| CellCounts { cells, positive }).collect();
        same("correlation", intra_patient_correlation(&patients).unwrap(), correlation, 1e-12);
    }
    let alike = [CellCounts { cells: 9, positive: 0 }, CellCounts { cells: 4, positive: 0 }];
    assert_eq!(intra_patient_correlation(&alike), Some(0.0));
    let opposite = [CellCounts { cells: 9, positive: 9 }, CellCounts { cells: 4, positive: 0 }];
    assert_eq!(intra_patient_correlation(&opposite), Some(1.0));
    assert_eq!(intra_patient_correlation(&alike[..1]), None);
    assert_eq!(
        intra_patient_correlation(&[
            CellCounts { cells: 1, positive: 1 },
            CellCounts { cells: 1, positive: 0 }
        ]),
        None
    );
}

#[test]
fn suspect_labels_match_cleanlab() {
    let audits = reference().audits;
    assert!(audits.iter().all(|audit| !audit.found.is_empty()));
    for Audit { truth, classes, probabilities, found } in audits {
        let ours = label_audit(&truth, Probabilities::new(&probabilities, classes)).unwrap();
        assert_eq!(ours.iter().map(|suspect| suspect.sample).collect::<Vec<_>>(), found);
        assert!(ours.iter().all(|suspect| suspect.labelled == truth[suspect.sample]));
    }
}
