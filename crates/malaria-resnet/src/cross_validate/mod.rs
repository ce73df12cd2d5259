//! Cross-validation: one run per fold, their pooled metrics, and a final model trained on every cell.

mod merge;
pub(crate) mod metrics;
mod plan;
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
    metrics::CrossValidationMetrics,
    plan::{PlannedRun, align_with, is_finished, refuse_seen, set_teacher_run},
};
use crate::{
    classifier::Classifier,
    config::ExperimentConfig,
    error::{Error, Result},
    paths::{check_paths, with_absolute_paths},
    progress::Context,
    run::{
        dir::{RunDir, fold_dir},
        start::{decode, index_cells},
    },
};

/// Result of [`cross_validate`].
#[derive(Debug, Default)]
pub struct CrossValidationSummary {
    /// Folds that still have to be run, here or on another machine.
    pub missing: Vec<usize>,
    /// Whether the call was interrupted by [`Context::stop`].
    pub interrupted: bool,
    /// The final model, if it was requested and is trained.
    pub final_model: Option<RunDir>,
    /// The pooled metrics, once no fold is missing.
    pub metrics: Option<CrossValidationMetrics>,
    /// The files written.
    pub files: Vec<PathBuf>,
}

/// Folds, final model and output folder of a cross-validation.
#[derive(Clone, Copy, Debug)]
pub struct CrossValidationOptions<'a> {
    /// Number of folds, at least 2.
    pub folds: usize,
    /// Run only this fold, from 1 to `folds`; not together with `final_model`.
    pub only: Option<usize>,
    /// After the folds, train a final model on every cell, in `final`. It is the model to deploy; the metrics of the folds
    /// estimate its performance, since no cell is left to test it on.
    pub final_model: bool,
    /// Folder for the folds and the pooled results.
    pub out: &'a Path,
}

/// Cross-validates `config`, with one run directory per fold. Finished folds are skipped and interrupted ones resumed. Once
/// all are finished, their results are pooled: `metrics.json`, and `predictions.csv` with the prediction for each cell by
/// the model that was not trained on it.
///
/// Folds may be run on several machines with the same data; their directories are then copied into one `out`.
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
///     println!("AUC {:?} over {} cells of new patients", metrics.pooled.auc, metrics.n_test);
/// }
/// # Ok::<(), malaria_resnet::Error>(())
/// ```
///
/// # Errors
/// As [`train`](crate::train()); [`Error::Taken`] where `out` is a run directory; [`Error::RunDir`] and [`Error::Dataset`] for a
/// fold that was run with other settings or on other cells; [`Error::Config`] where `init` was trained on the cells.
pub fn cross_validate(
    config: &ExperimentConfig,
    options: CrossValidationOptions<'_>,
    context: Context<'_>,
) -> Result<CrossValidationSummary> {
    let CrossValidationOptions { folds, only, final_model, out } = options;
    // The settings may be those of another run, with its hashes.
    let config = &ExperimentConfig { sha256: None, ..with_absolute_paths(config) };
    let fold_config = |number| {
        let mut config = config.clone();
        config.split.fold = Some(Fold { number, of: folds });
        set_teacher_run(&mut config, |teacher| fold_dir(teacher, number));
        config
    };
    fold_config(only.unwrap_or(1)).check()?;
    if let Some(only) = only.filter(|_| final_model) {
        let expected = "all folds, since the final model needs them".to_owned();
        return Err(Error::Config { field: "fold", expected, found: format!("fold {only}") });
    }
    check_paths(config, out)?;
    let mut runs: Vec<PlannedRun> = (1..=folds)
        .map(|number| PlannedRun::new(fold_config(number), fold_dir(out, number), Some(number)))
        .filter(|run| only.is_none_or(|only| run.fold == Some(only)))
        .collect();
    if final_model {
        let mut config = config.clone();
        config.split = SplitConfig { protocol: Protocol::All, fold: None, ..config.split };
        set_teacher_run(&mut config, |teacher| teacher.join("final"));
        config.check()?;
        runs.push(PlannedRun::new(config, out.join("final"), None));
    }
    RunDir::refuse_taken(out)?;
    runs.iter().try_for_each(PlannedRun::refuse_other_settings)?;

    let missing =
        || -> Vec<usize> { (1..=folds).filter(|&number| !is_finished(&fold_dir(out, number))).collect() };
    let mut summary = CrossValidationSummary::default();
    let mut merged = None;
    if runs.iter().any(|run| !run.is_finished()) {
        config.device.resolve()?;
        for run in runs.iter().filter(|run| !run.is_finished()) {
            run.config.teacher.iter().try_for_each(|teacher| teacher.open(Device::Cpu).map(drop))?;
        }
        // Synthetic cells lie in `out`, and all folds use the same ones.
        let index = index_cells(config, &fold_dir(out, 1), context.listener)?;
        malaria_dataset::split(&index, &fold_config(only.unwrap_or(1)).split)?;
        let mut loaded = decode(index, config, context.listener)?;
        refuse_seen(config, &loaded)?;
        // Existing runs must have the same cells. This is checked before anything is trained.
        let all_runs = (1..=folds).map(|number| fold_dir(out, number)).chain([out.join("final")]);
        align_with(all_runs, &mut loaded)?;
        for run in runs.iter().filter(|run| !run.is_finished()) {
            // The results of the folds are written before the final model is trained.
            if run.fold.is_none() && missing().is_empty() {
                merged = Some(merge(&fold_config, folds, out, context.command)?);
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
        let merged = merged.map_or_else(|| merge(&fold_config, folds, out, context.command), Ok)?;
        let Merged { metrics, rule, files } = merged;
        if final_model {
            let run = RunDir::open(&out.join("final"))?;
            let _lock = run.lock()?;
            let cells = |path: &Path| read_manifest(&path.join("split.csv")).map(|manifest| manifest.cells());
            if cells(run.path())? != cells(&fold_dir(out, 1))? {
                let (path, reason) = (run.path().to_owned(), "it was trained on other cells than the folds");
                return Err(Error::Taken { path, reason });
            }
            // No cell is left to test the final model on, so it takes the threshold, temperature and metrics from the folds.
            let mut classifier = Classifier::load(run.path(), Device::Cpu)?;
            classifier.description.threshold = metrics.threshold;
            classifier.description.smear = metrics.smear.clone();
            classifier.description.temperature = metrics.temperature;
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

/// Writes the model card of the final model.
fn write_card(run: &RunDir, metrics: &CrossValidationMetrics, rule: &DecisionRule) -> Result<()> {
    let cells = format!("{} cells of {}", metrics.n_test, metrics.assessment.patients());
    let mut training_data = format!("It was trained on {cells}");
    if metrics.n_excluded > 0 {
        training_data += &format!(", except those excluded on request: {}", metrics.n_excluded);
    }
    training_data += ". split.csv names every cell.";
    let config = run.config()?;
    if let Some(teacher) = &config.teacher {
        training_data += &format!(" {}", teacher.sentence());
    }
    run.write_model_card(&Card {
        recipe: config.recipe_label(),
        protocol: metrics.protocol,
        image: config.image,
        network: &config.model,
        metrics: &metrics.pooled,
        assessment: &metrics.assessment,
        rule,
        caveats: &metrics.caveats,
        evaluated_on: format!(
            "The metrics are cross-validated: {cells}, each predicted by the one of {} models with the \
             same settings that was not trained on it. This model was trained on all of these patients, so \
             none is left to test it on.",
            metrics.folds.len()
        ),
        training_data,
        missing: metrics.n_skipped,
        made: metrics.provenance(&config),
        command: &metrics.command,
    })?;
    Ok(())
}
