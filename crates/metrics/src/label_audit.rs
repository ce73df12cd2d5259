//! Finding wrong labels by confident learning.

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::probabilities::Probabilities;
use crate::{check, summary::argmax};

/// Tolerance below the mean: equal probabilities have a rounded mean.
const ROUNDING: f64 = 1e-6;

/// A sample whose label the model contradicts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Contradiction {
    /// Position of the sample.
    pub sample: usize,
    /// The labelled class.
    pub labelled: usize,
    /// The class suggested by the model.
    pub suggested: usize,
    /// Probability of the labelled class, in `[0, 1]`: the lower, the stronger the contradiction.
    pub probability_of_label: f64,
}

/// Samples whose labels are probably wrong by confident learning, the most suspect first.
///
/// `probabilities` `[N, C]`, row by row, must come from models that were not trained on the sample (out of fold); otherwise
/// they repeat its label in `truth` `[N]`. A sample counts as a class if the probability of that class is at least its mean
/// among the samples with that label; of several such classes the most probable one counts. A sample is listed if it counts
/// as another class than its label, unless its label is the most probable class. Samples are sorted by the probability of
/// their label (cleanlab's self-confidence).
///
/// A listed sample may just be hard and labelled correctly, so a person should review the list before samples are excluded.
///
/// Source: C. Northcutt et al., "Confident learning: estimating uncertainty in dataset labels", Journal of Artificial
/// Intelligence Research 70 (2021); as cleanlab's `find_label_issues(filter_by="confident_learning")`.
///
/// ```
/// use malaria_metrics::{Probabilities, label_audit};
///
/// let truth = [0, 0, 0, 1, 1, 1];
/// let probabilities = [0.9, 0.1, 0.8, 0.2, 0.05, 0.95, 0.1, 0.9, 0.2, 0.8, 0.45, 0.55];
/// let suspects = label_audit(&truth, Probabilities::new(&probabilities, 2))?;
/// assert_eq!(suspects.len(), 1);
/// assert_eq!((suspects[0].sample, suspects[0].suggested), (2, 1));
/// # Ok::<(), malaria_metrics::Error>(())
/// ```
///
/// # Errors
/// As [`summarise`](crate::summarise).
pub fn label_audit(truth: &[usize], probabilities: Probabilities<'_>) -> Result<Vec<Contradiction>> {
    check::probabilities(truth, probabilities)?;
    let classes = probabilities.classes;
    let rows: Vec<&[f64]> = probabilities.rows().collect();
    // Without labelled samples of a class, no sample counts as this class.
    let thresholds: Vec<f64> = (0..classes)
        .map(|class| {
            let own = rows.iter().zip(truth).filter(|(_, label)| **label == class);
            let own: Vec<f64> = own.map(|(row, _)| row[class]).collect();
            if own.is_empty() { f64::INFINITY } else { own.iter().sum::<f64>() / own.len() as f64 }
        })
        .collect();
    let counts_as = |row: &[f64]| {
        let confident: Vec<usize> =
            (0..classes).filter(|&class| row[class] >= thresholds[class] - ROUNDING).collect();
        match confident[..] {
            [] => None,
            [only] => Some(only),
            _ => Some(argmax(row)),
        }
    };
    let mut found: Vec<Contradiction> = (0..rows.len())
        .filter_map(|sample| {
            let labelled = truth[sample];
            let suggested = counts_as(rows[sample]).filter(|&class| class != labelled)?;
            if argmax(rows[sample]) == labelled {
                return None;
            }
            let probability_of_label = rows[sample][labelled];
            Some(Contradiction { sample, labelled, suggested, probability_of_label })
        })
        .collect();
    found.sort_by(|a, b| a.probability_of_label.total_cmp(&b.probability_of_label));
    Ok(found)
}
