//! Samples sorted by score, for curves and thresholds.

use crate::check;
use crate::error::Result;

/// Counts where every sample of at least `threshold` is called positive.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cut {
    pub(crate) threshold: f64,
    pub(crate) true_positives: u64,
    pub(crate) false_positives: u64,
}

/// One cut per distinct score, from the highest; the last one calls every sample positive.
pub(crate) struct Cuts {
    pub(crate) cuts: Vec<Cut>,
    pub(crate) positives: u64,
    pub(crate) negatives: u64,
}

pub(crate) fn cuts(truth: &[bool], scores: &[f64]) -> Result<Cuts> {
    check::binary(truth, scores)?;
    let mut ranked = Vec::from_iter(scores.iter().copied().zip(truth.iter().copied()));
    ranked.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));

    let (mut positives, mut negatives) = (0, 0);
    let mut cuts = Vec::new();
    // Tied scores form one cut. 0.0 == -0.0 here, and the sort puts them side by side.
    for tied in ranked.chunk_by(|a, b| a.0 == b.0) {
        let tied_positives = tied.iter().filter(|(_, positive)| *positive).count() as u64;
        positives += tied_positives;
        negatives += tied.len() as u64 - tied_positives;
        cuts.push(Cut { threshold: tied[0].0, true_positives: positives, false_positives: negatives });
    }
    Ok(Cuts { cuts, positives, negatives })
}

/// The values in ascending order.
pub(crate) fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted
}

/// Samples sorted by score once, for the areas of many resamples.
pub(crate) struct Ranked {
    /// Positions of the samples by rising score, samples with equal scores in one group.
    groups: Vec<Vec<usize>>,
}

impl Ranked {
    pub(crate) fn new(scores: &[f64]) -> Self {
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_unstable_by(|&a, &b| scores[a].total_cmp(&scores[b]));
        Self { groups: order.chunk_by(|&a, &b| scores[a] == scores[b]).map(<[usize]>::to_vec).collect() }
    }

    /// The area under the ROC curve, with each sample counted `copies` times; `None` if all counted samples are of one class.
    pub(crate) fn auc(&self, is_positive: &[bool], copies: &[u64]) -> Option<f64> {
        let (mut positives, mut negatives) = (0, 0);
        let mut doubled_area: u128 = 0;
        for group in &self.groups {
            let (mut tied_positives, mut tied_negatives) = (0, 0);
            for &sample in group {
                *(if is_positive[sample] { &mut tied_positives } else { &mut tied_negatives }) +=
                    copies[sample];
            }
            // Each positive sample counts the negatives below it, and half of the tied ones.
            doubled_area += u128::from(tied_positives) * u128::from(2 * negatives + tied_negatives);
            positives += tied_positives;
            negatives += tied_negatives;
        }
        let pairs = u128::from(positives) * u128::from(negatives);
        (pairs > 0).then(|| doubled_area as f64 / (2 * pairs) as f64)
    }
}
