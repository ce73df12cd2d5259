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
use image::imageops::thumbnail;
use malaria_dataset::{Fingerprint, ListedImage, decode_photo};
use malaria_edge::Model;
use malaria_smear::{FieldResult, ObjectRecord, ReviewedSmear};

use crate::{
    program::{NOTICE, PROGRAM, file_name, load, pretrained},
    review::{cells::write_cells, read, render},
    terminal::{note, print},
};

/// Largest difference allowed for a recomputed probability: processors round differently.
const TOLERANCE: f64 = 1e-4;
/// Largest difference allowed between the colours, 0 to 255, of a picture and its photograph, both reduced.
const MAX_DIFFERENCE: u8 = 24;

#[derive(Args)]
#[command(before_help = "\
Examples:
  malaria-edge verify report.html photos
  malaria-edge verify --model my_model.onnx report.html photos
  malaria-edge verify report.html photos --cells corrected    writes the cells that a person judged, for training

Photographs are recognised by their contents, not by their names. The exit code is 0 only if nothing differs.
Calls that differ only because the probability is at the threshold are reported but do not count: processors round
differently.", after_help = NOTICE)]
pub(crate) struct Verify {
    /// The model [default: the pretrained field-int8.onnx]
    #[arg(long, value_name = "MODEL.onnx")]
    model: Option<PathBuf>,
    /// The report, or its record (JSON)
    report: PathBuf,
    /// The photographs, or folders of them
    #[arg(required = true, value_name = "PHOTO")]
    photos: Vec<PathBuf>,
    /// Write the cells that a person judged or added to this new folder, cut out, in one folder per class, with a patients.csv for
    /// --patients. Nothing is written if anything differs
    #[arg(long, value_name = "DIR")]
    cells: Option<PathBuf>,
}

/// A parsed report.
struct ParsedReport {
    reading: ReviewedSmear,
    /// The whole page with its pictures, if it is one.
    page: Option<(String, Vec<Option<Vec<u8>>>)>,
}

/// Differences, and remarks that are not differences.
#[derive(Default)]
struct Findings {
    differences: Vec<String>,
    notes: Vec<String>,
}

