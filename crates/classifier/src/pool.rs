//! The folds of a cross-validation put together.

use std::{collections::BTreeMap, path::PathBuf};

use malaria_dataset::{Entry, Manifest, Subset};
use malaria_metrics::Target;
use serde::{Deserialize, Serialize};

use crate::{
    decision::{ChosenOn, DecisionRule, Threshold},
    error::{Error, Result},
    predictions::OutOfFold,
    scored::Scored,
};

/// A finished fold.
#[derive(Clone, Debug)]
pub struct FoldResult {
    /// Its run directory, for messages.
    pub folder: PathBuf,
    /// Class names, in the order of the probabilities.
    pub classes: Vec<String>,
    /// Which cells it has learned from, and which it was tested on.
    pub manifest: Manifest,
    /// What its model says of the cells that it was tested on.
    pub predictions: Vec<OutOfFold>,
}

impl FoldResult {
    fn error(&self, reason: String) -> Error {
        Error::Fold { folder: self.folder.clone(), reason }
    }
}

/// Every cell of a data set with the prediction of the one model that has not learned from it.
#[derive(Clone, Debug)]
pub struct Pooled {
    /// Class names.
    pub classes: Vec<String>,
    /// Index of the positive class.
    pub positive: usize,
    /// The predictions, in the order of the data folder.
    pub rows: Vec<OutOfFold>,
    /// Number of folds.
    pub folds: usize,
    /// Cells that no fold has learned from, on request.
    pub n_excluded: usize,
    truth: Vec<usize>,
    probabilities: Vec<f64>,
}

/// Thresholds of a cross-validation.
#[derive(Clone, Debug, PartialEq)]
pub struct PooledDecision {
    /// Chosen on all cells, for the model that learns from every cell; `None` where no threshold reaches the target.
    pub stored: Option<Threshold>,
    /// For each fold, the threshold chosen on the other folds' cells.
    pub of_folds: Vec<Option<Threshold>>,
    /// How the pooled cells are classified: at `of_folds` where each fold has one and `stored` is there, else by argmax.
    pub rule: DecisionRule,
}

impl Pooled {
    /// Pools folds of the same cells, each of which was tested once.
    ///
    /// # Errors
    /// [`Error::Fold`] names the fold that does not fit: other cells, classes or excluded cells than the first one, predictions
    /// that are not those of its test set, or a cell that was tested twice or never; also where `positive` is not a class.
    pub fn new(folds: &[FoldResult], positive: &str) -> Result<Self> {
        let rows = every_cell_once(folds)?;
        let first = &folds[0];
        let classes = first.classes.clone();
        let position = |name: &str| {
            classes
                .iter()
                .position(|class| class == name)
                .ok_or_else(|| first.error(format!("`{name}` is not one of its classes {classes:?}")))
        };
        let truth = rows.iter().map(|row| position(&row.class)).collect::<Result<Vec<usize>>>()?;
        let is_left_out = |&i: &usize| folds.iter().any(|fold| fold.manifest.entries[i].subset.is_none());
        Ok(Self {
            positive: position(positive)?,
            n_excluded: (0..rows.len()).filter(is_left_out).count(),
            probabilities: rows.iter().flat_map(|row| row.probabilities.iter().copied()).collect(),
            folds: folds.len(),
            truth,
            rows,
            classes,
        })
    }

    /// The patient of each cell, `[N]`; `None` where it is unknown.
    pub fn patients(&self) -> Vec<Option<&str>> {
        self.rows.iter().map(|row| Some(row.patient.as_str()).filter(|patient| !patient.is_empty())).collect()
    }

