//! A run that is killed, at whatever moment and however often, ends as the run that was never killed.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use malaria_resnet::{ExperimentConfig, train::ImageSize};
use serde_json::Value;

use crate::support::{Training, Workbench, fail, malaria, succeed};

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

/// Files of a checkpoint that is being written, or was when its writer was killed.
fn temporary_checkpoints(run: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(run).unwrap().map(|entry| entry.unwrap().path());
    let temporary = |path: &PathBuf| {
        path.file_name().unwrap().to_string_lossy().starts_with(".checkpoint.safetensors.writing-")
    };
    paths.filter(temporary).collect()
}

/// Waits for `phase` of the epoch that `training` is in, and kills it there. Gives whether it was still in that phase,
/// and how many checkpoints it has said it has written.
fn kill_in(phase: Phase, mut training: Training, run: &Path, try_number: usize) -> (bool, u64) {
    match phase {
        Phase::Batch => {
            for _ in 0..1 + try_number % 4 {
                training.event("batch");
            }
            let (unread, written) = training.kill();
            (!unread.contains(&"validation-started".to_owned()), written)
        }
        Phase::Validation => {
            training.event("validation-started");
            let (unread, written) = training.kill();
            (!unread.contains(&"epoch-ended".to_owned()), written)
        }
        Phase::Writing => {
            training.event("epoch-ended");
            let started = Instant::now();
            while temporary_checkpoints(run).is_empty() && started.elapsed() < Duration::from_secs(5) {}
            let (_, written) = training.kill();
            // Still there: it was not renamed before the process died.
            (!temporary_checkpoints(run).is_empty(), written)
        }
        Phase::Edge => {
            training.event("checkpoint-written");
            let (unread, written) = training.kill();
            (!unread.contains(&"batch".to_owned()), written)
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
    // Epochs whose checkpoint the killed processes have said they have written.
    let mut done = 0;
    let mut left = Vec::new();
    for try_number in 0.. {
        let mut training = match run.join("config.json").exists() {
            false => Training::start(&mut bench.train("killed")),
            true => Training::start(
                malaria("train").current_dir(bench.folder.path()).args(["--resume", "killed"]),
            ),
        };
        let going_on = training.event("epoch-started")["epoch"].as_u64().unwrap();
        // Never more than the epoch under way is lost. It may be one further: killed between the renaming of the
        // checkpoint and the word of it.
        assert!((done + 1..=done + 2).contains(&going_on), "{done} epochs done, resumed in {going_on}");
        assert!(going_on < EPOCHS, "too few hits to be had: {kills:?}");
        assert!(
            !left.iter().any(|path: &PathBuf| path.exists()),
            "a killed process's temporary file was left"
        );
        let phases = [Phase::Batch, Phase::Validation, Phase::Writing, Phase::Edge];
        let hits = |phase: &Phase| kills.get(phase).copied().unwrap_or(0);
        let due = phases.into_iter().min_by_key(|phase| (hits(phase), *phase)).unwrap();
        if hits(&due) == KILLS {
            training.kill();
            break;
        }
        let (hit, written) = kill_in(due, training, &run, try_number);
        done = going_on - 1 + written;
        left = temporary_checkpoints(&run);
        if hit {
            *kills.entry(due).or_default() += 1;
        }
    }
    assert_eq!(kills.values().sum::<usize>(), 4 * KILLS);

    succeed(malaria("train").current_dir(bench.folder.path()).args(["--resume", "killed"]));
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
    let said = fail(malaria("train").current_dir(bench.folder.path()).args(["--resume", "run"]));
    assert!(said.contains("another process is training in it"), "{said}");
    training.kill();
}
