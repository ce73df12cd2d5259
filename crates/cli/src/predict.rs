//! `malaria predict`: classifies pictures of cells.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use malaria_resnet::{
    Caveat, Classifier, Error, PredictionReport, RunDir,
    dataset::{Listed, list_images},
    default_run,
    libtorch::{DeviceChoice, describe},
    mark_seen_in_training, predict_files, provenance,
};

use crate::{
    NOTICE, PROGRAM,
    console::{Console, Style},
    flags,
    json::Json,
    terminal::{STOP, stop_on_signal},
};

/// Classify pictures of single cells: files, or folders with everything below them.
///
/// The document of --json contains `cells`, `uncertain_share` (of cells with a probability from 10 to 90 %), `unlike_share`
/// (of cells with a warning), `unfamiliar` (whether one of these shares is unusually large), `patients` (none with --flips),
/// `not_counted` (cells with a warning, which do not count for patients), `n_copies` (cells with the pixels of an earlier
/// one, which count once), `n_shared` (copies with several patients, which count for none), `unknown_patients` (pictures
/// that count for no patient), `notes` (such as the files that were skipped), `not_reached` (pictures that were not
/// classified, because Ctrl-C stopped the program) and `rule` (how cells and patients are called).
#[derive(clap::Args)]
#[command(before_help = "\
Examples:
  malaria predict some_cell.png a_folder_of_cells              the pretrained model
  malaria predict --run runs/fast-patient-seed0 a_folder_of_cells --csv
  malaria predict a_folder_of_cells --json calls.json          cells, and patients if the names identify them
  malaria predict my_cells --patient-pattern '([^/_]+)_[^/]*$'  the patient is the file name up to its first _

Ctrl-C ends after the pictures in progress and prints their results.", after_help = NOTICE)]
pub(crate) struct Args {
    /// Run directory of the model, the folder that `malaria train` wrote [default: MALARIA_RUN, or the pretrained model]
    #[arg(long, value_name = "RUN_DIR")]
    run: Option<PathBuf>,
    /// Pictures, or folders of them
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    patients: flags::Patients,
    #[command(flatten)]
    json: Json,
    /// Print CSV instead of a table, one line per cell; only the table and the JSON have patients
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    /// Average the probabilities over four mirror images of each cell: four times as slow
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
    let patients = args.patients.names().unwrap_or_default();
    let Listed { images, notes, .. } = list_images(&args.paths, &patients).map_err(Error::from)?;
    if args.csv {
        // The table has them.
        notes.iter().for_each(|words| console.say(&format!("warning: {words}")));
    }
    let made_by = provenance(&run, PROGRAM)?;
    stop_on_signal("finishing the pictures in progress")?;
    let mut predictions =
        predict_files(&classifier, &images, Some(&STOP), &|progress| console.show(progress))?;
    mark_seen_in_training(&run, &mut predictions);
    let not_reached = &images[predictions.len()..];
    // The error rates for calling patients were measured without mirror images.
    let mut report =
        PredictionReport::new(&classifier.description, predictions, not_reached, !args.flips, made_by)?;
    report.notes = notes;
    let words = if args.csv {
        report.csv()?
    } else {
        let device = describe(classifier.model().device());
        let mut notes = vec![format!("computed on the {device}")];
        if args.flips {
            let note =
                "probabilities are means over four mirror images of each cell; patients are not called";
            notes.push(note.to_owned());
        }
        report.table(&notes)
    };
    let printed = args.json.result(words.trim_end(), &report);
    let (lines, code) = report.outcome();
    lines.iter().for_each(|line| console.say(line));
    printed?;
    Ok(ExitCode::from(code))
}
