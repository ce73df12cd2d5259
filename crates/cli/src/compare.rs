//! `malaria compare`: compares runs.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use malaria_resnet::compare;

use crate::{
    NOTICE,
    json::Json,
    tensorboard::write_events,
    terminal::{check_file, note},
};

/// Compare runs, finished or not: a table of their test metrics and a plot of their curves.
///
/// If the runs were not tested on the same cells, the table says so: differences are then not due to the models alone.
#[derive(clap::Args)]
#[command(before_help = "\
Examples:
  malaria compare runs/fast-patient-seed0 runs/tutorial-patient-seed0
  malaria compare runs/* --plot curves.png
  malaria compare runs/* --tensorboard events && tensorboard --logdir events

A run is the folder that `malaria train` writes.", after_help = NOTICE)]
pub(crate) struct Args {
    /// Run directories; for a cross-validation, those of its folds
    #[arg(required = true, value_name = "RUN_DIR")]
    runs: Vec<PathBuf>,
    /// Plot validation loss and accuracy by epoch to this file
    #[arg(long, value_name = "FILE.png|svg")]
    plot: Option<PathBuf>,
    /// Write the metrics by epoch to this folder as event files for TensorBoard
    #[arg(long, value_name = "DIR")]
    tensorboard: Option<PathBuf>,
    #[command(flatten)]
    json: Json,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    args.json.check()?;
    if let Some(path) = &args.plot {
        check_file(path, &["png", "svg"])?;
    }
    let comparison = compare(&args.runs)?;
    args.json.result(comparison.table().trim_end(), &comparison)?;
    if let Some(path) = &args.plot {
        comparison.plot(path)?;
    }
    if let Some(folder) = &args.tensorboard {
        write_events(&comparison, folder)?;
    }
    for written in args.plot.iter().chain(&args.tensorboard) {
        note(format_args!("written: {}", written.display()));
    }
    Ok(ExitCode::SUCCESS)
}
