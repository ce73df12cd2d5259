//! `malaria cross-validate`: every cell is evaluated by a model that has learned nothing from it.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use malaria_resnet::{Context, CrossValidationOptions, Progress, cross_validate, dataset::Protocol};
use serde_json::json;

use crate::{
    console::{Console, Style},
    flags,
    json::Json,
    settings::Settings,
    terminal::{STOP, command, stop_on_signal},
    words,
};

/// Cross-validate: train K models, each tested on the K-th part of the cells that it has not learned from.
///
/// Each fold is a run directory in DIR. A fold that is finished is left alone and one that was cut off goes on, so the
/// same command can be given again at any time. With --fold, one fold is run by itself: on several machines, say, whose
/// folds are then copied into one DIR, where the command without --fold puts their figures together. Without --data,
/// MALARIA_DATA and a folder cell_images here are looked for; without those, cells are drawn.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  malaria cross-validate --data cell_images --out runs/cv --final
  malaria cross-validate --data cell_images --out runs/cv --fold 2      one fold by itself
  malaria cross-validate --data cell_images --out runs/cv --recipe best

Next:
  malaria predict --run runs/cv/final some_cell.png

Research software, not a medical device.")]
pub(crate) struct Args {
    #[command(flatten)]
    settings: Settings,
    /// Number of folds
    #[arg(long, value_name = "K", default_value_t = 5, value_parser = flags::folds, allow_negative_numbers = true)]
    folds: usize,
    /// Run this fold alone, from 1 to K. On several machines, what --init, --teacher and --exclude name has to lie at the same
    /// path
    #[arg(long, value_name = "I", value_parser = flags::count::<usize>, allow_negative_numbers = true)]
    fold: Option<usize>,
    /// Whether whole patients or single cells are dealt to the folds
    #[arg(long, value_name = "patient|random", default_value = "patient")]
    split: Protocol,
    /// After all folds, train one more model, on every cell, in DIR/final: the one to use. Its metrics.json holds the
    /// figures of the folds, since no cell is left to evaluate it on
    #[arg(long = "final", conflicts_with = "fold")]
    final_model: bool,
    /// Folder for the folds and their figures together
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    json: Json,
    /// How progress is shown
    #[arg(long, value_enum, default_value = "auto")]
    progress: Style,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let console = Console::new(args.progress);
    console.check(&args.json)?;
    stop_on_signal()?;
    let command = command();
    let listener = |progress: Progress<'_>| console.show(progress);
    let context = Context { command: &command, stop: &STOP, listener: &listener };
    let config = args.settings.experiment(Some(args.split))?;
    if config.data.is_none() {
        console.say(words::DRAWN);
    }
    let options = CrossValidationOptions {
        folds: args.folds,
        only: args.fold,
        final_model: args.final_model,
        out: &args.out,
    };
    let summary = cross_validate(&config, options, context)?;
    if summary.interrupted {
        console.say("stopped and saved; give the same command again to go on");
        return Ok(ExitCode::from(130));
    }
    let mut text = match &summary.metrics {
        Some(metrics) => format!("\n{}\n", words::cross_validation(metrics)?),
        None => format!("\nfolds still to be run: {:?}\n", summary.missing),
    };
    text += "Research software, not a medical device.\n\nwritten:";
    summary.files.iter().for_each(|file| text += &format!("\n  {}", file.display()));
    let document = json!({ "missing": summary.missing, "metrics": summary.metrics, "files": summary.files });
    console.result(&args.json, &text, &document)?;
    Ok(ExitCode::SUCCESS)
}
