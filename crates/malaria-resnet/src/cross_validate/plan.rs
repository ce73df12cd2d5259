//! The runs of a cross-validation, and what may not be mixed in it.

use std::path::{Path, PathBuf};

use malaria_dataset::{Fold, Loaded, read_manifest};
use malaria_train::{Outcome, Precision};
use serde_json::Value;

use crate::{
    config::{ExperimentConfig, Teacher},
    error::{Error, Result},
    paths::absolute,
    progress::{Context, Progress},
    run::{
        dir::RunDir,
        lineage::seen_by_init,
        start::{begin, go_on},
    },
};

/// The teacher of one of the runs, where all are taught by those of another cross-validation.
pub(super) fn taught_in(config: &mut ExperimentConfig, run: impl Fn(&Path) -> PathBuf) {
    if let Some(teacher) = &mut config.teacher {
        teacher.run = run(&teacher.run);
    }
}

/// A run of the cross-validation.
pub(super) struct Planned {
    pub(super) config: ExperimentConfig,
    pub(super) path: PathBuf,
    /// Which fold it is; `None` for the model that learns from every cell.
    pub(super) fold: Option<usize>,
}

impl Planned {
    pub(super) fn new(mut config: ExperimentConfig, path: PathBuf, fold: Option<usize>) -> Self {
        if let Ok(begun) = RunDir::open(&path).and_then(|run| run.config()) {
            // Folds may be spread over machines of which not all have bfloat16; each ends in the precision it was begun in.
            if config.train.precision == Precision::Auto {
                config.train.precision = begun.train.precision;
            }
            // As many as the cells have; that it is these cells is looked at later.
            config.model.classes = begun.model.classes;
            config.command = begun.command;
            // What it was begun for; the figures of the folds together may be asked for another.
            config.target = begun.target;
        }
        Self { config, path, fold }
    }

    pub(super) fn is_finished(&self) -> bool {
        is_finished(&self.path)
    }

    /// Refuses to mix runs that differ in anything that decides which weights come out.
    pub(super) fn refuse_other_settings(&self) -> Result<()> {
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
                exclude,
                calibrate,
                teacher,
                ..
            } = config;
            let init = init.as_deref().map(absolute);
            let teacher = teacher.as_ref().map(|Teacher { run, weight }| (absolute(run), weight));
            serde_json::json!({ "split": split, "image": image, "model": model, "train": train, "init": init,
                "positive": positive, "synthetic_cells": data.is_none(), "calibrate": calibrate, "teacher": teacher,
                "exclude": exclude.as_deref().map(absolute) })
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
    pub(super) fn train(&self, loaded: &Loaded, folds: usize, context: Context<'_>) -> Result<bool> {
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

pub(super) fn is_finished(path: &Path) -> bool {
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
pub(super) fn refuse_other_cells(path: &Path, loaded: &Loaded) -> Result<()> {
    let Ok(run) = RunDir::open(path) else { return Ok(()) };
    read_manifest(&run.split_path())?.resolve(&loaded.index, &loaded.fingerprints)?;
    Ok(())
}

/// Refuses to start from weights that know any of the cells: each of them is a test cell of some fold.
pub(super) fn refuse_seen(config: &ExperimentConfig, loaded: &Loaded) -> Result<()> {
    let all: Vec<usize> = (0..loaded.index.samples.len()).collect();
    let found = match seen_by_init(config, loaded, &all)? {
        Some(0) => return Ok(()),
        Some(seen) => format!("weights that have learned from {seen} of them"),
        None => "weights that come from a run which cannot be read any more".to_owned(),
    };
    let expected = "weights that have learned from none of the cells, since each is tested on".to_owned();
    Err(Error::Config { field: "init", expected, found })
}
