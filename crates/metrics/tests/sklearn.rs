//! Every metric against scikit-learn's (SciPy's for intervals), on random and degenerate predictions.
//! `fixtures/generate.py` writes the references.

use malaria_metrics::{
    Average, AverageScores, BinaryCounts, ClassScores, ConfusionMatrix, Discrimination, Probabilities,
    Summary, brier_score, calibration_curve, classification_report, expected_calibration_error, log_loss,
    one_vs_rest, pr_curve, predict_at, roc_curve, summarise, summarise_predicted, wilson_interval,
};
use serde::Deserialize;

const TOLERANCE: f64 = 1e-12;
const PREVALENCES: [f64; 5] = [0.0, 0.001, 0.05, 0.5, 1.0];

#[derive(Deserialize)]
struct Case {
    name: String,
    truth: Vec<usize>,
    classes: usize,
    positive: usize,
    probabilities: Vec<f64>,
    matrix: Matrix,
    binary: Binary,
    at_thresholds: Vec<Thresholded>,
    curves: Curves,
    calibration: Vec<Calibration>,
    log_loss: f64,
    brier: f64,
}

#[derive(Deserialize)]
struct Matrix {
    confusion: ConfusionMatrix,
    accuracy: Option<f64>,
    balanced_accuracy: Option<f64>,
    mcc: Option<f64>,
    cohens_kappa: Option<f64>,
    by_class: ByClass,
    micro: AverageScores,
    #[serde(rename = "macro")]
    macro_: AverageScores,
    weighted: AverageScores,
}

#[derive(Deserialize)]
struct ByClass {
    precision: Vec<Option<f64>>,
    recall: Vec<Option<f64>>,
    f1: Vec<Option<f64>>,
    support: Vec<u64>,
}

#[derive(Deserialize)]
struct Binary {
    accuracy: Option<f64>,
    balanced_accuracy: Option<f64>,
    mcc: Option<f64>,
    cohens_kappa: Option<f64>,
    sensitivity: Option<f64>,
    specificity: Option<f64>,
    ppv: Option<f64>,
    npv: Option<f64>,
    f1: Option<f64>,
    youdens_j: Option<f64>,
    positive_likelihood_ratio: Option<f64>,
    negative_likelihood_ratio: Option<f64>,
    ppv_at: [Option<f64>; PREVALENCES.len()],
    npv_at: [Option<f64>; PREVALENCES.len()],
}

#[derive(Deserialize)]
struct Thresholded {
    threshold: f64,
    binary: Binary,
}

#[derive(Deserialize)]
struct Curves {
    auc: Option<f64>,
    average_precision: Option<f64>,
    roc: Option<Roc>,
    pr: Option<Pr>,
}

#[derive(Deserialize)]
struct Roc {
    fpr: Vec<f64>,
    tpr: Vec<f64>,
    thresholds: Vec<f64>,
}

#[derive(Deserialize)]
struct Pr {
    precision: Vec<f64>,
    recall: Vec<f64>,
    thresholds: Vec<f64>,
}

#[derive(Deserialize)]
struct Calibration {
    bins: usize,
    positive_shares: Vec<f64>,
    mean_probabilities: Vec<f64>,
    error: f64,
}

impl Case {
    fn class_names(&self) -> Vec<String> {
        (0..self.classes).map(|class| format!("class {class}")).collect()
    }

    fn summary(&self) -> Summary {
        summarise(&self.truth, &self.probabilities, &self.class_names(), self.positive).unwrap()
    }

    fn binary(&self) -> (Vec<bool>, Vec<f64>) {
        one_vs_rest(&self.truth, Probabilities::new(&self.probabilities, self.classes), self.positive)
            .unwrap()
    }
}

fn cases() -> Vec<Case> {
    let cases: Vec<Case> = serde_json::from_str(include_str!("fixtures/metrics.json")).unwrap();
    assert!(cases.len() > 30);
    cases
}

