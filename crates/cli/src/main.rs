//! The program `malaria`: trains, evaluates and uses classifiers of red blood cells from the command line.
//!
//! Glue over the crate `malaria-resnet`. Each subcommand is a module with its flags and its `run`. Shared are `settings` and `flags`
//! (the command line), `console`, `words` and `json` (the output), `advice` (the flag that helps against an error) and `terminal`
//! (standard streams and signals).

mod advice;
mod build_dataset;
mod compare;
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
mod smear;
mod tensorboard;
mod terminal;
mod train;
mod words;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result};
use clap::{Command, CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;
use malaria_resnet::libtorch::keep_freed_memory;

use self::terminal::{note, print};

/// The help of a subcommand: what it does, examples, then its flags.
const HELP: &str = "{about-with-newline}\n{before-help}{usage-heading} {usage}\n\n{all-args}{after-help}";
/// The program's name and version, as recorded in results.
const PROGRAM: &str = concat!("malaria ", env!("CARGO_PKG_VERSION"));
/// The end of every help.
const NOTICE: &str = "Research software, not a medical device.";

/// Train, evaluate and use a classifier of red blood cells, from a photograph to a count.
#[derive(Parser)]
#[command(
    name = "malaria",
    version,
    after_help = "\
Start:
  malaria doctor                          what is installed and what is missing
  malaria train                           the fast recipe, on synthetic cells if there is no data
  malaria predict some_cell.png           with the pretrained model
  malaria smear photos --out results      counts the infected cells in photographs of a smear

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
    Compare(compare::Args),
    Evaluate(evaluate::Args),
    Predict(predict::Args),
    Smear(smear::Args),
    Export(export::Args),
    BuildDataset(build_dataset::Args),
    Download(download::Args),
    Doctor(doctor::Args),
    /// Print completions for a shell
    #[command(before_help = "\
Examples:
  malaria completions bash > ~/.local/share/bash-completion/completions/malaria", after_help = NOTICE)]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write manual pages into a folder
    #[command(before_help = "\
Examples:
  malaria man ~/.local/share/man/man1", after_help = NOTICE)]
    Man {
        /// The folder
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
}

fn main() -> ExitCode {
    keep_freed_memory();
    let matches = command().get_matches();
    let arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    advice::exit_code(match arguments.task {
        Task::Train(args) => train::run(*args),
        Task::CrossValidate(args) => cross_validate::run(&args),
        Task::Compare(args) => compare::run(&args),
        Task::Evaluate(args) => evaluate::run(&args),
        Task::Predict(args) => predict::run(&args),
        Task::Smear(args) => smear::run(&args),
        Task::Export(args) => export::run(&args),
        Task::BuildDataset(args) => build_dataset::run(&args),
        Task::Download(args) => download::run(&args),
        Task::Doctor(args) => doctor::run(&args),
        Task::Completions { shell } => completions(shell),
        Task::Man { folder } => man(&folder),
    })
}

/// The command line, with the form of help of the subcommands.
fn command() -> Command {
    Arguments::command().mut_subcommands(|subcommand| subcommand.help_template(HELP))
}

/// Prints the completions.
fn completions(shell: Shell) -> Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "malaria", &mut script);
    print(String::from_utf8_lossy(&script).trim_end())?;
    Ok(ExitCode::SUCCESS)
}

/// Writes the manual pages.
fn man(folder: &Path) -> Result<ExitCode> {
    let write = || {
        std::fs::create_dir_all(folder)?;
        clap_mangen::generate_to(Arguments::command(), folder)
    };
    write().with_context(|| format!("cannot write manual pages into {}", folder.display()))?;
    note(format_args!("written: {}", folder.display()));
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refuse(line: &str, words: &[&str]) {
        let error = Arguments::try_parse_from(line.split(' ')).err().expect(line).to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{line}: {error}");
    }

    #[test]
    fn every_subcommand_shows_an_example_and_the_notice() {
        let mut command = command();
        let names: Vec<&str> = command.get_subcommands().map(Command::get_name).collect();
        let expected = [
            "train",
            "cross-validate",
            "compare",
            "evaluate",
            "predict",
            "smear",
            "export",
            "build-dataset",
            "download",
            "doctor",
            "completions",
            "man",
        ];
        assert_eq!(names, expected);
        for subcommand in command.get_subcommands_mut() {
            let help = subcommand.render_long_help().to_string();
            assert!(help.contains("\n  malaria"), "{help}");
            assert!(help.trim_end().ends_with(NOTICE), "{help}");
        }
    }

    #[test]
    fn flags_say_what_they_accept() {
        for (flag, value, expected) in [
            ("--recipe", "slow", "fast, tutorial, best, field, finetune"),
            ("--precision", "bf16", "auto, float32, bfloat16"),
            ("--epochs", "0", "whole number of at least 1"),
            ("--epochs", "-3", "whole number of at least 1"),
            ("--batch-size", "0", "whole number of at least 1"),
            ("--threads", "two", "whole number of at least 1"),
            ("--seed", "-1", "whole number from 0"),
            ("--lr", "0", "number above 0"),
            ("--lr", "inf", "number above 0"),
            ("--target-specificity", "97", "did you mean 0.97?"),
            ("--target-sensitivity", "-0.1", "fraction from 0 to 1"),
        ] {
            refuse(&format!("malaria train {flag} {value}"), &[flag, value, expected]);
        }
        refuse("malaria train --teacher t --teacher-weight 70", &["--teacher-weight", "did you mean 0.7?"]);
        refuse("malaria cross-validate --out x --folds 1", &["--folds", "at least 2"]);
        let export = "malaria export --out model.onnx --max-loss";
        refuse(&format!("{export} 5"), &["--max-loss", "0.05"]);
        refuse(&format!("{export} nan"), &["--max-loss", "fraction from 0 to 1"]);
        refuse("malaria export --out model.onnx --weights f8", &["f32, f16 and int8"]);
        // JSON must not overwrite a picture.
        refuse("malaria predict --json a_cell.png", &["--json", "a_cell.png", ".json"]);
    }

    #[test]
    fn a_resumed_run_takes_no_settings() {
        for setting in [
            "--out run",
            "--patient-pattern (.*)",
            "--patients patients.csv",
            "--recipe fast",
            "--precision float32",
            "--device cpu",
            "--split random",
            "--config run.json",
            "--positive sick",
            "--exclude cells.csv",
            "--epochs 1",
            "--batch-size 1",
            "--lr 1",
            "--seed 1",
            "--threads 1",
            "--target-sensitivity 1",
            "--target-specificity 1",
            "--calibrate",
            "--skip-corrupt",
            "--download",
        ] {
            let flag = setting.split(' ').next().unwrap_or(setting);
            refuse(
                &format!("malaria train --resume run {setting}"),
                &["--resume", flag, "cannot be used with"],
            );
        }
    }
}
