//! `malaria-edge verify`: recomputes a report from its photographs.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result, bail, ensure};
use base64::{Engine, engine::general_purpose::STANDARD};
use clap::Args;
use malaria_dataset::{Fingerprint, ListedImage, decode_photo};
use malaria_edge::Model;
use malaria_smear::{FieldReading, Judgement, Reading, ReviewedField, find_cells};
use serde::Serialize;

use crate::{
    NOTICE, load, pretrained,
    reading::{read, render},
    terminal::{note, print},
};

/// Largest difference of a recomputed probability: processors round differently.
const TOLERANCE: f64 = 1e-4;

#[derive(Args)]
#[command(before_help = "\
Examples:
  malaria-edge verify report.html photos
  malaria-edge verify --model my_model.onnx report.html photos
  malaria-edge verify report.html photos --cells corrected    the cells that a person judged, to train on

Photographs are recognised by their contents, whatever their names are. The exit code is 0 only if nothing differs.", after_help = NOTICE)]
pub(crate) struct Verify {
    /// The model [default: the pretrained field-int8.onnx]
    #[arg(long, value_name = "MODEL.onnx")]
    model: Option<PathBuf>,
    /// The report, or its record (JSON)
    report: PathBuf,
    /// The photographs, or folders of them
    #[arg(required = true, value_name = "PHOTO")]
    photos: Vec<PathBuf>,
    /// Write the cells that a person judged into this new folder: cut out, in a folder for each class, with patients.csv for --patients
    #[arg(long, value_name = "DIR")]
    cells: Option<PathBuf>,
}

/// A report taken apart.
struct Report {
    reading: Reading,
    /// The whole page with its pictures, if it is one.
    page: Option<(String, Vec<Option<Vec<u8>>>)>,
}

pub(crate) fn verify(args: &Verify) -> Result<ExitCode> {
    let model = match &args.model {
        Some(path) => load(path)?,
        None => pretrained()?,
    };
    let report = Report::read(&args.report)?;
    report.reading.check().with_context(|| args.report.display().to_string())?;
    let photos = photographs(&args.photos)?;
    let mut differences = report.differences(&model)?;
    for field in &report.reading.fields {
        let name = &field.reading.count.image;
        match photos.get(&field.sha256) {
            None => differences.push(format!("{name}: the photograph is not among those given")),
            Some(path) => {
                let contents = contents(path)?;
                let again = read(&model, name, &contents)?;
                let threshold = model.description().patient_caller().ok().map(|(rule, _)| rule.threshold);
                differences.extend(
                    compare(&field.reading, &again.reading, threshold)
                        .into_iter()
                        .map(|words| format!("{name}: {words}")),
                );
            }
        }
    }
    if let Some(folder) = &args.cells {
        let written = write_cells(&model, &report.reading, &photos, folder)?;
        note(format_args!("written: {written} cells in {}", folder.display()));
    }
    for words in &differences {
        print(words)?;
    }
    let fields = report.reading.fields.len();
    if differences.is_empty() {
        print(format_args!("{}: nothing differs ({fields} photographs)", args.report.display()))?;
        return Ok(ExitCode::SUCCESS);
    }
    note(format_args!("{}: {} differences", args.report.display(), differences.len()));
    Ok(ExitCode::FAILURE)
}

fn contents(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// The photographs at `paths` by the SHA-256 of their files.
fn photographs(paths: &[PathBuf]) -> Result<HashMap<String, PathBuf>> {
    let listed = malaria_dataset::list_images(paths, &malaria_dataset::PatientNames::default())?.images;
    let hash = |ListedImage { path, .. }| Ok((Fingerprint::of(&contents(&path)?).hex(), path));
    listed.into_iter().map(hash).collect()
}

impl Report {
    fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text).with_context(|| {
            format!("{}: expected a report of this program, or its record (JSON)", path.display())
        })
    }

    fn parse(text: &str) -> Result<Self> {
        if text.trim_start().starts_with('{') {
            return Ok(Self { reading: serde_json::from_str(text)?, page: None });
        }
        let record = text.split_once("<script id=\"reading\" type=\"application/json\">");
        let record = record.and_then(|(_, rest)| rest.split_once("</script>"));
        let Some((record, _)) = record else { bail!("it contains no record of a reading") };
        let reading: Reading = serde_json::from_str(record)?;
        // Each photograph's figure has a picture, or says that there is none.
        let figures = text.split("<figure class=\"photograph\">").skip(1);
        let picture = |figure: &str| {
            let encoded = figure.split_once("href=\"data:image/jpeg;base64,");
            let (encoded, _) = encoded.and_then(|(_, rest)| rest.split_once('"'))?;
            STANDARD.decode(encoded).ok()
        };
        let pictures: Vec<Option<Vec<u8>>> = figures.map(picture).collect();
        ensure!(
            pictures.len() == reading.fields.len(),
            "{} photographs are shown, {} recorded",
            pictures.len(),
            reading.fields.len()
        );
        Ok(Self { reading, page: Some((text.to_owned(), pictures)) })
    }

    /// What differs without looking at the photographs.
    fn differences(&self, model: &Model) -> Result<Vec<String>> {
        let mut differences = Vec::new();
        let made_by = &self.reading.made_by;
        let weights = &model.origin().weights_sha256;
        if made_by.weights_sha256 != *weights {
            differences.push(format!(
                "the model: the report is from the weights {}, these are {weights}",
                made_by.weights_sha256
            ));
        }
        if let Some((text, pictures)) = &self.page
            && render(model, &self.reading, pictures)? != *text
        {
            let here = crate::PROGRAM;
            differences.push(match made_by.program == here {
                true => "the text of the report is not what its record says".to_owned(),
                false => format!(
                    "the text of the report cannot be compared: it is from {}, this is {here}",
                    made_by.program
                ),
            });
        }
        Ok(differences)
    }
}

