//! The program `malaria`: trains, evaluates and uses classifiers of red blood cells from the command line.
//!
//! Glue over the crate `malaria-resnet`. Each subcommand is a module with its flags and its `run`; beside them stand what
//! several share: `settings` and `flags` (the command line), `console`, `words` and `json` (what is shown), `advice` (which flag
//! helps against which error), `terminal` (standard streams and signals).

mod advice;
mod build_dataset;
mod console;
mod cross_validate;
mod doctor;
mod download;
mod evaluate;
mod export;
mod flags;
mod json;
mod predict;
mod settings;
mod terminal;
mod train;
mod words;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use malaria_resnet::libtorch::keep_freed_memory;

/// Train, evaluate and use a classifier of single red blood cells.
#[derive(Parser)]
#[command(
    name = "malaria",
    version,
    after_help = "\
Start:
  malaria doctor                          what is here, and what is missing
  malaria train                           the quick recipe; without cells it draws some
  malaria predict some_cell.png           with the pretrained model

`malaria COMMAND --help` has examples of each. Research software, not a medical device."
)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    Train(Box<train::Args>),
    CrossValidate(Box<cross_validate::Args>),
    Evaluate(evaluate::Args),
    Predict(predict::Args),
    Export(export::Args),
    BuildDataset(build_dataset::Args),
    Download(download::Args),
    Doctor(doctor::Args),
}

fn main() -> ExitCode {
    keep_freed_memory();
    advice::exit_code(match Arguments::parse().task {
        Task::Train(args) => train::run(*args),
        Task::CrossValidate(args) => cross_validate::run(&args),
        Task::Evaluate(args) => evaluate::run(&args),
        Task::Predict(args) => predict::run(&args),
        Task::Export(args) => export::run(&args),
        Task::BuildDataset(args) => build_dataset::run(&args),
        Task::Download(args) => download::run(&args),
        Task::Doctor(args) => doctor::run(&args),
    })
}