    /// All cells, whose patients are those of [`patients`](Self::patients).
    pub fn scored<'a>(&'a self, patients: &'a [Option<&'a str>]) -> Scored<'a> {
        let Self { truth, probabilities, classes, positive, .. } = self;
        Scored { truth, probabilities, classes, positive: *positive, patients }
    }

    /// The cells of `fold` (from 1) alone.
    pub fn of_fold(&self, fold: usize) -> Self {
        self.only(|row| row.fold == fold)
    }

    fn only(&self, keep: impl Fn(&OutOfFold) -> bool) -> Self {
        let kept: Vec<usize> = (0..self.rows.len()).filter(|&i| keep(&self.rows[i])).collect();
        let rows: Vec<OutOfFold> = kept.iter().map(|&i| self.rows[i].clone()).collect();
        Self {
            truth: kept.iter().map(|&i| self.truth[i]).collect(),
            probabilities: rows.iter().flat_map(|row| row.probabilities.iter().copied()).collect(),
            rows,
            classes: self.classes.clone(),
            ..*self
        }
    }

    /// Chooses the thresholds for `target`: one on all cells, and for each fold one on the cells of the others, so that no cell
    /// is classified at a threshold that was chosen on it. What the cells tell of patients counts where these are `new_patients`,
    /// of whom the models have learned nothing.
    ///
    /// # Errors
    /// [`Error::Metrics`].
    pub fn decide(&self, target: Target, new_patients: bool) -> Result<PooledDecision> {
        let choose = |cells: &Self| {
            cells.scored(&cells.patients()).threshold(target, ChosenOn::OutOfFold, new_patients)
        };
        let stored = choose(self)?;
        let of_folds = (1..=self.folds)
            .map(|fold| choose(&self.only(|row| row.fold != fold)))
            .collect::<Result<Vec<_>>>()?;
        let of_cells = self.rows.iter().map(|row| of_folds[row.fold - 1]).collect::<Option<Vec<_>>>();
        let rule = match (stored, of_cells) {
            (Some(stored), Some(of_cells)) => DecisionRule::FoldThresholds { stored, of_cells },
            _ => DecisionRule::Argmax,
        };
        Ok(PooledDecision { stored, of_folds, rule })
    }
}

/// The rows of all folds in the order of the data folder, if they are of the same cells and each cell was tested once.
fn every_cell_once(folds: &[FoldResult]) -> Result<Vec<OutOfFold>> {
    let first = &folds[0];
    let all = first.manifest.cells();
    let mut row_of: BTreeMap<&str, &OutOfFold> = BTreeMap::new();
    for fold in folds {
        if fold.manifest.cells() != all {
            return Err(fold.error(format!(
                "its split.csv is of other cells than that of {}: folds can only be put together when all were run on the same \
                 data; remove the one that is wrong and run it again",
                first.folder.display()
            )));
        }
        if fold.classes != first.classes {
            return Err(fold.error(format!(
                "its classes are {:?}, those of {} are {:?}",
                fold.classes,
                first.folder.display(),
                first.classes
            )));
        }
        let tested = fold.manifest.entries.iter().filter(|entry| entry.subset == Some(Subset::Test));
        let tested: Vec<[&str; 3]> = tested
            .map(|entry| [&entry.path, &entry.class, entry.patient.as_deref().unwrap_or_default()])
            .collect();
        let said: Vec<[&str; 3]> =
            fold.predictions.iter().map(|row| [&*row.path, &*row.class, &*row.patient]).collect();
        if tested != said {
            return Err(fold.error(format!(
                "the {} cells of its predictions.csv, with their classes and patients, are not the {} test cells of its \
                 split.csv: remove the fold and run it again",
                said.len(),
                tested.len()
            )));
        }
        for row in &fold.predictions {
            if row_of.insert(&row.path, row).is_some() {
                return Err(fold.error(format!("its test cell {} was tested by another fold too", row.path)));
            }
        }
    }
    for (i, entry) in all.iter().enumerate() {
        let is = |subset| move |fold: &&FoldResult| fold.manifest.entries[i].subset == subset;
        if let (Some(without), Some(with)) =
            (folds.iter().find(is(None)), folds.iter().find(is(Some(Subset::Train))))
        {
            return Err(with.error(format!(
                "it has learned from {}, which was left out of what {} learned from: all folds have to leave out the same \
                 cells; remove the one that is wrong and run it again",
                entry.path,
                without.folder.display()
            )));
        }
    }
    let row = |entry: &Entry| {
        row_of.get(entry.path.as_str()).map(|&row| row.clone()).ok_or_else(|| {
            first.error(format!("no fold was tested on {}, which is in its split.csv", entry.path))
        })
    };
    all.iter().map(row).collect()
}

/// Mean and deviation of a figure over the folds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Mean over the folds.
    pub mean: f64,
    /// Standard deviation over the folds, with `k - 1` below the line.
    pub deviation: f64,
}

impl Spread {
    /// That of `values`, two or more.
    pub fn of(values: &[f64]) -> Self {
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        Self { mean, deviation: (squares / (count - 1.0)).sqrt() }
    }
}

#[cfg(test)]
mod tests {
    use super::Spread;

    #[test]
    fn the_deviation_is_that_of_a_sample() {
        // statistics.stdev([0.94, 0.96, 0.98]) = 0.02
        let spread = Spread::of(&[0.94, 0.96, 0.98]);
        assert!((spread.mean - 0.96).abs() < 1e-12 && (spread.deviation - 0.02).abs() < 1e-12);
    }
}
