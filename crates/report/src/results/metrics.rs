//! The metrics of a test set as text and tables.

use malaria_classifier::{Assessment, DecisionRule, PatientMean};
use malaria_metrics::{Average, AverageScores, Interval, Summary, decimal, percent};

use super::words::{Show, between, table, with};
use crate::page::{Block, Section, Tile};

/// The section of headline metrics.
pub(super) fn section(metrics: &Summary, assessment: &Assessment, rule: &DecisionRule) -> Section {
    let rows = headlines(metrics, assessment);
    let tiles = rows.iter().map(|row| Tile {
        name: row.name.to_owned(),
        label: row.label.to_owned(),
        value: (row.show)(row.value),
        exact: row.value,
        note: row.over_patients.map(|interval| between(interval, row.show)).unwrap_or_default(),
    });
    let over = match assessment.n_patients {
        0 => "cells".to_owned(),
        number => format!("{number} patients"),
    };
    let words = format!(
        "{} is the positive class. {} The 95 % intervals are from a bootstrap over {over}.",
        metrics.positive_class,
        rule.note(&metrics.positive_class),
    );
    let mut blocks = vec![Block::Tiles(tiles.collect()), Block::Text(words)];
    blocks.push(table(
        &["Metric", "Value", "95 % interval over patients", "95 % interval if cells were independent"],
        rows.iter().map(|row| {
            let [patients, cells] =
                [row.over_patients, row.over_cells].map(|interval| row.interval(interval));
            vec![row.label.to_owned(), (row.show)(row.value), patients, cells]
        }),
    ));
    Section { id: "metrics", heading: "Metrics".to_owned(), blocks }
}

/// The section of all other metrics.
pub(super) fn other(metrics: &Summary, assessment: &Assessment) -> Section {
    let by_patient = |of: PatientMean| with(of.mean, of.interval);
    let rows = [
        ("Accuracy by the most probable class", percent(metrics.accuracy_argmax)),
        ("Positive predictive value", percent(metrics.ppv)),
        ("Negative predictive value", percent(metrics.npv)),
        ("F1", percent(metrics.f1)),
        ("Balanced accuracy", percent(metrics.balanced_accuracy)),
        ("Youden's J", decimal(metrics.discrimination.youdens_j)),
        ("Positive likelihood ratio", ratio(metrics.discrimination.positive_likelihood_ratio)),
        ("Negative likelihood ratio", ratio(metrics.discrimination.negative_likelihood_ratio)),
        ("Matthews correlation", decimal(metrics.mcc)),
        ("Cohen's kappa", decimal(metrics.cohens_kappa)),
        ("Average precision", decimal(metrics.average_precision)),
        ("Log loss", decimal(Some(metrics.log_loss))),
        ("Brier score", decimal(Some(metrics.brier))),
        ("Calibration error", percent(Some(assessment.calibration_error))),
        ("Sensitivity, mean over patients", by_patient(assessment.sensitivity_by_patient)),
        ("Specificity, mean over patients", by_patient(assessment.specificity_by_patient)),
        ("Cells", metrics.n.to_string()),
    ];
    let rows = rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]);
    let blocks = vec![table(&["Metric", "Value"], rows)];
    Section { id: "other-metrics", heading: "Other metrics".to_owned(), blocks }
}

/// The section of predictive values at low prevalence.
pub(super) fn predictive_values(metrics: &Summary, assessment: &Assessment) -> Section {
    let words = format!(
        "Predictive values where few cells are infected, as in a smear (here {} are):",
        percent(positive_share(metrics))
    );
    let rows = assessment.at_prevalence.iter().map(|at| {
        vec![percent(Some(at.prevalence)), with(at.ppv, at.ppv_interval), with(at.npv, at.npv_interval)]
    });
    let head = ["Infected cells", "Positive predictive value", "Negative predictive value"];
    let blocks = vec![Block::Text(words), table(&head, rows)];
    Section { id: "predictive-values", heading: "Predictive values".to_owned(), blocks }
}

/// Precision, recall and F1 of each class and over the classes.
pub(super) fn by_class(metrics: &Summary) -> Section {
    let row = |name: &str, scores: AverageScores, support: u64| {
        let [precision, recall, f1] = [scores.precision, scores.recall, scores.f1].map(percent);
        vec![name.to_owned(), precision, recall, f1, support.to_string()]
    };
    let classes = metrics.classes.iter().zip(&metrics.by_class).map(|(name, scores)| {
        let (precision, recall, f1) = (scores.precision, scores.recall, scores.f1);
        row(name, AverageScores { precision, recall, f1 }, scores.support)
    });
    let averages = metrics.averages.iter().map(|(average, &scores)| {
        let name = match average {
            Average::Micro => "Micro average",
            Average::Macro => "Macro average",
            Average::Weighted => "Weighted average",
        };
        row(name, scores, metrics.confusion.total())
    });
    let head = ["Class", "Precision", "Recall", "F1", "Cells"];
    let blocks = vec![table(&head, classes.chain(averages))];
    Section { id: "by-class", heading: "By class".to_owned(), blocks }
}

/// Share of cells of the positive class.
pub(crate) fn positive_share(metrics: &Summary) -> Option<f64> {
    let position = metrics.classes.iter().position(|class| *class == metrics.positive_class)?;
    Some(metrics.confusion.true_counts()[position] as f64 / metrics.n as f64)
}

/// A headline metric with its intervals.
pub(crate) struct Headline {
    /// Its key in `metrics.json`.
    name: &'static str,
    pub(crate) label: &'static str,
    pub(crate) value: Option<f64>,
    pub(crate) over_patients: Option<Interval>,
    over_cells: Option<Interval>,
    pub(crate) show: Show,
}

impl Headline {
    /// Formats one of its intervals.
    pub(crate) fn interval(&self, interval: Option<Interval>) -> String {
        interval.map_or_else(|| "n/a".to_owned(), |interval| between(interval, self.show))
    }
}

/// Accuracy, sensitivity, specificity and area under the ROC curve.
pub(crate) fn headlines(metrics: &Summary, assessment: &Assessment) -> [Headline; 4] {
    let (patients, cells) = (&assessment.intervals, &assessment.intervals_over_cells);
    [
        Headline {
            name: "accuracy",
            label: "Accuracy",
            value: metrics.accuracy,
            over_patients: patients.accuracy,
            over_cells: cells.accuracy,
            show: percent,
        },
        Headline {
            name: "sensitivity",
            label: "Sensitivity",
            value: metrics.sensitivity,
            over_patients: patients.sensitivity,
            over_cells: cells.sensitivity,
            show: percent,
        },
        Headline {
            name: "specificity",
            label: "Specificity",
            value: metrics.specificity,
            over_patients: patients.specificity,
            over_cells: cells.specificity,
            show: percent,
        },
        Headline {
            name: "auc",
            label: "Area under the ROC curve",
            value: metrics.auc,
            over_patients: patients.auc,
            over_cells: cells.auc,
            show: decimal,
        },
    ]
}

/// A ratio with two decimals, or four below 1.
fn ratio(value: Option<f64>) -> String {
    value.map_or_else(
        || "n/a".to_owned(),
        |value| if value < 1.0 { format!("{value:.4}") } else { format!("{value:.2}") },
    )
}
