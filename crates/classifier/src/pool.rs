//! Pools the test predictions of all folds and chooses thresholds on them.

use std::{collections::BTreeMap, path::PathBuf};

use malaria_dataset::{Manifest, ManifestEntry, Subset};
use malaria_metrics::Target;
use serde::{Deserialize, Serialize};

use crate::{
    decision::{ChosenOn, DecisionRule, Threshold},
    error::{Error, Result},
    patient_rule::{SmearDecision, SmearRule},
    predictions_csv::OutOfFold,
    scored::Scored,
};

/// A finished fold.
#[derive(Clone, Debug)]
pub struct FoldResult {
    /// The fold's run directory, for messages.
    pub folder: PathBuf,
    /// Class names, in the order of the probabilities.
    pub classes: Vec<String>,
    /// The split of the cells into training, validation and test set.
    pub manifest: Manifest,
    /// The predictions of its model for its test cells.
    pub predictions: Vec<OutOfFold>,
}

impl FoldResult {
    fn error(&self, reason: String) -> Error {
        Error::Fold { folder: self.folder.clone(), reason }
    }
}

/// Every cell of a data set with the prediction of the one model that was not trained on it.
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
    /// Cells excluded from every training set on request.
    pub n_excluded: usize,
    truth: Vec<usize>,
    probabilities: Vec<f64>,
}

/// Thresholds and smear rules of a cross-validation.
#[derive(Clone, Debug, PartialEq)]
pub struct PooledDecision {
    /// The threshold chosen on all cells, for the model that is trained on every cell; `None` if no threshold reaches the target.
    pub stored: Option<Threshold>,
    /// For each fold, the threshold chosen on the other folds' cells.
    pub of_folds: Vec<Option<Threshold>>,
    /// How the pooled cells are called: at `of_folds` if every fold has a threshold and `stored` exists, else by argmax.
    pub rule: DecisionRule,
    /// The smear rule chosen on all patients, for the model that is trained on every cell; `None` if there is none.
    pub smear: Option<SmearRule>,
    /// How the pooled patients are called, each by the rule chosen on the other folds; `None` if a fold or `smear` has no rule.
    pub patients: Option<SmearDecision>,
}

impl Pooled {
    /// Pools folds of the same data set, each cell of which was tested once.
    ///
    /// # Errors
    /// [`Error::Fold`] names a fold with other cells, classes or excluded cells than the first one, with predictions that do not
    /// match its test set, or with a cell that was tested twice or never; also where `positive` is not a class.
    pub fn new(folds: &[FoldResult], positive: &str) -> Result<Self> {
        let rows = every_cell_once(folds)?;
        let first = &folds[0];
        let is_excluded = |&i: &usize| folds.iter().any(|fold| fold.manifest.entries[i].subset.is_none());
        let n_excluded = (0..rows.len()).filter(is_excluded).count();
        let pooled = Self::of_rows(&first.classes, positive, rows).map_err(|reason| first.error(reason))?;
        Ok(Self { folds: folds.len(), n_excluded, ..pooled })
    }

    /// Pools predictions of one cross-validation; their highest fold is the number of folds.
    ///
    /// # Errors
    /// A class that is not one of `classes`, as text.
    pub fn of_rows(classes: &[String], positive: &str, rows: Vec<OutOfFold>) -> Result<Self, String> {
        let position = |name: &str| {
            let position = classes.iter().position(|class| class == name);
            position.ok_or_else(|| format!("`{name}` is not one of its classes {classes:?}"))
        };
        Ok(Self {
            positive: position(positive)?,
            truth: rows.iter().map(|row| position(&row.class)).collect::<Result<_, _>>()?,
            probabilities: rows.iter().flat_map(|row| row.probabilities.iter().copied()).collect(),
            folds: rows.iter().map(|row| row.fold).max().unwrap_or(0),
            n_excluded: 0,
            rows,
            classes: classes.to_vec(),
        })
    }

    /// The patient of each cell, `[N]`; `None` where it is unknown.
    pub fn patients(&self) -> Vec<Option<&str>> {
        self.rows.iter().map(|row| Some(row.patient.as_str()).filter(|patient| !patient.is_empty())).collect()
    }

