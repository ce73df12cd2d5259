//! Results as text: metrics, intervals and caveats.

use malaria_resnet::{
    Caveat, CrossValidationMetrics, Metrics, PredictiveValues, Spread, Threshold,
    metrics::{Interval, Summary, classification_report, decimal, percent},
    protocol_note,
};

/// The warning if no cells are given.
pub(crate) const SYNTHETIC: &str = "no data given: using synthetic cells, whose metrics say nothing about malaria. For real ones: \
                                    malaria train --download, or --data DIR";

/// The classification report (unless a class has too few cells for it), the confusion matrix, the metrics of the positive
/// class, the decision rule and the caveats.
pub(crate) fn summary(
    summary: &Summary,
    threshold: Option<&Threshold>,
    caveats: &[Caveat],
) -> anyhow::Result<String> {
    let report = match summary.accuracy {
        Some(_) => classification_report(&summary.confusion, &summary.classes, None)? + "\n",
        None => String::new(),
    };
    let table = summary.confusion.to_table(&summary.classes)?;
    let mut text = format!(
        "{report}{table}\naccuracy {} (by the most probable class {}), AUC {}\nfor {}: sensitivity {}, specificity {}\n",
        percent(summary.accuracy),
        percent(summary.accuracy_argmax),
        decimal(summary.auc),
        summary.positive_class,
        percent(summary.sensitivity),
        percent(summary.specificity),
    );
    if let Some(threshold) = threshold {
        text += &format!("{}\n", threshold.note("New cells", &summary.positive_class));
    }
    caveats.iter().for_each(|caveat| text += &format!("{caveat}\n"));
    Ok(text)
}

/// Predictive values by prevalence.
pub(crate) fn at_prevalence(rows: &[PredictiveValues]) -> String {
    let row = |PredictiveValues { prevalence, ppv, npv, .. }: &PredictiveValues| {
        format!(
            "if {} of all cells are infected, {} of positive calls and {} of negative calls are right\n",
            percent(Some(*prevalence)),
            percent(*ppv),
            percent(*npv)
        )
    };
    rows.iter().map(row).collect()
}

/// The metrics of a run's test set.
pub(crate) fn test_set(metrics: &Metrics) -> anyhow::Result<String> {
    let text = format!(
        "\nTest set, {} cells, {} recipe, best epoch {}\n{}\n\n{}\n",
        metrics.n_test,
        metrics.recipe,
        metrics.best_epoch.epoch,
        protocol_note(metrics.protocol),
        summary(&metrics.test, metrics.threshold.as_ref(), &metrics.caveats)?
    );
    Ok(text)
}

/// The pooled metrics of a cross-validation with their intervals, and the metrics of each fold.
pub(crate) fn cross_validation(metrics: &CrossValidationMetrics) -> anyhow::Result<String> {
    let CrossValidationMetrics { pooled, assessment, folds, .. } = metrics;
    let intervals = &assessment.intervals;
    let mut text = format!(
        "{} folds, {} recipe, {} cells, each tested with a model that was not trained on it\n{}\n\n{}\n",
        folds.len(),
        metrics.recipe,
        metrics.n_test,
        protocol_note(metrics.protocol),
        summary(pooled, metrics.threshold.as_ref(), &metrics.caveats)?
    );
    let rows = [
        ("accuracy", pooled.accuracy, intervals.accuracy, metrics.accuracy_over_folds, percent as Format),
        ("sensitivity", pooled.sensitivity, intervals.sensitivity, metrics.sensitivity_over_folds, percent),
        ("specificity", pooled.specificity, intervals.specificity, metrics.specificity_over_folds, percent),
        ("AUC", pooled.auc, intervals.auc, metrics.auc_over_folds, decimal),
    ];
    let level = format!("{:.0} % interval", 100.0 * intervals.bootstrap.confidence);
    text += &format!("{:<12} {:>8}  {level:>19}  mean and SD over folds\n", "", "pooled");
    for (name, value, interval, spread, show) in rows {
        let interval = interval.map_or("n/a".to_owned(), |Interval { low, high }| {
            format!("{} to {}", show(Some(low)), show(Some(high)))
        });
        let spread = spread.map_or("n/a".to_owned(), |Spread { mean, deviation }| {
            format!("{}, {}", show(Some(mean)), show(Some(deviation)))
        });
        text += &format!("{name:<12} {:>8}  {interval:>19}  {spread}\n", show(value));
    }
    text += &match assessment.n_patients {
        0 => "intervals: bootstrap over cells".to_owned(),
        number => format!("intervals: bootstrap over {number} patients"),
    };
    text += "\n\n";
    if let Some(point) = metrics.at_published_specificity {
        text += &format!(
            "sensitivity {} at specificity {} on the pooled ROC curve (Rajaraman et al. 2018: 94.70 % at 97.20 %)\n\n",
            percent(Some(point.sensitivity)),
            percent(Some(point.specificity)),
        );
    }
    for fold in folds {
        text += &format!(
            "fold {}: {} cells, accuracy {}, sensitivity {}, specificity {}, AUC {}\n",
            fold.fold,
            fold.n_test,
            percent(fold.accuracy),
            percent(fold.sensitivity),
            percent(fold.specificity),
            decimal(fold.auc),
        );
    }
    Ok(text)
}

/// Formats a metric.
type Format = fn(Option<f64>) -> String;
