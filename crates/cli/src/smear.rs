//! `malaria smear`: counts infected cells in photographs of smears.

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Result, bail};
use malaria_resnet::{
    Caveat, Classifier, Error, RunDir, count_smears,
    dataset::{Listed, list_images},
    default_run,
    libtorch::DeviceChoice,
    provenance,
    smear::{
        CountOptions, check_outside, outcome, parse_haematocrit, parse_patient, parse_red_cells,
        red_cells_of_haematocrit,
    },
};

use crate::{
    NOTICE, PROGRAM,
    console::{Console, Style},
    flags,
    json::Json,
    terminal::{STOP, note, print, stop_on_signal},
};

/// Count infected red cells in photographs of thin blood smears: files, or folders with everything below them.
///
/// The document of --json contains `photographs`, `patients`, `unknown_patients` (photographs that count for no patient),
/// `notes` (such as the files that were skipped), `not_reached` (photographs that were not counted, because Ctrl-C stopped the
/// count), `unwritten` (results that could not be written), `rule` (how cells and patients are called) and `made_by` (program,
/// model and hash of its weights).
#[derive(clap::Args)]
#[command(before_help = "\
Examples:
  malaria smear photos --out results                         all photographs are of one patient
  malaria smear photos --patient-pattern '([^/]+)/'          each folder in photos is a patient
  malaria smear --run runs/fast-patient-seed0 field.jpg --csv

Photographs must show thin smears, stained with Giemsa or similar, with red cells 25 to 260 pixels across.
The program counts infected cells, not parasites, and identifies neither species nor stages.", after_help = NOTICE)]
pub(crate) struct Args {
    /// Run directory of the model, the folder that `malaria train` wrote [default: MALARIA_RUN, or the pretrained model]
    #[arg(long, value_name = "RUN_DIR")]
    run: Option<PathBuf>,
    /// Photographs, or folders of them
    #[arg(required = true, value_name = "PHOTO")]
    photos: Vec<PathBuf>,
    /// The patient of all photographs [default: one unnamed patient, unless one of the next two flags is given]
    #[arg(long, value_name = "NAME", value_parser = parse_patient, conflicts_with_all = ["patient_pattern", "patients"])]
    patient: Option<String>,
    #[command(flatten)]
    patients: flags::Patients,
    /// Write cells.csv, smear.json, the photographs with outlined cells and the cut-out cells to this new folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Red cells per microlitre of blood, to also count infected cells per microlitre
    #[arg(long, value_name = "N", value_parser = parse_red_cells, allow_negative_numbers = true, conflicts_with = "haematocrit")]
    red_cells: Option<f64>,
    /// The haematocrit instead, a fraction such as 0.42, at a mean cell volume of 90 fl
    #[arg(long, value_name = "SHARE", value_parser = parse_haematocrit, allow_negative_numbers = true)]
    haematocrit: Option<f64>,
    /// Write a picture of each step of the cell finder to this folder
    #[arg(long, value_name = "DIR")]
    debug: Option<PathBuf>,
    #[command(flatten)]
    json: Json,
    /// Print CSV instead of tables, one line per cell
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    /// Device to compute on: auto, cpu, cuda or cuda:I
    #[arg(long, default_value = "auto")]
    device: DeviceChoice,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    args.json.check()?;
    let console = Console::new(Style::Auto);
    let run = args.run.clone().map_or_else(default_run, Ok)?;
    let classifier = Classifier::load(&run, args.device.resolve()?)?;
    if RunDir::open(&run)?.config()?.data.is_none() {
        console.say(&format!("warning: {}", Caveat::ModelOfSyntheticCells));
    }
    if args.out.is_some() && args.out == args.debug {
        bail!("--out and --debug name the same folder: give two different ones");
    }
    for folder in args.out.iter().chain(&args.debug) {
        check_outside(folder, &args.photos)?;
    }
    let names = args.patients.names();
    let Listed { images: mut photos, notes, .. } =
        list_images(&args.photos, &names.clone().unwrap_or_default()).map_err(Error::from)?;
    if args.csv {
        // The table has them.
        notes.iter().for_each(|words| console.say(&format!("warning: {words}")));
    }
    if names.is_none() {
        photos.iter_mut().for_each(|photo| photo.patient.clone_from(&args.patient));
    }
    let options = CountOptions {
        out: args.out.clone(),
        steps: args.debug.clone(),
        red_cells_per_microlitre: args.red_cells.or(args.haematocrit.map(red_cells_of_haematocrit)),
        made_by: provenance(&run, PROGRAM)?,
        notes,
        field_results: false,
        stop: Some(&STOP),
    };
    stop_on_signal("finishing the photographs in progress")?;
    let report = count_smears(&classifier, &photos, &options, &|progress| console.show(progress))?;
    let printed: Result<()> = if args.csv {
        let printed = print(report.csv()?.trim_end());
        report.remarks().iter().for_each(note);
        printed.map_err(Into::into)
    } else {
        args.json.result(report.table().trim_end(), &report)
    };
    let (lines, code) = outcome(&report, &options);
    lines.iter().for_each(note);
    printed?;
    Ok(ExitCode::from(code))
}