pub(crate) fn verify(args: &Verify) -> Result<ExitCode> {
    let model = match &args.model {
        Some(path) => load(path)?,
        None => pretrained()?,
    };
    let report = ParsedReport::read(&args.report)?;
    report.reading.check().with_context(|| args.report.display().to_string())?;
    let photos = photographs(&args.photos)?;
    let mut findings = Findings { differences: report.differences(&model)?, notes: Vec::new() };
    for (i, field) in report.reading.fields.iter().enumerate() {
        let name = &field.reading.count.image;
        let Some(path) = photos.get(&field.sha256) else {
            findings.differences.push(format!("{name}: the photograph is not among those given"));
            continue;
        };
        let contents = contents(path)?;
        let again = read(&model, name, &contents)?;
        let mut found = compare(&field.reading, &again.reading, threshold(&model));
        let picture = report.page.as_ref().and_then(|(_, pictures)| pictures[i].as_ref());
        if picture.is_some_and(|picture| !shows(picture, &contents, path)) {
            found.differences.push("the picture in the report does not show the photograph".to_owned());
        }
        if file_name(path) != *name {
            findings.notes.push(format!("{name}: the photograph's file is called {} here", file_name(path)));
        }
        let named = |words: String| format!("{name}: {words}");
        findings.differences.extend(found.differences.into_iter().map(named));
        findings.notes.extend(found.notes.into_iter().map(named));
    }
    let Findings { differences, mut notes } = findings;
    let reported = |sha256: &String| report.reading.fields.iter().any(|field| field.sha256 == *sha256);
    let others = photos.iter().filter(|(sha256, _)| !reported(sha256));
    notes.extend(others.map(|(_, path)| format!("{}: not in the report", path.display())));
    notes.iter().for_each(note);
    for words in &differences {
        print(words)?;
    }
    if !differences.is_empty() {
        ensure!(args.cells.is_none(), "--cells: nothing was written, because the report differs");
        note(format_args!("{}: {} differences", args.report.display(), differences.len()));
        return Ok(ExitCode::FAILURE);
    }
    let fields = report.reading.fields.len();
    print(format_args!("{}: nothing differs ({fields} photographs)", args.report.display()))?;
    if let Some(folder) = &args.cells {
        let written = write_cells(&model, &report.reading, &photos, folder)?;
        note(format_args!("written: {written} cells in {}", folder.display()));
        let no_size =
            report.reading.fields.iter().filter(|field| field.reading.count.cell_diameter.is_none());
        let left: usize = no_size.map(|field| field.added.len()).sum();
        if left > 0 {
            note(format_args!(
                "not written: {left} cells that a person added to photographs in which no other cell shows their size"
            ));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The threshold for cells in photographs.
fn threshold(model: &Model) -> Option<f64> {
    let description = model.description();
    let of_smears = description.patient_caller().ok().map(|(rule, _)| rule.threshold);
    of_smears.or(description.threshold.as_ref().map(|threshold| threshold.point.threshold))
}

fn contents(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// The photographs at `paths` by the SHA-256 of their files.
fn photographs(paths: &[PathBuf]) -> Result<HashMap<String, PathBuf>> {
    let listed = malaria_dataset::list_images(paths, &malaria_dataset::PatientNames::default())?.images;
    let mut by_hash = HashMap::new();
    for ListedImage { path, .. } in listed {
        // The first one of several copies.
        by_hash.entry(Fingerprint::of(&contents(&path)?).hex()).or_insert(path);
    }
    Ok(by_hash)
}

impl ParsedReport {
    fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| {
            format!("cannot read {} as a report, which precedes the photographs", path.display())
        })?;
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
        let reading: ReviewedSmear = serde_json::from_str(record)?;
        // The figure of each photograph has a picture or says that there is none.
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

    /// Differences that can be found without the photographs.
    fn differences(&self, model: &Model) -> Result<Vec<String>> {
        let mut differences = Vec::new();
        let made_by = &self.reading.made_by;
        let (recorded, here) = (made_by.model_sha256.as_str(), model.sha256());
        if recorded != here {
            // The text depends on the model.
            return Ok(vec![format!(
                "the model: the report is from a model with the SHA-256 {recorded}, this one has {here}"
            )]);
        }
        let counts = self.reading.fields.iter().map(|field| &field.reading);
        for reading in counts.filter(|reading| reading.recounted(model.description()) != reading.count) {
            differences
                .push(format!("{}: the recorded counts do not match its objects", reading.count.image));
        }
        if let Some((text, pictures)) = &self.page
            && render(model, &self.reading, pictures)? != *text
        {
            let here = PROGRAM;
            differences.push(match made_by.program == here {
                true => "the text of the report does not match its record".to_owned(),
                false => format!(
                    "the text of the report cannot be compared: it is from {}, this is {here}",
                    made_by.program
                ),
            });
        }
        Ok(differences)
    }
}

/// Differences between the `recorded` reading of a photograph and the one computed `again`, apart from a person's judgements.
fn compare(recorded: &FieldResult, again: &FieldResult, threshold: Option<f64>) -> Findings {
    let mut findings = Findings::default();
    let mut differ = |words: String| findings.differences.push(words);
    let size = |reading: &FieldResult| (reading.width, reading.height, reading.count.pixels_sha256.clone());
    if size(recorded) != size(again) {
        differ("size or pixels differ".to_owned());
    }
    let quality = |reading: &FieldResult| (reading.refusal.clone(), reading.count.caveats.clone());
    if quality(recorded) != quality(again) {
        differ(format!("the quality differs: recorded {:?}, now {:?}", quality(recorded), quality(again)));
    }
    let diameter = |reading: &FieldResult| reading.count.cell_diameter.map(|diameter| diameter.round());
    if diameter(recorded) != diameter(again) {
        differ("the diameter of the cells differs".to_owned());
    }
    let shape =
        |object: &ObjectRecord| (object.kind, object.bounds, object.touches_border, object.outline.clone());
    let shapes = |reading: &FieldResult| reading.objects.iter().map(shape).collect::<Vec<_>>();
    if shapes(recorded) != shapes(again) {
        let [old, new] = [recorded, again].map(|reading| reading.objects.len());
        differ(format!("the objects differ: recorded {old}, now {new}, or in other places"));
        return findings;
    }
    for (number, (old, new)) in (1..).zip(recorded.objects.iter().zip(&again.objects)) {
        let at = format!("object {number} at {}, {}", old.bounds.x, old.bounds.y);
        match old.probability.zip(new.probability) {
            Some((old, new)) if (old - new).abs() > TOLERANCE => {
                differ(format!("{at}: probability {old:.6} recorded, {new:.6} now"));
            }
            None if old.probability != new.probability => {
                differ(format!("{at}: no probability recorded, or none now"));
            }
            _ => {}
        }
        if old.warned != new.warned {
            differ(format!("{at}: the warning differs"));
        }
        if old.infected != new.infected {
            let near = new.probability.zip(threshold);
            match near.is_some_and(|(new, threshold)| (new - threshold).abs() <= TOLERANCE) {
                true => findings.notes.push(format!("{at}: borderline, the call may be either")),
                false => differ(format!("{at}: the call differs")),
            }
        }
    }
    findings
}

/// Whether a picture of the report shows the photograph: both are reduced to an eighth of the picture's size, at which
/// JPEG's errors vanish.
fn shows(picture: &[u8], contents: &[u8], path: &Path) -> bool {
    let decoded = |bytes: &[u8]| decode_photo(bytes, path).ok();
    let (Some(picture), Some(photo)) = (decoded(picture), decoded(contents)) else { return false };
    let [width, height] = [picture.width(), picture.height()].map(|side| (side / 8).max(1));
    let [picture, photo] = [picture, photo].map(|picture| thumbnail(&picture, width, height));
    let differences = picture.as_raw().iter().zip(photo.as_raw()).map(|(&a, &b)| a.abs_diff(b));
    differences.max().is_some_and(|largest| largest <= MAX_DIFFERENCE)
}

#[cfg(test)]
mod tests {
    use malaria_smear::{Bounds, Error, Kind};

    use super::*;

    #[test]
    fn another_call_is_a_difference_unless_the_probability_is_at_the_threshold() {
        let reading = |probability: f64, infected: bool| {
            let bounds = Bounds { x: 1, y: 2, width: 9, height: 9 };
            let (warned, touches_border) = (false, false);
            let (kind, outline, probability, judgement) =
                (Kind::RedCell, Vec::new(), Some(probability), None);
            let objects = vec![ObjectRecord {
                kind,
                bounds,
                outline,
                probability,
                infected,
                warned,
                touches_border,
                judgement,
            }];
            FieldResult { objects, ..FieldResult::unreadable("a.png", &Error::Blank) }
        };
        let found = |recorded: f64, again: f64| {
            let Findings { differences, notes } =
                compare(&reading(recorded, true), &reading(again, false), Some(0.9));
            (differences.len(), notes.len())
        };
        assert_eq!(found(0.90004, 0.89996), (0, 1));
        assert_eq!(found(0.90004, 0.8995), (2, 0), "the probability and the call");
    }
}
