//! The runs of a cross-validation, and the checks that they can be pooled.

use std::path::{Path, PathBuf};

use malaria_dataset::{Fold, Loaded, Manifest, read_manifest};
use malaria_train::{Outcome, Precision};
use serde_json::{Value, json};

use crate::{
    config::{ExperimentConfig, SourceHashes},
    error::{Error, Result},
    paths::absolute,
    progress::{Context, Progress},
    run::{
        dir::RunDir,
        lineage::seen_by_init,
        start::{resume_loaded, train_loaded},
    },
};

/// Replaces the teacher, which is the folder of another cross-validation, by one of its runs.
pub(super) fn set_teacher_run(config: &mut ExperimentConfig, run: impl Fn(&Path) -> PathBuf) {
    if let Some(teacher) = &mut config.teacher {
        teacher.run = run(&teacher.run);
    }
}

/// One run of a cross-validation, whether it exists yet or not.
pub(super) struct PlannedRun {
    pub(super) config: ExperimentConfig,
    pub(super) path: PathBuf,
    /// The fold, from 1; `None` for the final model.
    pub(super) fold: Option<usize>,
}

impl PlannedRun {
    /// The run in `path`. If it exists, it keeps those of its settings that may differ between runs.
    pub(super) fn new(mut config: ExperimentConfig, path: PathBuf, fold: Option<usize>) -> Self {
        if let Ok(existing) = RunDir::open(&path).and_then(|run| run.config()) {
            // Folds may be run on several machines, some without bfloat16, so each fold keeps its precision.
            if config.train.precision == Precision::Auto {
                config.train.precision = existing.train.precision;
            }
            // The classes are checked later, with the cells.
            config.model.classes = existing.model.classes;
            config.command = existing.command;
            config.sha256 = existing.sha256;
            // The target of the pooled metrics may differ from that of the folds.
            config.target = existing.target;
        }
        Self { config, path, fold }
    }

    pub(super) fn is_finished(&self) -> bool {
        is_finished(&self.path)
    }

    /// Refuses an existing run whose settings would give other weights. Initial weights, teacher and excluded cells are
    /// compared by their hashes or, if these are not recorded or the files can no longer be read, by their paths.
    pub(super) fn refuse_other_settings(&self) -> Result<()> {
        let Ok(run) = RunDir::open(&self.path) else { return Ok(()) };
        let existing = run.config()?;
        let now = sources(&self.config, SourceHashes::of_readable(&self.config));
        let then = sources(&existing, existing.sha256.clone().unwrap_or_default());
        let settings = |config: &ExperimentConfig, own: &[Source; 3], other: &[Source; 3]| {
            let ExperimentConfig {
                split,
                image,
                model,
                train,
                positive,
                data,
                patients,
                calibrate,
                teacher,
                ..
            } = config;
            let [init, taught_by, exclude] = [0, 1, 2].map(|i| match (&own[i], &other[i]) {
                ((_, Some(hash)), (_, Some(_))) => json!(format!("SHA-256 {hash}")),
                ((path, _), _) => json!(path),
            });
            json!({ "split": split, "image": image, "model": model, "train": train, "init": init, "positive": positive,
                "patients": patients, "synthetic_cells": data.is_none(), "calibrate": calibrate, "teacher": taught_by,
                "teacher.weight": teacher.as_ref().map(|teacher| teacher.weight), "exclude": exclude })
        };
        match difference("", &settings(&self.config, &now, &then), &settings(&existing, &then, &now)) {
            None => Ok(()),
            Some((field, expected, found)) => Err(run.error(&format!(
                "it was run with other settings: `{field}` is {found} in its config.json, and {expected} now; give the \
                 same settings, or another folder"
            ))),
        }
    }

    /// Trains or resumes the run on `loaded`; returns false if it was interrupted.
    pub(super) fn train(&self, loaded: &Loaded, folds: usize, context: Context<'_>) -> Result<bool> {
        let path = &self.path;
        (context.listener)(match self.fold {
            Some(number) => Progress::Fold { fold: Fold { number, of: folds }, path },
            None => Progress::FinalModel { path },
        });
        let summary = match RunDir::open(path) {
            Ok(run) => {
                let lock = run.lock()?;
                resume_loaded(self.config.clone(), run, lock, loaded, context)?
            }
            Err(_) => {
                let (run, lock) = RunDir::create(path)?;
                train_loaded(&self.config, run, lock, loaded, context)?
            }
        };
        Ok(summary.outcome != Outcome::Interrupted)
    }
}

pub(super) fn is_finished(path: &Path) -> bool {
    RunDir::open(path).is_ok_and(|run| run.is_finished())
}

/// The first difference between two JSON values: its path, and both values there.
fn difference<'a>(path: &str, a: &'a Value, b: &'a Value) -> Option<(String, &'a Value, &'a Value)> {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => a.iter().find_map(|(name, value)| {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            difference(&path, value, b.get(name).unwrap_or(&Value::Null))
        }),
        _ => (a != b).then(|| (path.to_owned(), a, b)),
    }
}

/// Path and hash of a file or run that the settings name.
type Source = (Option<PathBuf>, Option<String>);

/// Initial weights, teacher and list of excluded cells.
fn sources(config: &ExperimentConfig, hashes: SourceHashes) -> [Source; 3] {
    let ExperimentConfig { init, teacher, exclude, .. } = config;
    let path = |path: Option<&PathBuf>| path.map(|path| absolute(path));
    let SourceHashes { init: of_init, teacher: of_teacher, exclude: of_list } = hashes;
    [
        (path(init.as_ref()), of_init),
        (path(teacher.as_ref().map(|teacher| &teacher.run)), of_teacher),
        (path(exclude.as_ref()), of_list),
    ]
}

