//! Shared by the tests: cells, a network that learns them in seconds, the program, and finished runs.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{BufRead, BufReader, Lines, Read, Seek},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Output, Stdio},
    sync::OnceLock,
    time::Duration,
};

use image::{Rgb, RgbImage};
use malaria_resnet::{
    ExperimentConfig, ImageConfig, Recipe,
    augment::LaboratoryConfig,
    dataset::{Protocol, ResizePolicy},
    model::ResNetConfig,
    train::{ImageSize, Precision},
};
use serde_json::Value;

/// Patients, each with three cells of either class.
pub(crate) const PATIENTS: usize = 16;
/// Number of cells.
pub(crate) const CELLS: usize = PATIENTS * 6;

/// Writes `Parasitized` and `Uninfected` to `folder`: discs with and without a dark spot, named like the NIH's cells. The
/// cells of `write_synthetic` would take minutes to learn.
pub(crate) fn draw_cells(folder: &Path) {
    for class in ["Parasitized", "Uninfected"] {
        fs::create_dir_all(folder.join(class)).unwrap();
    }
    for patient in 0..PATIENTS {
        for cell in 0..6_u8 {
            let infected = cell < 3;
            let side = 20 + 2 * (patient % 3) as u32;
            let picture = RgbImage::from_fn(side + 4, side, |x, y| {
                let (dx, dy) = (f64::from(x) - f64::from(side) / 2.0, f64::from(y) - f64::from(side) / 2.0);
                let spot = f64::hypot(dx - 2.0 + f64::from(cell), dy) < 4.0;
                let pink = 190 + (patient * 3) as u8;
                match f64::hypot(dx, dy) < f64::from(side) / 2.2 {
                    true if spot && infected => Rgb([90, 30, 120]),
                    // No two cells are copies.
                    true => Rgb([pink, 150 + cell, 160]),
                    false => Rgb([0, 0, 0]),
                }
            });
            let class = if infected { "Parasitized" } else { "Uninfected" };
            let name = format!("C{}P{patient}ThinF_IMG_20150101_cell_{cell}.png", patient + 1);
            picture.save(folder.join(class).join(name)).unwrap();
        }
    }
}

/// Writes settings that learn those cells in a few seconds, with averaged weights and a change of image size.
pub(crate) fn tiny_config(file: &Path) {
    let mut config = ExperimentConfig::new(Recipe::Fast, Protocol::Patient, 1);
    config.image = ImageConfig { pixels: 16, resize: ResizePolicy::Stretch };
    config.model = ResNetConfig {
        stages: vec![1, 1],
        filters: vec![8, 16, 16],
        input_size: 16,
        ..ResNetConfig::tutorial()
    };
    // The recipe's rate is meant for many more steps.
    config.train.schedule.rate = 0.1;
    config.train.epochs = 6;
    config.train.batch_size = 8;
    config.train.augment.laboratory = LaboratoryConfig::none();
    config.train.image_sizes =
        vec![ImageSize { from_epoch: 1, pixels: 8 }, ImageSize { from_epoch: 3, pixels: 16 }];
    config.train.average_decay = Some(0.8);
    // The same weights on every processor.
    config.train.precision = Precision::Float32;
    fs::write(file, serde_json::to_string(&config).unwrap()).unwrap();
}

/// The rows of a CSV, by the names in its header.
pub(crate) fn rows(path: &Path) -> Vec<BTreeMap<String, String>> {
    csv::Reader::from_path(path).unwrap().deserialize().collect::<Result<_, _>>().unwrap()
}

/// A subcommand of the program without the variables that name data or a model. On one thread by default: several tests with
/// more threads than cores take ten times as long.
pub(crate) fn malaria(task: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_malaria"));
    command.arg(task).env("OMP_NUM_THREADS", "1").env_remove("MALARIA_DATA").env_remove("MALARIA_RUN");
    command
}

/// Runs a program that must succeed and returns its standard output.
#[track_caller]
pub(crate) fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?} failed:\n{}", errors(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a program that must succeed and returns its standard error.
#[track_caller]
pub(crate) fn progress(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let said = errors(&output);
    assert!(output.status.success(), "{command:?} failed:\n{said}");
    said
}

/// Runs a program that must fail and returns its standard error.
#[track_caller]
pub(crate) fn fail(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(!output.status.success(), "{command:?} should have failed");
    let said = errors(&output);
    assert!(!said.contains("panicked"), "{command:?} panicked:\n{said}");
    said
}

