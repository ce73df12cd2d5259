//! A run in memory: its settings, data and results, and the summary that callers get.

use std::path::PathBuf;

use malaria_dataset::{Loaded, Split};
use malaria_train::{BestEpoch, CellTensors, EpochRecord, Outcome};

use super::{dir::RunDir, metrics::Metrics};
use crate::{
    classifier::Classifier, config::ExperimentConfig, data_summary::DataSummary, error::Result, history_plot,
    progress::Context,
};

/// Outcome, metrics and files of a run.
#[derive(Debug)]
pub struct RunSummary {
    /// The run directory.
    pub run: RunDir,
    /// Finished, stopped early, or interrupted.
    pub outcome: Outcome,
    /// The test metrics; `None` for an interrupted run and for a split without test set.
    pub metrics: Option<Metrics>,
    /// The files written.
    pub files: Vec<PathBuf>,
}

/// A run with its data in memory, in a directory that this process has locked.
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
    /// Whether the model was trained on none of the patients in the validation and test sets.
    pub(crate) new_patients: bool,
    /// Name of the device, and precision of the training steps.
    pub(crate) device: String,
}

impl Session<'_> {
    /// Writes `history.csv` and `plot.png`.
    pub(crate) fn write_history(&self, records: &[EpochRecord]) -> Result<()> {
        malaria_files::write_csv(&self.run.history_path(), records)?;
        history_plot::plot(records, &self.config, &self.run.plot_path())
    }
}
