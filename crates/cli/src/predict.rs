//! Classifies pictures of cells.

#[path = "support/mod.rs"]
mod support;

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Result;
use clap::Parser;
use malaria_resnet::{
    Classifier, DRAWN_CELLS, Prediction, RunDir,
    dataset::list_images,
    default_run,
    edge::{not_counted, roll_up, write_cells, write_patients},
    libtorch::{DeviceChoice, describe, keep_freed_memory},
    predict,
};
use serde_json::json;
use support::console::{Console, Style};

/// Classify pictures of single cells: files, or folders with everything below them.
#[derive(Parser)]
#[command(version, after_help = "Research software, not a medical device.")]
struct Args {
    /// Run directory of the model [default: MALARIA_RUN, or the pretrained model]
    #[arg(long, value_name = "RUN_DIR")]
    run: Option<PathBuf>,
    /// Pictures, or folders of them
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Print JSON instead of a table: `cells`, `patients` (none with --flips), `not_counted` (cells left out for patients, as they
    /// were warned of) and `rule`, how cells and patients are called
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Print CSV instead of a table, one line a cell; patients are in the table and in the JSON only
    #[arg(long)]
    csv: bool,
    /// Show each cell in four mirror images and take the mean of the probabilities: four times the work
    #[arg(long)]
    flips: bool,
    /// Device to compute on: auto, cpu, cuda or cuda:I
    #[arg(long, default_value = "auto")]
    device: DeviceChoice,
}

fn main() -> ExitCode {
    keep_freed_memory();
    support::exit_code(run(&Args::parse()))
}

fn run(args: &Args) -> Result<ExitCode> {
    let console = Console::new(Style::Auto);
    let run = args.run.clone().map_or_else(default_run, Ok)?;
    let mut classifier = Classifier::load(&run, args.device.resolve()?)?;
    classifier.flips = args.flips;
    if RunDir::open(&run)?.config()?.data.is_none() {
        console.say(&format!("warning: {DRAWN_CELLS}"));
    }
    let ignored = list_images(&args.paths)?.ignored;
    if ignored > 0 {
        console.say(&format!("warning: left out as they are not images: {ignored}"));
    }
    let predictions = predict(&classifier, &args.paths, &|progress| console.show(progress))?;
    support::print(text(args, &run, &classifier, &predictions)?.trim_end())?;
    let unreadable = predictions.iter().filter(|prediction| prediction.error.is_some()).count();
    if unreadable > 0 {
        console.say(&format!("{unreadable} of {} pictures could not be read", predictions.len()));
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// What is to be printed.
fn text(args: &Args, run: &Path, classifier: &Classifier, predictions: &[Prediction]) -> Result<String> {
    let mut out = Vec::new();
    // How often cells are called wrong, which calls of patients rest on, is known without mirror images only.
    let description = classifier.description();
    let patients = if args.flips { Vec::new() } else { roll_up(&description, predictions)? };
    let left_out = if args.flips { 0 } else { not_counted(predictions) };
    if args.json {
        let rule = description.calling_note();
        let summary =
            json!({"cells": predictions, "patients": patients, "not_counted": left_out, "rule": rule});
        serde_json::to_writer_pretty(&mut out, &summary)?;
    } else if args.csv {
        let mut writer = csv::Writer::from_writer(&mut out);
        predictions.iter().try_for_each(|prediction| writer.serialize(prediction))?;
        writer.flush()?;
    } else {
        write_cells(&mut out, &description.positive, predictions)?;
        if !patients.is_empty() {
            writeln!(out)?;
            write_patients(&mut out, &patients)?;
        }
        if left_out > 0 {
            writeln!(out, "cells that do not count for patients, as they were warned of: {left_out}")?;
        }
        let device = describe(classifier.model.device());
        writeln!(out, "\nmodel: {}, on the {device}", run.display())?;
        if args.flips {
            writeln!(
                out,
                "probabilities are means over four mirror images of each cell; patients are not called by them"
            )?;
        }
        writeln!(out, "{}", description.calling_note())?;
        writeln!(out, "Research software, not a medical device.")?;
    }
    Ok(String::from_utf8(out)?)
}
