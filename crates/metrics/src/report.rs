//! The classification report, and metrics as text.

use crate::check;
use crate::confusion::{Average, ConfusionMatrix};
use crate::error::{Error, Result};

const HEADERS: [&str; 4] = ["precision", "recall", "f1-score", "support"];
const LONGEST_AVERAGE: &str = "weighted avg";

/// Precision, recall and F1 by class as text, identical to the output of scikit-learn's
/// `classification_report(y_true, y_pred, labels=labels, target_names=names, digits=2, zero_division=nan)`.
///
/// `names` has one name per class of `matrix`. `labels` are the classes to report on, in that order; `None` means
/// all. If a class that occurs is missing from them, a `micro avg` line replaces `accuracy`. Undefined metrics print as
/// `nan`.
///
/// ```
/// use malaria_metrics::{ConfusionMatrix, classification_report};
///
/// let matrix = ConfusionMatrix::from_rows(&[vec![90, 10], vec![5, 95]])?;
/// let report = classification_report(&matrix, &["Parasitized", "Uninfected"], None)?;
/// assert_eq!(report.lines().nth(2), Some(" Parasitized       0.95      0.90      0.92       100"));
/// assert_eq!(report.lines().nth(5), Some("    accuracy                           0.93       200"));
/// # Ok::<(), malaria_metrics::Error>(())
/// ```
///
/// # Errors
/// A matrix without samples, another number of names than classes, or labels that are empty, repeated or out of range.
pub fn classification_report<S: AsRef<str>>(
    matrix: &ConfusionMatrix,
    names: &[S],
    labels: Option<&[usize]>,
) -> Result<String> {
    check::length("class names", matrix.classes(), names.len())?;
    if matrix.total() == 0 {
        return Err(Error::Empty);
    }
    let all = Vec::from_iter(0..matrix.classes());
    let labels = labels.unwrap_or(&all);
    check_labels(labels, matrix.classes())?;

    let name_width = labels.iter().map(|&label| names[label].as_ref().chars().count()).max().unwrap_or(0);
    let width = name_width.max(LONGEST_AVERAGE.len());
    let row = |heading: &str, cells: [String; 4]| {
        let [precision, recall, f1, support] = cells;
        format!("{heading:>width$}  {precision:>9} {recall:>9} {f1:>9} {support:>9}\n")
    };

    // scikit-learn counts in floats if no prediction is right, and prints "3.0".
    let count = |count: u64| if matrix.correct() == 0 { format!("{count}.0") } else { count.to_string() };

    let mut report = row("", HEADERS.map(String::from)) + "\n";
    let scores = matrix.class_scores();
    for &label in labels {
        let class = scores[label];
        let cells = [fixed(class.precision), fixed(class.recall), fixed(class.f1), count(class.support)];
        report += &row(names[label].as_ref(), cells);
    }
    report.push('\n');

    let support = count(labels.iter().map(|&label| scores[label].support).sum());
    for (average, heading) in
        [(Average::Micro, "micro avg"), (Average::Macro, "macro avg"), (Average::Weighted, LONGEST_AVERAGE)]
    {
        let scores = matrix.average_scores_of(labels, average);
        report += &if average == Average::Micro && covers_all(matrix, labels) {
            row("accuracy", [String::new(), String::new(), fixed(scores.f1), support.clone()])
        } else {
            row(heading, [fixed(scores.precision), fixed(scores.recall), fixed(scores.f1), support.clone()])
        };
    }
    Ok(report)
}

/// Whether `labels` contains every class that occurs, as truth or as prediction: micro averages then equal the accuracy.
fn covers_all(matrix: &ConfusionMatrix, labels: &[usize]) -> bool {
    let occurring = matrix.true_counts().into_iter().zip(matrix.predicted_counts());
    occurring.enumerate().all(|(class, (truth, predicted))| truth + predicted == 0 || labels.contains(&class))
}

fn check_labels(labels: &[usize], classes: usize) -> Result<()> {
    let repeated = labels.iter().enumerate().any(|(i, label)| labels[..i].contains(label));
    if labels.is_empty() || repeated {
        return Err(Error::InvalidLabels { labels: labels.to_vec() });
    }
    labels.iter().try_for_each(|&label| check::class(|| "labels".into(), label, classes))
}

fn fixed(value: Option<f64>) -> String {
    value.map_or_else(|| "nan".into(), |value| format!("{value:.2}"))
}

/// A fraction as a percentage with two decimals, `n/a` where undefined. Values below 1 are never rounded to 100 %, values
/// above 0 never to 0 %.
///
/// ```
/// use malaria_metrics::percent;
///
/// assert_eq!([Some(0.5), Some(0.999_966), None].map(percent), ["50.00 %", "> 99.99 %", "n/a"]);
/// ```
#[must_use]
pub fn percent(fraction: Option<f64>) -> String {
    rounded(fraction, |fraction| format!("{:.2} %", 100.0 * fraction))
}

/// A number with four decimals, such as an area under a curve, `n/a` where undefined. Values below 1 are never rounded to 1,
/// values above 0 never to 0.
///
/// ```
/// use malaria_metrics::decimal;
///
/// assert_eq!([Some(0.5), Some(0.999_966), None].map(decimal), ["0.5000", "> 0.9999", "n/a"]);
/// ```
#[must_use]
pub fn decimal(value: Option<f64>) -> String {
    rounded(value, |value| format!("{value:.4}"))
}

/// Formats by `show`, which rounds to the fourth decimal.
fn rounded(value: Option<f64>, show: impl Fn(f64) -> String) -> String {
    match value {
        None => "n/a".to_owned(),
        Some(value) if (0.99995..1.0).contains(&value) => format!("> {}", show(0.9999)),
        Some(value) if value > 0.0 && value < 0.00005 => format!("< {}", show(0.0001)),
        Some(value) => show(value),
    }
}

#[cfg(test)]
mod tests {
    use super::percent;

    #[test]
    fn percentages_are_not_rounded_to_0_or_100() {
        let shown = [None, Some(0.0), Some(0.00001), Some(0.5), Some(0.99994), Some(0.999966), Some(1.0)];
        let expected = ["n/a", "0.00 %", "< 0.01 %", "50.00 %", "99.99 %", "> 99.99 %", "100.00 %"];
        assert_eq!(shown.map(percent), expected);
    }
}