/// Gives the cells the order and paths that they have in the existing runs of `runs`, and refuses a run on other cells.
pub(super) fn align_with(runs: impl Iterator<Item = PathBuf>, loaded: &mut Loaded) -> Result<()> {
    let mut first: Option<Manifest> = None;
    for run in runs.filter_map(|path| RunDir::open(&path).ok()) {
        let manifest = read_manifest(&run.split_path())?;
        manifest.check_patients(&loaded.index, &loaded.fingerprints)?;
        manifest.align(loaded)?;
        let first = first.get_or_insert_with(|| manifest.clone());
        if first.cells() != manifest.cells() {
            let reason = format!("its split.csv has other paths or patients than {}", first.path.display());
            return Err(run.error(&reason));
        }
    }
    Ok(())
}

/// Refuses initial weights that were trained on any of the cells, since each is a test cell of one fold.
pub(super) fn refuse_seen(config: &ExperimentConfig, loaded: &Loaded) -> Result<()> {
    let all: Vec<usize> = (0..loaded.index.samples.len()).collect();
    let found = match seen_by_init(config, loaded, &all)? {
        Some(0) => return Ok(()),
        Some(seen) => format!("weights that were trained or selected on {seen} of them"),
        None => "weights from a run that can no longer be read".to_owned(),
    };
    let expected =
        "weights that were trained or selected on none of the cells, since each is a test cell".to_owned();
    Err(Error::Config { field: "init", expected, found })
}

#[cfg(test)]
mod tests {
    use malaria_dataset::Protocol;
    use malaria_metrics::Target;

    use super::*;
    use crate::{
        config::{Recipe, Teacher},
        run::dir::fold_dir,
    };

    #[test]
    fn folds_with_other_settings_are_refused_by_field() {
        type Change = fn(&mut ExperimentConfig);
        let folder = tempfile::tempdir().unwrap();
        let path = fold_dir(folder.path(), 1);
        std::fs::create_dir(&path).unwrap();
        let mut existing = ExperimentConfig::new(Recipe::Fast, Protocol::Patient, 1);
        existing.train.precision = Precision::Float32;
        existing.model.classes = 3;
        malaria_files::write_json(&path.join("config.json"), &existing).unwrap();
        let cases: [(Change, Option<&str>); 8] = [
            (|config| config.train.precision = Precision::Auto, None),
            (|config| config.target = Target::Sensitivity(0.9), None),
            (|config| config.model.classes = 2, None),
            (|config| config.set_seed(9), Some("`split.seed` is 1 in its config.json, and 9 now")),
            (|config| config.train.precision = Precision::Bfloat16, Some("`train.precision` is \"float32\"")),
            (
                |config| config.train.schedule.rate = 0.25,
                Some("`train.schedule.rate` is 0.05 in its config.json, and 0.25 now"),
            ),
            (|config| config.data = Some("cells".into()), Some("`synthetic_cells` is true")),
            (
                |config| config.teacher = Some(Teacher { run: "other".into(), weight: 0.5 }),
                Some("`teacher` is null"),
            ),
        ];
        for (change, expected) in cases {
            let mut config = existing.clone();
            change(&mut config);
            let result = PlannedRun::new(config, path.clone(), Some(1)).refuse_other_settings();
            match (result, expected) {
                (Ok(()), None) => {}
                (Err(error @ Error::RunDir { .. }), Some(text)) => {
                    assert!(error.to_string().contains(text), "{error}");
                }
                (result, expected) => panic!("{result:?}, expected {expected:?}"),
            }
        }
        let absent = PlannedRun::new(existing, fold_dir(folder.path(), 2), Some(2));
        absent.refuse_other_settings().unwrap();
        assert!(!absent.is_finished());
    }

    #[test]
    fn inputs_of_folds_are_compared_by_contents() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| absolute(folder.path()).join(name);
        for (name, cell) in [("here.csv", "a.png"), ("there.csv", "a.png"), ("other.csv", "b.png")] {
            std::fs::write(path(name), format!("path\n{cell}\n")).unwrap();
        }
        let config = |list: &str| {
            let mut config = ExperimentConfig::new(Recipe::Fast, Protocol::Patient, 1);
            config.exclude = (!list.is_empty()).then(|| path(list));
            config
        };
        let hash = SourceHashes::of(&config("there.csv")).unwrap();
        let by_hash = "`exclude` is \"SHA-256 ";
        // The list of the existing fold, whether its hash was recorded, the list given now, and the reason for refusing it.
        let cases = [
            ("there.csv", true, "there.csv", None),
            ("there.csv", true, "here.csv", None),
            ("gone.csv", true, "here.csv", None),
            ("there.csv", true, "other.csv", Some(by_hash)),
            // Another list has replaced the first.
            ("other.csv", true, "other.csv", Some(by_hash)),
            ("gone.csv", true, "gone.csv", None),
            ("there.csv", true, "gone.csv", Some("gone.csv\" now")),
            ("there.csv", true, "", Some("null now")),
            ("there.csv", false, "there.csv", None),
            ("there.csv", false, "here.csv", Some("here.csv\" now")),
        ];
        for (existing, recorded, now, expected) in cases {
            let mut existing = config(existing);
            existing.sha256 = recorded.then(|| hash.clone());
            let run = fold_dir(folder.path(), 1);
            std::fs::create_dir_all(&run).unwrap();
            malaria_files::write_json(&run.join("config.json"), &existing).unwrap();
            let result = PlannedRun::new(config(now), run, Some(1)).refuse_other_settings();
            match (result, expected) {
                (Ok(()), None) => {}
                (Err(error), Some(text)) => assert!(error.to_string().contains(text), "{now}: {error}"),
                (result, expected) => panic!("{now}: {result:?}, expected {expected:?}"),
            }
        }
    }
}
