//! The examples, as cargo has built them beside this test, on a few synthetic cells.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use malaria_resnet::dataset::{SyntheticConfig, write_synthetic};

/// Runs an example, which has to succeed, in `folder`; gives its standard output.
fn example(name: &str, folder: &Path, arguments: &[&str]) -> String {
    let test = std::env::current_exe().unwrap();
    let path = test.parent().unwrap().with_file_name("examples").join(name);
    assert!(
        path.exists(),
        "{} is not built: run `cargo test`, or `cargo build --examples` first",
        path.display()
    );
    let mut command = Command::new(path);
    command.env_remove("MALARIA_DATA").env_remove("MALARIA_RUN").current_dir(folder).args(arguments);
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert!(status.success(), "{command:?}\n{}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

/// A folder with a few synthetic cells in `cells`.
fn with_cells() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let drawn = SyntheticConfig { cells: 60, patients: 10, ..SyntheticConfig::default() };
    write_synthetic(&folder.path().join("cells"), &drawn, &|_| {}).unwrap();
    folder
}

#[test]
fn train_malaria_draws_cells_where_there_are_none_and_says_what_it_has_written() {
    let folder = tempfile::tempdir().unwrap();
    let small = ["--recipe", "field", "--epochs", "1", "--device", "cpu", "--plot", "plot.svg"];
    let said = example("train_malaria", folder.path(), &small);
    for words in
        ["say nothing about malaria", "epoch   1: loss", "precision", "written: runs/example/report.html"]
    {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(folder.path().join("plot.svg").is_file());
    // With cells, by patient.
    let folder = with_cells();
    let with = ["--data", "cells", "--split", "patient", "--out", "run", "--seed", "7"];
    let said = example("train_malaria", folder.path(), &[&with[..], &small[..6]].concat());
    assert!(said.contains("written: run/metrics.json") && !said.contains("say nothing"), "{said}");
}

#[test]
fn predict_classifies_with_the_pretrained_model() {
    let folder = with_cells();
    let said = example("predict", folder.path(), &["cells"]);
    assert_eq!(said.lines().filter(|line| line.contains(".png: ")).count(), 60, "{said}");
    assert!(said.contains("Uninfected, Parasitized 0.") && said.contains("patient C"), "{said}");
}

#[test]
fn build_dataset_makes_three_trees() {
    let folder = with_cells();
    let said = example("build_dataset", folder.path(), &["cells", "trees"]);
    assert!(said.contains("  training: 44 images") && said.contains("60 images written, 0 there"), "{said}");
    assert_eq!(fs::read_dir(folder.path().join("trees")).unwrap().count(), 3);
}

#[test]
fn cross_validate_evaluates_every_cell() {
    let folder = with_cells();
    let said = example("cross_validate", folder.path(), &["cells", "cv", "1"]);
    assert!(said.contains("fold 5 of 5") && said.contains("accuracy "), "{said}");
    assert!(folder.path().join("cv/report.html").is_file());
}
