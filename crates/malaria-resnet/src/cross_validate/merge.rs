//! The folds of a cross-validation put together.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use malaria_dataset::{Entry, Manifest, Protocol, Subset, read_manifest};
use malaria_metrics::{OperatingPoint, Summary, Target, label_audit};
use serde::{Deserialize, Serialize};

use super::{
    Planned, fold_dir,
    page::{labels_section, mistakes, report, suspect_pictures, write_label_audit},
};
use crate::{
    Assessment, ChosenOn, Error, ExperimentConfig, Metrics, Recipe, Result, RunDir, Threshold, files,
    metrics::{FiguresOf, machine, temperature_words},
    predictions::{OutOfFold, read_predictions, write_out_of_fold},
    threshold::{Calling, Labelled, PUBLISHED_SPECIFICITY, Said},
};

/// How the figures at a threshold came about in a cross-validation, to be said after how the threshold was chosen.
pub const CALLED_APART: &str =
    "; for these figures each fold's cells at one chosen so on the other folds' cells";

/// Said of a cross-validation with a threshold, but without figures at it.
pub const NOT_APART: &str =
    "There are no figures at it, as the cells of all folds but one reach no such threshold.";

/// Mean and deviation of a figure over the folds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Mean over the folds.
    pub mean: f64,
    /// Standard deviation over the folds, with `k - 1` below the line.
    pub deviation: f64,
}

/// The figures of one fold's test set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FoldFigures {
    /// Which, from 1.
    pub fold: usize,
    /// Cells tested on.
    pub n_test: usize,
    /// Where it was trained and in which precision; they may differ from fold to fold.
    #[serde(default)]
    pub device: String,
    /// The epoch whose weights were kept.
    pub epoch: u64,
    /// Time spent training and validating.
    pub wall_seconds: f64,
    /// Share of the cells called right.
    pub accuracy: f64,
    /// Share of the positive cells called positive.
    pub sensitivity: Option<f64>,
    /// Share of the negative cells called negative.
    pub specificity: Option<f64>,
    /// Area under the ROC curve.
    pub auc: Option<f64>,
    /// From which probability on its cells are called positive in the figures `at_threshold`, and for patients: chosen on the other folds'
    /// cells. `None` where no threshold reaches what is asked for.
    #[serde(default)]
    pub threshold: Option<f64>,
}

/// `metrics.json` of a cross-validation: the figures of every cell, each by the one model that has not learned from it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CrossMetrics {
    /// Version of this layout.
    pub format_version: u32,
    /// Which cells the figures are of.
    pub figures_of: FiguresOf,
    /// The command that put the folds together.
    pub command: String,
    /// This library's version.
    pub version: String,
    /// The machine that put the folds together: processor, cores, memory.
    pub machine: String,
    /// How cells were divided. With `random`, cells of one patient stand on both sides, and the figures are
    /// optimistic.
    pub protocol: Protocol,
    /// The recipe that the settings started from.
    pub recipe: Recipe,
    /// Whether the cells are drawn ones, on which a figure says nothing about malaria.
    pub drawn_cells: bool,
    /// Seed of the folds and the trainings.
    pub seed: u64,
    /// Epochs trained, a fold.
    pub epochs: u64,
    /// Cells tested on, over all folds: every cell once.
    pub n_test: usize,
    /// Cells that no model learned from, on request; they were tested on all the same.
    #[serde(default)]
    pub n_left_out: usize,
    /// Pictures that could not be read and were left out.
    #[serde(default)]
    pub n_skipped: usize,
    /// Time spent training and validating, over all folds.
    pub wall_seconds: f64,
    /// Processor time of the same.
    pub cpu_seconds: f64,
    /// The figures of each fold.
    pub folds: Vec<FoldFigures>,
    /// Over the folds.
    pub accuracy_over_folds: Spread,
    /// Over the folds; `None` where a fold has no positive cell.
    pub sensitivity_over_folds: Option<Spread>,
    /// Over the folds; `None` where a fold has no negative cell.
    pub specificity_over_folds: Option<Spread>,
    /// Over the folds; `None` where a fold has one class only.
    pub auc_over_folds: Option<Spread>,
    /// The place on the pooled ROC curve with the specificity of Rajaraman et al. 2018, 97.2 %, to be compared with their
    /// sensitivity of 94.7 %. It is read off the very cells it is reported on, which flatters it a little. Only for real
    /// cells by patient, and where the positive class is Parasitized; `None` also where no threshold gives it.
    pub at_published_specificity: Option<OperatingPoint>,
    /// What the logits of the model that learns from every cell are divided by, where calibration was asked for: the
    /// geometric mean of the folds' temperatures (1 for a fold that none could be fitted to), since no cell is left to fit one by.
    pub temperature: Option<f64>,
    /// The threshold that the settings ask for, chosen on what is said of every cell by the model that has not learned from
    /// it; it is stored with the model that learns from every cell. `None` where no threshold reaches what is asked for.
    /// The figures `at_threshold` are not at this one: each fold's cells are called at what is chosen in the same way on the cells of the
    /// other folds (by models that had learned from this fold's cells, a trace that remains). Without one of these there are no such
    /// figures, and no calls of patients.
    pub threshold: Option<Threshold>,
    /// The pooled figures: over all cells as if one model had judged them.
    #[serde(flatten)]
    pub pooled: Summary,
    /// How sure they are, and what they mean for patients. The intervals hold for new patients under these models; that other
    /// models would have been trained on other patients is not in them.
    #[serde(flatten)]
    pub assessment: Assessment,
}

