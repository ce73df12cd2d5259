//! The plot of losses and accuracies by epoch, and the title that it shares with the page of results.

use std::path::Path;

use malaria_report::EpochPoint;
use malaria_train::EpochRecord;

use crate::{config::ExperimentConfig, error::Result, run::dir::RunDir};

/// Plots loss and accuracy by epoch of `run` to `path`, a `.png` or `.svg`.
///
/// # Errors
/// [`Error::File`](crate::Error::File) when the run has no readable `history.csv` yet, [`Error::Report`](crate::Error::Report)
/// when the plot cannot be drawn or written.
pub fn plot_history(run: &RunDir, path: &Path) -> Result<()> {
    plot(&run.history()?, &run.config()?, path)
}

/// Plots `history` to `path`, a `.png` or `.svg`.
pub(crate) fn plot(history: &[EpochRecord], config: &ExperimentConfig, path: &Path) -> Result<()> {
    let points: Vec<EpochPoint> = history.iter().map(epoch_point).collect();
    Ok(malaria_report::history_plot(&points, &format!("Loss and accuracy by epoch: {}", title(config)))?
        .save(path)?)
}

/// The title of a run's page.
pub(crate) fn title(config: &ExperimentConfig) -> String {
    format!("{} recipe, {} split", config.recipe, config.split.protocol)
}

/// An epoch as a point of the plot.
pub(crate) fn epoch_point(record: &EpochRecord) -> EpochPoint {
    EpochPoint {
        epoch: u32::try_from(record.epoch).unwrap_or(u32::MAX),
        train_loss: Some(record.train_loss),
        train_accuracy: Some(record.train_accuracy),
        validation_loss: record.validation_loss,
        validation_accuracy: record.validation_accuracy,
    }
}
