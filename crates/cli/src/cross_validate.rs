//! `malaria cross-validate`: tests every cell with a model that was not trained on it.

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Result, anyhow};
use malaria_resnet::{Context, CrossValidationOptions, Progress, cross_validate, dataset::Protocol};
use serde_json::json;

use crate::{
    NOTICE,
    advice::with_advice,
    console::{Console, Style},
    flags,
    json::Json,
    settings::Settings,
    terminal::{STOP, command, stop_on_signal},
    train::would_recur,
    words,
};

/// Cross-validate: train K models and test each on the fold that it was not trained on.
///
/// Each fold is a run directory in DIR. Running the same command again skips finished folds and resumes an interrupted one.
/// --fold runs a single fold, for example on another machine: copy the folds into one DIR and give the command without
/// --fold to pool them. Without --data, the cells are those of MALARIA_DATA or ./cell_images, or else synthetic.
#[derive(clap::Args)]
#[command(before_help = "\
Examples:
  malaria cross-validate --data cell_images --out runs/cv --final
  malaria cross-validate --data cell_images --out runs/cv --fold 2      a single fold
  malaria cross-validate --data cell_images --out runs/cv --recipe best

Next:
  malaria predict --run runs/cv/final some_cell.png", after_help = NOTICE)]
pub(crate) struct Args {
    #[command(flatten)]
    settings: Settings,
    /// Number of folds
    #[arg(long, value_name = "K", default_value_t = 5, value_parser = flags::folds, allow_negative_numbers = true)]
    folds: usize,
    /// Run this fold alone, from 1 to K. On several machines, --init, --teacher and --exclude need the same contents, not the same
    /// paths
    #[arg(long, value_name = "I", value_parser = flags::count::<usize>, allow_negative_numbers = true)]
    fold: Option<usize>,
    /// Divide whole patients or single cells into folds
    #[arg(long, value_name = "patient|random", default_value = "patient")]
    split: Protocol,
    /// After all folds, train a final model on every cell, in DIR/final: the model to use. Its metrics.json contains the
    /// metrics of the folds, since no cell is left to test it on
    #[arg(long = "final", conflicts_with = "fold")]
    final_model: bool,
    /// Folder for the folds and their pooled metrics
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
    stop_on_signal("saving")?;
    let command = command();
    let listener = |progress: Progress<'_>| console.show(progress);
    let context = Context { command: &command, stop: &STOP, listener: &listener };
    let config = args.settings.experiment(Some(args.split))?;
    if config.data.is_none() {
        console.say(words::SYNTHETIC);
    }
    let options = CrossValidationOptions {
        folds: args.folds,
        only: args.fold,
        final_model: args.final_model,
        out: &args.out,
    };
    let summary = cross_validate(&config, options, context).map_err(|error| {
        match args.out.exists() && !would_recur(&error) {
            true => {
                anyhow!("{}\nonce that is fixed, run the same command again to continue", with_advice(&error))
            }
            false => error.into(),
        }
    })?;
    if summary.interrupted {
        console.say("stopped and saved; run the same command again to resume");
        return Ok(ExitCode::from(130));
    }
    let mut text = match &summary.metrics {
        Some(metrics) => format!("\n{}\n", words::cross_validation(metrics)?),
        None => format!("\nfolds still to run: {:?}\n", summary.missing),
    };
    text += "Research software, not a medical device.\n\nwritten:";
    summary.files.iter().for_each(|file| text += &format!("\n  {}", file.display()));
    let document = json!({ "missing": summary.missing, "metrics": summary.metrics, "files": summary.files });
    console.result(&args.json, &text, &document)?;
    Ok(ExitCode::SUCCESS)
}
