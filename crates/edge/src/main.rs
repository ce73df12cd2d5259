//! The program for the field: a model file and pictures in, calls out. No libtorch, no Python, nothing to install.

#[cfg(feature = "serve")]
mod serve;

use std::{
    fmt::Display,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use malaria_classifier::{
    PatientPrediction, Prediction, not_counted, patient_words, roll_up, write_cells, write_patients,
};
use malaria_dataset::{Cells, Listed, list_images};
use malaria_edge::Model;
use malaria_metrics::PatientCall;
use serde_json::{Value, json};

/// Classify pictures of red blood cells with an exported model.
#[derive(Parser)]
#[command(version, after_help = "Research software, not a medical device.")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Classify pictures of single cells: files, or folders with everything below them
    Classify(Classify),
    /// Say what a model is: its classes, its threshold, how it wants its pictures, where it comes from
    Info {
        /// The model
        #[arg(value_name = "MODEL.onnx")]
        model: PathBuf,
    },
    /// Show a page in the browser on which pictures are dropped and called; nothing leaves this machine, and nothing is kept
    #[cfg(feature = "serve")]
    Serve {
        /// The model
        #[arg(value_name = "MODEL.onnx")]
        model: PathBuf,
        /// Address to listen on; others than 127.0.0.1 and ::1 can be reached from the network. The page is opened by an IP
        /// address or as localhost, not by another name
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
        host: std::net::IpAddr,
        /// Port to listen on; 0 takes any that is free
        #[arg(long, value_name = "N", default_value_t = 8080)]
        port: u16,
    },
    /// Measure how many cells a second this machine makes
    Bench {
        /// The model
        #[arg(value_name = "MODEL.onnx")]
        model: PathBuf,
        /// For how long
        #[arg(long, value_name = "SECONDS", default_value_t = 5.0, value_parser = seconds)]
        seconds: f64,
    },
}

#[derive(Args)]
struct Classify {
    /// The model
    #[arg(value_name = "MODEL.onnx")]
    model: PathBuf,
    /// Pictures, or folders of them
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Print JSON instead of a table: `cells`, `patients`, `not_counted` (cells left out for patients, as they were warned of) and
    /// `rule`, how cells and patients are called
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Print CSV instead of a table, one line a cell; patients are in the table and in the JSON only
    #[arg(long)]
    csv: bool,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().task {
        Task::Classify(args) => classify(&args),
        Task::Info { model } => info(&model),
        #[cfg(feature = "serve")]
        Task::Serve { model, host, port } => serve(&model, (host, port).into()),
        Task::Bench { model, seconds } => bench(&model, seconds),
    };
    result.unwrap_or_else(|error| {
        // One message, whatever RUST_BACKTRACE says.
        note(format_args!("error: {error:#}"));
        ExitCode::FAILURE
    })
}

/// A time that ends.
fn seconds(text: &str) -> Result<f64, String> {
    let seconds: Option<f64> = text.parse().ok();
    seconds
        .filter(|seconds| *seconds > 0.0 && seconds.is_finite())
        .ok_or_else(|| "expected a number above 0".to_owned())
}

fn load(path: &Path) -> Result<Model> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Model::load(&bytes).with_context(|| path.display().to_string())
}

