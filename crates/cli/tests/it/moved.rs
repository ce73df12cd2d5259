//! Runs that continue elsewhere: moved cells, run directories and teachers, and folds of several machines.

use std::{fs, process::Command, thread};

use malaria_resnet::ExperimentConfig;

use crate::support::{Training, Workbench, fail, finished, json, succeed};

/// Starts a training and interrupts it in the second epoch.
fn interrupt(train: &mut Command) {
    let training = Training::in_second_epoch(train);
    training.signal("TERM");
    let (code, said) = training.end();
    assert_eq!(code, Some(130), "{said}");
}

fn config(bench: &Workbench, run: &str) -> ExperimentConfig {
    ExperimentConfig::read(&bench.path(run).join("config.json")).unwrap()
}

/// Moves the cells to another folder, under names without patients and in the opposite order.
fn move_cells(bench: &Workbench, to: &str) {
    for class in ["Parasitized", "Uninfected"] {
        let folder = bench.path(to).join(class).join("deeper");
        fs::create_dir_all(&folder).unwrap();
        let files = fs::read_dir(bench.path("cells").join(class)).unwrap();
        let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
        files.sort();
        for (i, file) in files.iter().enumerate() {
            fs::rename(file, folder.join(format!("{}.png", 99 - i))).unwrap();
        }
    }
    fs::remove_dir_all(bench.path("cells")).unwrap();
}

#[test]
fn a_moved_run_resumes_with_moved_cells_to_the_same_weights() {
    let bench = Workbench::new();
    interrupt(&mut bench.train("run"));
    fs::create_dir(bench.path("other")).unwrap();
    fs::rename(bench.path("run"), bench.path("other/place")).unwrap();
    move_cells(&bench, "elsewhere");
    let said = fail(&mut bench.resume("other/place"));
    for words in ["cells` does not exist", "--resume other/place", "with --data FOLDER"] {
        assert!(said.contains(words), "{words}: {said}");
    }

    let elsewhere = || {
        let mut command = bench.resume("other/place");
        command.args(["--data", "elsewhere"]);
        command
    };
    // Missing and changed cells are counted, and the first one is named as in split.csv.
    let cells = bench.path("elsewhere/Parasitized/deeper");
    let aside = bench.path("aside.png");
    fs::rename(cells.join("99.png"), &aside).unwrap();
    fs::copy(cells.join("97.png"), cells.join("98.png")).unwrap();
    let said = fail(&mut elsewhere());
    let (gone, also) = ("C10P9ThinF_IMG_20150101_cell_0.png", "C10P9ThinF_IMG_20150101_cell_1.png");
    let words = format!("2 missing (`Parasitized/{gone}`, `Parasitized/{also}`), 1 added");
    assert!(said.contains(&words) && said.contains("--data FOLDER"), "{said}");
    let before = config(&bench, "other/place").data.unwrap();
    assert!(before.ends_with("cells"), "a refused folder was recorded: {}", before.display());
    let original = finished().path("cells/Parasitized").join(also);
    fs::copy(original, cells.join("98.png")).unwrap();
    fs::rename(&aside, cells.join("99.png")).unwrap();

    succeed(&mut elsewhere());
    let files = |bench: &Workbench, run: &str| {
        ["weights.safetensors", "predictions.csv", "split.csv"]
            .map(|name| fs::read(bench.path(run).join(name)).unwrap())
    };
    assert!(files(&bench, "other/place") == files(finished(), "run"), "its files differ");
    let after = config(&bench, "other/place").data.unwrap();
    assert_eq!(after, fs::canonicalize(bench.path("elsewhere")).unwrap());
    let card = fs::read_to_string(bench.path("other/place/model_card.md")).unwrap();
    assert!(card.contains("in the folder `elsewhere`"), "{card}");
    // The folder is recognised as the run's: the test cells are evaluated, with their patients.
    let mut evaluate = bench.malaria("evaluate");
    evaluate.args(["--run", "other/place", "--data", "elsewhere", "--json", "evaluated.json"]);
    let said = succeed(&mut evaluate);
    assert!(said.contains("(the run's test cells)"), "{said}");
    let intervals = |path: &str| json(&bench.path(path))["intervals"].clone();
    assert_eq!(intervals("evaluated.json"), intervals("other/place/metrics.json"));
}

#[test]
fn data_beside_a_run_on_synthetic_cells_is_refused() {
    let bench = Workbench::new();
    fs::create_dir(bench.path("run")).unwrap();
    fs::copy(bench.path("tiny.json"), bench.path("run/config.json")).unwrap();
    assert!(config(&bench, "run").data.is_none());
    let said = fail(bench.resume("run").args(["--data", "cells"]));
    assert!(said.contains("setting `data`") && said.contains("cells are synthetic"), "{said}");
    assert!(!bench.path("run/run.lock").exists());
    for flags in [["--teacher-weight", "0.5"], ["--exclude", "a.csv"]] {
        fail(bench.resume("run").args(["--teacher", "cells"]).args(flags));
    }
}

