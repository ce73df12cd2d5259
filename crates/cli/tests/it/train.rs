//! `malaria train`: the run directory, settings, interruption and fine-tuning.

use std::{collections::BTreeMap, fs};

use malaria_resnet::{
    ChosenOn, Metrics, RuleKind, WeightsFile,
    metrics::{Target, choose_threshold},
};
use serde_json::Value;

use crate::support::{CELLS, Training, Workbench, fail, finished, json, rows, succeed};

#[test]
fn a_run_directory_holds_every_file_and_the_summary_names_them() {
    let bench = finished();
    let said = fs::read_to_string(bench.path("train.txt")).unwrap();
    assert!(said.contains("patient split: no patient is in two sets"), "{said}");
    assert!(said.contains("Research software, not a medical device"), "{said}");
    let run = bench.path("run");
    for file in [
        "config.json",
        "split.csv",
        "history.csv",
        "checkpoint.safetensors",
        "weights.safetensors",
        "predictions.csv",
        "metrics.json",
        "plot.png",
        "report.html",
        "model_card.md",
    ] {
        assert!(fs::metadata(run.join(file)).unwrap().len() > 100, "{file}");
        assert!(said.contains(&format!("run/{file}")), "the summary does not name {file}:\n{said}");
    }
    assert!(fs::read_to_string(bench.path("plot.svg")).unwrap().contains("<svg"));
    assert_eq!(fs::read(run.join("plot.png")).unwrap()[..4], *b"\x89PNG");
    let card = fs::read_to_string(run.join("model_card.md")).unwrap();
    let is_name = |text: &str| text.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    let names = card.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name);
    assert!(!card.is_empty() && !names.clone().any(is_name), "{:?}", names.collect::<Vec<_>>());
}

#[test]
fn every_test_cell_is_predicted_once_and_patients_stay_together() {
    let run = finished().path("run");
    let split = rows(&run.join("split.csv"));
    assert_eq!(split.len(), CELLS);
    let mut subsets: BTreeMap<&str, &str> = BTreeMap::new();
    for row in &split {
        assert_eq!(subsets.entry(&row["patient"]).or_insert(&row["subset"]), &row["subset"], "{row:?}");
    }
    let predictions = rows(&run.join("predictions.csv"));
    let tested = split.iter().filter(|row| row["subset"] == "test").map(|row| row["path"].as_str());
    assert!(predictions.iter().map(|row| row["path"].as_str()).eq(tested));
    let metrics: Metrics = serde_json::from_value(json(&run.join("metrics.json"))).unwrap();
    assert_eq!(metrics.n_test, predictions.len());
    // By the most probable class: the threshold is chosen on few validation cells.
    let right = predictions.iter().filter(|row| row["argmax"] == row["class"]).count();
    assert!(10 * right > 9 * predictions.len(), "a dark spot should be learned: {:?}", metrics.test);
    assert_eq!(metrics.test.positive_class, "Parasitized");
}

#[test]
fn the_config_of_a_run_reproduces_its_weights() {
    let bench = finished();
    let out = tempfile::tempdir().unwrap();
    succeed(bench.malaria("train").args(["--config", "run/config.json", "--out"]).arg(out.path()));
    let weights = fs::read(out.path().join("weights.safetensors")).unwrap();
    assert!(weights == bench.weights("run"), "the weights differ");
}

#[test]
fn the_threshold_is_chosen_on_validation_cells_and_used_by_every_command() {
    let bench = Workbench::new();
    bench.mislabel();
    // To call the cells that are labelled infected but do not look infected, the threshold must be low.
    let said = succeed(bench.train("run").args(["--epochs", "2", "--target-sensitivity", "1"]));
    assert!(said.contains("chosen for a sensitivity of 100.00 % on the validation set"), "{said}");
    let metrics: Metrics = serde_json::from_value(json(&bench.path("run/metrics.json"))).unwrap();
    let threshold = metrics.threshold.unwrap();
    assert_eq!(threshold.target, Target::Sensitivity(1.0));
    assert_eq!(threshold.chosen_on, ChosenOn::Validation);

    let validation: Vec<_> =
        rows(&bench.path("run/split.csv")).into_iter().filter(|row| row["subset"] == "validation").collect();
    let mut predict = bench.malaria("predict");
    predict.current_dir(bench.path("cells")).arg("--run").arg(bench.path("run")).arg("--json=-");
    let said: Value =
        serde_json::from_str(&succeed(predict.args(validation.iter().map(|row| &row["path"])))).unwrap();
    let truth = Vec::from_iter(validation.iter().map(|row| row["class"] == "Parasitized"));
    let cells = said["cells"].as_array().unwrap();
    let scores = Vec::from_iter(cells.iter().map(|cell| cell["probability"].as_f64().unwrap()));
    let again = choose_threshold(&truth, &scores, threshold.target).unwrap();
    // A batch of another size may sum in another order.
    assert!((threshold.point.threshold - again.threshold).abs() < 1e-5, "{threshold:?}, {again:?}");
    assert_eq!((threshold.point.sensitivity, again.sensitivity), (1.0, 1.0));

    // The metrics follow from the predictions at it, and `evaluate` repeats them.
    let predictions = rows(&bench.path("run/predictions.csv"));
    let called = |row: &BTreeMap<String, String>| {
        let probability: f64 = row["probability_Parasitized"].parse().unwrap();
        if probability >= threshold.point.threshold { "Parasitized" } else { "Uninfected" }
    };
    assert!(predictions.iter().all(|row| row["predicted"] == called(row)), "{predictions:?}");
    assert!(predictions.iter().any(|row| row["predicted"] != row["argmax"]), "nothing was tested");
    let right = predictions.iter().filter(|row| row["predicted"] == row["class"]).count();
    assert_eq!(metrics.test.confusion.correct(), right as u64);
    assert_eq!(metrics.decision_rule, RuleKind::Threshold);
    let again: Value = serde_json::from_str(&succeed(bench.evaluate("run").arg("--json"))).unwrap();
    for name in ["decision_rule", "confusion", "intervals", "log_loss"] {
        assert_eq!(again[name], json(&bench.path("run/metrics.json"))[name], "{name}");
    }
}