#[track_caller]
fn same(case: &str, metric: &str, ours: impl Into<Option<f64>>, theirs: impl Into<Option<f64>>) {
    let (ours, theirs) = (ours.into(), theirs.into());
    let equal = match (ours, theirs) {
        (Some(ours), Some(theirs)) => (ours - theirs).abs() <= TOLERANCE * theirs.abs().max(1.0),
        (None, None) => true,
        _ => false,
    };
    assert!(equal, "{case}: {metric} is {ours:?}, expected {theirs:?}");
}

#[track_caller]
fn all_same(case: &str, metric: &str, ours: impl IntoIterator<Item = f64>, theirs: &[f64]) {
    let ours = Vec::from_iter(ours);
    assert_eq!(ours.len(), theirs.len(), "{case}: {metric} has another length");
    ours.iter().zip(theirs).for_each(|(&ours, &theirs)| same(case, metric, ours, theirs));
}

#[track_caller]
fn same_binary(case: &str, ours: &BinaryCounts, theirs: &Binary) {
    same(case, "accuracy", ours.accuracy(), theirs.accuracy);
    same(case, "balanced accuracy", ours.balanced_accuracy(), theirs.balanced_accuracy);
    same(case, "MCC", ours.mcc(), theirs.mcc);
    same(case, "kappa", ours.cohens_kappa(), theirs.cohens_kappa);
    same(case, "sensitivity", ours.sensitivity(), theirs.sensitivity);
    same(case, "specificity", ours.specificity(), theirs.specificity);
    same(case, "PPV", ours.ppv(), theirs.ppv);
    same(case, "NPV", ours.npv(), theirs.npv);
    same(case, "F1", ours.f1(), theirs.f1);
    same_discrimination(case, ours.discrimination(), theirs);
    for (i, prevalence) in PREVALENCES.into_iter().enumerate() {
        same(case, &format!("PPV at {prevalence}"), ours.ppv_at(prevalence).unwrap(), theirs.ppv_at[i]);
        same(case, &format!("NPV at {prevalence}"), ours.npv_at(prevalence).unwrap(), theirs.npv_at[i]);
    }
}

#[track_caller]
fn same_discrimination(case: &str, ours: Discrimination, theirs: &Binary) {
    same(case, "Youden's J", ours.youdens_j, theirs.youdens_j);
    same(case, "LR+", ours.positive_likelihood_ratio, theirs.positive_likelihood_ratio);
    same(case, "LR-", ours.negative_likelihood_ratio, theirs.negative_likelihood_ratio);
}

#[test]
fn matrix_metrics_match_sklearn() {
    for case in cases() {
        let (name, theirs) = (&case.name, &case.matrix);
        let Summary { confusion: ours, averages, .. } = case.summary();
        assert_eq!(ours, theirs.confusion, "{name}");
        same(name, "accuracy", ours.accuracy(), theirs.accuracy);
        same(name, "balanced accuracy", ours.balanced_accuracy(), theirs.balanced_accuracy);
        same(name, "MCC", ours.mcc(), theirs.mcc);
        same(name, "kappa", ours.cohens_kappa(), theirs.cohens_kappa);
        for (class, &ClassScores { precision, recall, f1, support }) in ours.class_scores().iter().enumerate()
        {
            same(name, &format!("precision of {class}"), precision, theirs.by_class.precision[class]);
            same(name, &format!("recall of {class}"), recall, theirs.by_class.recall[class]);
            same(name, &format!("F1 of {class}"), f1, theirs.by_class.f1[class]);
            assert_eq!(support, theirs.by_class.support[class], "{name}");
        }
        for (average, theirs) in [
            (Average::Micro, theirs.micro),
            (Average::Macro, theirs.macro_),
            (Average::Weighted, theirs.weighted),
        ] {
            let ours = ours.average_scores(average);
            assert_eq!(averages[&average], ours, "{name}");
            same(name, &format!("{average:?} precision"), ours.precision, theirs.precision);
            same(name, &format!("{average:?} recall"), ours.recall, theirs.recall);
            same(name, &format!("{average:?} F1"), ours.f1, theirs.f1);
        }
    }
}

