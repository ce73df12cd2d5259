//! `--help`: examples, and the notice that this is not a medical device.

use crate::{
    documents,
    support::{malaria, succeed},
};

#[test]
fn every_subcommand_shows_an_example_and_the_notice() {
    let overview = succeed(&mut malaria("--help"));
    let commands = overview.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let tasks: Vec<&str> = commands.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let expected = [
        "train",
        "cross-validate",
        "compare",
        "evaluate",
        "predict",
        "smear",
        "export",
        "build-dataset",
        "download",
        "doctor",
        "completions",
        "man",
        "help",
    ];
    assert_eq!(tasks, expected);
    for task in &tasks[..tasks.len() - 1] {
        let said = succeed(malaria(task).arg("--help"));
        assert!(said.contains("\n  malaria"), "{task}: {said}");
        assert!(said.ends_with("Research software, not a medical device.\n"), "{task}: {said}");
    }
}

#[test]
fn completions_and_manual_pages_name_every_subcommand() {
    let script = succeed(malaria("completions").arg("bash"));
    assert!(script.contains("cross-validate") && script.contains("--target-specificity"), "{script}");
    let folder = tempfile::tempdir().unwrap();
    succeed(malaria("man").arg(folder.path().join("man1")));
    let page = std::fs::read_to_string(folder.path().join("man1/malaria-train.1")).unwrap();
    assert!(page.contains("\\-\\-target\\-specificity"), "{page}");
}

#[test]
fn commands_in_the_documents_exist() {
    let program = env!("CARGO_BIN_EXE_malaria");
    let shown = documents::check(program, "malaria", "cargo run --release --bin malaria -- ");
    assert!(shown > 30, "{shown}");
}