fn classify(args: &Classify) -> Result<ExitCode> {
    let model = load(&args.model)?;
    let Listed { images, ignored } = list_images(&args.paths)?;
    if ignored > 0 {
        note(format_args!("warning: left out as they are not images: {ignored}"));
    }
    // Hidden where nobody watches.
    let style = ProgressStyle::with_template("{bar:40} {pos} of {len} cells, {eta} left")?;
    let bar = ProgressBar::no_length().with_style(style);
    let predictions = model.classify(&images, &mut |done, total| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    })?;
    bar.finish_and_clear();
    let patients = roll_up(model.description(), &predictions)?;
    print(text(args, &model, &predictions, &patients)?.trim_end())?;
    let unreadable = predictions.iter().filter(|prediction| prediction.error.is_some()).count();
    if unreadable > 0 {
        note(format_args!("{unreadable} of {} pictures could not be read", predictions.len()));
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// A line on standard output. A reader that has gone away has seen enough; a full disk is an error.
fn print(line: impl Display) -> io::Result<()> {
    match writeln!(io::stdout(), "{line}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}

/// A line on standard error, which nobody may be reading.
fn note(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// What is to be printed of classified pictures.
fn text(
    args: &Classify,
    model: &Model,
    cells: &[Prediction],
    patients: &[PatientPrediction],
) -> Result<String> {
    let mut out = Vec::new();
    if args.json {
        let summary = json!({
            "cells": cells,
            "patients": patients,
            "not_counted": not_counted(cells),
            "rule": model.description().calling_note(),
        });
        return Ok(serde_json::to_string_pretty(&summary)?);
    }
    if args.csv {
        let mut writer = csv::Writer::from_writer(&mut out);
        cells.iter().try_for_each(|cell| writer.serialize(cell))?;
        writer.flush()?;
        drop(writer);
        return Ok(String::from_utf8(out)?);
    }
    let positive = &model.description().positive;
    write_cells(&mut out, positive, cells)?;
    if !patients.is_empty() {
        writeln!(out)?;
        write_patients(&mut out, patients)?;
    }
    let not_counted = not_counted(cells);
    if not_counted > 0 {
        writeln!(out, "cells that do not count for patients, as they were warned of: {not_counted}")?;
    }
    writeln!(out, "\n{}", model.description().calling_note())?;
    writeln!(out, "Research software, not a medical device.")?;
    Ok(String::from_utf8(out)?)
}

fn info(path: &Path) -> Result<ExitCode> {
    let model = load(path)?;
    print(serde_json::to_string_pretty(&about(&model, path)?)?)?;
    note("Research software, not a medical device.");
    Ok(ExitCode::SUCCESS)
}

/// What a model says of itself.
fn about(model: &Model, path: &Path) -> Result<Value> {
    let description = model.description();
    let bytes = fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?.len();
    Ok(json!({
        "description": description,
        "rule": description.calling_note(),
        "patient_calls": {
            "positive": patient_words(PatientCall::Positive),
            "negative": patient_words(PatientCall::Negative),
            "undecided": patient_words(PatientCall::Undecided),
        },
        "origin": model.origin(),
        "bytes": bytes,
    }))
}

#[cfg(feature = "serve")]
fn serve(path: &Path, address: std::net::SocketAddr) -> Result<ExitCode> {
    let model = load(path)?;
    let info = about(&model, path)?;
    serve::serve(model, info, address, |local| {
        if !local.ip().is_loopback() {
            note(format_args!(
                "warning: whoever can reach this machine over the network can use the page, and send pictures"
            ));
        }
        let _ =
            print(format_args!("http://{local}/\nCtrl-C ends it. Research software, not a medical device."));
    })?;
    Ok(ExitCode::SUCCESS)
}

fn bench(path: &Path, seconds: f64) -> Result<ExitCode> {
    let start = Instant::now();
    let model = load(path)?;
    print(format_args!("loaded in {:.0} ms", start.elapsed().as_secs_f64() * 1e3))?;
    let side = model.description().image.pixels;
    for batch in [1, 8, 32] {
        let bytes = (0..batch * side as usize * side as usize * 3).map(|i| (i * i % 251) as u8).collect();
        let cells = Cells::from_pixels(side, bytes)?;
        let all: Vec<usize> = (0..batch).collect();
        model.probabilities(&cells, &all, &mut |_| {})?;
        let (start, mut done) = (Instant::now(), 0);
        while done == 0 || start.elapsed().as_secs_f64() < seconds / 3.0 {
            model.probabilities(&cells, &all, &mut |_| {})?;
            done += batch;
        }
        print(format_args!(
            "{batch:>3} at once: {:.0} cells/s",
            done as f64 / start.elapsed().as_secs_f64()
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}