impl CrossMetrics {
    /// What the models were made by: name and value.
    pub(super) fn made(&self, config: &ExperimentConfig) -> Vec<[String; 2]> {
        let row = |name: &str, value: String| [name.to_owned(), value];
        let devices: BTreeSet<&str> = self.folds.iter().map(|fold| fold.device.as_str()).collect();
        vec![
            row("malaria-resnet", self.version.clone()),
            row("libtorch", malaria_libtorch::LIBTORCH_VERSION.to_owned()),
            row("Device of the folds", Vec::from_iter(devices).join("; ")),
            row("Recipe", config.recipe_words()),
            row("Seed", self.seed.to_string()),
            row("Epochs, a fold", self.epochs.to_string()),
            row("Temperature of the probabilities", temperature_words(self.temperature)),
            row("Time for training and validating, all folds", format!("{:.0} s", self.wall_seconds)),
            row("Processor time of the same", format!("{:.0} s", self.cpu_seconds)),
            row("Machine that put the folds together", self.machine.clone()),
        ]
    }
}

/// A finished fold.
struct Finished {
    run: RunDir,
    metrics: Metrics,
    manifest: Manifest,
    predictions: Vec<OutOfFold>,
}

pub(super) fn merge(
    of_fold: &dyn Fn(usize) -> ExperimentConfig,
    folds: usize,
    out: &Path,
    command: &str,
) -> Result<(CrossMetrics, Vec<PathBuf>)> {
    let mut finished = Vec::with_capacity(folds);
    for number in 1..=folds {
        let planned = Planned::new(of_fold(number), fold_dir(out, number), Some(number));
        planned.refuse_other_settings()?;
        let run = RunDir::open(&planned.path)?;
        let metrics: Metrics = files::read_json(&run.metrics_path(), "the figures of a run")?;
        let manifest = read_manifest(&run.split_path())?;
        let predictions = read_predictions(&run.predictions_path(), &metrics.test.classes, number)?;
        finished.push(Finished { run, metrics, manifest, predictions });
    }
    let rows = every_cell_once(&finished)?;
    // The rows of all manifests are the same cells in the same order.
    let is_left_out = |&i: &usize| finished.iter().any(|fold| fold.manifest.entries[i].subset.is_none());
    let n_left_out = (0..rows.len()).filter(is_left_out).count();

    let config = of_fold(1);
    let classes = &finished[0].metrics.test.classes;
    let position = |name: &String| {
        let found = classes.iter().position(|class| class == name);
        found.ok_or_else(|| finished[0].run.error(&format!("`{name}` is not one of its classes {classes:?}")))
    };
    let truth = rows.iter().map(|row| position(&row.class)).collect::<Result<Vec<usize>>>()?;
    let probabilities: Vec<f64> = rows.iter().flat_map(|row| row.probabilities.iter().copied()).collect();
    let positive = position(&config.positive)?;
    let patients: Vec<Option<&str>> =
        rows.iter().map(|row| Some(row.patient.as_str()).filter(|patient| !patient.is_empty())).collect();
    let said = Said { truth: &truth, probabilities: &probabilities, classes, positive, patients: &patients };
    // The weights that training started from may know other cells of these patients.
    let new_patients = config.split.protocol == Protocol::Patient && config.init.is_none();
    let threshold = said.threshold(config.threshold, ChosenOn::OutOfFold, new_patients)?;
    let of_others = (1..=folds)
        .map(|fold| threshold_of_others(said, &rows, fold, config.threshold, new_patients))
        .collect::<Result<Vec<_>>>()?;
    let of_cells = rows.iter().map(|row| of_others[row.fold - 1]).collect::<Option<Vec<_>>>();
    let calling = threshold.zip(of_cells);
    let calling = calling.map(|(threshold, of_cells)| Calling { threshold, of_cells: Some(of_cells) });
    let pooled = said.figures(calling.as_ref())?;
    let assessment = said.assess(calling.as_ref(), new_patients)?;

    let figures: Vec<FoldFigures> = (1..)
        .zip(&finished)
        .zip(&of_others)
        .map(|((fold, Finished { metrics, .. }), threshold)| FoldFigures {
            fold,
            threshold: threshold.map(|threshold| threshold.point.threshold),
            n_test: metrics.n_test,
            device: metrics.device.clone(),
            epoch: metrics.kept.epoch,
            wall_seconds: metrics.wall_seconds,
            accuracy: metrics.test.accuracy,
            sensitivity: metrics.test.sensitivity,
            specificity: metrics.test.specificity,
            auc: metrics.test.auc,
        })
        .collect();
    let over = |figure: fn(&FoldFigures) -> Option<f64>| -> Option<Spread> {
        figures.iter().map(figure).collect::<Option<Vec<f64>>>().map(|values| spread(&values))
    };
    let comparable = config.split.protocol == Protocol::Patient
        && config.data.is_some()
        && config.positive == "Parasitized";
    let total = |time: fn(&Metrics) -> f64| finished.iter().map(|fold| time(&fold.metrics)).sum();
    // A fold whose validation cells fit no temperature has kept its logits as they are.
    let logs = finished.iter().map(|fold| fold.metrics.temperature.unwrap_or(1.0).ln());
    let temperature = config.calibrate.then(|| (logs.sum::<f64>() / folds as f64).exp());
    let metrics = CrossMetrics {
        format_version: 1,
        figures_of: FiguresOf::CrossValidation,
        command: command.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        machine: machine(),
        protocol: config.split.protocol,
        recipe: config.recipe,
        drawn_cells: config.data.is_none(),
        seed: config.train.seed,
        epochs: config.train.epochs,
        n_test: rows.len(),
        n_left_out,
        n_skipped: finished.iter().map(|fold| fold.metrics.n_skipped).max().unwrap_or(0),
        wall_seconds: total(|metrics| metrics.wall_seconds),
        cpu_seconds: total(|metrics| metrics.cpu_seconds),
        accuracy_over_folds: spread(&figures.iter().map(|fold| fold.accuracy).collect::<Vec<_>>()),
        sensitivity_over_folds: over(|fold| fold.sensitivity),
        specificity_over_folds: over(|fold| fold.specificity),
        auc_over_folds: over(|fold| fold.auc),
        folds: figures,
        at_published_specificity: if comparable {
            said.operating_point(Target::Specificity(PUBLISHED_SPECIFICITY))?
        } else {
            None
        },
        temperature,
        threshold,
        pooled,
        assessment,
    };
    // Before anything is written, so that what is there fits together.
    let histories = finished.iter().map(|fold| fold.run.history()).collect::<Result<Vec<_>>>()?;
    let written = [out.join("predictions.csv"), out.join("metrics.json")];
    write_out_of_fold(&written[0], classes, positive, &rows, calling.as_ref())?;
    files::write_json(&written[1], &metrics)?;
    let patients = out.join("patients.csv");
    files::remove(&patients)?;
    let patients = said.write_patients(patients, &metrics.assessment, calling.as_ref())?;
    let audit = out.join("label_audit.csv");
    let suspects = label_audit(&truth, &probabilities, classes.len())?;
    write_label_audit(&audit, classes, &rows, &suspects)?;
    let pictures = mistakes(&config, out, &rows, said);
    let mut report = report(&metrics, &config, said, &rows, pictures, &histories);
    report.more.push(labels_section(
        &suspect_pictures(&config, &rows, classes, &suspects),
        suspects.len(),
        rows.len(),
    ));
    let page = report.write(out)?;
    let [predictions, figures] = written;
    let files = [predictions].into_iter().chain(patients).chain([figures, audit, page]);
    Ok((metrics, files.collect()))
}