pub(crate) fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A JSON file.
pub(crate) fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// A workbench whose `run` was trained for six epochs with `--plot plot.svg`, its standard output in `train.txt`. Read-only:
/// [`copy`](Workbench::copy) it before changing it.
pub(crate) fn finished() -> &'static Workbench {
    static FINISHED: OnceLock<Workbench> = OnceLock::new();
    FINISHED.get_or_init(|| {
        let bench = Workbench::shared();
        let said = succeed(bench.train("run").args(["--plot", "plot.svg"]));
        fs::write(bench.path("train.txt"), said).unwrap();
        bench
    })
}

/// A workbench of cells, few of them mislabelled, with a finished cross-validation in `folds`, its standard output in
/// `folds.txt`. Read-only, like [`finished`].
pub(crate) fn cross_validated() -> &'static Workbench {
    static CROSS_VALIDATED: OnceLock<Workbench> = OnceLock::new();
    CROSS_VALIDATED.get_or_init(|| {
        let bench = Workbench::shared();
        bench.mislabel();
        bench.change_settings(r#""target":{"specificity":0.972}"#, r#""target":{"specificity":0.5}"#);
        let said = succeed(&mut bench.cross_validate("folds"));
        fs::write(bench.path("folds.txt"), said).unwrap();
        bench
    })
}

/// A folder with synthetic cells and settings, for runs of the program.
pub(crate) struct Workbench {
    pub(crate) folder: tempfile::TempDir,
}

impl Workbench {
    pub(crate) fn new() -> Self {
        Self::within(tempfile::tempdir().unwrap())
    }

    /// A workbench below `target`. It stays when the tests end, since statics are never dropped; workbenches older than an
    /// hour are removed.
    fn shared() -> Self {
        let place = Path::new(env!("CARGO_TARGET_TMPDIR"));
        for left in fs::read_dir(place).unwrap().flatten() {
            let age = left.metadata().and_then(|data| data.modified()).map(|time| time.elapsed());
            let is_shared = left.file_name().to_string_lossy().starts_with("shared-");
            if is_shared && matches!(age, Ok(Ok(age)) if age > Duration::from_secs(3600)) {
                let _ = fs::remove_dir_all(left.path());
            }
        }
        Self::within(tempfile::Builder::new().prefix("shared-").tempdir_in(place).unwrap())
    }

    fn within(folder: tempfile::TempDir) -> Self {
        draw_cells(&folder.path().join("cells"));
        tiny_config(&folder.path().join("tiny.json"));
        Self { folder }
    }

    /// A copy of the folder at another path; its runs refer to the cells of the copy.
    pub(crate) fn copy(&self) -> Self {
        let copy = Self { folder: tempfile::tempdir().unwrap() };
        copy_folder(self.folder.path(), copy.folder.path());
        let [from, to] = [self, &copy].map(|bench| fs::canonicalize(bench.folder.path()).unwrap());
        for run in ["run", "folds/fold-1", "folds/fold-2", "folds/fold-3"] {
            let config = copy.path(run).join("config.json");
            if config.exists() {
                replace_in(&config, from.to_str().unwrap(), to.to_str().unwrap());
            }
        }
        copy
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A subcommand of the program, run in this folder.
    pub(crate) fn malaria(&self, task: &str) -> Command {
        let mut command = malaria(task);
        command.current_dir(self.folder.path());
        command
    }

    /// Replaces text that must be in `tiny.json`.
    pub(crate) fn change_settings(&self, from: &str, to: &str) {
        replace_in(&self.path("tiny.json"), from, to);
    }

    /// `malaria train` on the cells with the tiny settings, on one thread, into `run`.
    pub(crate) fn train(&self, run: &str) -> Command {
        self.train_on("cells", run)
    }

    /// [`train`](Self::train) on the cells in another folder.
    pub(crate) fn train_on(&self, data: &str, run: &str) -> Command {
        let mut command = self.malaria("train");
        command.args(["--data", data, "--config", "tiny.json"]);
        command.args(["--threads", "1", "--device", "cpu", "--out", run]);
        command
    }

    /// `malaria train --resume`.
    pub(crate) fn resume(&self, run: &str) -> Command {
        let mut command = self.malaria("train");
        command.args(["--resume", run]);
        command
    }

    /// `malaria cross-validate` on the cells with the tiny settings, three folds on one thread, into `out`.
    pub(crate) fn cross_validate(&self, out: &str) -> Command {
        self.cross_validate_folds("3", out)
    }

    /// [`cross_validate`](Self::cross_validate) with another number of folds.
    pub(crate) fn cross_validate_folds(&self, folds: &str, out: &str) -> Command {
        let mut command = self.malaria("cross-validate");
        command.args(["--data", "cells", "--config", "tiny.json", "--folds", folds]);
        command.args(["--threads", "1", "--device", "cpu", "--out", out]);
        command
    }

    /// `malaria evaluate` of `run` on the cells.
    pub(crate) fn evaluate(&self, run: &str) -> Command {
        let mut command = self.malaria("evaluate");
        command.args(["--run", run, "--data", "cells"]);
        command
    }

    /// The bytes of a run's weights.
    pub(crate) fn weights(&self, run: &str) -> Vec<u8> {
        fs::read(self.path(run).join("weights.safetensors")).unwrap()
    }

    /// Swaps two pictures of every eighth patient, so that a third of their labels are wrong and a model trained on them
    /// makes mistakes.
    pub(crate) fn mislabel(&self) {
        for patient in (0..PATIENTS).step_by(8) {
            let cell = |class: &str, number: usize| {
                let name = format!("C{}P{patient}ThinF_IMG_20150101_cell_{number}.png", patient + 1);
                self.path("cells").join(class).join(name)
            };
            let (infected, other, aside) =
                (cell("Parasitized", 0), cell("Uninfected", 3), self.path("aside.png"));
            for (from, to) in [(&infected, &aside), (&other, &infected), (&aside, &other)] {
                fs::rename(from, to).unwrap();
            }
        }
    }

    /// Puts the mirror image of each cell into `folder`, as other cells with other names.
    pub(crate) fn mirror_cells(&self, folder: &str, rename: impl Fn(&str) -> String) {
        for class in ["Parasitized", "Uninfected"] {
            fs::create_dir_all(self.path(folder).join(class)).unwrap();
            for cell in fs::read_dir(self.path("cells").join(class)).unwrap() {
                let (path, name) = cell.map(|cell| (cell.path(), cell.file_name())).unwrap();
                let mirrored = self.path(folder).join(class).join(rename(name.to_str().unwrap()));
                image::open(path).unwrap().fliph().save(mirrored).unwrap();
            }
        }
    }
}

/// Replaces text that must be in the file.
#[track_caller]
pub(crate) fn replace_in(file: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(file).unwrap();
    assert!(text.contains(from), "{from} is not in {}", file.display());
    fs::write(file, text.replace(from, to)).unwrap();
}

pub(crate) fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (path, copy) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy_folder(&path, &copy);
        } else {
            fs::copy(path, copy).unwrap();
        }
    }
}

