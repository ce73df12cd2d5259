//! A run that is killed repeatedly ends with the same files as one that was never killed.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use malaria_resnet::{ExperimentConfig, train::ImageSize};

use crate::support::{Training, Workbench, json, succeed};

/// More epochs than the kills need, some of which let an epoch finish.
const EPOCHS: u64 = 24;
/// Number of kills in each phase.
const KILLS: usize = 6;

/// Where in an epoch the process is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    /// Between two batches.
    Batch,
    /// During validation.
    Validation,
    /// While the checkpoint's temporary file is there.
    Writing,
    /// Just after the checkpoint was renamed.
    Renamed,
}

/// Temporary files of checkpoints, from a process that is writing or was killed while writing.
fn temporary_checkpoints(run: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(run).unwrap().map(|entry| entry.unwrap().path());
    let temporary = |path: &PathBuf| {
        path.file_name().unwrap().to_string_lossy().starts_with(".checkpoint.safetensors.writing-")
    };
    paths.filter(temporary).collect()
}

/// Waits for `phase` of the epoch under way and kills the process. Returns whether it was still in that phase, and how many
/// checkpoints it has reported as written.
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
            // The temporary file still exists, so the process died before renaming it.
            (!temporary_checkpoints(run).is_empty(), written)
        }
        Phase::Renamed => {
            training.event("checkpoint-written");
            let (unread, written) = training.kill();
            (!unread.contains(&"batch".to_owned()), written)
        }
    }
}

/// The files of a run without the command and the times, which differ after kills.
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
    let mut metrics = json(&run.join("metrics.json"));
    for of_this_process in ["command", "wall_seconds", "cpu_seconds"] {
        assert!(metrics.as_object_mut().unwrap().remove(of_this_process).is_some(), "{of_this_process}");
    }
    files.insert("metrics.json", metrics.to_string().into_bytes());
    files
}

#[test]
fn a_run_killed_24_times_ends_with_the_same_files() {
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
    // Epochs whose checkpoint the killed processes have reported as written.
    let mut done = 0;
    let mut left = Vec::new();
    for try_number in 0.. {
        let mut training = match run.join("config.json").exists() {
            false => Training::start(&mut bench.train("killed")),
            true => Training::start(&mut bench.resume("killed")),
        };
        let resumed_in = training.event("epoch-started")["epoch"].as_u64().unwrap();
        // At most the epoch under way is lost; one more may be done, if the process died between renaming the checkpoint and reporting
        // it.
        assert!((done + 1..=done + 2).contains(&resumed_in), "{done} epochs done, resumed in {resumed_in}");
        assert!(resumed_in < EPOCHS, "too few hits: {kills:?}");
        assert!(
            !left.iter().any(|path: &PathBuf| path.exists()),
            "a killed process's temporary file was left"
        );
        let phases = [Phase::Batch, Phase::Validation, Phase::Writing, Phase::Renamed];
        let hits = |phase: &Phase| kills.get(phase).copied().unwrap_or(0);
        let due = phases.into_iter().min_by_key(|phase| (hits(phase), *phase)).unwrap();
        if hits(&due) == KILLS {
            training.kill();
            break;
        }
        let (hit, written) = kill_in(due, training, &run, try_number);
        done = resumed_in - 1 + written;
        left = temporary_checkpoints(&run);
        if hit {
            *kills.entry(due).or_default() += 1;
        }
    }
    assert_eq!(kills.values().sum::<usize>(), 4 * KILLS);

    succeed(&mut bench.resume("killed"));
    let (expected, found) = (outcome(&bench.path("whole")), outcome(&run));
    for (name, expected) in expected {
        assert!(found[name] == expected, "{name} differs from that of the run that was never killed");
    }
}
