//! Results in words.

use malaria_resnet::{
    dataset::Protocol,
    figures::{Summary, classification_report},
};

/// What a figure under this protocol may be taken for.
pub(crate) fn protocol_note(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Random => {
            "random split: cells of one patient are on both sides, so the figures are optimistic"
        }
        Protocol::Patient => "patient split: no patient is on two sides",
        Protocol::Given => "split as given by the folder's training, validation and testing trees",
    }
}

/// The classification report, the confusion matrix, and the figures of the positive class.
pub(crate) fn figures(summary: &Summary) -> anyhow::Result<String> {
    let report = classification_report(&summary.confusion, &summary.classes, None)?;
    let table = summary.confusion.to_table(&summary.classes)?;
    Ok(format!(
        "{report}\n{table}\naccuracy {}, AUC {}; for {}: sensitivity {}, specificity {}\n",
        percent(Some(summary.accuracy)),
        summary.auc.map_or("n/a".to_owned(), |auc| format!("{auc:.4}")),
        summary.positive_class,
        percent(summary.sensitivity),
        percent(summary.specificity),
    ))
}

/// A fraction as a percentage, `n/a` where it is undefined.
pub(crate) fn percent(fraction: Option<f64>) -> String {
    fraction.map_or("n/a".to_owned(), |fraction| format!("{:.2} %", 100.0 * fraction))
}
