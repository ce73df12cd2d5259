//! `malaria evaluate`: evaluates a trained model on a folder of labelled cells.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use malaria_resnet::{
    Caveat, EvaluateOptions, EvaluatedOn,
    dataset::ignored_note,
    default_run, evaluate,
    libtorch::{DeviceChoice, describe},
    protocol_note,
};

use crate::{
    NOTICE,
    console::{Console, Style},
    flags,
    json::Json,
    terminal::{check_file, command},
    words,
};

/// Evaluate a trained model on a folder of labelled cells.
#[derive(clap::Args)]
#[command(before_help = "\
Examples:
  malaria evaluate --data my_cells --report my_cells.html      the pretrained model
  malaria evaluate --run runs/fast-patient-seed0 --data cell_images", after_help = NOTICE)]
pub(crate) struct Args {
    /// Run directory of the model, the folder that `malaria train` wrote [default: MALARIA_RUN, or the pretrained model]
    #[arg(long, value_name = "RUN_DIR")]
    run: Option<PathBuf>,
    /// Folder of class folders
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    #[command(flatten)]
    patients: flags::Patients,
    /// Evaluate on the run's test cells, or on all cells [default: test if this is the run's data folder, else all]
    #[arg(long,
        value_parser = PossibleValuesParser::new(["test", "all"]).try_map(|name| name.parse::<EvaluatedOn>()))]
    subset: Option<EvaluatedOn>,
    #[command(flatten)]
    json: Json,
    /// Write the probabilities and the predicted class of each cell to this file
    #[arg(long, value_name = "FILE.csv")]
    predictions: Option<PathBuf>,
    /// Write a page with the metrics, plots and pictures of the worst mistakes to this file
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
    /// Device to compute on: auto, cpu, cuda or cuda:I
    #[arg(long, default_value = "auto")]
    device: DeviceChoice,
    /// Average the probabilities over four mirror images of each cell: four times as slow
    #[arg(long)]
    flips: bool,
    /// Report predictive values at this share of infected cells (a fraction); may be repeated [default: 0.001, 0.01 and 0.05,
    /// in the report and the JSON]
    #[arg(long, value_name = "SHARE", value_parser = flags::fraction, allow_negative_numbers = true)]
    prevalence: Vec<f64>,
    /// Skip images that cannot be read, and list them, instead of stopping
    #[arg(long)]
    skip_corrupt: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let console = Console::new(Style::Auto);
    args.json.check()?;
    args.predictions.iter().try_for_each(|path| check_file(path, &["csv"]))?;
    args.report.iter().try_for_each(|path| check_file(path, &["html"]))?;
    let run = args.run.clone().map_or_else(default_run, Ok)?;
    let patients = args.patients.names();
    let options = EvaluateOptions {
        run: &run,
        data: &args.data,
        patients: patients.as_ref(),
        evaluated_on: args.subset,
        device: args.device.resolve()?,
        flips: args.flips,
        skip_corrupt: args.skip_corrupt,
        prevalences: &args.prevalence,
        predictions: args.predictions.as_deref(),
        report: args.report.as_deref(),
        command: &command(),
    };
    let report = evaluate(options, &|progress| console.show(progress))?;
    for image in &report.skipped {
        console.say(&format!("warning: skipped {image}"));
    }
    console.warn_of_copies(
        "pictures in folders of more than one class: one label is wrong",
        &report.doubly_labelled,
    );
    console.warn_of_copies("groups of pictures with the same pixels", &report.copies);
    if report.caveats.iter().any(|caveat| matches!(caveat, Caveat::UnlikeTraining { .. })) {
        console.warn_of("pictures unlike the training cells", &report.warnings);
    }
    if let Some(unknown) = &report.unknown_patients {
        console.say(&format!("warning: {unknown}; {}", flags::PATIENT_ADVICE));
    }
    if let Some(words) = ignored_note(&report.ignored) {
        console.say(&format!("warning: {words}"));
    }
    let which = if report.evaluated_on == EvaluatedOn::Test { "the run's test cells" } else { "all cells" };
    let device = describe(options.device);
    let mut text = format!(
        "{} cells of {} ({which})\nmodel: {}, on the {device}\n",
        report.metrics.n,
        args.data.display(),
        run.display()
    );
    if report.evaluated_on == EvaluatedOn::Test {
        text += &format!("{}\n", protocol_note(report.protocol));
    }
    text += &format!("\n{}\n", words::summary(&report.metrics, report.threshold.as_ref(), &report.caveats)?);
    if !args.prevalence.is_empty() {
        text += &format!("{}\n", words::at_prevalence(&report.assessment.at_prevalence));
    }
    text += "Research software, not a medical device.";
    report.unwritten.iter().for_each(|reason| console.say(&format!("error: {reason}")));
    let saved = args.json.write(&report);
    let document = args.json.file().filter(|_| saved.is_ok());
    for file in document.into_iter().chain(&report.written) {
        text += &format!("\nwritten: {}", file.display());
    }
    let printed = args.json.print(&text, &report);
    saved?;
    printed?;
    Ok(if report.unwritten.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
