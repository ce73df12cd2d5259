//! Training with a teacher: its weight, the cells that it must not have been trained on, and one teacher for each fold.

use std::{fs, process::Command};

use crate::support::{Workbench, fail, finished, rows, succeed};

fn taught(bench: &Workbench, run: &str, teacher: &str, flags: &[&str]) -> Command {
    let mut command = bench.train(run);
    command.args(["--teacher", teacher]).args(flags);
    command
}

#[test]
fn the_weight_of_a_teacher_sets_its_influence_against_the_labels() {
    let bench = Workbench::new();
    let swap_labels = || {
        for (from, to) in [("Parasitized", "aside"), ("Uninfected", "Parasitized"), ("aside", "Uninfected")] {
            fs::rename(bench.path("cells").join(from), bench.path("cells").join(to)).unwrap();
        }
    };
    // A teacher that was trained with all labels exchanged.
    swap_labels();
    succeed(&mut bench.train("teacher"));
    swap_labels();
    // By the most probable class: the threshold is chosen on few cells.
    let accuracy = |run: &str| {
        let cells = rows(&bench.path(run).join("predictions.csv"));
        cells.iter().filter(|row| row["argmax"] == row["class"]).count() as f64 / cells.len() as f64
    };
    assert!(accuracy("teacher") > 0.9, "{}", accuracy("teacher"));
    succeed(&mut taught(&bench, "believer", "teacher", &["--teacher-weight", "1"]));
    assert!(accuracy("believer") < 0.1, "{}", accuracy("believer"));
    succeed(&mut taught(&bench, "sceptic", "teacher", &["--teacher-weight", "0"]));
    assert!(accuracy("sceptic") > 0.9, "{}", accuracy("sceptic"));
    let card = fs::read_to_string(bench.path("believer/model_card.md")).unwrap();
    assert!(card.contains("Its training targets were 100 % the probabilities of another model"), "{card}");
}

#[test]
fn a_teacher_trained_on_test_cells_is_refused_and_no_run_is_left() {
    let bench = finished().copy();
    for (teacher, words) in [("nobody", "nobody"), ("run", "of the test cells")] {
        let said = fail(&mut taught(&bench, "cheat", teacher, &["--seed", "9"]));
        assert!(said.contains("teacher") && said.contains(words), "{words}: {said}");
        assert!(!bench.path("cheat").exists(), "a run directory was left");
    }
}

mod slow {
    use super::*;

    #[test]
    fn each_fold_is_taught_by_the_model_of_the_same_fold() {
        let bench = Workbench::new();
        let folds = |out: &str, flags: &[&str]| {
            let mut command = bench.cross_validate_folds("2", out);
            command.args(["--epochs", "1", "--final"]).args(flags);
            command
        };
        succeed(&mut folds("teachers", &[]));
        let teacher = ["--teacher", "teachers"];
        // A teacher from another fold would have been trained on the test cells, and be refused.
        succeed(&mut folds("taught", &teacher));
        for run in ["fold-1", "fold-2", "final"] {
            let config = fs::read_to_string(bench.path("taught").join(run).join("config.json")).unwrap();
            assert!(config.contains(&format!("teachers/{run}\"")), "{config}");
            let [taught, teacher] = ["taught", "teachers"].map(|out| bench.weights(&format!("{out}/{run}")));
            assert!(taught != teacher, "{run} was not changed by its teacher");
        }
        // Another weight of the teacher is another setting.
        let said = fail(&mut folds("taught", &[&teacher[..], &["--teacher-weight", "0.2"]].concat()));
        assert!(said.contains("teacher"), "{said}");
    }
}
