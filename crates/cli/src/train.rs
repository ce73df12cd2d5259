//! Trains a malaria cell classifier and judges it on its test set: `train_malaria --help` tells how.

mod args;
#[path = "../support/mod.rs"]
mod support;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Result, anyhow, bail};
use args::Args;
use clap::Parser;
use malaria_resnet::{
    Context, Error, ExperimentConfig,
    dataset::{self, DownloadConfig, Protocol},
    libtorch::keep_freed_memory,
    plot_history,
    plots::check_figure_path,
    protocol_note, resume, train,
    training::{self, Outcome},
};
use serde_json::json;
use support::{STOP, command, console::Console, resume_command, stop_on_signal, words};

fn main() -> ExitCode {
    keep_freed_memory();
    support::exit_code(run(&mut Args::parse()))
}

fn run(args: &mut Args) -> Result<ExitCode> {
    let console = Console::new(args.progress);
    if let Some(path) = &args.plot {
        check_figure_path(path)?;
        support::check_file(path)?;
    }
    if !args.url.is_empty() && !args.download {
        bail!("--url says where --download fetches the data set from: give both, or neither");
    }
    stop_on_signal()?;
    let command = command();
    let listener = |progress: malaria_resnet::Progress<'_>| console.show(progress);
    let context = Context { command: &command, stop: &STOP, listener: &listener };

    let summary = match &args.resume {
        Some(run) => resume(run, context).map_err(|error| going_on(error, run))?,
        None => {
            match download(args, &console) {
                Ok(Some(folder)) => args.settings.data = Some(folder),
                Ok(None) => {}
                Err(stopped @ dataset::Error::DownloadStopped) => {
                    console.say(&stopped.to_string());
                    return Ok(ExitCode::from(130));
                }
                Err(error) => return Err(error.into()),
            }
            let config = args.settings.experiment(args.split)?;
            if config.data.is_none() {
                console.say(words::DRAWN);
            }
            let out = args.out.clone().unwrap_or_else(|| free_run_dir(&config));
            train(&config, &out, context).map_err(|error| going_on(error, &out))?
        }
    };
    if summary.outcome == Outcome::Interrupted {
        console.say(&format!("stopped and saved; go on with: {}", resume_command(summary.run.path())));
        let event = json!({ "event": "interrupted", "run": summary.run.path() });
        console.event(&event);
        return Ok(ExitCode::from(130));
    }
    let mut text = match &summary.metrics {
        Some(metrics) => words::test_set(metrics)?,
        None => format!("\n{}\n", protocol_note(Protocol::All)),
    };
    if let Some(path) = &args.plot {
        plot_history(&summary.run, path)?;
    }
    text += "Research software, not a medical device.\n\nwritten:";
    summary.files.iter().chain(&args.plot).for_each(|file| text += &format!("\n  {}", file.display()));
    let event = json!({ "event": "finished", "metrics": summary.metrics, "files": summary.files });
    console.result(&text, &event)?;
    Ok(ExitCode::SUCCESS)
}

/// Adds to an error that broke off the run in `run` how to go on with it.
fn going_on(error: Error, run: &Path) -> anyhow::Error {
    // A run that diverged would do so again.
    let hopeless = matches!(
        error,
        Error::RunDir { .. }
            | Error::Train(
                training::Error::NonFiniteLoss { .. }
                    | training::Error::NonFiniteWeights { .. }
                    | training::Error::NonFiniteValidation { .. }
            )
    );
    if hopeless || !run.join("config.json").is_file() {
        return error.into();
    }
    anyhow!("{error}\nonce that is mended, go on with: {}", resume_command(run))
}

/// Fetches NLM's data set where that is asked for, and gives its folder.
fn download(args: &Args, console: &Console) -> dataset::Result<Option<PathBuf>> {
    if !args.download {
        return Ok(None);
    }
    let mut config = DownloadConfig::default();
    if !args.url.is_empty() {
        config.urls.clone_from(&args.url);
    }
    let folder = dataset::download(&config, ".".as_ref(), &STOP, &mut |progress| console.download(progress))?;
    Ok(Some(folder))
}

/// `runs/RECIPE-SPLIT-seedN`, or the first of `-2`, `-3`, … that is not there yet.
fn free_run_dir(config: &ExperimentConfig) -> PathBuf {
    let name = format!("runs/{}-{}-seed{}", config.recipe, config.split.protocol, config.train.seed);
    let numbered = (2..).map(|number| PathBuf::from(format!("{name}-{number}")));
    std::iter::once(PathBuf::from(&name)).chain(numbered).find(|path| !path.exists()).unwrap_or(name.into())
}
