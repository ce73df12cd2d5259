//! `--json` means the same everywhere: one document on standard output, or in a file.

use std::fs;

use serde_json::Value;

use crate::support::{Workbench, errors, malaria, succeed};

#[test]
fn a_document_goes_to_standard_output_or_to_a_file_and_the_words_to_the_other() {
    let bench = Workbench::new();
    succeed(bench.train("run").args(["--epochs", "1"]));
    // The subcommand, its flags, words that it says, and a key of its document.
    let cases: [(&str, &[&str], &str, &str); 5] = [
        ("evaluate", &["--run", "run", "--data", "cells"], "support", "auc"),
        ("predict", &["--run", "run", "cells"], "Research software", "cells"),
        ("export", &["--run", "run", "--out", "model.onnx"], "written: model.onnx", "files"),
        ("export", &["--run", "run", "--out", "model.pt"], "written: model.pt", "files"),
        ("doctor", &[], "libtorch", "can_train"),
    ];
    for (task, flags, words, key) in cases {
        let run = |json: &[&str]| {
            let mut command = malaria(task);
            let output = command.current_dir(bench.folder.path()).args(flags).args(json).output().unwrap();
            assert!(output.status.success(), "{task}: {}", errors(&output));
            let said = errors(&output);
            (String::from_utf8(output.stdout).unwrap(), said)
        };
        let (said, _) = run(&[]);
        assert!(said.contains(words), "{task}: {said}");
        for json in [&["--json"][..], &["--json", "-"]] {
            let (document, said) = run(json);
            assert!(said.contains(words), "{task}: {said}");
            let document: Value = serde_json::from_str(&document).unwrap();
            assert!(!document[key].is_null(), "{task}: {document}");
        }
        let (said, progress) = run(&["--json", "result.json"]);
        assert!(said.contains(words) && !progress.contains(words), "{task}: {said}{progress}");
        let document: Value = serde_json::from_slice(&fs::read(bench.path("result.json")).unwrap()).unwrap();
        assert!(!document[key].is_null(), "{task}: {document}");
        fs::remove_file(bench.path("result.json")).unwrap();
    }
}

#[test]
fn a_training_gives_its_figures_as_a_document_and_as_its_last_event() {
    let bench = Workbench::new();
    let said = succeed(bench.train("run").args(["--epochs", "1", "--json"]));
    let document: Value = serde_json::from_str(&said).unwrap();
    let metrics: Value = serde_json::from_slice(&fs::read(bench.path("run/metrics.json")).unwrap()).unwrap();
    assert_eq!((&document["run"], &document["metrics"]), (&Value::from("run"), &metrics));
    let mut both = bench.cross_validate("cv");
    let said = succeed(both.args(["--progress", "json", "--json", "cv.json"]));
    let mut last: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    assert_eq!(last.as_object_mut().unwrap().remove("event"), Some("finished".into()));
    let document: Value = serde_json::from_slice(&fs::read(bench.path("cv.json")).unwrap()).unwrap();
    assert_eq!(last, document);
    assert_eq!(document["missing"], Value::Array(Vec::new()));
}
