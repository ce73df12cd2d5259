//! What the tests share: pictures to learn from, a network that learns them in seconds, and the program.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{BufRead, BufReader, Lines, Read, Seek},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Output, Stdio},
};

use image::{Rgb, RgbImage};
use malaria_resnet::{
    ExperimentConfig, ImageConfig, Recipe,
    dataset::{Protocol, ResizePolicy},
    model::ResNetConfig,
    train::{ImageSize, Precision},
};
use serde_json::Value;

/// Patients, each with three cells of either class.
pub(crate) const PATIENTS: usize = 16;
/// Cells in all.
pub(crate) const CELLS: usize = PATIENTS * 6;

/// Draws `Parasitized` and `Uninfected` into `folder`: discs with and without a dark spot, named as NIH names them.
pub(crate) fn draw_cells(folder: &Path) {
    for class in ["Parasitized", "Uninfected"] {
        fs::create_dir_all(folder.join(class)).unwrap();
    }
    for patient in 0..PATIENTS {
        for cell in 0..6 {
            let infected = cell < 3;
            let side = 20 + 2 * (patient % 3) as u32;
            let picture = RgbImage::from_fn(side + 4, side, |x, y| {
                let (dx, dy) = (f64::from(x) - f64::from(side) / 2.0, f64::from(y) - f64::from(side) / 2.0);
                let spot = f64::hypot(dx - 2.0 + cell as f64, dy) < 4.0;
                let pink = 190 + (patient * 3) as u8;
                match f64::hypot(dx, dy) < f64::from(side) / 2.2 {
                    true if spot && infected => Rgb([90, 30, 120]),
                    true => Rgb([pink, 150, 160]),
                    false => Rgb([0, 0, 0]),
                }
            });
            let class = if infected { "Parasitized" } else { "Uninfected" };
            let name = format!("C{}P{patient}ThinF_IMG_20150101_cell_{cell}.png", patient + 1);
            picture.save(folder.join(class).join(name)).unwrap();
        }
    }
}

/// Settings that learn those cells in a few seconds, with averaging and a change of image size on, as a file.
pub(crate) fn tiny_config(file: &Path) {
    let mut config = ExperimentConfig::new(Recipe::Fast, Protocol::Patient, 1);
    config.image = ImageConfig { pixels: 16, resize: ResizePolicy::Stretch };
    config.model = ResNetConfig {
        stages: vec![1, 1],
        filters: vec![8, 16, 16],
        input_size: 16,
        ..ResNetConfig::tutorial()
    };
    // Six epochs of so few cells want the rate that teaches something in them.
    config.train.schedule.rate = 0.1;
    config.train.epochs = 6;
    config.train.batch_size = 8;
    config.train.image_sizes =
        vec![ImageSize { from_epoch: 1, pixels: 8 }, ImageSize { from_epoch: 3, pixels: 16 }];
    config.train.average_decay = Some(0.8);
    // What they learn is to be the same on every processor.
    config.train.precision = Precision::Float32;
    fs::write(file, serde_json::to_string(&config).unwrap()).unwrap();
}

/// The rows of a CSV, by the names in its header.
pub(crate) fn rows(path: &Path) -> Vec<BTreeMap<String, String>> {
    csv::Reader::from_path(path).unwrap().deserialize().collect::<Result<_, _>>().unwrap()
}

/// A subcommand of the program, with the variables that name data or a model removed from its environment.
pub(crate) fn malaria(task: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_malaria"));
    command.arg(task).env_remove("MALARIA_DATA").env_remove("MALARIA_RUN");
    command
}

/// Runs a program that has to succeed, and gives its standard output.
#[track_caller]
pub(crate) fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?} failed:\n{}", errors(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a program that has to fail, and gives what it says of it.
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

/// A folder with cells, settings and a finished run, made by the program itself.
pub(crate) struct Workbench {
    pub(crate) folder: tempfile::TempDir,
}

impl Workbench {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        draw_cells(&folder.path().join("cells"));
        tiny_config(&folder.path().join("tiny.json"));
        Self { folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `malaria train` on the synthetic cells with the tiny settings, on one thread, into `run`.
    pub(crate) fn train(&self, run: &str) -> Command {
        self.train_on("cells", run)
    }

    /// [`train`](Self::train) on the cells in another folder.
    pub(crate) fn train_on(&self, data: &str, run: &str) -> Command {
        let mut command = malaria("train");
        command.current_dir(self.folder.path()).args(["--config", "tiny.json", "--data", data]);
        command.args(["--threads", "1", "--device", "cpu", "--out", run]);
        command
    }

    /// What `malaria evaluate` makes of `run` on the synthetic cells, as its JSON.
    pub(crate) fn evaluate(&self, run: &str) -> Value {
        let mut command = malaria("evaluate");
        command.current_dir(self.folder.path()).args(["--run", run, "--data", "cells", "--json"]);
        serde_json::from_str(&succeed(&mut command)).unwrap()
    }

    /// Swaps two pictures of each patient, so that a third of the labels are wrong: a model of them makes mistakes.
    pub(crate) fn mislabel(&self) {
        for patient in 0..PATIENTS {
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

    /// Puts the mirror image of each synthetic cell into `folder`, as other cells with other names.
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

    /// `malaria cross-validate` on the synthetic cells with the tiny settings, three folds of six epochs on one thread, into `out`.
    pub(crate) fn cross_validate(&self, out: &str) -> Command {
        let mut command = malaria("cross-validate");
        command.current_dir(self.folder.path()).args([
            "--data",
            "cells",
            "--config",
            "tiny.json",
            "--epochs",
            "6",
        ]);
        command.args(["--folds", "3", "--threads", "1", "--device", "cpu", "--out", out]);
        command
    }
}

/// A training process whose events are read as they come.
pub(crate) struct Training {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    /// What it writes to standard error: a file, so that it never waits for a reader.
    errors: File,
    /// Checkpoints that it has said it has written.
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

    /// Reads on to the next event of this name.
    pub(crate) fn event(&mut self, name: &str) -> Value {
        loop {
            let line =
                self.lines.next().unwrap_or_else(|| panic!("the run ended before any {name}")).unwrap();
            let event: Value = serde_json::from_str(&line).unwrap();
            assert_ne!(event["event"], "checkpoint-passed-over", "{event}");
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

    /// Waits for its end. Gives the exit status, `None` where a signal ended it, and what it wrote to standard error.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        // Whoever does not read would keep it from writing.
        self.lines.by_ref().for_each(drop);
        let code = self.child.wait().unwrap().code();
        let mut said = String::new();
        self.errors.rewind().unwrap();
        self.errors.read_to_string(&mut said).unwrap();
        (code, said)
    }

    /// SIGKILL: no handler, no last word. Gives the names of the events that had not been read yet, and how many
    /// checkpoints it has said it has written.
    pub(crate) fn kill(mut self) -> (Vec<String>, u64) {
        self.child.kill().unwrap();
        let status = self.child.wait().unwrap();
        assert_eq!(status.code(), None, "it had ended by itself");
        // The last line may be cut short.
        let events =
            self.lines.map_while(Result::ok).filter_map(|line| serde_json::from_str::<Value>(&line).ok());
        let unread: Vec<String> =
            events.filter_map(|event| event["event"].as_str().map(str::to_owned)).collect();
        let written =
            self.written + unread.iter().filter(|name| *name == "checkpoint-written").count() as u64;
        (unread, written)
    }
}
