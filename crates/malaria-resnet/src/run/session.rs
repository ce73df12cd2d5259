//! A run in memory: what its parts work on.

use std::path::{Path, PathBuf};

use malaria_dataset::{Loaded, Split};
use malaria_train::{BestEpoch, CellTensors, EpochRecord, Outcome};

use super::{dir::RunDir, record::Metrics};
use crate::{
    classifier::Classifier, config::ExperimentConfig, error::Result, history, progress::Context,
    summary::DataSummary,
};

/// How a run ended.
#[derive(Debug)]
pub struct RunSummary {
    /// The run directory.
    pub run: RunDir,
    /// Finished, stopped early, or interrupted.
    pub outcome: Outcome,
    /// The test figures; none for an interrupted run, or one that was left no cell to test on.
    pub metrics: Option<Metrics>,
    /// What was written.
    pub files: Vec<PathBuf>,
}

/// A run whose data is in memory and whose folder is ours.
pub(crate) struct Session<'a> {
    pub(crate) config: ExperimentConfig,
    pub(crate) run: RunDir,
    pub(crate) loaded: &'a Loaded,
    pub(crate) split: Split,
    /// Index of the positive class.
    pub(crate) positive: usize,
    pub(crate) context: Context<'a>,
}

/// The trained classifier, its history and its data.
pub(crate) struct Trained<'a> {
    pub(crate) classifier: Classifier,
    pub(crate) best_epoch: BestEpoch,
    pub(crate) history: Vec<EpochRecord>,
    pub(crate) cells: CellTensors<'a>,
    pub(crate) data: DataSummary,
    /// Whether nothing is known of the patients that it is chosen and evaluated by.
    pub(crate) new_patients: bool,
    /// In words, with the precision of the training steps.
    pub(crate) device: String,
}

impl Session<'_> {
    /// Writes `history.csv` and `plot.png`.
    pub(crate) fn write_history(&self, records: &[EpochRecord]) -> Result<()> {
        malaria_files::write_csv(&self.run.history_path(), records)?;
        history::plot(records, &self.config, &self.run.plot_path())
    }
}

/// Draws loss and accuracy by epoch of the run in `run` to `path`, a `.png` or `.svg`.
///
/// # Errors
/// [`Error::File`](crate::Error::File) when the run has no readable `history.csv` yet, [`Error::Report`](crate::Error::Report) when the figure
/// cannot be drawn or written.
pub fn plot_history(run: &RunDir, path: &Path) -> Result<()> {
    history::plot(&run.history()?, &run.config()?, path)
}
