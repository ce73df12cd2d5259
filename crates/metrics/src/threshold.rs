//! Choosing a decision threshold.

use serde::{Deserialize, Serialize};

use crate::check;
use crate::error::{Error, Result};
use crate::rank::{self, Cut, Cuts};

/// The sensitivity or specificity that a threshold has to reach, a fraction in `[0, 1]`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// At least this share of the positive samples called positive.
    Sensitivity(f64),
    /// At least this share of the negative samples called negative.
    Specificity(f64),
}

/// A threshold with its sensitivity and specificity on the samples that it was chosen on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct OperatingPoint {
    /// Samples of at least this score are called positive.
    pub threshold: f64,
    /// Share of the positive samples called positive.
    pub sensitivity: f64,
    /// Share of the negative samples called negative.
    pub specificity: f64,
}

/// The threshold that reaches `target` on `scores` `[N]` in `[0, 1]` with the best other metric.
///
/// `truth` `[N]` is `true` for positive. The candidates are the scores; a sample of at least the threshold is called
/// positive. Among thresholds with the same other metric, the one with the best targeted metric is chosen, which is unique.
/// Choose it on validation data, never on the data for which metrics are then reported.
///
/// ```
/// use malaria_metrics::{Target, choose_threshold};
///
/// let truth = [false, false, true, false, true, true];
/// let scores = [0.1, 0.2, 0.3, 0.6, 0.7, 0.9];
/// let point = choose_threshold(&truth, &scores, Target::Sensitivity(0.95))?;
/// assert_eq!((point.threshold, point.sensitivity, point.specificity), (0.3, 1.0, 2.0 / 3.0));
/// # Ok::<(), malaria_metrics::Error>(())
/// ```
///
/// # Errors
/// No samples, lengths that differ, a score or target that is NaN or outside `[0, 1]`, samples of one class only,
/// or [`Error::TargetOutOfReach`]: no threshold among the scores reaches the target specificity, as the highest scores
/// are those of negative samples.
pub fn choose_threshold(truth: &[bool], scores: &[f64], target: Target) -> Result<OperatingPoint> {
    let (Target::Sensitivity(goal) | Target::Specificity(goal)) = target;
    check::fraction(|| "target".into(), goal)?;
    let Cuts { cuts, positives, negatives } = rank::cuts(truth, scores)?;
    for (count, class) in [(positives, "positive"), (negatives, "negative")] {
        if count == 0 {
            return Err(Error::ClassAbsent { class });
        }
    }
    let point = |&Cut { threshold, true_positives, false_positives }: &Cut| OperatingPoint {
        threshold,
        sensitivity: true_positives as f64 / positives as f64,
        specificity: (negatives - false_positives) as f64 / negatives as f64,
    };
    let to_maximise_and_to_reach = |point: &OperatingPoint| match target {
        Target::Sensitivity(_) => (point.specificity, point.sensitivity),
        Target::Specificity(_) => (point.sensitivity, point.specificity),
    };
    let points = Vec::from_iter(cuts.iter().map(point));
    let reaching = points.iter().filter(|point| to_maximise_and_to_reach(point).1 >= goal);
    let best = reaching.max_by(|a, b| {
        let (a, b) = (to_maximise_and_to_reach(a), to_maximise_and_to_reach(b));
        a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1))
    });
    // The lowest score reaches any sensitivity, so only a specificity can be out of reach.
    best.copied().ok_or_else(|| Error::TargetOutOfReach {
        metric: "specificity",
        target: goal,
        best: points.first().map_or(0.0, |point| point.specificity),
    })
}
