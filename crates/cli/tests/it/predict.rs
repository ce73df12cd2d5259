//! `malaria predict`: calls of cells and of patients, and when no patient is called.

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
    // A batch of another size may add in another order.
    assert!((said["cells"][0]["probability"].as_f64().unwrap() - probability).abs() < 1e-5);
    let threshold = metrics.threshold.unwrap().point.threshold;
    let called = if probability >= threshold { "Parasitized" } else { "Uninfected" };
    assert_eq!(said["cells"][0]["class"], called);
    let table = succeed(bench.malaria("predict").args(["--run", "run", "--csv"]).arg(&picture));
    let header = "path,patient,class,probability,warning,error\n";
    assert!(table.starts_with(header) && table.lines().count() == 2, "{table}");
}

#[test]
fn a_folder_is_classified_but_for_files_that_are_not_images() {
    let bench = finished().copy();
    fs::write(bench.path("cells/Uninfected/notes.txt"), "").unwrap();
    let output = bench.malaria("predict").args(["--run", "run", "cells/Uninfected"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(errors(&output).contains("skipped, as they are not images: 1"));
    let table = String::from_utf8(output.stdout).unwrap();
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
    // At this target there are enough false alarms to call patients by.
    let flags = ["--split", "random", "--target-specificity", "0.3", "--epochs", "1"];
    succeed(bench.train("run").args(flags));
    let said = succeed(bench.malaria("predict").args(["--run", "run", "cells", "--json"]));
    let said: Value = serde_json::from_str(&said).unwrap();
    let rule = said["rule"].as_str().unwrap();
    assert!(rule.contains("Patients are not called") && rule.contains("has not learned"), "{rule}");
    assert_eq!(said["patients"], Value::Array(Vec::new()));
}