#[test]
fn metrics_of_the_positive_class_match_sklearn() {
    for case in cases() {
        let by_argmax = BinaryCounts::of_class(&case.summary().confusion, case.positive).unwrap();
        same_binary(&case.name, &by_argmax, &case.binary);
        let (truth, scores) = case.binary();
        for Thresholded { threshold, binary } in &case.at_thresholds {
            let name = format!("{} at {threshold}", case.name);
            same_binary(&name, &BinaryCounts::at_threshold(&truth, &scores, *threshold).unwrap(), binary);
        }
    }
}

#[test]
fn the_summary_matches_sklearn() {
    for case in cases() {
        let (name, ours) = (&case.name, case.summary());
        assert_eq!((ours.n, &ours.classes), (case.truth.len(), &case.class_names()), "{name}");
        assert_eq!(ours.positive_class, format!("class {}", case.positive), "{name}");
        same(name, "accuracy", ours.accuracy, case.matrix.accuracy);
        same(name, "balanced accuracy", ours.balanced_accuracy, case.matrix.balanced_accuracy);
        same(name, "MCC", ours.mcc, case.matrix.mcc);
        same(name, "sensitivity", ours.sensitivity, case.binary.sensitivity);
        same(name, "specificity", ours.specificity, case.binary.specificity);
        same(name, "PPV", ours.ppv, case.binary.ppv);
        same(name, "NPV", ours.npv, case.binary.npv);
        same(name, "F1", ours.f1, case.binary.f1);
        same_discrimination(name, ours.discrimination, &case.binary);
        same(name, "AUC", ours.auc, case.curves.auc);
        same(name, "average precision", ours.average_precision, case.curves.average_precision);
        same(name, "log loss", ours.log_loss, case.log_loss);
        same(name, "Brier score", ours.brier, case.brier);
        same(name, "accuracy by argmax", ours.accuracy_argmax, case.matrix.accuracy);

        for Thresholded { threshold, binary } in &case.at_thresholds {
            let (probabilities, classes) = (&case.probabilities, case.class_names());
            let at = |row: &[f64]| predict_at(row, case.positive, *threshold);
            let predicted: Vec<usize> = probabilities.chunks(classes.len()).map(at).collect();
            let ours =
                summarise_predicted(&case.truth, probabilities, &predicted, &classes, case.positive).unwrap();
            same(name, "accuracy by argmax", ours.accuracy_argmax, case.matrix.accuracy);
            if classes.len() == 2 {
                same(name, "accuracy at a threshold", ours.accuracy, binary.accuracy);
            }
            same(name, "sensitivity at a threshold", ours.sensitivity, binary.sensitivity);
            same(name, "specificity at a threshold", ours.specificity, binary.specificity);
            same(name, "PPV at a threshold", ours.ppv, binary.ppv);
            same(name, "NPV at a threshold", ours.npv, binary.npv);
            same_discrimination(name, ours.discrimination, binary);
        }
    }
}

#[test]
fn log_loss_and_brier_score_match_sklearn() {
    for case in cases() {
        let (truth, probabilities, classes) = (&case.truth, &case.probabilities, case.classes);
        same(
            &case.name,
            "log loss",
            log_loss(truth, Probabilities::new(probabilities, classes)).unwrap(),
            case.log_loss,
        );
        same(
            &case.name,
            "Brier score",
            brier_score(truth, Probabilities::new(probabilities, classes)).unwrap(),
            case.brier,
        );
    }
}

