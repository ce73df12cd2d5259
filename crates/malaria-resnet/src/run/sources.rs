//! Hashes of initial weights, teacher and excluded cells, and runs whose cells or parents were moved.

use std::{
    fs,
    path::{Path, PathBuf},
};

use malaria_classifier::WeightsFile;
use malaria_dataset::Fingerprint;
use malaria_train::Checkpoints;
use sha2::{Digest, Sha256};

use super::dir::RunDir;
use crate::{
    config::{ExperimentConfig, SourceHashes},
    error::{Error, Result},
    paths::{absolute, check_paths},
};

impl SourceHashes {
    /// The hashes of the files that `config` names now.
    pub(crate) fn of(config: &ExperimentConfig) -> Result<Self> {
        let [init, teacher, exclude] = hashes(config).map(Option::transpose);
        Ok(Self { init: init?, teacher: teacher?, exclude: exclude? })
    }

    /// [`of`](Self::of), with `None` for files that cannot be read.
    pub(crate) fn of_readable(config: &ExperimentConfig) -> Self {
        let [init, teacher, exclude] = hashes(config).map(|hash| hash.and_then(Result::ok));
        Self { init, teacher, exclude }
    }
}

/// The hashes of initial weights, teacher and list of excluded cells.
fn hashes(config: &ExperimentConfig) -> [Option<Result<String>>; 3] {
    [
        config.init.as_deref().map(weights_hash),
        config.teacher.as_ref().map(|teacher| weights_hash(&teacher.run)),
        config.exclude.as_deref().map(|list| {
            let list = fs::read(list).map_err(malaria_files::Error::io("read", list))?;
            Ok(Fingerprint::of(&list).hex())
        }),
    ]
}

/// The hash of the weights of `run`, see [`SourceHashes`].
pub(crate) fn weights_hash(run: &Path) -> Result<String> {
    let file = WeightsFile::read(&RunDir::open(run)?.finished_weights()?)?;
    let temperature = file.weights.description.temperature.unwrap_or(1.0);
    let hash = Sha256::new().chain_update(file.tensors_sha256).chain_update(temperature.to_le_bytes());
    Ok(base16ct::lower::encode_string(&hash.finalize()))
}

/// The new places of a run's cells and parents, if they were moved since it started.
#[derive(Clone, Copy, Debug, Default)]
pub struct NewPaths<'a> {
    /// The data folder. Cells are recognised by their contents, wherever below it they are.
    pub data: Option<&'a Path>,
    /// The run whose weights training started from; needed until the first checkpoint.
    pub init: Option<&'a Path>,
    /// The teacher's run.
    pub teacher: Option<&'a Path>,
}