/// A training process whose events are read as they arrive.
pub(crate) struct Training {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    /// Its standard error: a file, so that it never waits for a reader.
    errors: File,
    /// Checkpoints that it has reported as written.
    written: u64,
}

impl Training {
    pub(crate) fn start(command: &mut Command) -> Self {
        let errors = tempfile::tempfile().unwrap();
        let mut child = command
            .args(["--progress", "json"])
            .stdout(Stdio::piped())
            .stderr(errors.try_clone().unwrap())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines, errors, written: 0 }
    }

    /// A training that has finished a batch of its second epoch.
    pub(crate) fn in_second_epoch(command: &mut Command) -> Self {
        let mut training = Self::start(command);
        while training.event("batch")["epoch"] != 2 {}
        training
    }

    /// Reads up to the next event with this name.
    pub(crate) fn event(&mut self, name: &str) -> Value {
        loop {
            let line =
                self.lines.next().unwrap_or_else(|| panic!("the run ended before any {name}")).unwrap();
            let event: Value = serde_json::from_str(&line).unwrap();
            assert_ne!(event["event"], "checkpoint-skipped", "{event}");
            self.written += u64::from(event["event"] == "checkpoint-written");
            if event["event"] == name {
                return event;
            }
        }
    }

    /// Sends the signal of this name, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let kill = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status();
        assert!(kill.unwrap().success());
    }

    /// Waits for it to end. Returns the exit status, `None` if a signal ended it, and its standard error.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        // A full pipe would block it.
        self.lines.by_ref().for_each(drop);
        let code = self.child.wait().unwrap().code();
        let mut said = String::new();
        self.errors.rewind().unwrap();
        self.errors.read_to_string(&mut said).unwrap();
        (code, said)
    }

    /// Kills it by SIGKILL. Returns the names of the events that had not been read yet, and how many checkpoints it has reported as
    /// written.
    pub(crate) fn kill(mut self) -> (Vec<String>, u64) {
        self.child.kill().unwrap();
        let status = self.child.wait().unwrap();
        assert_eq!(status.code(), None, "it ended by itself");
        // The last line may be truncated.
        let events =
            self.lines.map_while(Result::ok).filter_map(|line| serde_json::from_str::<Value>(&line).ok());
        let unread: Vec<String> =
            events.filter_map(|event| event["event"].as_str().map(str::to_owned)).collect();
        let written =
            self.written + unread.iter().filter(|name| *name == "checkpoint-written").count() as u64;
        (unread, written)
    }
}
