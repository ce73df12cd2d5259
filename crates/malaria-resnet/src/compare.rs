//! Comparison of runs.

use std::path::{Path, PathBuf};

use malaria_dataset::{Fold, Protocol, Subset, read_manifest};
use malaria_metrics::{Interval, decimal, percent};
use malaria_report::{EpochPoint, comparison_plot};
use malaria_train::EpochRecord;
use serde::Serialize;

use crate::{
    config::Recipe,
    error::Result,
    history_plot::epoch_point,
    run::{dir::RunDir, metrics::Metrics},
};

/// Several runs to compare.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// The runs in the given order.
    pub runs: Vec<ComparedRun>,
    /// Whether all finished runs were tested on the same cells: only then do their metrics compare the models.
    pub same_test_cells: bool,
}

/// A run of a [`Comparison`].
#[derive(Clone, Debug, Serialize)]
pub struct ComparedRun {
    /// Its directory.
    pub path: PathBuf,
    /// The recipe that its settings are based on.
    pub recipe: Recipe,
    /// How its cells were split.
    pub protocol: Protocol,
    /// Its fold of a cross-validation, if it is one.
    pub fold: Option<Fold>,
    /// Seed of the split and the training.
    pub seed: u64,
    /// Epochs trained so far, and those planned.
    pub epochs: [u64; 2],
    /// Time for them, in seconds.
    pub wall_seconds: f64,
    /// Metrics of the test set; `None` for a run that is not finished, or no test set.
    pub test: Option<Metrics>,
    /// Its metrics by epoch.
    #[serde(skip)]
    pub history: Vec<EpochRecord>,
    /// SHA-256 of each of its test cells, sorted.
    #[serde(skip)]
    test_cells: Vec<[u8; 32]>,
}

/// Reads the run directories at `paths`, whether they are finished or not.
///
/// # Errors
/// As [`RunDir::open`], and for files in it that cannot be read.
pub fn compare(paths: &[PathBuf]) -> Result<Comparison> {
    let runs: Vec<ComparedRun> = paths.iter().map(|path| ComparedRun::read(path)).collect::<Result<_>>()?;
    let mut tested = runs.iter().filter(|run| run.test.is_some()).map(|run| &run.test_cells);
    let first = tested.next();
    let same_test_cells = tested.all(|cells| Some(cells) == first);
    Ok(Comparison { runs, same_test_cells })
}

impl ComparedRun {
    fn read(path: &Path) -> Result<Self> {
        let run = RunDir::open(path)?;
        let config = run.config()?;
        // A run that has just started has no epoch yet.
        let history = if run.history_path().is_file() { run.history()? } else { Vec::new() };
        let test = match run.metrics_path().is_file() {
            true => Some(malaria_files::read_json(&run.metrics_path(), "metrics of a run")?),
            false => None,
        };
        let cells = read_manifest(&run.split_path())?.entries.into_iter();
        let mut test_cells: Vec<[u8; 32]> = cells
            .filter(|cell| cell.subset == Some(Subset::Test))
            .map(|cell| cell.fingerprint.sha256)
            .collect();
        test_cells.sort_unstable();
        Ok(Self {
            path: path.to_owned(),
            recipe: config.recipe,
            protocol: config.split.protocol,
            fold: config.split.fold,
            seed: config.split.seed,
            epochs: [history.len() as u64, config.train.epochs],
            wall_seconds: history.iter().map(|epoch| epoch.seconds).sum(),
            test,
            history,
            test_cells,
        })
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }
}

impl Comparison {
    /// A table with a line for each run, and a remark if the metrics are not comparable.
    pub fn table(&self) -> String {
        let width = self.runs.iter().map(|run| run.name().chars().count()).max().unwrap_or(0).max(3);
        let mut text = format!(
            "{:<width$}  {:<8}  {:<16}  {:>7}  {:>8}  {:>6}  accuracy                  AUC                     sensitivity  specificity\n",
            "run", "recipe", "tested on", "epochs", "minutes", "cells"
        );
        for run in &self.runs {
            let tested_on = match run.fold {
                Some(Fold { number, of }) => format!("{}, {number} of {of}", run.protocol),
                None => format!("{}, seed {}", run.protocol, run.seed),
            };
            let [done, planned] = run.epochs;
            text += &format!(
                "{:<width$}  {:<8}  {tested_on:<16}  {:>7}  {:>8.1}  ",
                run.name(),
                run.recipe.to_string(),
                format!("{done}/{planned}"),
                run.wall_seconds / 60.0
            );
            text += &match &run.test {
                Some(Metrics { n_test, test, assessment, .. }) => {
                    let with =
                        |value: Option<f64>, interval: Option<Interval>, show: fn(Option<f64>) -> String| {
                            let ends = interval.filter(|_| value.is_some()).map(|Interval { low, high }| {
                                format!(" ({} to {})", show(Some(low)), show(Some(high)))
                            });
                            format!("{}{}", show(value), ends.unwrap_or_default())
                        };
                    let intervals = &assessment.intervals;
                    let accuracy = with(test.accuracy, intervals.accuracy, percent);
                    let auc = with(test.auc, intervals.auc, decimal);
                    let [sensitivity, specificity] = [test.sensitivity, test.specificity].map(percent);
                    format!("{n_test:>6}  {accuracy:<24}  {auc:<22}  {sensitivity:>11}  {specificity:>11}\n")
                }
                None if done < planned => format!("{:>6}  not finished\n", ""),
                None => format!("{:>6}  no test set\n", ""),
            };
        }
        if !self.same_test_cells {
            text += "The runs were not tested on the same cells: differences between their metrics are not due to the models alone.\n";
        }
        text
    }

    /// Plots validation loss and accuracy of the runs by epoch to one `.png` or `.svg`.
    ///
    /// # Errors
    /// [`Error::Report`](crate::Error::Report) if no run has an epoch yet, or the plot cannot be written.
    pub fn plot(&self, path: &Path) -> Result<()> {
        let points = |run: &ComparedRun| run.history.iter().map(epoch_point).collect::<Vec<EpochPoint>>();
        let runs: Vec<_> = self.runs.iter().map(|run| (run.name(), points(run))).collect();
        Ok(comparison_plot(&runs, "Validation by epoch")?.save(path)?)
    }
}
