//! The samples in order of score: what curves and thresholds are made of.

use crate::check;
use crate::error::Result;

/// What calling positive every sample of at least `threshold` gives.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cut {
    pub(crate) threshold: f64,
    pub(crate) true_positives: u64,
    pub(crate) false_positives: u64,
}

/// One cut a distinct score, from the highest down; the last one calls every sample positive.
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
    // Tied scores are one cut. 0.0 == -0.0 here, which the sort puts side by side.
    for tied in ranked.chunk_by(|a, b| a.0 == b.0) {
        let tied_positives = tied.iter().filter(|(_, positive)| *positive).count() as u64;
        positives += tied_positives;
        negatives += tied.len() as u64 - tied_positives;
        cuts.push(Cut { threshold: tied[0].0, true_positives: positives, false_positives: negatives });
    }
    Ok(Cuts { cuts, positives, negatives })
}