/// What differs between the `recorded` reading of a photograph and what was computed `again`.
fn compare(recorded: &FieldReading, again: &FieldReading, threshold: Option<f64>) -> Vec<String> {
    let mut differences = Vec::new();
    if recorded.refusal != again.refusal || recorded.count.caveats != again.count.caveats {
        differences.push(format!(
            "the quality: recorded {:?} {:?}, now {:?} {:?}",
            recorded.refusal, recorded.count.caveats, again.refusal, again.count.caveats
        ));
    }
    let places = |reading: &FieldReading| -> Vec<_> {
        reading.objects.iter().map(|object| (object.kind, object.bounds)).collect()
    };
    if places(recorded) != places(again) {
        differences.push(format!(
            "the objects: recorded {}, now {}, or in other places",
            recorded.objects.len(),
            again.objects.len()
        ));
        return differences;
    }
    for (number, (old, new)) in (1..).zip(recorded.objects.iter().zip(&again.objects)) {
        let at = format!("object {number} at {}, {}", old.bounds.x, old.bounds.y);
        match old.probability.zip(new.probability) {
            Some((old, new)) if (old - new).abs() > TOLERANCE => {
                differences.push(format!("{at}: probability {old:.6} recorded, {new:.6} now"));
            }
            None if old.probability != new.probability => {
                differences.push(format!("{at}: no probability recorded, or none now"));
            }
            _ => {}
        }
        if old.infected != new.infected {
            let near = new.probability.zip(threshold);
            let borderline = near.is_some_and(|(new, threshold)| (new - threshold).abs() <= TOLERANCE);
            differences.push(match borderline {
                true => {
                    format!("{at}: the call differs, but the probability is at the threshold: borderline")
                }
                false => format!("{at}: the call differs"),
            });
        }
    }
    differences
}

/// Writes the judged red cells as a folder of labelled cells; returns how many.
fn write_cells(
    model: &Model,
    reading: &Reading,
    photos: &HashMap<String, PathBuf>,
    folder: &Path,
) -> Result<usize> {
    #[derive(Serialize)]
    struct Row<'a> {
        file: String,
        patient: &'a str,
    }
    let classes = &model.description().classes;
    let positive = &model.description().positive;
    let Some(negative) = classes.iter().find(|class| *class != positive).filter(|_| classes.len() == 2)
    else {
        bail!("--cells: expected a model of two classes, found {classes:?}");
    };
    let class = |judgement: Judgement| match judgement {
        Judgement::Infected => Some(positive),
        Judgement::Uninfected => Some(negative),
        Judgement::NoRedCell => None,
    };
    malaria_files::create_folder(folder, |folder| -> Result<usize> {
        let mut rows = Vec::new();
        for ReviewedField { sha256, reading: field, .. } in &reading.fields {
            let judged = field.objects.iter().enumerate();
            let judged: Vec<_> = judged
                .filter_map(|(i, object)| Some((i, object.bounds, class(object.judgement?)?)))
                .collect();
            let Some(path) = photos.get(sha256).filter(|_| !judged.is_empty()) else { continue };
            let photo = decode_photo(&contents(path)?, path)?;
            let smear = find_cells(&photo).with_context(|| path.display().to_string())?;
            for (i, bounds, class) in judged {
                // Of a photograph that is found otherwise now, only what is at the same place.
                let Some(object) = smear.objects.get(i).filter(|object| object.bounds == bounds) else {
                    continue;
                };
                let file = format!("{class}/{:.12}-{}.png", sha256, i + 1);
                fs::create_dir_all(folder.join(class))?;
                object.crop(&photo).save(folder.join(&file))?;
                rows.push(Row { file, patient: reading.patient.trim() });
            }
        }
        ensure!(!rows.is_empty(), "--cells: nobody has judged a cell of these photographs infected or not");
        let written = rows.len();
        if !reading.patient.trim().is_empty() {
            malaria_files::write_csv(&folder.join("patients.csv"), rows)?;
        }
        Ok(written)
    })
}
