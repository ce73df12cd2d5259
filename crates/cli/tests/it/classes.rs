//! More than two classes, and classes with other names, from training to calls.

use std::{collections::BTreeSet, fs};

use image::{Rgb, RgbImage};
use malaria_resnet::Metrics;
use serde_json::Value;

use crate::support::{self, Workbench, fail, json, replace_in, rows, succeed};

/// Writes cells of a third class: discs of another colour.
fn draw_artefacts(bench: &Workbench) {
    let folder = bench.path("cells/Artefact");
    fs::create_dir(&folder).unwrap();
    for patient in 0..support::PATIENTS {
        for cell in 6..9 {
            let picture = RgbImage::from_fn(24, 20, |x, y| {
                let inside = f64::hypot(f64::from(x) - 12.0, f64::from(y) - 10.0) < 9.0;
                if inside { Rgb([40, 150 + 3 * cell, 90 + patient as u8]) } else { Rgb([0, 0, 0]) }
            });
            let name = format!("C{}P{patient}ThinF_IMG_20150101_cell_{cell}.png", patient + 1);
            picture.save(folder.join(name)).unwrap();
        }
    }
}

#[test]
fn three_classes_are_trained_evaluated_and_predicted() {
    let bench = Workbench::new();
    draw_artefacts(&bench);
    succeed(bench.train("run").args(["--epochs", "12"]));
    let metrics: Metrics = serde_json::from_value(json(&bench.path("run/metrics.json"))).unwrap();
    assert_eq!(metrics.test.classes, ["Artefact", "Parasitized", "Uninfected"]);
    assert_eq!(metrics.test.positive_class, "Parasitized");
    let accuracy = metrics.test.confusion.accuracy();
    assert!(accuracy > Some(0.8), "{accuracy:?}");
    let predictions = rows(&bench.path("run/predictions.csv"));
    let called: BTreeSet<&String> = predictions.iter().map(|row| &row["predicted"]).collect();
    assert_eq!(called.len(), 3);
    assert!(predictions.iter().all(|row| row.contains_key("probability_Artefact")));

    let again: Value = serde_json::from_str(&succeed(bench.evaluate("run").arg("--json"))).unwrap();
    assert_eq!(again["confusion"], json(&bench.path("run/metrics.json"))["confusion"]);
    let said = succeed(bench.malaria("predict").args(["--run", "run", "cells/Artefact", "--csv"]));
    assert!(said.matches(",Artefact,").count() > said.matches(",Uninfected,").count(), "{said}");
}

#[test]
fn three_classes_are_cross_validated() {
    let bench = Workbench::new();
    draw_artefacts(&bench);
    // One artefact per patient: sixteen in all, but too few in each fold.
    for (patient, cell) in (0..support::PATIENTS).flat_map(|patient| [(patient, 7), (patient, 8)]) {
        let name = format!("C{}P{patient}ThinF_IMG_20150101_cell_{cell}.png", patient + 1);
        fs::remove_file(bench.path("cells/Artefact").join(name)).unwrap();
    }
    let mut cross_validate = bench.cross_validate_folds("2", "folds");
    cross_validate.args(["--epochs", "1"]);
    succeed(&mut cross_validate);
    let metrics = json(&bench.path("folds/metrics.json"));
    assert!(metrics["accuracy"].is_number() && metrics["accuracy_over_folds"].is_null(), "{metrics}");
    assert!(metrics["sensitivity_over_folds"]["mean"].is_number(), "{metrics}");
    for fold in metrics["folds"].as_array().unwrap() {
        assert!(fold["accuracy"].is_null() && fold["sensitivity"].is_number(), "{fold}");
    }
    // The settings of finished folds, which contain the number of classes, are recognised.
    succeed(&mut cross_validate);
}

#[test]
fn initial_weights_and_resumed_runs_need_the_same_classes() {
    let bench = Workbench::new();
    succeed(bench.train("two").args(["--epochs", "1"]));
    draw_artefacts(&bench);
    let said = fail(bench.train("three").args(["--init", "two"]));
    assert!(said.contains("Artefact") && !bench.path("three").exists(), "{said}");
    fs::remove_dir_all(bench.path("cells/Artefact")).unwrap();
    fs::remove_file(bench.path("two/metrics.json")).unwrap();
    replace_in(&bench.path("two/config.json"), "\"classes\": 2", "\"classes\": 3");
    let said = fail(&mut bench.resume("two"));
    assert!(said.contains("`model.classes`") && said.contains("one for each class"), "{said}");
}

#[test]
fn the_positive_class_must_be_named_if_classes_have_other_names() {
    let bench = Workbench::new();
    fs::rename(bench.path("cells/Parasitized"), bench.path("cells/sick")).unwrap();
    fs::rename(bench.path("cells/Uninfected"), bench.path("cells/healthy")).unwrap();
    let said = fail(&mut bench.train("run"));
    assert!(said.contains("--positive") && said.contains("healthy") && said.contains("sick"), "{said}");
    let said = succeed(bench.train("run").args(["--positive", "sick", "--epochs", "1"]));
    assert!(said.contains("for sick: sensitivity"), "{said}");
}

#[test]
fn the_case_of_a_class_folder_does_not_matter() {
    let bench = Workbench::new();
    let rename = |from: &str, to: &str| fs::rename(bench.path(from), bench.path(to)).unwrap();
    rename("cells/Parasitized", "cells/parasitized");
    succeed(bench.train("run").args(["--epochs", "1"]));
    let metrics: Metrics = serde_json::from_value(json(&bench.path("run/metrics.json"))).unwrap();
    assert_eq!(metrics.test.classes, ["Parasitized", "Uninfected"]);
    assert!(rows(&bench.path("run/split.csv")).iter().all(|row| row["class"] != "parasitized"));
    fs::remove_file(bench.path("run/metrics.json")).unwrap();
    succeed(&mut bench.resume("run"));

    // The same cells get the same calls if their folders have other names.
    let evaluate = || -> Value {
        serde_json::from_str(&succeed(bench.evaluate("run").args(["--json", "--subset", "all"]))).unwrap()
    };
    let before = evaluate();
    rename("cells/parasitized", "cells/PARASITIZED");
    rename("cells/Uninfected", "cells/uninfected");
    let after = evaluate();
    for name in ["classes", "confusion", "accuracy", "seen_in_training"] {
        assert!(!before[name].is_null() && before[name] == after[name], "{name}: {before} {after}");
    }
    succeed(bench.train("tuned").args(["--epochs", "1", "--init", "run"]));

    fs::create_dir(bench.path("cells/Parasitized")).unwrap();
    fs::copy(
        bench.path("cells/PARASITIZED/C1P0ThinF_IMG_20150101_cell_0.png"),
        bench.path("cells/Parasitized/x.png"),
    )
    .unwrap();
    for mut command in [bench.train("third"), bench.evaluate("run")] {
        let said = fail(&mut command);
        assert!(said.contains("`PARASITIZED`, `Parasitized`, whose names differ only in case"), "{said}");
    }
}
