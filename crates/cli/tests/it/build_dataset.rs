//! `malaria build-dataset`: trees that can be trained on, and folders that it does not touch.

use std::{fs, process::Command};

use crate::support::{Workbench, fail, json, succeed};

fn build(bench: &Workbench, out: &str, flags: &[&str]) -> Command {
    let mut command = bench.malaria("build-dataset");
    command.args(["--data", "cells", "--out", out]).args(flags);
    command
}

#[test]
fn trees_are_trained_on_and_evaluated_without_another_split() {
    let bench = Workbench::new();
    let said = succeed(&mut build(&bench, "trees", &["--seed", "3"]));
    // 96 cells: int(96 * 0.8) = 76 for training, of which int(76 * 0.1) = 7 for validation.
    for line in
        ["training: 69 images", "validation: 7 images", "testing: 20 images", "96 images written, 0 there"]
    {
        assert!(said.contains(line), "{said}");
    }
    let said = succeed(&mut build(&bench, "trees", &["--seed", "3"]));
    assert!(said.contains("0 images written, 96 there already"), "{said}");

    let said = succeed(bench.train_on("trees", "run").args(["--split", "given", "--epochs", "1"]));
    assert!(said.contains("split given by the folder"), "{said}");
    assert_eq!(json(&bench.path("run/metrics.json"))["n_train"], 69);
    let said = succeed(bench.malaria("evaluate").args(["--run", "run", "--data", "trees/testing"]));
    assert!(said.starts_with("20 cells of trees/testing"), "{said}");
}

#[test]
fn trees_are_written_to_new_or_empty_folders_only() {
    let bench = Workbench::new();
    fs::create_dir_all(bench.path("taken/Parasitized")).unwrap();
    let said = fail(&mut build(&bench, "taken", &[]));
    assert!(said.contains("holds `Parasitized` besides training"), "{said}");
    assert_eq!(fs::read_dir(bench.path("taken")).unwrap().count(), 1, "nothing was written");
    fs::write(bench.path("file"), "a list of cells").unwrap();
    let said = fail(&mut build(&bench, "file", &[]));
    assert!(said.contains("is not an empty folder") && said.contains("give another name"), "{said}");
    assert_eq!(fs::read_to_string(bench.path("file")).unwrap(), "a list of cells");
    let said = fail(&mut build(&bench, "tree", &["--split", "given"]));
    assert!(said.contains("--split") && said.contains("random") && said.contains("patient"), "{said}");
    succeed(&mut build(&bench, "tree", &["--split", "patient"]));
    succeed(&mut build(&bench, "tree", &["--split", "patient"]));
}
