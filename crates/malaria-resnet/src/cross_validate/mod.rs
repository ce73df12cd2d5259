//! k runs, each tested on the cells that the others learn from, and their figures together.

mod merge;
mod page;

use std::{
    path::{Path, PathBuf},
    sync::atomic::Ordering,
};

use malaria_dataset::{Fold, Loaded, Protocol, SplitConfig, read_manifest};
use malaria_train::{Outcome, Precision};
use serde_json::Value;
use tch::Device;

pub use self::merge::{CALLED_APART, CrossMetrics, FoldFigures, NOT_APART, Spread};
use self::merge::{cells_of, merge};
use crate::{
    Classifier, Context, Error, ExperimentConfig, Progress, Result, RunDir, Teacher,
    experiment::{begin, decode, find_cells, go_on},
    files,
    lineage::seen_by_init,
    model_card::Card,
    paths::{absolute, check_paths, found_from_anywhere},
};

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
    /// Run this fold alone, from 1 to `folds`; not together with `final_model`.
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
/// ```no_run
/// use std::{path::Path, sync::atomic::AtomicBool};
///
/// use malaria_resnet::{Context, CrossOptions, ExperimentConfig, Recipe, cross_validate, dataset::Protocol};
///
/// let mut config = ExperimentConfig::new(Recipe::Fast, Protocol::Patient, 0);
/// config.data = Some("cell_images".into());
/// let stop = AtomicBool::new(false);
/// let context = Context { command: "my program", stop: &stop, listener: &|_| {} };
/// let options = CrossOptions { folds: 5, only: None, final_model: true, out: Path::new("runs/cv") };
/// if let Some(metrics) = cross_validate(&config, options, context)?.metrics {
///     println!("accuracy {:.4} over {} cells of new patients", metrics.pooled.accuracy, metrics.n_test);
/// }
/// # Ok::<(), malaria_resnet::Error>(())
/// ```
///
/// # Errors
/// As [`train`](crate::train); [`Error::Taken`] where `out` is a run itself; [`Error::RunDir`] and [`Error::Dataset`] for a fold that was run with other settings or on
/// other cells than the rest; [`Error::Config`] where `init` has learned from the cells.
pub fn cross_validate(
    config: &ExperimentConfig,
    options: CrossOptions<'_>,
    context: Context<'_>,
) -> Result<CrossSummary> {
    let CrossOptions { folds, only, final_model, out } = options;
    let config = &found_from_anywhere(config);
    let of_fold = |number| {
        let mut config = config.clone();
        config.split.fold = Some(Fold { number, of: folds });
        taught_in(&mut config, |teacher| fold_dir(teacher, number));
        config
    };
    of_fold(only.unwrap_or(1)).check()?;
    if final_model && only.is_some() {
        let expected =
            "no single fold where the model that learns from every cell is asked for, too".to_owned();
        return Err(Error::Config { field: "fold", expected, found: format!("fold {}", only.unwrap_or(1)) });
    }
    check_paths(config, out)?;
    let mut runs: Vec<Planned> = (1..=folds)
        .map(|number| Planned::new(of_fold(number), fold_dir(out, number), Some(number)))
        .filter(|run| only.is_none_or(|only| run.fold == Some(only)))
        .collect();
    if final_model {
        let mut config = config.clone();
        config.split = SplitConfig { protocol: Protocol::All, fold: None, ..config.split };
        taught_in(&mut config, |teacher| teacher.join("final"));
        config.check()?;
        runs.push(Planned::new(config, out.join("final"), None));
    }
    RunDir::refuse_taken(out)?;
    runs.iter().try_for_each(Planned::refuse_other_settings)?;

    let missing =
        || -> Vec<usize> { (1..=folds).filter(|&number| !is_finished(&fold_dir(out, number))).collect() };
    let mut summary = CrossSummary::default();
    if runs.iter().any(|run| !run.is_finished()) {
        config.device.resolve()?;
        for run in runs.iter().filter(|run| !run.is_finished()) {
            run.config.teacher.iter().try_for_each(|teacher| teacher.open(Device::Cpu).map(drop))?;
        }
        // All runs lie in `out`, so that drawn cells are the same for all.
        let index = find_cells(config, &fold_dir(out, 1), context.listener)?;
        malaria_dataset::split(&index, &of_fold(only.unwrap_or(1)).split)?;
        let loaded = decode(index, config, context.listener)?;
        refuse_seen(config, &loaded)?;
        // Whatever is there already has to be of these cells, before anything is trained to stand beside it.
        for number in 1..=folds {
            refuse_other_cells(&fold_dir(out, number), &loaded)?;
        }
        refuse_other_cells(&out.join("final"), &loaded)?;
        for run in runs.iter().filter(|run| !run.is_finished()) {
            // The figures of the folds do not wait for the model that comes after them.
            if run.fold.is_none() && missing().is_empty() {
                merge(&of_fold, folds, out, context.command)?;
            }
            summary.interrupted =
                context.stop.load(Ordering::Relaxed) || !run.train(&loaded, folds, context)?;
            if summary.interrupted {
                return Ok(summary);
            }
            summary.files.push(run.path.clone());
        }
    }
    summary.missing = missing();
    if summary.missing.is_empty() {
        let (metrics, files) = merge(&of_fold, folds, out, context.command)?;
        if final_model {
            let run = RunDir::open(&out.join("final"))?;
            let _lock = run.lock()?;
            let cells =
                |path: &Path| read_manifest(&path.join("split.csv")).map(|manifest| cells_of(&manifest));
            if cells(run.path())? != cells(&fold_dir(out, 1))? {
                let (path, reason) =
                    (run.path().to_owned(), "it has learned from other cells than the folds");
                return Err(Error::Taken { path, reason });
            }
            // The figures of the folds are the best guess at what this model is worth, and stand here as what they are.
            // So is their threshold: no cell is left that the model has not learned from.
            let mut classifier = Classifier::load(run.path(), Device::Cpu)?;
            classifier.threshold = metrics.threshold;
            classifier.temperature = metrics.temperature;
            classifier.save(&run.weights_path())?;
            files::write_json(
                &run.config_path(),
                &ExperimentConfig { threshold: config.threshold, ..run.config()? },
            )?;
            write_card(&run, &metrics)?;
            files::write_json(&run.metrics_path(), &metrics)?;
            summary.final_model = Some(run);
        }
        summary.files.extend(files);
        summary.metrics = Some(metrics);
    }
    Ok(summary)
}