#[test]
fn a_moved_teacher_and_moved_initial_weights_are_recognised_by_their_weights() {
    let bench = finished().copy();
    succeed(bench.train("other").args(["--epochs", "1"]));
    let pupil = |run: &str| {
        let mut command = bench.train(run);
        command.args(["--teacher", "run", "--init", "run", "--epochs", "3"]);
        command
    };
    succeed(&mut pupil("whole"));
    interrupt(&mut pupil("cut"));
    fs::rename(bench.path("run"), bench.path("elsewhere")).unwrap();
    let said = fail(&mut bench.resume("cut"));
    assert!(said.contains("setting `teacher`") && said.contains("with --teacher FOLDER"), "{said}");
    // Another model at the same path.
    fs::rename(bench.path("other"), bench.path("run")).unwrap();
    let said = fail(&mut bench.resume("cut"));
    assert!(
        said.contains("setting `teacher`") && said.contains("the run whose weights have the hash"),
        "{said}"
    );

    succeed(bench.resume("cut").args(["--teacher", "elsewhere", "--init", "elsewhere"]));
    assert!(bench.weights("cut") == bench.weights("whole"), "the weights differ");
    let seen = |run: &str| json(&bench.path(run).join("metrics.json"))["test_cells_seen_by_init"].clone();
    assert_eq!((seen("cut"), seen("whole")), (0.into(), 0.into()));
    let elsewhere = fs::canonicalize(bench.path("elsewhere")).unwrap();
    let recorded = config(&bench, "cut");
    assert_eq!([recorded.init.unwrap(), recorded.teacher.unwrap().run], [elsewhere.clone(), elsewhere]);
    // The weights that are now at the old path say nothing about the training cells of `whole`.
    let said = succeed(&mut bench.evaluate("whole"));
    assert!(said.contains("run, which can no longer be read"), "{said}");
}

#[test]
fn a_run_of_another_format_is_refused_with_advice_that_fits() {
    let bench = Workbench::new();
    interrupt(&mut bench.train("run"));
    let path = bench.path("run/config.json");
    let newest = json(&path)["format_version"].as_u64().unwrap();
    let set_format = |format: u64| {
        let mut config = json(&path);
        config["format_version"] = format.into();
        config.as_object_mut().unwrap().remove("sha256");
        fs::write(&path, config.to_string()).unwrap();
    };
    let resume = "once that is fixed, resume with";
    set_format(2);
    fs::remove_file(bench.path("run/run.lock")).unwrap();
    let refusal = format!("expected format version 3 to {newest}, found 2: ");
    let said = fail(&mut bench.resume("run"));
    assert!(said.contains(&refusal) && said.contains("train again") && !said.contains(resume), "{said}");
    assert!(!bench.path("run/run.lock").exists());
    let said = fail(bench.malaria("predict").args(["--run", "run", "cells"]));
    assert!(said.contains(&refusal) && !said.contains("reading images"), "{said}");
    set_format(newest + 1);
    let said = fail(&mut bench.resume("run"));
    assert!(
        said.contains(&format!("found {}: a later version", newest + 1)) && said.contains(resume),
        "{said}"
    );
    // A run of the previous format resumes.
    set_format(3);
    succeed(&mut bench.resume("run"));
    assert!(bench.weights("run") == finished().weights("run"), "the weights differ");
    // Without a usable checkpoint, the error says what to do.
    fs::remove_file(bench.path("run/metrics.json")).unwrap();
    for name in ["checkpoint.safetensors", "checkpoint.previous.safetensors"] {
        fs::write(bench.path("run").join(name), "damaged").unwrap();
    }
    let said = fail(&mut bench.resume("run"));
    assert!(
        said.contains("no usable checkpoint") && said.contains("remove the checkpoints in run"),
        "{said}"
    );
}

#[test]
fn trainings_started_at_the_same_time_get_different_folders() {
    let bench = Workbench::new();
    let train = || {
        let mut command = bench.malaria("train");
        command.args(["--config", "tiny.json", "--data", "cells", "--threads", "1", "--epochs", "1"]);
        command
    };
    thread::scope(|scope| {
        let trainings = [(); 3].map(|()| scope.spawn(|| succeed(&mut train())));
        for training in trainings {
            training.join().unwrap();
        }
    });
    for run in ["fast-patient-seed1", "fast-patient-seed1-2", "fast-patient-seed1-3"] {
        assert!(bench.path("runs").join(run).join("metrics.json").is_file(), "{run}");
    }
    assert_eq!(fs::read_dir(bench.path("runs")).unwrap().count(), 3);
}

mod slow {
    use super::*;

    #[test]
    fn folds_of_several_machines_may_name_the_same_teacher_by_other_paths() {
        let bench = Workbench::new();
        let folds = |out: &str, flags: &[&str]| {
            let mut command = bench.cross_validate_folds("2", out);
            command.args(["--epochs", "1"]).args(flags);
            command
        };
        succeed(&mut folds("teachers", &[]));
        let copy = |from: &str, to: &str| {
            let status = Command::new("cp").arg("-r").arg(bench.path(from)).arg(bench.path(to)).status();
            assert!(status.unwrap().success());
        };
        copy("teachers", "copied");
        let list = |name: &str, cell: &str| fs::write(bench.path(name), format!("path\n{cell}\n")).unwrap();
        let cell = "Uninfected/C1P0ThinF_IMG_20150101_cell_3.png";
        list("a.csv", cell);
        list("b.csv", cell);
        succeed(&mut folds("out", &["--fold", "1", "--teacher", "teachers", "--exclude", "a.csv"]));
        succeed(&mut folds("out", &["--fold", "2", "--teacher", "copied", "--exclude", "b.csv"]));
        succeed(&mut folds("out", &["--teacher", "copied", "--exclude", "a.csv"]));
        assert!(bench.path("out/metrics.json").exists());
    }
}