#[test]
fn roc_and_precision_recall_curves_match_sklearn() {
    let (mut roc_curves, mut pr_curves) = (0, 0);
    for case in cases() {
        let name = &case.name;
        let (truth, scores) = case.binary();
        let (roc, pr) = (roc_curve(&truth, &scores).unwrap(), pr_curve(&truth, &scores).unwrap());
        same(name, "AUC", roc.as_ref().map(|roc| roc.auc), case.curves.auc);
        let average_precision = pr.as_ref().map(|pr| pr.average_precision);
        same(name, "average precision", average_precision, case.curves.average_precision);

        if let Some(theirs) = &case.curves.roc {
            roc_curves += 1;
            let ours = roc.unwrap().points;
            all_same(
                name,
                "false positive rate",
                ours.iter().map(|point| point.false_positive_rate),
                &theirs.fpr,
            );
            all_same(
                name,
                "true positive rate",
                ours.iter().map(|point| point.true_positive_rate),
                &theirs.tpr,
            );
            assert_eq!(ours[0].threshold, f64::INFINITY);
            all_same(name, "threshold", ours[1..].iter().map(|point| point.threshold), &theirs.thresholds);
        }
        if let Some(theirs) = &case.curves.pr {
            pr_curves += 1;
            let ours = pr.unwrap().points;
            all_same(name, "precision", ours.iter().map(|point| point.precision), &theirs.precision);
            all_same(name, "recall", ours.iter().map(|point| point.recall), &theirs.recall);
            let (last, rest) = ours.split_last().unwrap();
            assert_eq!(last.threshold, f64::INFINITY);
            all_same(name, "threshold", rest.iter().map(|point| point.threshold), &theirs.thresholds);
        }
    }
    assert!(
        roc_curves > 15 && pr_curves > 15,
        "{roc_curves} ROC and {pr_curves} precision-recall curves compared"
    );
}

#[test]
fn calibration_curves_match_sklearn() {
    for case in cases() {
        let (truth, scores) = case.binary();
        for Calibration { bins, positive_shares, mean_probabilities, error } in &case.calibration {
            let name = format!("{} in {bins} bins", case.name);
            let ours = calibration_curve(&truth, &scores, *bins).unwrap();
            all_same(&name, "positive share", ours.iter().map(|bin| bin.positive_share), positive_shares);
            all_same(
                &name,
                "mean probability",
                ours.iter().map(|bin| bin.mean_probability),
                mean_probabilities,
            );
            assert_eq!(ours.iter().map(|bin| bin.count).sum::<u64>(), truth.len() as u64, "{name}");
            same(&name, "error", expected_calibration_error(&truth, &scores, *bins).unwrap(), *error);
        }
    }
}

#[test]
fn reports_match_sklearn_to_the_character() {
    #[derive(Deserialize)]
    struct Report {
        truth: Option<Vec<usize>>,
        predicted: Option<Vec<usize>>,
        confusion: Option<ConfusionMatrix>,
        names: Vec<String>,
        labels: Option<Vec<usize>>,
        report: String,
    }
    let cases: Vec<Report> = serde_json::from_str(include_str!("fixtures/reports.json")).unwrap();
    assert!(cases.len() > 40);
    for case in cases {
        let matrix = case.confusion.unwrap_or_else(|| {
            ConfusionMatrix::from_labels(&case.truth.unwrap(), &case.predicted.unwrap(), case.names.len())
                .unwrap()
        });
        let report = classification_report(&matrix, &case.names, case.labels.as_deref()).unwrap();
        assert_eq!(report, case.report, "\nours:\n{report}\ntheirs:\n{}", case.report);
    }
}

#[test]
fn wilson_intervals_match_scipy() {
    let rows: Vec<(u64, u64, f64, f64, f64)> =
        serde_json::from_str(include_str!("fixtures/intervals.json")).unwrap();
    assert!(rows.len() > 90);
    for (successes, trials, confidence, low, high) in rows {
        let name = format!("{successes} of {trials} at {confidence}");
        let ours = wilson_interval(successes, trials, confidence).unwrap().unwrap();
        same(&name, "low", ours.low, low);
        same(&name, "high", ours.high, high);
    }
}
