//! `malaria-edge smear`: counts infected cells in photographs of smears.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use malaria_dataset::Listed;
use malaria_edge::Model;
use malaria_smear::{
    CountOptions, REVIEW_FORMAT, ReviewedField, ReviewedSmear, SmearReport, check_outside, outcome,
    parse_haematocrit, parse_patient, parse_red_cells, red_cells_of_haematocrit,
};

use crate::{
    NOTICE, PRETRAINED_NAME, bar, load, made_by,
    patients::Patients,
    pretrained,
    review::{LANGUAGES, render, report_picture},
    terminal::{STOP, note, print, stop_on_signal},
};

#[derive(Args)]
#[command(before_help = "\
Examples:
  malaria-edge smear photos --out results                all photographs are of one patient
  malaria-edge smear photos --patient-pattern '([^/]+)/'  each folder in photos is a patient
  malaria-edge smear my_model.onnx field.jpg --json

Photographs must show thin smears, stained with Giemsa or similar, with red cells 25 to 260 pixels across.
The program counts infected cells, not parasites, and identifies neither species nor stages.", after_help = NOTICE)]
pub(crate) struct Smear {
    /// Photographs, or folders of them. If the first one ends in .onnx, it is the model [default: the pretrained field-int8.onnx]
    #[arg(required = true, value_name = "PHOTO")]
    paths: Vec<PathBuf>,
    /// The patient of all photographs [default: one unnamed patient, unless one of the next two flags is given]
    #[arg(long, value_name = "NAME", value_parser = parse_patient, conflicts_with_all = ["patient_pattern", "patients"])]
    patient: Option<String>,
    #[command(flatten)]
    patients: Patients,
    /// Write cells.csv, smear.json, the photographs with outlined cells and the cut-out cells to this new folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Write a report of one patient, with the photographs and the objects found in them, to this file: one HTML page for
    /// printing
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
    /// The language of the report
    #[arg(long, value_name = "LANGUAGE", default_value = "en", requires = "report", value_parser = LANGUAGES.map(|(language, _)| language))]
    language: String,
    /// Red cells per microlitre of blood, to also count infected cells per microlitre
    #[arg(long, value_name = "N", value_parser = parse_red_cells, allow_negative_numbers = true, conflicts_with = "haematocrit")]
    red_cells: Option<f64>,
    /// The haematocrit instead, a fraction such as 0.42, at a mean cell volume of 90 fl
    #[arg(long, value_name = "SHARE", value_parser = parse_haematocrit, allow_negative_numbers = true)]
    haematocrit: Option<f64>,
    /// Write a picture of each step of the cell finder to this folder
    #[arg(long, value_name = "DIR")]
    debug: Option<PathBuf>,
    /// Print JSON instead of tables: `photographs`, `patients`, `unknown_patients` (photographs that count for no patient),
    /// `notes` (such as the files that were skipped), `not_reached` (photographs that were not counted, because Ctrl-C stopped
    /// the count), `unwritten` (results that could not be written), `rule` (how cells and patients are called) and `made_by`
    /// (program, model and hash of the file)
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Print CSV instead of tables, one line per cell
    #[arg(long)]
    csv: bool,
}

/// Writes the report of the patient without corrections.
fn write_report(
    model: &Model,
    args: &Smear,
    options: &CountOptions,
    counted: &SmearReport,
    path: &Path,
) -> Result<()> {
    let [patient] = counted.patients.as_slice() else {
        bail!(
            "--report: expected the photographs of one patient, found those of {}; give each patient's \
             photographs separately",
            counted.patients.len()
        );
    };
    if counted.unknown_patients > 0 {
        bail!("--report: the patient of {} photographs is unknown; omit them", counted.unknown_patients);
    }
    let (mut fields, mut pictures) = (Vec::<ReviewedField>::new(), Vec::new());
    for reading in counted.field_results.iter().filter(|reading| reading.count.copy_of.is_none()) {
        let file = &reading.count.image;
        let contents = std::fs::read(file).with_context(|| format!("cannot read {file}"))?;
        let mut field = ReviewedField::new(&contents, reading.clone());
        field.reading.count.image =
            Path::new(file).file_name().map_or(file.clone(), |name| name.to_string_lossy().into_owned());
        // Unreadable files have no pixels by which copies could be recognised.
        if fields.iter().any(|earlier| earlier.sha256 == field.sha256) {
            continue;
        }
        fields.push(field);
        pictures.push(report_picture(file, &contents));
    }
    let reading = ReviewedSmear {
        format_version: REVIEW_FORMAT,
        language: args.language.clone(),
        patient: patient.patient.clone().unwrap_or_default(),
        slide: String::new(),
        operator: String::new(),
        read_on: String::new(),
        red_cells_per_microlitre: options.red_cells_per_microlitre,
        looked_through: false,
        made_by: options.made_by.clone(),
        fields,
    };
    let page = render(model, &reading, &pictures)?;
    malaria_files::write(path, page.as_bytes()).with_context(|| format!("cannot write {}", path.display()))
}

pub(crate) fn smear(args: &Smear) -> Result<ExitCode> {
    let is_model = |path: &Path| path.extension().is_some_and(|found| found.eq_ignore_ascii_case("onnx"));
    let (model, name, paths) = match args.paths.as_slice() {
        [first, photos @ ..] if is_model(first) => (load(first)?, first.display().to_string(), photos),
        photos => (pretrained()?, PRETRAINED_NAME.to_owned(), photos),
    };
    ensure!(
        args.out.is_none() || args.out != args.debug,
        "--out and --debug name the same folder: give two different ones"
    );
    ensure!(!paths.is_empty(), "expected photographs, or folders of them, after the model");
    for folder in args.out.iter().chain(&args.debug) {
        check_outside(folder, paths)?;
    }
    if let Some(report) = &args.report {
        let html = report.extension().is_some_and(|found| found.eq_ignore_ascii_case("html"));
        ensure!(html, "--report {}: expected a name that ends in .html", report.display());
        malaria_files::temporary_file(report)
            .with_context(|| format!("--report: cannot write {}", report.display()))?;
    }
    let Listed { images: mut photos, notes, .. } = args.patients.list(paths, args.json || args.csv)?;
    if !args.patients.are_given() {
        photos.iter_mut().for_each(|photo| photo.patient.clone_from(&args.patient));
    }
    let options = CountOptions {
        out: args.out.clone(),
        steps: args.debug.clone(),
        red_cells_per_microlitre: args.red_cells.or(args.haematocrit.map(red_cells_of_haematocrit)),
        made_by: made_by(&model, name),
        notes,
        field_results: args.report.is_some(),
        stop: Some(&STOP),
    };
    stop_on_signal("finishing the photographs in progress")?;
    let bar = bar("photographs")?;
    let report = model.count_smears(&photos, &options, &mut |done, total| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    })?;
    bar.finish_and_clear();
    let text = match args {
        Smear { json: true, .. } => serde_json::to_string_pretty(&report)?,
        Smear { csv: true, .. } => report.csv()?,
        _ => report.table(),
    };
    let printed = print(text.trim_end());
    if args.csv {
        report.remarks().iter().for_each(note);
    }
    let (lines, code) = outcome(&report, &options);
    lines.iter().for_each(note);
    match &args.report {
        // A report of some of the photographs would look like one of all.
        Some(_) if report.not_reached > 0 => {
            note("the report was not written, because the count was stopped");
        }
        Some(path) => {
            write_report(&model, args, &options, &report, path)?;
            note(format_args!("written: {}", path.display()));
        }
        None => {}
    }
    printed?;
    Ok(ExitCode::from(code))
}