impl NewPaths<'_> {
    /// Replaces the paths in the `config` of `run`, and refuses initial weights and a teacher that are still needed but have
    /// changed since the start.
    pub(crate) fn apply(self, config: &mut ExperimentConfig, run: &RunDir) -> Result<()> {
        let recorded = config.sha256.clone();
        let replace = |field, old: Option<&mut PathBuf>, new: Option<&Path>, none: &str| {
            let Some(new) = new else { return Ok(()) };
            let expected = match old {
                None => format!("none, since {none}"),
                Some(old) if field != "data" && recorded.is_none() => format!(
                    "{}, since this run was started by an earlier version and does not record which weights these were",
                    old.display()
                ),
                Some(old) => {
                    *old = absolute(new);
                    return Ok(());
                }
            };
            Err(Error::Config { field, expected, found: new.display().to_string() })
        };
        let synthetic = "the run's cells are synthetic and generated beside its folder";
        replace("data", config.data.as_mut(), self.data, synthetic)?;
        replace("init", config.init.as_mut(), self.init, "the run started from random weights")?;
        let teacher = config.teacher.as_mut().map(|teacher| &mut teacher.run);
        replace("teacher", teacher, self.teacher, "the run has no teacher")?;
        if self.data.is_some() {
            check_paths(config, run.path())?;
        }

        let Some(recorded) = recorded else { return Ok(()) };
        // A checkpoint contains the weights.
        let needs_init = self.init.is_some() || !Checkpoints::new(run.path(), "").exist();
        let init = config.init.as_deref().filter(|_| needs_init);
        let teacher = config.teacher.as_ref().map(|teacher| teacher.run.as_path());
        for (field, run, expected) in [("init", init, recorded.init), ("teacher", teacher, recorded.teacher)]
        {
            let (Some(run), Some(expected)) = (run, expected) else { continue };
            let found = match weights_hash(run) {
                Ok(found) if found == expected => continue,
                Ok(found) => format!("{} with {found}", run.display()),
                Err(error) => error.to_string(),
            };
            let expected = format!("the run whose weights have the hash {expected}");
            return Err(Error::Config { field, expected, found });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use malaria_classifier::{ChosenOn, ImageConfig, ResNetConfig, Threshold};
    use malaria_dataset::{Protocol, ResizePolicy};
    use malaria_metrics::{OperatingPoint, Target};
    use malaria_model::ResNet;
    use tch::Device;

    use super::*;
    use crate::{
        classifier::Classifier,
        config::{Recipe, Teacher},
    };

    /// Writes a finished run with the weights and temperature of `seed`.
    fn write_run(path: &Path, seed: u64, temperature: Option<f64>) {
        fs::create_dir_all(path).unwrap();
        let config = ExperimentConfig::new(Recipe::Tutorial, Protocol::Random, 0);
        malaria_files::write_json(&path.join("config.json"), &config).unwrap();
        let network =
            ResNetConfig { stages: vec![1], filters: vec![2, 4], input_size: 16, ..ResNetConfig::tutorial() };
        let model = ResNet::new(&network, seed, Device::Cpu).unwrap();
        let classes = ["Parasitized", "Uninfected"].map(str::to_owned).to_vec();
        let image = ImageConfig { pixels: 16, resize: ResizePolicy::Stretch };
        let mut classifier = Classifier::new(model, classes, 0, image).unwrap();
        classifier.description.temperature = temperature;
        classifier.save(&path.join("weights.safetensors")).unwrap();
    }

    #[test]
    fn weights_are_recognised_by_tensors_and_temperature() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        write_run(&path("first"), 1, None);
        write_run(&path("copy"), 1, None);
        write_run(&path("other"), 2, None);
        write_run(&path("calibrated"), 1, Some(2.0));
        let hash = |name| weights_hash(&path(name)).unwrap();
        assert_eq!(hash("copy"), hash("first"));
        assert_ne!(hash("other"), hash("first"));
        assert_ne!(hash("calibrated"), hash("first"));
        // Another threshold changes the file, not the weights.
        let mut classifier = Classifier::load(&path("copy"), Device::Cpu).unwrap();
        let bytes = fs::read(path("copy").join("weights.safetensors")).unwrap();
        classifier.description.threshold = Some(Threshold {
            target: Target::Sensitivity(0.9),
            chosen_on: ChosenOn::Validation,
            point: OperatingPoint { threshold: 0.5, sensitivity: 0.9, specificity: 0.9 },
        });
        classifier.save(&path("copy").join("weights.safetensors")).unwrap();
        assert_ne!(fs::read(path("copy").join("weights.safetensors")).unwrap(), bytes);
        assert_eq!(hash("copy"), hash("first"));
    }

    #[test]
    fn a_moved_run_accepts_only_the_same_weights() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| absolute(folder.path()).join(name);
        write_run(&path("first"), 1, None);
        write_run(&path("other"), 2, None);
        let hash = Some(weights_hash(&path("first")).unwrap());
        let config = |parent: &str, recorded: bool| {
            let mut config = ExperimentConfig::new(Recipe::Tutorial, Protocol::Random, 0);
            config.data = Some(path("cells"));
            config.init = Some(path(parent));
            config.teacher = Some(Teacher { run: path(parent), weight: 0.5 });
            let hashes = SourceHashes { init: hash.clone(), teacher: hash.clone(), exclude: None };
            config.sha256 = recorded.then_some(hashes);
            config
        };
        let run = |checkpoint: &str| {
            let run = path("run");
            let _ = fs::remove_dir_all(&run);
            write_run(&run, 3, None);
            if !checkpoint.is_empty() {
                fs::write(run.join(checkpoint), "").unwrap();
            }
            RunDir::open(&run).unwrap()
        };
        let checkpoint = "checkpoint.safetensors";
        type Case<'a> = (&'a str, bool, &'a str, [Option<&'a str>; 2], Option<&'a str>);
        // The old place of the parents, whether their hashes are recorded, the checkpoint, the new places of init and
        // teacher, and the field that is refused.
        let cases: [Case; 11] = [
            ("first", true, "", [None, None], None),
            ("other", true, "", [None, None], Some("init")),
            ("other", true, checkpoint, [None, None], Some("teacher")),
            ("gone", true, "", [None, Some("first")], Some("init")),
            ("gone", true, "", [Some("first"), Some("first")], None),
            ("gone", true, checkpoint, [None, None], Some("teacher")),
            // The initial weights are in the checkpoint.
            ("gone", true, checkpoint, [None, Some("first")], None),
            ("gone", true, checkpoint, [Some("other"), Some("first")], Some("init")),
            ("gone", true, checkpoint, [None, Some("other")], Some("teacher")),
            ("gone", false, checkpoint, [None, None], None),
            ("gone", false, checkpoint, [None, Some("first")], Some("teacher")),
        ];
        for (parent, recorded, checkpoint, new, expected) in cases {
            let case = format!("{parent} {recorded} {checkpoint} {new:?}");
            let mut config = config(parent, recorded);
            let [init, teacher] = new.map(|name| name.map(path));
            let moved = NewPaths { data: None, init: init.as_deref(), teacher: teacher.as_deref() };
            match (moved.apply(&mut config, &run(checkpoint)), expected) {
                (Ok(()), None) => {
                    assert_eq!(config.init, Some(init.unwrap_or(path(parent))), "{case}");
                    assert_eq!(config.teacher.unwrap().run, teacher.unwrap_or(path(parent)), "{case}");
                }
                (Err(Error::Config { field, .. }), Some(expected)) => assert_eq!(field, expected, "{case}"),
                (result, expected) => panic!("{case}: {result:?}, expected {expected:?}"),
            }
        }
    }

    #[test]
    fn inputs_that_a_run_does_not_have_cannot_have_moved() {
        let folder = tempfile::tempdir().unwrap();
        write_run(&folder.path().join("run"), 1, None);
        let run = RunDir::open(&folder.path().join("run")).unwrap();
        let place = Some(Path::new("elsewhere"));
        let none = NewPaths::default();
        for (moved, field, reason) in [
            (NewPaths { data: place, ..none }, "data", "synthetic"),
            (NewPaths { init: place, ..none }, "init", "random weights"),
            (NewPaths { teacher: place, ..none }, "teacher", "no teacher"),
        ] {
            let error = moved.apply(&mut run.config().unwrap(), &run).unwrap_err();
            let said = error.to_string();
            assert!(said.contains(field) && said.contains(reason) && said.contains("elsewhere"), "{said}");
        }
        // The files of a run among the cells would be read as cells.
        let mut config = run.config().unwrap();
        config.data = Some("cells".into());
        let error = NewPaths { data: Some(folder.path()), ..none }.apply(&mut config, &run).unwrap_err();
        assert!(matches!(error, Error::Config { field: "out", .. }), "{error}");
    }
}
