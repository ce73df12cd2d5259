//! Cross-validates a recipe: every cell is judged by a model that has learned nothing from it.

#[path = "support/mod.rs"]
mod support;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::Parser;
use malaria_resnet::{Context, CrossOptions, cross_validate, dataset::Protocol, libtorch::keep_freed_memory};
use serde_json::json;
use support::{
    STOP, command, console::Console, console::Style, flags, settings::Settings, stop_on_signal, words,
};

/// Cross-validate: train K models, each tested on the K-th part of the cells that it has not learned from.
///
/// Each fold is a run directory in DIR. A fold that is finished is left alone and one that was cut off goes on, so the
/// same command can be given again at any time. With --fold, one fold is run by itself: on several machines, say, whose
/// folds are then copied into one DIR, where the command without --fold puts their figures together. Without --data,
/// MALARIA_DATA and a folder cell_images here are looked for; without those, cells are drawn.
#[derive(Parser)]
#[command(version, after_help = "Research software, not a medical device.")]
struct Args {
    #[command(flatten)]
    settings: Settings,
    /// Number of folds
    #[arg(long, value_name = "K", default_value_t = 5, value_parser = flags::folds, allow_negative_numbers = true)]
    folds: usize,
    /// Run this fold alone, from 1 to K. On several machines, what --init, --teacher and --leave-out name has to lie at the same
    /// path
    #[arg(long, value_name = "I", value_parser = flags::count::<usize>, allow_negative_numbers = true)]
    fold: Option<usize>,
    /// Whether whole patients or single cells are dealt to the folds
    #[arg(long, value_name = "patient|random", default_value = "patient")]
    split: Protocol,
    /// After all folds, train one more model, on every cell, in DIR/final: the one to use. Its metrics.json holds the
    /// figures of the folds, since no cell is left to judge it by
    #[arg(long = "final", conflicts_with = "fold")]
    final_model: bool,
    /// Folder for the folds and their figures together
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// How progress is shown
    #[arg(long, value_enum, default_value = "auto")]
    progress: Style,
}

fn main() -> ExitCode {
    keep_freed_memory();
    support::exit_code(run(&Args::parse()))
}

fn run(args: &Args) -> Result<ExitCode> {
    let console = Console::new(args.progress);
    stop_on_signal()?;
    let command = command();
    let listener = |progress: malaria_resnet::Progress<'_>| console.show(progress);
    let context = Context { command: &command, stop: &STOP, listener: &listener };
    let config = args.settings.experiment(Some(args.split))?;
    if config.data.is_none() {
        console.say(words::DRAWN);
    }
    let options =
        CrossOptions { folds: args.folds, only: args.fold, final_model: args.final_model, out: &args.out };
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
    let event = json!({ "event": "finished", "missing": summary.missing, "metrics": summary.metrics });
    console.result(&text, &event)?;
    Ok(ExitCode::SUCCESS)
}
