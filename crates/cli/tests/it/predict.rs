//! `malaria predict`: calls of cells and of patients, and cases in which no patient is called.

use std::fs;

use malaria_resnet::Metrics;
use serde_json::Value;

use crate::support::{CELLS, Workbench, errors, finished, json, malaria, rows, succeed};

#[test]
fn a_picture_gets_the_probability_and_the_class_of_the_test_set() {
    let bench = finished();
    let predictions = rows(&bench.path("run/predictions.csv"));
    let metrics: Metrics = serde_json::from_value(json(&bench.path("run/metrics.json"))).unwrap();
    let picture = bench.path("cells").join(&predictions[0]["path"]);
    let probability: f64 = predictions[0]["probability_Parasitized"].parse().unwrap();
    let mut predict = malaria("predict");
    predict.env("MALARIA_RUN", bench.path("run")).arg(&picture).arg("--json");
    let said: Value = serde_json::from_str(&succeed(&mut predict)).unwrap();
    // A batch of another size may sum in another order.
    assert!((said["cells"][0]["probability"].as_f64().unwrap() - probability).abs() < 1e-5);
    let threshold = metrics.threshold.unwrap().point.threshold;
    let called = if probability >= threshold { "Parasitized" } else { "Uninfected" };
    assert_eq!(said["cells"][0]["class"], called);
    let table = succeed(bench.malaria("predict").args(["--run", "run", "--csv"]).arg(&picture));
    let header = "path,patient,class,probability,warning,error,pixels_sha256,seen_in_training\n";
    assert!(table.starts_with(header) && table.lines().count() == 2, "{table}");
}

#[test]
fn a_folder_is_classified_except_for_files_that_are_not_images() {
    let bench = finished().copy();
    fs::write(bench.path("cells/Uninfected/notes.txt"), "").unwrap();
    let output = bench.malaria("predict").args(["--run", "run", "cells/Uninfected"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let note = "skipped because they are not images: 1";
    let table = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(table.contains(note) && !errors(&output).contains(note), "{output:?}");
    let csv = bench.malaria("predict").args(["--run", "run", "cells/Uninfected", "--csv"]).output().unwrap();
    assert!(errors(&csv).contains(note), "{csv:?}");
    assert_eq!(table.lines().filter(|line| line.contains("Uninfected/C")).count(), CELLS / 2, "{table}");
}

#[test]
fn without_a_threshold_no_patient_is_called() {
    let bench = Workbench::new();
    succeed(bench.train("run").args(["--split", "all", "--epochs", "1"]));
    let said = succeed(bench.malaria("predict").args(["--run", "run", "cells"]));
    assert!(said.contains("no threshold") && said.contains("Patients are not called"), "{said}");
}

#[test]
fn without_rates_of_new_patients_no_patient_is_called() {
    let bench = Workbench::new();
    // At this target there are enough false alarms to estimate the rates for patients.
    let flags = ["--split", "random", "--target-specificity", "0.3", "--epochs", "1"];
    succeed(bench.train("run").args(flags));
    let said = succeed(bench.malaria("predict").args(["--run", "run", "cells", "--json"]));
    let said: Value = serde_json::from_str(&said).unwrap();
    let rule = said["rule"].as_str().unwrap();
    assert!(rule.contains("Patients are not called") && rule.contains("was not trained"), "{rule}");
    assert_eq!(said["patients"], Value::Array(Vec::new()));
}

#[test]
fn copies_count_once_and_training_cells_are_marked() {
    let bench = finished().copy();
    let cells = rows(&bench.path("run/split.csv"));
    let of = |subset: &str| cells.iter().find(|cell| cell["subset"] == subset).unwrap()["path"].clone();
    let (learned, tested) = (of("train"), of("test"));
    fs::create_dir(bench.path("few")).unwrap();
    // Under other names, and the test cell twice, once in another format.
    fs::copy(bench.path("cells").join(&learned), bench.path("few/a.png")).unwrap();
    fs::copy(bench.path("cells").join(&tested), bench.path("few/b.png")).unwrap();
    image::open(bench.path("few/b.png")).unwrap().save(bench.path("few/c.bmp")).unwrap();
    let predict = |flag: &str| succeed(bench.malaria("predict").args(["--run", "run", "few", flag]));
    let said: Value = serde_json::from_str(&predict("--json")).unwrap();
    let seen_in_training: Vec<Option<bool>> =
        said["cells"].as_array().unwrap().iter().map(|cell| cell["seen_in_training"].as_bool()).collect();
    assert_eq!(seen_in_training, [Some(true), Some(false), Some(false)]);
    assert_eq!(said["n_copies"], 1);
    let table = succeed(bench.malaria("predict").args(["--run", "run", "few"]));
    for words in [
        "[copy of few/b.png]",
        "copies of other pictures (same pixels): 1",
        "was trained or selected on, so their calls are optimistic: 1",
    ] {
        assert!(table.contains(words), "{words}: {table}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn ctrl_c_keeps_the_finished_predictions() {
    use crate::interrupted::{PICTURES, interrupted, write_pictures};

    let folder = tempfile::tempdir().unwrap();
    let [cells, calls] = ["cells", "calls.json"].map(|name| folder.path().join(name));
    write_pictures(&cells);
    let mut predict = finished().malaria("predict");
    let output = interrupted(predict.args(["--run", "run"]).arg(&cells).arg("--json").arg(&calls));
    let said = errors(&output);
    assert_eq!(output.status.code(), Some(130), "{said}");
    let calls = json(&calls);
    let done = calls["cells"].as_array().unwrap().len();
    assert!((1..PICTURES).contains(&done), "{done}");
    let not_reached = PICTURES - done;
    assert_eq!(calls["not_reached"], not_reached);
    let table = String::from_utf8_lossy(&output.stdout);
    assert!(table.contains(&format!("because the work was stopped: {not_reached}\n")), "{table}");
    let stopped = format!("stopped: {not_reached} of {PICTURES} pictures are not classified");
    assert!(said.contains("finishing the pictures in progress") && said.contains(&stopped), "{said}");
}
