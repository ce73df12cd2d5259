//! The examples that train.

use crate::examples::{example, with_cells};

#[test]
fn train_malaria_trains_on_synthetic_or_given_cells() {
    let folder = tempfile::tempdir().unwrap();
    let small = ["--recipe", "field", "--epochs", "1", "--device", "cpu", "--plot", "plot.svg"];
    let said = example("train_malaria", folder.path(), &small);
    for words in
        ["say nothing about malaria", "epoch   1: loss", "precision", "written: runs/example/report.html"]
    {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(folder.path().join("plot.svg").is_file());
    // With given cells, split by patient.
    let folder = with_cells();
    let with = ["--data", "cells", "--split", "patient", "--out", "run", "--seed", "7"];
    let said = example("train_malaria", folder.path(), &[&with[..], &small[..6]].concat());
    assert!(said.contains("written: run/metrics.json") && !said.contains("say nothing"), "{said}");
}

#[test]
fn cross_validate_runs_five_folds() {
    let folder = with_cells();
    let said = example("cross_validate", folder.path(), &["cells", "cv", "1"]);
    assert!(said.contains("fold 5 of 5") && said.contains("accuracy "), "{said}");
    assert!(folder.path().join("cv/report.html").is_file());
}
