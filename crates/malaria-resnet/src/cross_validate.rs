//! k runs, each tested on the cells that the others learn from, and their figures together.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use malaria_dataset::{Entry, Fold, Manifest, Protocol, SplitConfig, Subset, read_manifest};
use malaria_metrics::{
    Bootstrap, Intervals, OperatingPoint, Summary, Target, choose_threshold, intervals, one_vs_rest,
};
use malaria_train::Outcome;
use serde::{Deserialize, Serialize};

use crate::{
    Context, ExperimentConfig, Metrics, Progress, Recipe, Result, RunDir, files,
    metrics::{FiguresOf, machine},
    predictions::{OutOfFold, read_predictions, write_out_of_fold},
    resume, train,
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
    /// Intervals of the pooled figures, by drawing patients anew (cells, where no patients are known). They hold
    /// for new cells under these models; that other models would have been trained on other patients is not in them.
    pub intervals: Intervals,
    /// The threshold on the pooled ROC curve that gives the specificity of Rajaraman et al. 2018, 97.2 %, to be compared
    /// with their sensitivity of 94.7 %; `None` where no threshold does. It is read off the very cells it is reported on.
    pub at_published_specificity: Option<OperatingPoint>,
    /// The pooled figures: over all cells as if one model had judged them.
    #[serde(flatten)]
    pub pooled: Summary,
}

/// What a call of [`cross_validate`] came to.
#[derive(Debug)]
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
/// As [`train`]; [`Error::RunDir`](crate::Error::RunDir) for a fold that was run with other settings or on other cells than the rest.
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
    let mut summary = CrossSummary {
        missing: Vec::new(),
        interrupted: false,
        final_model: None,
        metrics: None,
        files: Vec::new(),
    };
    for number in (1..=folds).filter(|&number| only.is_none_or(|only| only == number)) {
        let (config, path) = (of_fold(number), fold_dir(out, number));
        let fold = Fold { number, of: folds };
        if started(&path, &config)?.is_some_and(|run| run.metrics_path().is_file()) {
            continue;
        }
        (context.listener)(Progress::Fold { fold, path: &path });
        if train_or_resume(&config, &path, context)?.is_none() {
            summary.interrupted = true;
            break;
        }
        summary.files.push(path);
    }
    let finished =
        |number| RunDir::open(&fold_dir(out, number)).is_ok_and(|run| run.metrics_path().is_file());
    summary.missing = (1..=folds).filter(|&number| !finished(number)).collect();
    if summary.missing.is_empty() && !summary.interrupted {
        let (metrics, files) = merge(&of_fold, folds, out, context.command)?;
        summary.files.extend(files);
        if final_model {
            let mut config = config.clone();
            config.split = SplitConfig { protocol: Protocol::All, fold: None, ..config.split };
            summary.final_model = train_final(&config, &out.join("final"), &metrics, context)?;
            summary.interrupted = summary.final_model.is_none();
            summary.files.extend(summary.final_model.iter().map(|run| run.path().to_owned()));
        }
        summary.metrics = Some(metrics);
    }
    Ok(summary)
}

/// The run in `path`, if one was started there; it has to be of the same settings.
fn started(path: &Path, config: &ExperimentConfig) -> Result<Option<RunDir>> {
    let Ok(run) = RunDir::open(path) else { return Ok(None) };
    refuse_other_settings(&run, config)?;
    Ok(Some(run))
}

/// Takes the run in `path` to its end; `None` where it was asked to stop before.
fn train_or_resume(config: &ExperimentConfig, path: &Path, context: Context<'_>) -> Result<Option<RunDir>> {
    let summary = match started(path, config)? {
        Some(_) => resume(path, context)?,
        None => train(config, path, context)?,
    };
    Ok((summary.outcome != Outcome::Interrupted).then_some(summary.run))
}

/// Trains on every cell. The figures of the folds are the best guess at what such a model is worth, and stand in its
/// run directory as what they are.
fn train_final(
    config: &ExperimentConfig,
    path: &Path,
    metrics: &CrossMetrics,
    context: Context<'_>,
) -> Result<Option<RunDir>> {
    let trained = match started(path, config)? {
        Some(run) if run.weights_path().is_file() => Some(run),
        _ => {
            (context.listener)(Progress::FinalModel { path });
            train_or_resume(config, path, context)?
        }
    };
    if let Some(run) = &trained {
        files::write_json(&run.metrics_path(), metrics)?;
    }
    Ok(trained)
}

