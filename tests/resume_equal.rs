//! A run that is killed, at whatever moment and however often, ends as the run that was never killed.

mod support;

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Lines},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use malaria_resnet::{ExperimentConfig, training::ImageSize};
use serde_json::Value;
use support::{Workbench, fail, program, succeed};

/// Enough that two dozen kills, some of which let an epoch pass, do not use them up.
const EPOCHS: u64 = 24;
/// Kills in each phase.
const KILLS: usize = 6;

/// Where in an epoch the process is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    /// After some batch, while the next is being learned from.
    Batch,
    /// While the validation set is looked at.
    Validation,
    /// While the checkpoint's temporary file is there.
    Writing,
    /// When the checkpoint has just been put into its place.
    Edge,
}

/// A training process whose events are read as they come.
struct Training {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Training {
    fn start(command: &mut Command) -> Self {
        let mut child = command
            .args(["--progress", "json"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Reads on to the next event of this name.
    fn event(&mut self, name: &str) -> Value {
        loop {
            let line =
                self.lines.next().unwrap_or_else(|| panic!("the run ended before any {name}")).unwrap();
            let event: Value = serde_json::from_str(&line).unwrap();
            if event["event"] == name {
                return event;
            }
        }
    }

    /// SIGKILL: no handler, no last word. Gives the names of the events that had not been read yet.
    fn kill(mut self) -> Vec<String> {
        self.child.kill().unwrap();
        let status = self.child.wait().unwrap();
        assert_eq!(status.code(), None, "it had ended by itself");
        // The last line may be cut short.
        let events =
            self.lines.map_while(Result::ok).filter_map(|line| serde_json::from_str::<Value>(&line).ok());
        events.filter_map(|event| event["event"].as_str().map(str::to_owned)).collect()
    }
}

fn temporary_checkpoint(run: &Path) -> bool {
    let names = fs::read_dir(run).unwrap().map(|entry| entry.unwrap().file_name());
    names.into_iter().any(|name| name.to_string_lossy().starts_with(".checkpoint.safetensors.writing-"))
}

/// Waits for `phase` of the epoch that `training` is in, and kills it there; false where it was over too soon.
fn kill_in(phase: Phase, mut training: Training, run: &Path, try_number: usize) -> bool {
    match phase {
        Phase::Batch => {
            let batches = 1 + try_number % 4;
            for _ in 0..batches {
                training.event("batch");
            }
            !training.kill().contains(&"validation-started".to_owned())
        }
        Phase::Validation => {
            training.event("validation-started");
            !training.kill().contains(&"epoch-ended".to_owned())
        }
        Phase::Writing => {
            training.event("epoch-ended");
            let started = Instant::now();
            while !temporary_checkpoint(run) && started.elapsed() < Duration::from_secs(5) {}
            training.kill();
            // Still there: it was not renamed before the process died.
            temporary_checkpoint(run)
        }
        Phase::Edge => {
            training.event("checkpoint-written");
            !training.kill().contains(&"batch".to_owned())
        }
    }
}

/// Files whose bytes must not depend on when a run was killed, and those that tell of time with that taken out.
fn outcome(run: &Path) -> BTreeMap<&'static str, Vec<u8>> {
    let read = |name| fs::read(run.join(name)).unwrap();
    let mut files = BTreeMap::from(
        ["split.csv", "weights.safetensors", "predictions.csv"].map(|name| (name, read(name))),
    );
    let mut history = String::new();
    for row in csv::Reader::from_reader(read("history.csv").as_slice()).deserialize() {
        let row: BTreeMap<String, String> = row.unwrap();
        let row: Vec<_> = row.into_iter().filter(|(name, _)| !name.ends_with("seconds")).collect();
        history += &format!("{row:?}\n");
    }
    files.insert("history.csv", history.into_bytes());
    let mut metrics: Value = serde_json::from_slice(&read("metrics.json")).unwrap();
    for of_this_process in ["command", "wall_seconds", "cpu_seconds"] {
        assert!(metrics.as_object_mut().unwrap().remove(of_this_process).is_some(), "{of_this_process}");
    }
    files.insert("metrics.json", metrics.to_string().into_bytes());
    files
}

#[test]
fn a_run_killed_two_dozen_times_ends_as_if_it_never_had_been() {
    let bench = Workbench::new();
    let settings = bench.path("tiny.json");
    let mut config: ExperimentConfig = serde_json::from_slice(&fs::read(&settings).unwrap()).unwrap();
    config.train.epochs = EPOCHS;
    config.train.image_sizes =
        vec![ImageSize { from_epoch: 1, pixels: 8 }, ImageSize { from_epoch: 5, pixels: 16 }];
    assert!(config.train.average_decay.is_some());
    fs::write(&settings, serde_json::to_string(&config).unwrap()).unwrap();
    succeed(&mut bench.train("whole"));

    let run = bench.path("killed");
    let mut kills: BTreeMap<Phase, usize> = BTreeMap::new();
    let mut epoch = 1;
    for try_number in 0.. {
        let mut training = match run.join("config.json").exists() {
            false => Training::start(&mut bench.train("killed")),
            true => Training::start(
                program("train_malaria").current_dir(bench.folder.path()).args(["--resume", "killed"]),
            ),
        };
        let going_on = training.event("epoch-started")["epoch"].as_u64().unwrap();
        // Never more than the epoch under way is lost.
        assert!(going_on == epoch || going_on == epoch + 1, "killed in epoch {epoch}, resumed in {going_on}");
        assert!(going_on < EPOCHS, "too few hits to be had: {kills:?}");
        assert!(!temporary_checkpoint(&run), "a killed process's temporary file was left");
        epoch = going_on;
        let phases = [Phase::Batch, Phase::Validation, Phase::Writing, Phase::Edge];
        let due =
            phases.into_iter().min_by_key(|phase| (kills.get(phase).copied().unwrap_or(0), *phase)).unwrap();
        if kills.get(&due) == Some(&KILLS) {
            training.kill();
            break;
        }
        if kill_in(due, training, &run, try_number) {
            *kills.entry(due).or_default() += 1;
        }
    }
    assert_eq!(kills.values().sum::<usize>(), 4 * KILLS);

    succeed(program("train_malaria").current_dir(bench.folder.path()).args(["--resume", "killed"]));
    let (expected, found) = (outcome(&bench.path("whole")), outcome(&run));
    for (name, expected) in expected {
        assert!(found[name] == expected, "{name} differs from that of the run that was never killed");
    }
}

#[test]
fn a_run_directory_is_one_process_at_a_time() {
    let bench = Workbench::new();
    let mut training = Training::start(bench.train("run").args(["--epochs", "1000"]));
    training.event("batch");
    let said = fail(program("train_malaria").current_dir(bench.folder.path()).args(["--resume", "run"]));
    assert!(said.contains("another process is training in it"), "{said}");
    training.kill();
}