#[test]
fn calibration_divides_the_logits_by_one_temperature() {
    let bench = Workbench::new();
    // Short, since no temperature is best if all cells are called correctly.
    succeed(bench.train("plain").args(["--epochs", "2"]));
    succeed(bench.train("calibrated").args(["--epochs", "2", "--calibrate"]));
    let metrics: Metrics = serde_json::from_value(json(&bench.path("calibrated/metrics.json"))).unwrap();
    let temperature = metrics.temperature.unwrap();
    let logits = |run: &str| -> Vec<f64> {
        let rows = rows(&bench.path(run).join("predictions.csv"));
        let p = rows.iter().map(|row| row["probability_Parasitized"].parse::<f64>().unwrap());
        p.map(|p| (p / (1.0 - p)).ln()).collect()
    };
    assert!((temperature - 1.0).abs() > 1e-3, "{temperature}");
    for (plain, calibrated) in logits("plain").iter().zip(logits("calibrated")) {
        assert!((plain / temperature - calibrated).abs() < 1e-6, "{plain} {calibrated} {temperature}");
    }
}

#[test]
fn excluded_cells_leave_the_training_set_only() {
    let split = rows(&finished().path("run/split.csv"));
    // One cell of each subset.
    let named = ["train", "validation", "test"].map(|subset| {
        split.iter().find(|row| row["subset"] == subset).map(|row| row["path"].clone()).unwrap()
    });
    let bench = Workbench::new();
    let list = format!("path,why\n{}\n", named.each_ref().map(|path| format!("{path},?")).join("\n"));
    fs::write(bench.path("doubtful.csv"), list).unwrap();
    let said = succeed(bench.train("run").args(["--epochs", "1", "--exclude", "doubtful.csv"]));
    assert!(said.contains("Cells excluded from the training set on request: 1."), "{said}");
    for (before, after) in split.iter().zip(&rows(&bench.path("run/split.csv"))) {
        let expected = if before["path"] == named[0] { "" } else { &before["subset"] };
        assert_eq!(after["subset"], expected, "{}", before["path"]);
    }
    let metrics: Metrics = serde_json::from_value(json(&bench.path("run/metrics.json"))).unwrap();
    assert_eq!(metrics.n_excluded, 1);
    // The run resumes without the list.
    fs::remove_file(bench.path("doubtful.csv")).unwrap();
    fs::remove_file(bench.path("run/metrics.json")).unwrap();
    succeed(&mut bench.resume("run"));
}

#[test]
fn an_interrupted_run_resumes_to_the_same_weights() {
    let bench = Workbench::new();
    let training = Training::in_second_epoch(&mut bench.train("cut"));
    // Ctrl-C. Shutdowns and batch queues send TERM: see `moved`.
    training.signal("INT");
    let (code, said) = training.end();
    assert_eq!(code, Some(130), "{said}");
    assert!(!bench.path("cut/weights.safetensors").exists());
    let said = fail(&mut bench.evaluate("cut"));
    assert!(said.contains("malaria train --resume cut"), "{said}");

    succeed(&mut bench.resume("cut"));
    assert!(bench.weights("cut") == finished().weights("run"), "the weights differ");
    let history = rows(&bench.path("cut/history.csv"));
    assert!(history.iter().map(|row| row["epoch"].as_str()).eq(["1", "2", "3", "4", "5", "6"]));
    // The recorded command is the first one.
    let command = json(&bench.path("cut/metrics.json"))["command"].as_str().unwrap().to_owned();
    assert!(command.contains("--out cut") && !command.contains("--resume"), "{command}");
}

