//! k runs, each tested on the cells that the others learn from, and their figures together.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::atomic::Ordering,
};

use malaria_dataset::{Entry, Fold, Loaded, Manifest, Protocol, SplitConfig, Subset, read_manifest};
use malaria_metrics::{
    Bootstrap, Intervals, OperatingPoint, Summary, Target, choose_threshold, intervals, one_vs_rest,
};
use malaria_train::Outcome;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Context, Error, ExperimentConfig, Metrics, Progress, Recipe, Result, RunDir,
    experiment::{absolute, begin, go_on, load_cells, seen_by_init},
    files,
    metrics::{FiguresOf, machine},
    predictions::{OutOfFold, read_predictions, write_out_of_fold},
};

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
    /// Patients tested on.
    pub patients: usize,
    /// Cells whose name tells no patient. The intervals take each for a patient of its own, which makes them too narrow.
    pub cells_without_patient: usize,
    /// Intervals of the pooled figures, by drawing patients anew (cells, where no patients are known). They hold
    /// for new cells under these models; that other models would have been trained on other patients is not in them.
    pub intervals: Intervals,
    /// The place on the pooled ROC curve with the specificity of Rajaraman et al. 2018, 97.2 %, to be compared with their
    /// sensitivity of 94.7 %. It is read off the very cells it is reported on, which flatters it a little. Only for real
    /// cells by patient, and where the positive class is Parasitized; `None` also where no threshold gives it.
    pub at_published_specificity: Option<OperatingPoint>,
    /// The pooled figures: over all cells as if one model had judged them.
    #[serde(flatten)]
    pub pooled: Summary,
}

/// What a call of [`cross_validate`] came to.
#[derive(Debug, Default)]
pub struct CrossSummary {
    /// Folds that are not finished yet: more are to be run, here or on another machine.
    pub missing: Vec<usize>,
    /// Whether the call ended because it was asked to stop.
    pub interrupted: bool,
    /// The model that has learned from every cell, where it was asked for and is trained.
    pub final_model: Option<RunDir>,
    /// The figures together, once no fold is missing.
    pub metrics: Option<CrossMetrics>,
    /// What was written.
    pub files: Vec<PathBuf>,
}

/// What to cross-validate, and where.
#[derive(Clone, Copy, Debug)]
pub struct CrossOptions<'a> {
    /// Number of folds, at least 2.
    pub folds: usize,
    /// Run this fold alone, from 1 to `folds`.
    pub only: Option<usize>,
    /// Once all folds are there, train one more model on every cell, in `final`: the one to use, of which the figures
    /// of the folds tell what to expect. It is judged on nothing itself.
    pub final_model: bool,
    /// Folder for the folds and their figures together.
    pub out: &'a Path,
}

/// Where fold `number` (from 1) of the cross-validation in `out` is run.
pub fn fold_dir(out: &Path, number: usize) -> PathBuf {
    out.join(format!("fold-{number}"))
}

/// Cross-validates `config`, each fold a run directory of its own. A fold that is finished is left as it is; one that was
/// cut off goes on. When all are there, their figures are put together: `metrics.json`, and `predictions.csv` with what
/// is said of each cell by the model that did not learn from it.
///
/// Folds may be run on several machines with the same data, and their directories brought together in one `out`.
///
/// # Errors
/// As [`train`](crate::train); [`Error::RunDir`] and [`Error::Dataset`] for a fold that was run with other settings or on
/// other cells than the rest; [`Error::Config`] where `init` has learned from the cells.
pub fn cross_validate(
    config: &ExperimentConfig,
    options: CrossOptions<'_>,
    context: Context<'_>,
) -> Result<CrossSummary> {
    let CrossOptions { folds, only, final_model, out } = options;
    let of_fold = |number| {
        let mut config = config.clone();
        config.split.fold = Some(Fold { number, of: folds });
        config
    };
    of_fold(only.unwrap_or(1)).check()?;
    let mut runs: Vec<Planned> = (1..=folds)
        .map(|number| Planned { config: of_fold(number), path: fold_dir(out, number), fold: Some(number) })
        .filter(|run| only.is_none_or(|only| run.fold == Some(only)))
        .collect();
    if final_model {
        let mut config = config.clone();
        config.split = SplitConfig { protocol: Protocol::All, fold: None, ..config.split };
        config.check()?;
        runs.push(Planned { config, path: out.join("final"), fold: None });
    }
    runs.iter().try_for_each(Planned::refuse_other_settings)?;

    let mut summary = CrossSummary::default();
    if runs.iter().any(|run| !run.is_finished()) {
        config.device.resolve()?;
        // All runs lie in `out`, so that drawn cells are the same for all.
        let loaded = load_cells(config, &fold_dir(out, 1), context.listener)?;
        refuse_seen(config, &loaded)?;
        // Whatever is there already has to be of these cells, before anything is trained to stand beside it.
        for number in 1..=folds {
            refuse_other_cells(&fold_dir(out, number), &loaded)?;
        }
        refuse_other_cells(&out.join("final"), &loaded)?;
        for run in runs.iter().filter(|run| !run.is_finished()) {
            summary.interrupted =
                context.stop.load(Ordering::Relaxed) || !run.train(&loaded, folds, context)?;
            if summary.interrupted {
                return Ok(summary);
            }
            summary.files.push(run.path.clone());
        }
    }
    let is_missing = |&number: &usize| !is_finished_fold(&fold_dir(out, number));
    summary.missing = (1..=folds).filter(is_missing).collect();
    if summary.missing.is_empty() {
        let (metrics, files) = merge(&of_fold, folds, out, context.command)?;
        if final_model {
            let run = RunDir::open(&out.join("final"))?;
            let _lock = run.lock()?;
            let cells =
                |path: &Path| read_manifest(&path.join("split.csv")).map(|manifest| cells_of(&manifest));
            if cells(run.path())? != cells(&fold_dir(out, 1))? {
                return Err(run.error("it has learned from other cells than the folds: choose another --out"));
            }
            // The figures of the folds are the best guess at what this model is worth, and stand here as what they are.
            files::write_json(&run.metrics_path(), &metrics)?;
            summary.final_model = Some(run);
        }
        summary.files.extend(files);
        summary.metrics = Some(metrics);
    }
    Ok(summary)
}

