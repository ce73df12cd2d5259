//! `malaria predict`: classifies pictures of cells.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Result;
use malaria_resnet::{
    Caveat, Classifier, PatientPrediction, Prediction, RunDir,
    dataset::list_images,
    default_run,
    libtorch::{DeviceChoice, describe},
    not_counted, predict, roll_up, write_cells, write_patients,
};
use serde_json::json;

use crate::{
    console::{Console, Style},
    json::Json,
};

/// Classify pictures of single cells: files, or folders with everything below them.
///
/// The document of --json holds `cells`, `patients` (none with --flips), `not_counted` (cells left out for patients, as they were
/// warned of) and `rule`, how cells and patients are called.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  malaria predict some_cell.png a_folder_of_cells              the pretrained model
  malaria predict --run runs/fast-patient-seed0 a_folder_of_cells --csv
  malaria predict a_folder_of_cells --json calls.json          cells, and patients where names tell them

Research software, not a medical device.")]
pub(crate) struct Args {
    /// Run directory of the model [default: MALARIA_RUN, or the pretrained model]
    #[arg(long, value_name = "RUN_DIR")]
    run: Option<PathBuf>,
    /// Pictures, or folders of them
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    json: Json,
    /// Print CSV instead of a table, one line a cell; patients are in the table and in the JSON only
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    /// Show each cell in four mirror images and take the mean of the probabilities: four times the work
    #[arg(long)]
    flips: bool,
    /// Device to compute on: auto, cpu, cuda or cuda:I
    #[arg(long, default_value = "auto")]
    device: DeviceChoice,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    args.json.check()?;
    let console = Console::new(Style::Auto);
    let run = args.run.clone().map_or_else(default_run, Ok)?;
    let mut classifier = Classifier::load(&run, args.device.resolve()?)?;
    classifier.flips = args.flips;
    if RunDir::open(&run)?.config()?.data.is_none() {
        console.say(&format!("warning: {}", Caveat::ModelOfSyntheticCells));
    }
    let ignored = list_images(&args.paths)?.ignored;
    if ignored > 0 {
        console.say(&format!("warning: left out as they are not images: {ignored}"));
    }
    let predictions = predict(&classifier, &args.paths, &|progress| console.show(progress))?;
    // How often cells are called wrong, which calls of patients rest on, is known without mirror images only.
    let description = classifier.description();
    let patients = if args.flips { Vec::new() } else { roll_up(&description, &predictions)? };
    let not_counted = if args.flips { 0 } else { not_counted(&predictions) };
    let words = if args.csv {
        csv(&predictions)?
    } else {
        table(args, &run, &classifier, &predictions, &patients, not_counted)?
    };
    let rule = description.calling_note();
    let document =
        json!({ "cells": predictions, "patients": patients, "not_counted": not_counted, "rule": rule });
    args.json.result(words.trim_end(), &document)?;
    let unreadable = predictions.iter().filter(|prediction| prediction.error.is_some()).count();
    if unreadable > 0 {
        console.say(&format!("{unreadable} of {} pictures could not be read", predictions.len()));
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

fn csv(predictions: &[Prediction]) -> Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    predictions.iter().try_for_each(|prediction| writer.serialize(prediction))?;
    Ok(String::from_utf8(writer.into_inner()?)?)
}

fn table(
    args: &Args,
    run: &Path,
    classifier: &Classifier,
    predictions: &[Prediction],
    patients: &[PatientPrediction],
    not_counted: usize,
) -> Result<String> {
    let mut out = Vec::new();
    let description = classifier.description();
    write_cells(&mut out, &description.positive, predictions)?;
    if !patients.is_empty() {
        writeln!(out)?;
        write_patients(&mut out, patients)?;
    }
    if not_counted > 0 {
        writeln!(out, "cells that do not count for patients, as they were warned of: {not_counted}")?;
    }
    let device = describe(classifier.model().device());
    writeln!(out, "\nmodel: {}, on the {device}", run.display())?;
    if args.flips {
        writeln!(
            out,
            "probabilities are means over four mirror images of each cell; patients are not called by them"
        )?;
    }
    writeln!(out, "{}", description.calling_note())?;
    writeln!(out, "Research software, not a medical device.")?;
    Ok(String::from_utf8(out)?)
}
