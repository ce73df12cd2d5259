//! k runs, each tested on the cells that the others learn from, and their figures together.

mod merge;
mod plan;
pub(crate) mod record;
mod report;

use std::{
    path::{Path, PathBuf},
    sync::atomic::Ordering,
};

use malaria_classifier::DecisionRule;
use malaria_dataset::{Fold, Protocol, SplitConfig, read_manifest};
use malaria_report::Card;
use tch::Device;

use self::{
    merge::{Merged, merge},
    plan::{Planned, is_finished, refuse_other_cells, refuse_seen, taught_in},
    record::CrossValidationMetrics,
};
use crate::{
    classifier::Classifier,
    config::{ExperimentConfig, Teacher},
    error::{Error, Result},
    paths::{check_paths, found_from_anywhere},
    progress::Context,
    run::{
        dir::{RunDir, fold_dir},
        start::{decode, find_cells},
    },
};

/// What a call of [`cross_validate`] came to.
#[derive(Debug, Default)]
pub struct CrossValidationSummary {
    /// Folds that are not finished yet: more are to be run, here or on another machine.
    pub missing: Vec<usize>,
    /// Whether the call ended because it was asked to stop.
    pub interrupted: bool,
    /// The model that has learned from every cell, where it was asked for and is trained.
    pub final_model: Option<RunDir>,
    /// The figures together, once no fold is missing.
    pub metrics: Option<CrossValidationMetrics>,
    /// What was written.
    pub files: Vec<PathBuf>,
}

/// What to cross-validate, and where.
#[derive(Clone, Copy, Debug)]
pub struct CrossValidationOptions<'a> {
    /// Number of folds, at least 2.
    pub folds: usize,
    /// Run this fold alone, from 1 to `folds`; not together with `final_model`.
    pub only: Option<usize>,
    /// Once all folds are there, train one more model on every cell, in `final`: the one to use, of which the figures
    /// of the folds tell what to expect. It is evaluated on nothing itself.
    pub final_model: bool,
    /// Folder for the folds and their figures together.
    pub out: &'a Path,
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
/// use malaria_resnet::{Context, CrossValidationOptions, ExperimentConfig, Recipe, cross_validate, dataset::Protocol};
///
/// let mut config = ExperimentConfig::new(Recipe::Fast, Protocol::Patient, 0);
/// config.data = Some("cell_images".into());
/// let stop = AtomicBool::new(false);
/// let context = Context { command: "my program", stop: &stop, listener: &|_| {} };
/// let options = CrossValidationOptions { folds: 5, only: None, final_model: true, out: Path::new("runs/cv") };
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
    options: CrossValidationOptions<'_>,
    context: Context<'_>,
) -> Result<CrossValidationSummary> {
    let CrossValidationOptions { folds, only, final_model, out } = options;
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
    let mut summary = CrossValidationSummary::default();
    if runs.iter().any(|run| !run.is_finished()) {
        config.device.resolve()?;
        for run in runs.iter().filter(|run| !run.is_finished()) {
            run.config.teacher.iter().try_for_each(|teacher| teacher.open(Device::Cpu).map(drop))?;
        }
        // All runs lie in `out`, so that synthetic cells are the same for all.
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
        let Merged { metrics, rule, files } = merge(&of_fold, folds, out, context.command)?;
        if final_model {
            let run = RunDir::open(&out.join("final"))?;
            let _lock = run.lock()?;
            let cells = |path: &Path| read_manifest(&path.join("split.csv")).map(|manifest| manifest.cells());
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
            malaria_files::write_json(
                &run.config_path(),
                &ExperimentConfig { target: config.target, ..run.config()? },
            )?;
            write_card(&run, &metrics, &rule)?;
            malaria_files::write_json(&run.metrics_path(), &metrics)?;
            summary.final_model = Some(run);
        }
        summary.files.extend(files);
        summary.metrics = Some(metrics);
    }
    Ok(summary)
}

/// Writes the model card of the model that has learned from every cell.
fn write_card(run: &RunDir, metrics: &CrossValidationMetrics, rule: &DecisionRule) -> Result<()> {
    let cells = format!("{} cells of {}", metrics.n_test, metrics.assessment.patients());
    let excluded = match metrics.n_excluded {
        0 => String::new(),
        number => format!(", but for those left out on request: {number}"),
    };
    let own = run.config()?;
    let taught = own.teacher.as_ref().map(Teacher::words);
    let made = metrics.made(&own);
    let card = Card {
        recipe: own.recipe_words(),
        protocol: metrics.protocol,
        image: own.image,
        network: &own.model,
        figures: &metrics.pooled,
        assessment: &metrics.assessment,
        rule,
        caveats: &metrics.caveats,
        evaluated_on: format!(
            "The figures are cross-validated: {cells}, each evaluated by one of {} models of the same settings that had not learned \
             from it. This model has learned from all of their patients, so that none is left to evaluate it on.",
            metrics.folds.len()
        ),
        learned_from: [
            Some(format!("It has learned from {cells}{excluded}. split.csv names every cell.")),
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
    let path = run.model_card_path();
    Ok(malaria_files::write(&path, card.markdown().as_bytes())
        .map_err(malaria_files::Error::io("write", &path))?)
}
