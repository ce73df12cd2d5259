//! `malaria-edge calibrate`: chooses new thresholds for a model from out-of-fold predictions.

use std::{
    collections::BTreeMap,
    fs,
    io::Read,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use flate2::read::MultiGzDecoder;
use malaria_classifier::{
    Assessment, Description, Pooled, PooledDecision, Table, WeightsFile, read_out_of_fold,
};
use malaria_edge::{Model, replace_description};
use malaria_metrics::Target;
use serde_json::json;

use crate::{
    program::NOTICE,
    terminal::{note, print},
};

#[derive(Args)]
#[command(before_help = "\
Examples:
  malaria-edge calibrate runs/cv/predictions.csv model.onnx runs/cv/final/weights.safetensors", after_help = NOTICE)]
pub(crate) struct Calibrate {
    /// Predictions for cells by models that were not trained on their patients, a CSV with the columns path, class, patient,
    /// fold and probability (of the positive class): a cross-validation's predictions.csv, or a compressed one (.gz)
    #[arg(value_name = "PREDICTIONS.csv[.gz]")]
    predictions: PathBuf,
    /// Models to write the thresholds to: weights.safetensors or exported .onnx files with the same classes and target. Give
    /// weights together with the models that were exported from them
    #[arg(required = true, value_name = "MODEL")]
    models: Vec<PathBuf>,
    /// Specificity (a fraction) that the threshold of single cells has to reach [default: the target of the model's threshold]
    #[arg(long, value_name = "SHARE", value_parser = fraction)]
    target_specificity: Option<f64>,
    /// Write the thresholds, rates and results of patients to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// A model file that has been read.
enum Loaded {
    Weights(Box<WeightsFile>),
    Onnx(Vec<u8>, Box<Model>),
}

impl Loaded {
    fn read(path: &Path) -> Result<Self> {
        if path.extension().is_some_and(|extension| extension == "onnx") {
            let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            let model = Model::load(&bytes).with_context(|| path.display().to_string())?;
            return Ok(Self::Onnx(bytes, Box::new(model)));
        }
        Ok(Self::Weights(Box::new(WeightsFile::read(path)?)))
    }

    fn description(&self) -> &Description {
        match self {
            Self::Weights(file) => &file.weights.description,
            Self::Onnx(_, model) => model.description(),
        }
    }
}

/// Chooses the thresholds, prints the results of patients, and writes the models.
pub(crate) fn calibrate(args: &Calibrate) -> Result<ExitCode> {
    let extension = args.predictions.extension().and_then(|extension| extension.to_str());
    ensure!(
        !matches!(extension, Some("onnx" | "safetensors")),
        "{}: expected predictions, a CSV, before the models",
        args.predictions.display()
    );
    // All models are read before any is written.
    let models = args.models.iter().map(|path| Loaded::read(path)).collect::<Result<Vec<_>>>()?;
    let first = models[0].description();
    for (path, model) in args.models.iter().zip(&models) {
        let found = model.description();
        if (&found.classes, &found.positive) != (&first.classes, &first.positive) || found.classes.len() != 2
        {
            bail!(
                "{}: expected two classes, those of {}, found {:?}",
                path.display(),
                args.models[0].display(),
                found.classes
            );
        }
    }
    let (classes, positive) = (&first.classes, &first.positive);
    let target = match (args.target_specificity, &first.threshold) {
        (Some(specificity), _) => Target::Specificity(specificity),
        (None, Some(threshold)) => threshold.target,
        (None, None) => {
            bail!("{}: it has no threshold, so give --target-specificity", args.models[0].display())
        }
    };
    let rows = read_out_of_fold(&args.predictions, &csv(&args.predictions)?, classes, positive)?;
    let pooled = Pooled::of_rows(classes, positive, rows).map_err(anyhow::Error::msg)?;
    let PooledDecision { stored, rule, smear, patients, .. } = pooled.decide(target, true)?;
    let names = pooled.patients();
    let scored = pooled.scored(&names);
    let assessment = Assessment::of(&scored, &rule, patients.as_ref())?;
    let summary = scored.summary(&rule)?;

    let described = |description: &Description| Description {
        threshold: stored,
        smear: smear.clone(),
        ..description.clone()
    };
    print(format_args!(
        "{} cells of {} in {} folds\nsensitivity {}, specificity {}\n{}",
        pooled.rows.len(),
        assessment.patients(),
        pooled.folds,
        malaria_metrics::percent(summary.sensitivity),
        malaria_metrics::percent(summary.specificity),
        described(first).calling_note(),
    ))?;
    match &assessment.patient_level {
        Some(patient_level) => patient_level.tables().iter().try_for_each(|table| print(text(table)))?,
        None => note(
            "warning: these predictions do not suffice to call patients, so the models will not call any",
        ),
    }
    if let Some(path) = &args.json {
        let document = json!({
            "predictions": args.predictions.file_name().map(|name| name.to_string_lossy()),
            "n": pooled.rows.len(),
            "folds": pooled.folds,
            "threshold": stored,
            "smear": smear,
            "sensitivity": summary.sensitivity,
            "specificity": summary.specificity,
            "assessment": assessment,
        });
        malaria_files::write_json(path, &document)?;
    }
    let mut hashes: BTreeMap<String, String> = BTreeMap::new();
    for (path, model) in args.models.iter().zip(&models) {
        if let Loaded::Weights(file) = model {
            let mut weights = file.weights.clone();
            weights.description = described(&weights.description);
            weights.write(path)?;
            hashes.insert(file.sha256.clone(), WeightsFile::read(path)?.sha256);
        }
    }
    for (path, model) in args.models.iter().zip(&models) {
        if let Loaded::Onnx(bytes, model) = model {
            let hash = hashes.get(&model.origin().weights_sha256).cloned();
            let bytes = replace_description(bytes, described(model.description()), hash)?;
            malaria_files::write(path, &bytes).map_err(malaria_files::Error::io("write", path))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn fraction(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share: &f64| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "expected a fraction from 0 to 1, such as 0.972".to_owned())
}

/// The bytes of a CSV file, decompressed.
fn csv(path: &Path) -> Result<Vec<u8>> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return Ok(bytes);
    }
    // Enough for the predictions of a million cells.
    const LIMIT: u64 = 256 << 20;
    let mut csv = Vec::new();
    let read = MultiGzDecoder::new(bytes.as_slice()).take(LIMIT).read_to_end(&mut csv);
    read.with_context(|| format!("{}: it is not an intact gzip file", path.display()))?;
    if csv.len() as u64 == LIMIT {
        bail!("{}: it contains more than {} MiB", path.display(), LIMIT >> 20);
    }
    Ok(csv)
}

/// The table as text, with aligned columns.
fn text(Table { title, head, rows }: &Table) -> String {
    let lines: Vec<Vec<&str>> = std::iter::once(head.clone())
        .chain(rows.iter().map(|row| row.iter().map(String::as_str).collect()))
        .collect();
    let widths: Vec<usize> = (0..head.len())
        .map(|column| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0))
        .collect();
    let line = |line: &Vec<&str>| {
        let cells: Vec<String> =
            line.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}")).collect();
        format!("\n  {}", cells.join("  ").trim_end())
    };
    format!("\n{title}{}", lines.iter().map(line).collect::<String>())
}