    /// All cells, with the `patients` of [`patients`](Self::patients).
    pub fn scored<'a>(&'a self, patients: &'a [Option<&'a str>]) -> Scored<'a> {
        let Self { truth, probabilities, classes, positive, .. } = self;
        Scored { truth, probabilities, classes, positive: *positive, patients }
    }

    /// The cells of `fold` (from 1).
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

    /// Chooses the thresholds for `target` and the smear rules: one on all cells and, for each fold, one on the cells of the
    /// other folds, so that no cell is called by a threshold that was chosen on it. `new_patients` means that no model was
    /// trained on the patients it is tested on; otherwise there are no smear rules.
    ///
    /// # Errors
    /// [`Error::Metrics`].
    pub fn decide(&self, target: Target, new_patients: bool) -> Result<PooledDecision> {
        let others: Vec<Self> = (1..=self.folds).map(|fold| self.only(|row| row.fold != fold)).collect();
        let choose = |cells: &Self| cells.scored(&cells.patients()).threshold(target, ChosenOn::OutOfFold);
        let stored = choose(self)?;
        let of_folds = others.iter().map(choose).collect::<Result<Vec<_>>>()?;
        let of_cells = self.rows.iter().map(|row| of_folds[row.fold - 1]).collect::<Option<Vec<_>>>();
        let rule = match (stored, of_cells) {
            (Some(stored), Some(of_cells)) => DecisionRule::FoldThresholds { stored, of_cells },
            _ => DecisionRule::Argmax,
        };
        let smear_rule = |cells: &Self| match new_patients {
            true => cells.scored(&cells.patients()).smear_rule(ChosenOn::OutOfFold),
            false => Ok(None),
        };
        let smear = smear_rule(self)?;
        let of_others = others.iter().map(smear_rule).collect::<Result<Option<Vec<_>>>>()?;
        let fold_of_cells = self.rows.iter().map(|row| row.fold - 1).collect();
        let patients = smear
            .clone()
            .zip(of_others)
            .map(|(stored, rules)| SmearDecision { stored, of_folds: Some((rules, fold_of_cells)) });
        Ok(PooledDecision { stored, of_folds, rule, smear, patients })
    }
}

/// The rows of all folds in the order of the data folder, if the folds have the same cells and each cell was tested once.
fn every_cell_once(folds: &[FoldResult]) -> Result<Vec<OutOfFold>> {
    let first = &folds[0];
    let all = first.manifest.cells();
    let mut row_of: BTreeMap<&str, &OutOfFold> = BTreeMap::new();
    for fold in folds {
        if fold.manifest.cells() != all {
            return Err(fold.error(format!(
                "its split.csv has other cells than that of {}: all folds must be run on the same data; remove the wrong one and run \
                 it again",
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
        let predicted: Vec<[&str; 3]> =
            fold.predictions.iter().map(|row| [&*row.path, &*row.class, &*row.patient]).collect();
        if tested != predicted {
            return Err(fold.error(format!(
                "the {} cells of its predictions.csv, with their classes and patients, are not the {} test cells of its \
                 split.csv: remove the fold and run it again",
                predicted.len(),
                tested.len()
            )));
        }
        for row in &fold.predictions {
            if row_of.insert(&row.path, row).is_some() {
                return Err(
                    fold.error(format!("its test cell {} is also a test cell of another fold", row.path))
                );
            }
        }
    }
    for (i, entry) in all.iter().enumerate() {
        let is = |subset| move |fold: &&FoldResult| fold.manifest.entries[i].subset == subset;
        if let (Some(without), Some(with)) =
            (folds.iter().find(is(None)), folds.iter().find(is(Some(Subset::Train))))
        {
            return Err(with.error(format!(
                "it was trained on {}, which was excluded from the training set of {}: all folds must exclude the same cells; remove \
                 the wrong one and run it again",
                entry.path,
                without.folder.display()
            )));
        }
    }
    let row = |entry: &ManifestEntry| {
        row_of.get(entry.path.as_str()).map(|&row| row.clone()).ok_or_else(|| {
            first.error(format!("no fold was tested on {}, which is in its split.csv", entry.path))
        })
    };
    all.iter().map(row).collect()
}

/// Mean and standard deviation of a metric over the folds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Mean over the folds.
    pub mean: f64,
    /// Standard deviation over the k folds, with the denominator `k - 1`.
    pub deviation: f64,
}

impl Spread {
    /// The spread of at least two `values`.
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
    fn the_deviation_is_the_sample_standard_deviation() {
        // statistics.stdev([0.94, 0.96, 0.98]) = 0.02
        let spread = Spread::of(&[0.94, 0.96, 0.98]);
        assert!((spread.mean - 0.96).abs() < 1e-12 && (spread.deviation - 0.02).abs() < 1e-12);
    }
}
