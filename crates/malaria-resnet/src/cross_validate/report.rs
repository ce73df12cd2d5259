//! The page and the label audit of a cross-validation.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use malaria_classifier::{DecisionRule, OutOfFold, Pooled, Scored, Spread, protocol_note};
use malaria_dataset::{Cells, Protocol, read_image, resize};
use malaria_metrics::{Contradiction, decimal, percent};
use malaria_report::{Block, EpochPoint, Picture, Report, Section, evaluation_section, table};
use malaria_train::{CellTensors, EpochRecord};
use tch::Device;

use super::metrics::CrossValidationMetrics;
use crate::{
    classifier::Classifier,
    config::ExperimentConfig,
    error::Result,
    history_plot::epoch_point,
    paths::file_name,
    pictures::{AUGMENTED_CELLS, MISTAKES_SHOWN, Mistake, augmentation_sheet, worst_mistakes},
    run::dir::fold_dir,
};

/// Writes the cells with doubtful labels, the most doubtful first, as CSV with the columns
/// `path,class,patient,fold,suggested,probability_of_label`.
pub(super) fn write_label_audit(path: &Path, pooled: &Pooled, suspects: &[Contradiction]) -> Result<()> {
    let Pooled { rows, classes, .. } = pooled;
    let header = ["path", "class", "patient", "fold", "suggested", "probability_of_label"];
    let rows = suspects.iter().map(|suspect| {
        let OutOfFold { path, class, patient, fold, .. } = rows[suspect.sample].clone();
        let (suggested, probability) = (classes[suspect.suggested].clone(), suspect.probability_of_label);
        vec![path, class, patient, fold.to_string(), suggested, probability.to_string()]
    });
    let header = header.map(str::to_owned).into();
    Ok(malaria_files::write_csv(path, std::iter::once(header).chain(rows))?)
}

/// Number of cells with doubtful labels shown.
const SUSPECTS_SHOWN: usize = 60;

/// Images of the first `suspects`, except those whose file can no longer be read.
pub(super) fn suspect_pictures(
    config: &ExperimentConfig,
    pooled: &Pooled,
    suspects: &[Contradiction],
) -> Vec<Picture> {
    let Pooled { rows, classes, .. } = pooled;
    let Some(folder) = &config.data else { return Vec::new() };
    let show = |suspect: &Contradiction| -> Result<Picture> {
        let OutOfFold { path, class, .. } = &rows[suspect.sample];
        let (cell, _) = read_image(&folder.join(path))?;
        Ok(Picture {
            images: vec![resize(&cell, config.image.pixels, config.image.resize)],
            caption: vec![
                format!("labelled {class}"),
                format!(
                    "{} rather; {class} {}",
                    classes[suspect.suggested],
                    percent(Some(suspect.probability_of_label))
                ),
                file_name(Path::new(path)),
            ],
        })
    };
    suspects.iter().take(SUSPECTS_SHOWN).filter_map(|suspect| show(suspect).ok()).collect()
}

/// The page's section on doubtful labels.
pub(super) fn labels_section(pictures: &[Picture], suspects: usize, cells: usize) -> Section {
    let text = format!(
        "{suspects} of {cells} labels are contradicted by models that were not trained on the cell (confident learning, \
         Northcutt et al. 2021): label_audit.csv lists them, the most doubtful first. A listed cell may \
         just be hard and labelled correctly, so none is excluded automatically."
    );
    let mut blocks = vec![Block::Text(text)];
    if !pictures.is_empty() {
        blocks.push(Block::Text(format!("The first {}:", pictures.len())));
        blocks.push(Block::Gallery(pictures.to_vec()));
    }
    Section { id: "labels", heading: "Doubtful labels".to_owned(), blocks }
}