/// Writes the model card of the model that has learned from every cell.
fn write_card(run: &RunDir, metrics: &CrossMetrics) -> Result<()> {
    let cells = format!("{} cells of {}", metrics.n_test, metrics.assessment.patients());
    let left_out = match metrics.n_left_out {
        0 => String::new(),
        number => format!(", but for those left out on request: {number}"),
    };
    let own = run.config()?;
    let taught = own.teacher.as_ref().map(Teacher::words);
    let made = metrics.made(&own);
    let card = Card {
        config: &ExperimentConfig { split: SplitConfig { protocol: metrics.protocol, ..own.split }, ..own },
        figures: &metrics.pooled,
        assessment: &metrics.assessment,
        threshold: metrics.threshold.as_ref(),
        cross_validated: true,
        judged_on: format!(
            "The figures are cross-validated: {cells}, each judged by one of {} models of the same settings that had not learned \
             from it. This model has learned from all of their patients, so that none is left to judge it by.",
            metrics.folds.len()
        ),
        learned_from: [
            Some(format!("It has learned from {cells}{left_out}. split.csv names every cell.")),
            taught,
        ]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(" "),
        missing: metrics.n_skipped,
        made,
        command: &metrics.command,
    };
    files::write(&run.model_card_path(), card.markdown().as_bytes())
}

/// The teacher of one of the runs, where all are taught by those of another cross-validation.
fn taught_in(config: &mut ExperimentConfig, run: impl Fn(&Path) -> PathBuf) {
    if let Some(teacher) = &mut config.teacher {
        teacher.run = run(&teacher.run);
    }
}

/// A run of the cross-validation.
struct Planned {
    config: ExperimentConfig,
    path: PathBuf,
    /// Which fold it is; `None` for the model that learns from every cell.
    fold: Option<usize>,
}

impl Planned {
    fn new(mut config: ExperimentConfig, path: PathBuf, fold: Option<usize>) -> Self {
        if let Ok(begun) = RunDir::open(&path).and_then(|run| run.config()) {
            // Folds may be spread over machines of which not all have bfloat16; each ends in the precision it was begun in.
            if config.train.precision == Precision::Auto {
                config.train.precision = begun.train.precision;
            }
            // As many as the cells have; that it is these cells is looked at later.
            config.model.classes = begun.model.classes;
            config.command = begun.command;
            // What it was begun for; the figures of the folds together may be asked for another.
            config.threshold = begun.threshold;
        }
        Self { config, path, fold }
    }

    fn is_finished(&self) -> bool {
        is_finished(&self.path)
    }

    /// Refuses to mix runs that differ in anything that decides which weights come out.
    fn refuse_other_settings(&self) -> Result<()> {
        let Ok(run) = RunDir::open(&self.path) else { return Ok(()) };
        let settings = |config: &ExperimentConfig| {
            let ExperimentConfig {
                split,
                image,
                model,
                train,
                init,
                positive,
                data,
                leave_out,
                calibrate,
                teacher,
                ..
            } = config;
            let init = init.as_deref().map(absolute);
            let teacher = teacher.as_ref().map(|Teacher { run, weight }| (absolute(run), weight));
            serde_json::json!({ "split": split, "image": image, "model": model, "train": train, "init": init,
                "positive": positive, "drawn_cells": data.is_none(), "calibrate": calibrate, "teacher": teacher,
                "leave_out": leave_out.as_deref().map(absolute) })
        };
        match difference("", &settings(&self.config), &settings(&run.config()?)) {
            None => Ok(()),
            Some((field, expected, found)) => Err(run.error(&format!(
                "it was run with other settings: `{field}` is {found} in its config.json, and {expected} now; give the \
                 same settings, or another folder"
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

fn is_finished(path: &Path) -> bool {
    RunDir::open(path).is_ok_and(|run| run.is_finished())
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
    let found = match seen_by_init(config, loaded, &all)? {
        Some(0) => return Ok(()),
        Some(seen) => format!("weights that have learned from {seen} of them"),
        None => "weights that come from a run which cannot be read any more".to_owned(),
    };
    let expected = "weights that have learned from none of the cells, since each is tested on".to_owned();
    Err(Error::Config { field: "init", expected, found })
}