/// Refuses to mix runs that differ in anything that decides which weights come out.
fn refuse_other_settings(run: &RunDir, config: &ExperimentConfig) -> Result<()> {
    let found = run.config()?;
    let differing = [
        ("split", found.split != config.split),
        ("image", found.image != config.image),
        ("model", found.model != config.model),
        ("train", found.train != config.train),
        ("init", found.init != config.init),
        ("positive", found.positive != config.positive),
        ("data", found.data.is_none() != config.data.is_none()),
    ];
    match differing.into_iter().find(|(_, differs)| *differs) {
        None => Ok(()),
        Some((field, _)) => Err(run.error(&format!(
            "this fold was run with other settings (`{field}` of its config.json): give the same ones, or choose \
             another --out"
        ))),
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
        let run = RunDir::open(&fold_dir(out, number))?;
        refuse_other_settings(&run, &of_fold(number))?;
        let metrics: Metrics = files::read_json(&run.metrics_path(), "the figures of a run")?;
        let manifest = read_manifest(&run.split_path())?;
        let predictions = read_predictions(&run.predictions_path(), &metrics.test.classes, number)?;
        finished.push(Finished { run, metrics, manifest, predictions });
    }
    let rows = every_cell_once(&finished)?;

    let config = of_fold(1);
    let classes = &finished[0].metrics.test.classes;
    let position = |name: &String| classes.iter().position(|class| class == name).unwrap_or_default();
    let truth: Vec<usize> = rows.iter().map(|row| position(&row.class)).collect();
    let probabilities: Vec<f64> = rows.iter().flat_map(|row| row.probabilities.iter().copied()).collect();
    let positive = position(&config.positive);
    let pooled = malaria_metrics::evaluate(&truth, &probabilities, classes, positive)?;
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
        wall_seconds: total(|metrics| metrics.wall_seconds),
        cpu_seconds: total(|metrics| metrics.cpu_seconds),
        accuracy_over_folds: spread(&figures.iter().map(|fold| fold.accuracy).collect::<Vec<_>>()),
        sensitivity_over_folds: over(|fold| fold.sensitivity),
        specificity_over_folds: over(|fold| fold.specificity),
        auc_over_folds: over(|fold| fold.auc),
        folds: figures,
        intervals,
        at_published_specificity: published(&truth, &probabilities, classes.len(), positive)?,
        pooled,
    };
    let written = [out.join("predictions.csv"), out.join("metrics.json")];
    write_out_of_fold(&written[0], classes, &rows)?;
    files::write_json(&written[1], &metrics)?;
    Ok((metrics, written.into()))
}

/// The rows of all folds in the order of the data folder, if they are of the same cells and each cell was tested once.
fn every_cell_once(finished: &[Finished]) -> Result<Vec<OutOfFold>> {
    let cells = |manifest: &Manifest| -> Vec<Entry> {
        manifest.entries.iter().cloned().map(|entry| Entry { subset: None, ..entry }).collect()
    };
    let all = cells(&finished[0].manifest);
    let mut row_of: BTreeMap<&str, &OutOfFold> = BTreeMap::new();
    for Finished { run, metrics, manifest, predictions } in finished {
        if cells(manifest) != all {
            let first = finished[0].run.path().display();
            return Err(run.error(&format!(
                "its split.csv is of other cells than that of {first}: folds can only be put together when all were \
                 run on the same data"
            )));
        }
        if metrics.test.classes != finished[0].metrics.test.classes {
            return Err(run.error("its classes are not those of the other folds"));
        }
        let tested = manifest.entries.iter().filter(|entry| entry.subset == Some(Subset::Test));
        let tested: Vec<&str> = tested.map(|entry| entry.path.as_str()).collect();
        let said: Vec<&str> = predictions.iter().map(|row| row.path.as_str()).collect();
        if tested != said {
            return Err(run.error("its predictions.csv is not of the test cells in its split.csv"));
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