/// The page of a cross-validation.
pub(super) fn report<'a>(
    metrics: &'a CrossValidationMetrics,
    config: &ExperimentConfig,
    scored: Scored<'a>,
    rule: &'a DecisionRule,
    pooled: &Pooled,
    mistakes: Vec<Picture>,
    histories: &[&[EpochRecord]],
) -> Report<'a> {
    let CrossValidationMetrics { folds, recipe, protocol, .. } = metrics;
    let rows = &pooled.rows;
    let summary = vec![
        format!(
            "Tested on {} cells of {}, each by the one of {} models that was not trained on {}.",
            metrics.n_test,
            metrics.assessment.patients(),
            folds.len(),
            if *protocol == Protocol::Patient { "its patient" } else { "it" }
        ),
        format!("Protocol: {}.", protocol_note(*protocol)),
    ];
    let patients = |fold: usize| {
        let of_fold = rows.iter().filter(|row| row.fold == fold && !row.patient.is_empty());
        of_fold.map(|row| &row.patient).collect::<BTreeSet<_>>().len()
    };
    let mut lines: Vec<Vec<String>> = folds
        .iter()
        .map(|fold| {
            let mut row =
                vec![fold.fold.to_string(), fold.n_test.to_string(), patients(fold.fold).to_string()];
            row.extend([fold.accuracy, fold.sensitivity, fold.specificity].map(percent));
            row.push(decimal(fold.auc));
            row
        })
        .collect();
    let spread = |show: fn(Option<f64>) -> String, spread: Option<Spread>| {
        spread.map_or_else(
            || "n/a".to_owned(),
            |Spread { mean, deviation }| format!("{} ± {}", show(Some(mean)), show(Some(deviation))),
        )
    };
    lines.push(vec![
        "mean ± SD".to_owned(),
        String::new(),
        String::new(),
        spread(percent, metrics.accuracy_over_folds),
        spread(percent, metrics.sensitivity_over_folds),
        spread(percent, metrics.specificity_over_folds),
        spread(decimal, metrics.auc_over_folds),
    ]);
    let head = ["Fold", "Cells", "Patients", "Accuracy", "Sensitivity", "Specificity", "AUC"];
    let folds =
        Section { id: "folds", heading: "Folds".to_owned(), blocks: vec![table(&head, lines.into_iter())] };
    Report {
        title: format!("Cross-validation of the {recipe} recipe, {protocol} split"),
        summary,
        caveats: &metrics.caveats,
        scored,
        rule,
        metrics: &metrics.pooled,
        assessment: &metrics.assessment,
        history: mean_history(histories),
        history_of: Some(
            "Means over the folds. Each fold has a page of its own, report.html in its folder.".to_owned(),
        ),
        mistakes,
        augmentation: augmented(config, rows).unwrap_or_default(),
        more: vec![folds, evaluation_section(&scored)],
        made: metrics.provenance(config),
        command: metrics.command.clone(),
    }
}

/// Some of the cells, each with its augmented versions.
fn augmented(config: &ExperimentConfig, rows: &[OutOfFold]) -> Result<Vec<Picture>> {
    let Some(folder) = &config.data else { return Ok(Vec::new()) };
    let mut pixels = Vec::new();
    for row in rows.iter().step_by((rows.len() / AUGMENTED_CELLS).max(1)).take(AUGMENTED_CELLS) {
        let (cell, _) = read_image(&folder.join(&row.path))?;
        pixels.extend(resize(&cell, config.image.pixels, config.image.resize).into_raw());
    }
    let cells = Cells::from_pixels(config.image.pixels, pixels)?;
    let all: Vec<usize> = (0..cells.len()).collect();
    let cells = CellTensors::new(&cells, &vec![0; all.len()], Device::Cpu)?;
    augmentation_sheet(&config.train, &cells, &all)
}

/// Losses and accuracies averaged over the folds, up to the last epoch that all folds have.
fn mean_history(folds: &[&[EpochRecord]]) -> Vec<EpochPoint> {
    let epochs = folds.iter().map(|fold| fold.len()).min().unwrap_or(0);
    let mean_at = |epoch: usize| {
        let mean = |value: fn(&EpochPoint) -> Option<f64>| -> Option<f64> {
            let values = folds.iter().map(|fold| value(&epoch_point(&fold[epoch])));
            Some(values.sum::<Option<f64>>()? / folds.len() as f64)
        };
        EpochPoint {
            epoch: epoch_point(&folds[0][epoch]).epoch,
            train_loss: mean(|point| point.train_loss),
            train_accuracy: mean(|point| point.train_accuracy),
            validation_loss: mean(|point| point.validation_loss),
            validation_accuracy: mean(|point| point.validation_accuracy),
        }
    };
    (0..epochs).map(mean_at).collect()
}

/// The worst mistakes of all folds, except those whose image or model can no longer be read.
pub(super) fn mistakes(
    config: &ExperimentConfig,
    out: &Path,
    pooled: &Pooled,
    scored: Scored<'_>,
    rule: &DecisionRule,
) -> Vec<Picture> {
    let Some(folder) = &config.data else { return Vec::new() };
    let mut models: BTreeMap<usize, Classifier> = BTreeMap::new();
    let predicted = scored.predicted(rule);
    let mut show = |i: usize| -> Result<Picture> {
        let OutOfFold { path, fold, probabilities, .. } = &pooled.rows[i];
        if !models.contains_key(fold) {
            models.insert(*fold, Classifier::load(&fold_dir(out, *fold), Device::Cpu)?);
        }
        let (cell, _) = read_image(&folder.join(path))?;
        let cell = resize(&cell, config.image.pixels, config.image.resize);
        let mistake = Mistake { file: path, class: scored.truth[i], predicted: predicted[i], probabilities };
        mistake.picture(&models[fold], cell)
    };
    let worst = worst_mistakes(&scored, rule).into_iter().take(MISTAKES_SHOWN);
    worst.filter_map(|i| show(i).ok()).collect()
}