#[test]
fn a_second_process_in_a_run_directory_is_refused() {
    let bench = Workbench::new();
    let mut training = Training::start(bench.train("run").args(["--epochs", "1000"]));
    training.event("batch");
    let said = fail(&mut bench.resume("run"));
    assert!(said.contains("another process is training in it"), "{said}");
    training.kill();
}

#[test]
fn fine_tuning_starts_from_the_given_weights() {
    let bench = finished().copy();
    let loss = |run: &str| {
        json(&bench.path(run).join("metrics.json"))["best_epoch"]["validation_loss"].as_f64().unwrap()
    };
    succeed(bench.train("second").args(["--init", "run", "--epochs", "1", "--lr", "1e-9"]));
    let (before, after) = (loss("run"), loss("second"));
    // At a rate of nearly 0 only the running statistics change.
    assert!((after - before).abs() < 0.2 * before + 0.05, "{before} before, {after} after");
    let card = fs::read_to_string(bench.path("second/model_card.md")).unwrap();
    let origin = "started from the weights of the run `run`, which were trained or selected on 0 of";
    assert!(card.contains(origin), "{card}");
    // The split is the same, so they know every validation cell.
    let metrics = json(&bench.path("second/metrics.json"));
    let known = serde_json::json!({ "caveat": "validation-seen-by-init", "cells": metrics["n_validation"] });
    assert!(metrics["caveats"].as_array().unwrap().contains(&known), "{metrics}");
    assert!(card.contains("of the validation cells: the threshold chosen on them may not reach"), "{card}");
}

#[test]
fn cells_corrected_in_smears_can_be_trained_on() {
    let bench = finished().copy();
    // The folder that `malaria-edge verify --cells` writes: names from the photograph, and the patients in a table.
    let name = |name: &str| {
        let (patient, cell) = (&name[1..name.find('P').unwrap()], name.rsplit('_').next().unwrap());
        format!("{patient:0>12}-{cell}")
    };
    bench.mirror_cells("corrected", name);
    let mut table = String::from("file,patient\n");
    for class in ["Parasitized", "Uninfected"] {
        for cell in fs::read_dir(bench.path("corrected").join(class)).unwrap() {
            let file = cell.unwrap().file_name().into_string().unwrap();
            table += &format!("{class}/{file},ann {}\n", &file[..12]);
        }
    }
    fs::write(bench.path("corrected/patients.csv"), table).unwrap();
    let of_table = ["--patients", "corrected/patients.csv", "--split", "random"];
    let mut train = bench.train_on("corrected", "tuned");
    succeed(train.args(["--init", "run", "--epochs", "1"]).args(of_table));
    let split = rows(&bench.path("tuned/split.csv"));
    assert_eq!(split.len(), CELLS);
    assert!(split.iter().all(|row| row["patient"].starts_with("ann 0000")), "{split:?}");
    let said = succeed(&mut bench.evaluate("tuned"));
    assert!(said.contains("sensitivity"), "{said}");
}

#[test]
fn cells_seen_by_the_initial_weights_count_as_seen() {
    let bench = finished().copy();
    bench.mirror_cells("others", |name| name.replacen('C', "C9", 1));
    succeed(bench.train_on("others", "tuned").args(["--init", "run", "--epochs", "1"]));
    let learned = rows(&bench.path("run/split.csv")).iter().filter(|row| row["subset"] != "test").count();
    let said = succeed(bench.evaluate("tuned").args(["--json", "evaluated.json"]));
    assert!(said.contains(&format!("was trained or selected on {learned} of these cells")), "{said}");
    let evaluated = json(&bench.path("evaluated.json"));
    assert!(evaluated["patient_level"].is_null() && evaluated["seen_in_training"] == learned, "{evaluated}");

    // The patients of both runs are named, too.
    let weights = WeightsFile::read(&bench.path("tuned/weights.safetensors")).unwrap();
    let names = weights.weights.description.training_patients;
    for (cells, run) in [("run", "C"), ("tuned", "C9")] {
        for row in
            rows(&bench.path(&format!("{cells}/split.csv"))).iter().filter(|row| row["subset"] == "train")
        {
            assert!(row["patient"].starts_with(run) && names.contains(&row["patient"]), "{row:?} {names:?}");
        }
    }

    // If the first run is missing, its training cells are unknown, but the second run still resumes.
    fs::remove_file(bench.path("tuned/metrics.json")).unwrap();
    fs::rename(bench.path("run"), bench.path("elsewhere")).unwrap();
    succeed(&mut bench.resume("tuned"));
    assert!(json(&bench.path("tuned/metrics.json"))["test_cells_seen_by_init"].is_null());
    let card = fs::read_to_string(bench.path("tuned/model_card.md")).unwrap();
    assert!(
        card.contains("can no longer be read: they may have been trained or selected on the test cells"),
        "{card}"
    );
    let said = succeed(&mut bench.evaluate("tuned"));
    assert!(said.contains("run, which can no longer be read"), "{said}");
}