/// A run of the cross-validation.
struct Planned {
    config: ExperimentConfig,
    path: PathBuf,
    /// Which fold it is; `None` for the model that learns from every cell.
    fold: Option<usize>,
}

impl Planned {
    fn is_finished(&self) -> bool {
        match self.fold {
            Some(_) => is_finished_fold(&self.path),
            None => RunDir::open(&self.path).is_ok_and(|run| run.weights_path().is_file()),
        }
    }

    /// Refuses to mix runs that differ in anything that decides which weights come out.
    fn refuse_other_settings(&self) -> Result<()> {
        let Ok(run) = RunDir::open(&self.path) else { return Ok(()) };
        let settings = |config: &ExperimentConfig| {
            let ExperimentConfig { split, image, model, train, init, positive, data, .. } = config;
            let init = init.as_deref().map(absolute);
            serde_json::json!({ "split": split, "image": image, "model": model, "train": train, "init": init,
                "positive": positive, "drawn_cells": data.is_none() })
        };
        match difference("", &settings(&self.config), &settings(&run.config()?)) {
            None => Ok(()),
            Some((field, expected, found)) => Err(run.error(&format!(
                "it was run with other settings: `{field}` is {found} in its config.json, and {expected} now; give the \
                 same settings, or choose another --out"
            ))),
        }
    }

    /// Takes the run to its end, on `loaded` and the device of now; false where it was asked to stop before.
    fn train(&self, loaded: &Loaded, folds: usize, context: Context<'_>) -> Result<bool> {
        let path = &self.path;
        (context.listener)(match self.fold {
            Some(number) => Progress::Fold { fold: Fold { number, of: folds }, path },
            None => Progress::FinalModel { path },
        });
        let summary = match RunDir::open(path) {
            Ok(run) => {
                let lock = run.lock()?;
                go_on(self.config.clone(), run, lock, loaded, context)?
            }
            Err(_) => begin(&self.config, path, loaded, context)?,
        };
        Ok(summary.outcome != Outcome::Interrupted)
    }
}

fn is_finished_fold(path: &Path) -> bool {
    RunDir::open(path).is_ok_and(|run| run.metrics_path().is_file())
}

/// The first place where two JSON values differ: its path, and what stands there in each.
fn difference<'a>(path: &str, a: &'a Value, b: &'a Value) -> Option<(String, &'a Value, &'a Value)> {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => a.iter().find_map(|(name, value)| {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            difference(&path, value, b.get(name).unwrap_or(&Value::Null))
        }),
        _ => (a != b).then(|| (path.to_owned(), a, b)),
    }
}

/// Refuses a run in `path`, if there is one, that is of other cells than `loaded`.
fn refuse_other_cells(path: &Path, loaded: &Loaded) -> Result<()> {
    let Ok(run) = RunDir::open(path) else { return Ok(()) };
    read_manifest(&run.split_path())?.resolve(&loaded.index, &loaded.fingerprints)?;
    Ok(())
}

/// Refuses to start from weights that know any of the cells: each of them is a test cell of some fold.
fn refuse_seen(config: &ExperimentConfig, loaded: &Loaded) -> Result<()> {
    let all: Vec<usize> = (0..loaded.index.samples.len()).collect();
    match seen_by_init(config, loaded, &all)? {
        0 => Ok(()),
        seen => Err(Error::Config {
            field: "init",
            expected: "weights that have learned from none of the cells, since each is tested on".to_owned(),
            found: format!("weights that have learned from {seen} of them"),
        }),
    }
}

