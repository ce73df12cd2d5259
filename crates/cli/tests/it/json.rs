//! `--json` of every subcommand: one document, on standard output or in a file.

use std::fs;

use serde_json::Value;

use crate::support::{Workbench, errors, finished, json, succeed};

#[test]
fn the_document_goes_to_standard_output_or_to_a_file() {
    let bench = finished().copy();
    // The subcommand, its flags, words in its output, and a key of its document.
    let cases: [(&str, &[&str], &str, &str); 4] = [
        ("evaluate", &["--run", "run", "--data", "cells"], "sensitivity", "log_loss"),
        ("predict", &["--run", "run", "cells"], "Research software", "cells"),
        ("export", &["--run", "run", "--out", "model.onnx"], "written: model.onnx", "files"),
        ("doctor", &[], "libtorch", "can_train"),
    ];
    for (task, flags, words, key) in cases {
        let run = |json: &[&str]| {
            let output = bench.malaria(task).args(flags).args(json).output().unwrap();
            assert!(output.status.success(), "{task}: {}", errors(&output));
            let said = errors(&output);
            (String::from_utf8(output.stdout).unwrap(), said)
        };
        let (document, said) = run(&["--json"]);
        assert!(said.contains(words), "{task}: {said}");
        let document: Value = serde_json::from_str(&document).unwrap();
        assert!(!document[key].is_null(), "{task}: {document}");
        let (said, progress) = run(&["--json", "result.json"]);
        assert!(said.contains(words) && !progress.contains(words), "{task}: {said}{progress}");
        let document = json(&bench.path("result.json"));
        assert!(!document[key].is_null(), "{task}: {document}");
        fs::remove_file(bench.path("result.json")).unwrap();
    }
}

#[test]
fn a_training_ends_with_its_metrics_as_a_document() {
    let bench = Workbench::new();
    let said = succeed(bench.train("run").args(["--epochs", "1", "--json"]));
    let document: Value = serde_json::from_str(&said).unwrap();
    let metrics = json(&bench.path("run/metrics.json"));
    assert_eq!((&document["run"], &document["metrics"]), (&Value::from("run"), &metrics));
}

#[test]
fn the_document_is_also_the_last_event() {
    let bench = Workbench::new();
    let mut cross_validate = bench.cross_validate_folds("2", "cv");
    cross_validate.args(["--epochs", "1"]);
    let said = succeed(cross_validate.args(["--progress", "json", "--json", "cv.json"]));
    let mut last: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    assert_eq!(last.as_object_mut().unwrap().remove("event"), Some("finished".into()));
    let document = json(&bench.path("cv.json"));
    assert_eq!(last, document);
    assert_eq!(document["missing"], Value::Array(Vec::new()));
}