/// The threshold for `target` on the cells of all folds but `fold`.
fn threshold_of_others(
    said: Said<'_>,
    rows: &[OutOfFold],
    fold: usize,
    target: Target,
    new_patients: bool,
) -> Result<Option<Threshold>> {
    let others: Vec<usize> = (0..rows.len()).filter(|&i| rows[i].fold != fold).collect();
    let labelled = Labelled {
        truth: others.iter().map(|&i| said.truth[i]).collect(),
        patients: others.iter().map(|&i| said.patients[i]).collect(),
    };
    let probabilities: Vec<f64> =
        others.iter().flat_map(|&i| rows[i].probabilities.iter().copied()).collect();
    let others =
        Said { truth: &labelled.truth, probabilities: &probabilities, patients: &labelled.patients, ..said };
    others.threshold(target, ChosenOn::OutOfFold, new_patients)
}

/// The files of a manifest, whatever side they are on.
pub(super) fn cells_of(manifest: &Manifest) -> Vec<Entry> {
    manifest.entries.iter().cloned().map(|entry| Entry { subset: None, ..entry }).collect()
}

/// The rows of all folds in the order of the data folder, if they are of the same cells and each cell was tested once.
fn every_cell_once(finished: &[Finished]) -> Result<Vec<OutOfFold>> {
    let all = cells_of(&finished[0].manifest);
    let mut row_of: BTreeMap<&str, &OutOfFold> = BTreeMap::new();
    for Finished { run, metrics, manifest, predictions } in finished {
        if cells_of(manifest) != all {
            let first = finished[0].run.path().display();
            return Err(run.error(&format!(
                "its split.csv is of other cells than that of {first}: folds can only be put together when all were \
                 run on the same data; remove the one that is wrong and run it again"
            )));
        }
        if metrics.test.classes != finished[0].metrics.test.classes {
            let (expected, found) = (finished[0].metrics.test.classes.clone(), metrics.test.classes.clone());
            return Err(Error::Classes { path: run.path().to_owned(), expected, found });
        }
        let tested = manifest.entries.iter().filter(|entry| entry.subset == Some(Subset::Test));
        let tested: Vec<[&str; 3]> = tested
            .map(|entry| [&entry.path, &entry.class, entry.patient.as_deref().unwrap_or_default()])
            .collect();
        let said: Vec<[&str; 3]> =
            predictions.iter().map(|row| [&*row.path, &*row.class, &*row.patient]).collect();
        if tested != said {
            return Err(run.error(&format!(
                "the {} cells of its predictions.csv, with their classes and patients, are not the {} test cells of its \
                 split.csv: remove the fold and run it again",
                said.len(),
                tested.len()
            )));
        }
        for row in predictions {
            if row_of.insert(&row.path, row).is_some() {
                return Err(run.error(&format!("its test cell {} was tested by another fold too", row.path)));
            }
        }
    }
    for (i, entry) in all.iter().enumerate() {
        let is = |subset| move |fold: &&Finished| fold.manifest.entries[i].subset == subset;
        if let (Some(without), Some(with)) =
            (finished.iter().find(is(None)), finished.iter().find(is(Some(Subset::Train))))
        {
            return Err(with.run.error(&format!(
                "it has learned from {}, which was left out of what {} learned from: all folds have to leave out the same \
                 cells; remove the one that is wrong and run it again",
                entry.path,
                without.run.path().display()
            )));
        }
    }
    let row = |entry: &Entry| {
        row_of.get(entry.path.as_str()).map(|&row| row.clone()).ok_or_else(|| {
            finished[0].run.error(&format!("no fold was tested on {}, which is in its split.csv", entry.path))
        })
    };
    all.iter().map(row).collect()
}

fn spread(values: &[f64]) -> Spread {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    Spread { mean, deviation: (squares / (count - 1.0)).sqrt() }
}

#[cfg(test)]
mod tests {
    use super::spread;

    #[test]
    fn the_deviation_is_that_of_a_sample() {
        // statistics.stdev([0.94, 0.96, 0.98]) = 0.02
        let spread = spread(&[0.94, 0.96, 0.98]);
        assert!((spread.mean - 0.96).abs() < 1e-12 && (spread.deviation - 0.02).abs() < 1e-12);
    }
}