/// A finished fold.
struct Finished {
    run: RunDir,
    metrics: Metrics,
    manifest: Manifest,
    predictions: Vec<OutOfFold>,
}

fn merge(
    of_fold: &dyn Fn(usize) -> ExperimentConfig,
    folds: usize,
    out: &Path,
    command: &str,
) -> Result<(CrossMetrics, Vec<PathBuf>)> {
    let mut finished = Vec::with_capacity(folds);
    for number in 1..=folds {
        let planned = Planned { config: of_fold(number), path: fold_dir(out, number), fold: Some(number) };
        planned.refuse_other_settings()?;
        let run = RunDir::open(&planned.path)?;
        let metrics: Metrics = files::read_json(&run.metrics_path(), "the figures of a run")?;
        let manifest = read_manifest(&run.split_path())?;
        let predictions = read_predictions(&run.predictions_path(), &metrics.test.classes, number)?;
        finished.push(Finished { run, metrics, manifest, predictions });
    }
    let rows = every_cell_once(&finished)?;

    let config = of_fold(1);
    let classes = &finished[0].metrics.test.classes;
    let position = |name: &String| {
        let found = classes.iter().position(|class| class == name);
        found.ok_or_else(|| finished[0].run.error(&format!("`{name}` is not one of its classes {classes:?}")))
    };
    let truth = rows.iter().map(|row| position(&row.class)).collect::<Result<Vec<usize>>>()?;
    let probabilities: Vec<f64> = rows.iter().flat_map(|row| row.probabilities.iter().copied()).collect();
    let positive = position(&config.positive)?;
    let pooled = malaria_metrics::evaluate(&truth, &probabilities, classes, positive)?;
    let nameless = rows.iter().filter(|row| row.patient.is_empty()).count();
    // Cells of an unknown patient each stand for themselves.
    let patients: Vec<&str> = rows
        .iter()
        .map(|row| if row.patient.is_empty() { &row.path } else { &row.patient }.as_str())
        .collect();
    let intervals = intervals(&truth, &probabilities, classes, positive, &patients, &Bootstrap::default())?;

    let figures: Vec<FoldFigures> = (1..)
        .zip(&finished)
        .map(|(fold, Finished { metrics, .. })| FoldFigures {
            fold,
            n_test: metrics.n_test,
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
        patients: intervals.clusters - nameless,
        cells_without_patient: nameless,
        wall_seconds: total(|metrics| metrics.wall_seconds),
        cpu_seconds: total(|metrics| metrics.cpu_seconds),
        accuracy_over_folds: spread(&figures.iter().map(|fold| fold.accuracy).collect::<Vec<_>>()),
        sensitivity_over_folds: over(|fold| fold.sensitivity),
        specificity_over_folds: over(|fold| fold.specificity),
        auc_over_folds: over(|fold| fold.auc),
        folds: figures,
        intervals,
        at_published_specificity: if comparable {
            published(&truth, &probabilities, classes.len(), positive)?
        } else {
            None
        },
        pooled,
    };
    let written = [out.join("predictions.csv"), out.join("metrics.json")];
    write_out_of_fold(&written[0], classes, &rows)?;
    files::write_json(&written[1], &metrics)?;
    Ok((metrics, written.into()))
}

/// The files of a manifest, whatever side they are on.
fn cells_of(manifest: &Manifest) -> Vec<Entry> {
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
        let tested: Vec<&str> = tested.map(|entry| entry.path.as_str()).collect();
        let said: Vec<&str> = predictions.iter().map(|row| row.path.as_str()).collect();
        if tested != said {
            return Err(run.error(&format!(
                "its predictions.csv is of {} cells that are not the {} test cells in its split.csv: remove the fold \
                 and run it again",
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
    let row = |entry: &Entry| {
        row_of.get(entry.path.as_str()).map(|&row| row.clone()).ok_or_else(|| {
            finished[0].run.error(&format!("no fold was tested on {}, which is in its split.csv", entry.path))
        })
    };
    all.iter().map(row).collect()
}

fn published(
    truth: &[usize],
    probabilities: &[f64],
    classes: usize,
    positive: usize,
) -> Result<Option<OperatingPoint>> {
    let (is_positive, scores) = one_vs_rest(truth, probabilities, classes, positive)?;
    match choose_threshold(&is_positive, &scores, Target::Specificity(0.972)) {
        Ok(point) => Ok(Some(point)),
        Err(malaria_metrics::Error::ClassAbsent { .. } | malaria_metrics::Error::TargetOutOfReach { .. }) => {
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
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
