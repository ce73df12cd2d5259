//! The figures of a test set in words and tables.

use malaria_classifier::{Assessment, DecisionRule};
use malaria_metrics::{Average, AverageScores, Interval, Summary, decimal, percent};

use super::words::{Show, between, table};
use crate::page::{Block, Section, Tile};

/// The figures that are looked at first, then the others.
pub(super) fn section(figures: &Summary, assessment: &Assessment, rule: &DecisionRule) -> Section {
    let rows = headlines(figures, assessment);
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
        "{} is the positive class. {} Below each figure its 95 % interval, from a bootstrap over {over}.",
        figures.positive_class,
        decision_words(rule, &figures.positive_class),
    );
    let mut blocks = vec![Block::Tiles(tiles.collect()), Block::Text(words)];
    blocks.push(table(
        &["Figure", "Value", "95 %, over patients", "95 %, as if cells were independent"],
        rows.iter().map(|row| {
            let [patients, cells] =
                [row.over_patients, row.over_cells].map(|interval| row.interval(interval));
            vec![row.label.to_owned(), (row.show)(row.value), patients, cells]
        }),
    ));
    let more = [
        ("Accuracy by the most probable class", percent(Some(figures.accuracy_argmax))),
        ("Positive predictive value", percent(figures.ppv)),
        ("Negative predictive value", percent(figures.npv)),
        ("F1", percent(figures.f1)),
        ("Balanced accuracy", percent(figures.balanced_accuracy)),
        ("Youden's J", decimal(figures.discrimination.youdens_j)),
        ("Positive likelihood ratio", ratio(figures.discrimination.positive_likelihood_ratio)),
        ("Negative likelihood ratio", ratio(figures.discrimination.negative_likelihood_ratio)),
        ("Matthews correlation", decimal(figures.mcc)),
        ("Cohen's kappa", decimal(figures.cohens_kappa)),
        ("Average precision", decimal(figures.average_precision)),
        ("Log loss", decimal(Some(figures.log_loss))),
        ("Brier score", decimal(Some(figures.brier))),
        ("Calibration error", percent(Some(assessment.calibration_error))),
        ("Cells", figures.n.to_string()),
    ];
    blocks.push(table(
        &["Other figures", "Value"],
        more.into_iter().map(|(name, value)| vec![name.to_owned(), value]),
    ));
    blocks.push(Block::Text(format!(
        "Predictive values where few cells are infected, as in a smear, rather than {} of them as here:",
        percent(positive_share(figures))
    )));
    blocks.push(table(
        &["Infected cells", "A positive call is right in", "A negative call is right in"],
        assessment
            .at_prevalence
            .iter()
            .map(|at| vec![percent(Some(at.prevalence)), percent(at.ppv), percent(at.npv)]),
    ));
    Section { id: "figures", heading: "Figures".to_owned(), blocks }
}

/// Precision, recall and F1 of each class and over the classes.
pub(super) fn by_class(figures: &Summary) -> Section {
    let confusion = &figures.confusion;
    let row = |name: &str, scores: AverageScores, support: u64| {
        let [precision, recall, f1] = [scores.precision, scores.recall, scores.f1].map(percent);
        vec![name.to_owned(), precision, recall, f1, support.to_string()]
    };
    let classes = figures.classes.iter().zip(confusion.class_scores()).map(|(name, scores)| {
        let (precision, recall, f1) = (scores.precision, scores.recall, scores.f1);
        row(name, AverageScores { precision, recall, f1 }, scores.support)
    });
    let averages = Average::ALL.map(|average| {
        let name = match average {
            Average::Micro => "Micro average",
            Average::Macro => "Macro average",
            Average::Weighted => "Weighted average",
        };
        row(name, confusion.average_scores(average), confusion.total())
    });
    let head = ["Class", "Precision", "Recall", "F1", "Cells"];
    let blocks = vec![table(&head, classes.chain(averages))];
    Section { id: "by-class", heading: "By class".to_owned(), blocks }
}

/// Share of the cells that are of the positive class.
pub(crate) fn positive_share(figures: &Summary) -> Option<f64> {
    let position = figures.classes.iter().position(|class| *class == figures.positive_class)?;
    Some(figures.confusion.true_counts()[position] as f64 / figures.n as f64)
}

/// One of the figures that are looked at first.
pub(crate) struct Headline {
    /// As in `metrics.json`.
    name: &'static str,
    pub(crate) label: &'static str,
    pub(crate) value: Option<f64>,
    pub(crate) over_patients: Option<Interval>,
    over_cells: Option<Interval>,
    pub(crate) show: Show,
}

impl Headline {
    /// One of its intervals as it is written.
    pub(crate) fn interval(&self, interval: Option<Interval>) -> String {
        interval.map_or_else(|| "n/a".to_owned(), |interval| between(interval, self.show))
    }
}

/// How cells are called, in a sentence.
pub(crate) fn decision_words(rule: &DecisionRule, positive_class: &str) -> String {
    match rule {
        DecisionRule::Argmax => "A cell is called by its most probable class.".to_owned(),
        DecisionRule::Threshold(threshold) => format!("Cells are {}.", threshold.note(positive_class)),
        // What the cells here are called by, a caveat says.
        DecisionRule::FoldThresholds { stored, .. } => {
            format!("New cells are {}.", stored.note(positive_class))
        }
    }
}

/// Accuracy, sensitivity, specificity and area under the ROC curve.
pub(crate) fn headlines(figures: &Summary, assessment: &Assessment) -> [Headline; 4] {
    let (patients, cells) = (&assessment.intervals, &assessment.intervals_over_cells);
    [
        Headline {
            name: "accuracy",
            label: "Accuracy",
            value: Some(figures.accuracy),
            over_patients: patients.accuracy,
            over_cells: cells.accuracy,
            show: percent,
        },
        Headline {
            name: "sensitivity",
            label: "Sensitivity",
            value: figures.sensitivity,
            over_patients: patients.sensitivity,
            over_cells: cells.sensitivity,
            show: percent,
        },
        Headline {
            name: "specificity",
            label: "Specificity",
            value: figures.specificity,
            over_patients: patients.specificity,
            over_cells: cells.specificity,
            show: percent,
        },
        Headline {
            name: "auc",
            label: "Area under the ROC curve",
            value: figures.auc,
            over_patients: patients.auc,
            over_cells: cells.auc,
            show: decimal,
        },
    ]
}

/// A ratio that may be large, with two decimals, or small, with four.
fn ratio(figure: Option<f64>) -> String {
    figure.map_or_else(
        || "n/a".to_owned(),
        |figure| if figure < 1.0 { format!("{figure:.4}") } else { format!("{figure:.2}") },
    )
}
