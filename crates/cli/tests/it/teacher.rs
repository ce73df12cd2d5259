//! Models that learn what others say: how far they believe them, and whom they may not ask.

use std::fs;

use serde_json::Value;

use crate::support::{Workbench, fail, succeed};

#[test]
fn a_teacher_is_believed_as_far_as_it_is_asked_for() {
    let bench = Workbench::new();
    let swap_labels = || {
        for (from, to) in [("Parasitized", "aside"), ("Uninfected", "Parasitized"), ("aside", "Uninfected")] {
            fs::rename(bench.path("cells").join(from), bench.path("cells").join(to)).unwrap();
        }
    };
    // One that was told everything the wrong way round.
    swap_labels();
    succeed(&mut bench.train("teacher"));
    swap_labels();
    // By the most probable class: the threshold is chosen on cells too few to show what was learned.
    let accuracy = |run: &str| {
        let figures = fs::read(bench.path(run).join("metrics.json")).unwrap();
        serde_json::from_slice::<Value>(&figures).unwrap()["accuracy_argmax"].as_f64().unwrap()
    };
    assert!(accuracy("teacher") > 0.9, "{}", accuracy("teacher"));
    succeed(bench.train("believer").args(["--teacher", "teacher", "--teacher-weight", "1"]));
    assert!(accuracy("believer") < 0.1, "{}", accuracy("believer"));
    succeed(bench.train("sceptic").args(["--teacher", "teacher", "--teacher-weight", "0"]));
    assert!(accuracy("sceptic") > 0.9, "{}", accuracy("sceptic"));
    let card = fs::read_to_string(bench.path("believer/model_card.md")).unwrap();
    assert!(card.contains("100 parts in 100 of what it learned"), "{card}");

    // One that knows the cells to be evaluated on.
    succeed(bench.train("other").args(["--seed", "9", "--epochs", "1"]));
    let said = fail(bench.train("cheat").args(["--teacher", "other"]));
    assert!(said.contains("teacher") && said.contains("of the test cells"), "{said}");
    assert!(!bench.path("cheat").exists(), "what is refused leaves nothing behind");
    // One that knows other cells of the patients to be evaluated on.
    bench.mirror_cells("more", |name| name.replace("cell_", "cell_9"));
    succeed(bench.train_on("more", "acquaintance").args(["--split", "all", "--epochs", "1"]));
    let said = fail(bench.train("cheat").args(["--teacher", "acquaintance"]));
    assert!(said.contains("other cells of some of them") && !bench.path("cheat").exists(), "{said}");
    // One that has learned so from another.
    succeed(bench.train_on("more", "pupil").args(["--init", "other", "--epochs", "1", "--split", "random"]));
    let said = fail(bench.train("cheat").args(["--split", "random", "--teacher", "pupil"]));
    assert!(said.contains("of the test cells"), "{said}");
    // What it learned so, nobody can tell once the other is gone.
    fs::rename(bench.path("other"), bench.path("elsewhere")).unwrap();
    let said = fail(bench.train("cheat").args(["--split", "random", "--teacher", "pupil"]));
    assert!(said.contains("which comes from") && said.contains("other"), "{said}");
    let said = fail(bench.train("orphan").args(["--teacher", "nobody"]));
    assert!(said.contains("nobody") && !bench.path("orphan").exists(), "{said}");
    let said = fail(bench.train("loud").args(["--teacher", "teacher", "--teacher-weight", "70"]));
    assert!(said.contains("--teacher-weight") && !bench.path("loud").exists(), "{said}");
}

#[test]
fn each_fold_is_taught_by_the_model_of_the_same_fold() {
    let bench = Workbench::new();
    succeed(bench.cross_validate("teachers").arg("--final"));
    let taught = |out: &str| {
        let mut command = bench.cross_validate(out);
        command.args(["--teacher", "teachers", "--final"]);
        command
    };
    // A teacher from another fold would have learned from the test cells, and be refused.
    succeed(&mut taught("taught"));
    for run in ["fold-1", "fold-2", "fold-3", "final"] {
        let config = fs::read_to_string(bench.path("taught").join(run).join("config.json")).unwrap();
        assert!(config.contains(&format!("teachers/{run}\"")), "{config}");
        let weights = |out: &str| fs::read(bench.path(out).join(run).join("weights.safetensors")).unwrap();
        assert!(weights("taught") != weights("teachers"), "{run} has learned nothing from its teacher");
    }
    // The same command again finds everything done.
    succeed(&mut taught("taught"));
    let said = fail(taught("taught").args(["--teacher-weight", "0.2"]));
    assert!(said.contains("teacher"), "{said}");
}
