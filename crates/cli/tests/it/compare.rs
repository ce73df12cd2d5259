//! `malaria compare`.

use std::fs;

use crate::support::{cross_validated, fail, json, malaria, succeed};

#[test]
fn the_comparison_says_whether_runs_were_tested_on_the_same_cells() {
    let bench = cross_validated().copy();
    let compare = |runs: &[&str], flags: &[&str]| {
        let mut command = malaria("compare");
        command.args(runs.iter().map(|run| bench.path(run))).args(flags);
        command
    };
    let [first, second] = ["folds/fold-1", "folds/fold-2"];
    let [plot, document, events] =
        ["curves.svg", "compared.json", "events"].map(|name| bench.path(name).display().to_string());
    let flags = ["--plot", &plot, "--json", &document, "--tensorboard", &events];
    let said = succeed(&mut compare(&[first, second], &flags));
    assert!(said.contains("patient, 1 of 3") && said.contains("not tested on the same cells"), "{said}");
    let metrics = json(&bench.path(first).join("metrics.json"));
    let compared = json(&bench.path("compared.json"));
    assert_eq!(compared["runs"][0]["test"]["log_loss"], metrics["log_loss"]);
    assert_eq!(compared["same_test_cells"], false);
    // A curve of loss and one of accuracy for each run, and its line in the legend.
    let drawn = fs::read_to_string(plot).unwrap();
    assert!(drawn.contains("fold-1 (validation)") && drawn.contains("fold-2 (validation)"), "{drawn}");
    assert!(bench.path("events/fold-1/events.out.tfevents.malaria").is_file());

    // The same cells, and an unfinished run.
    fs::remove_file(bench.path(second).join("metrics.json")).unwrap();
    let said = succeed(&mut compare(&[first, first, second], &[]));
    assert!(!said.contains("not tested on the same cells"), "{said}");
    assert_eq!(said.lines().count(), 4, "{said}");
    assert!(fail(&mut compare(&["folds"], &[])).contains("name one of them"));
    assert!(fail(&mut compare(&[first, first], &["--tensorboard", &events])).contains("same name"));
}
