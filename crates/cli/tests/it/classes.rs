//! Folders of more than two classes, from training to calls.

use std::fs;

use image::{Rgb, RgbImage};
use malaria_resnet::Metrics;

use crate::support::{self, Workbench, fail, malaria, rows, succeed};

/// Cells of a third class beside the two: discs of another colour.
fn draw_a_third(bench: &Workbench) {
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
fn three_classes_are_told_apart() {
    let bench = Workbench::new();
    draw_a_third(&bench);
    succeed(bench.train("run").args(["--epochs", "12"]));
    let metrics: Metrics =
        serde_json::from_slice(&fs::read(bench.path("run/metrics.json")).unwrap()).unwrap();
    assert_eq!(metrics.test.classes, ["Artefact", "Parasitized", "Uninfected"]);
    assert_eq!(metrics.test.positive_class, "Parasitized");
    assert!(metrics.test.accuracy > 0.8, "{}", metrics.test.accuracy);
    let predictions = rows(&bench.path("run/predictions.csv"));
    let called: std::collections::BTreeSet<&String> =
        predictions.iter().map(|row| &row["predicted"]).collect();
    assert_eq!(called.len(), 3);
    assert!(predictions.iter().all(|row| row.contains_key("probability_Artefact")));

    // It is evaluated again, used, and cross-validated.
    let again = bench.evaluate("run");
    assert_eq!(again["accuracy"], metrics.test.accuracy);
    let mut predict = malaria("predict");
    let said =
        succeed(predict.current_dir(bench.folder.path()).args(["--run", "run", "cells/Artefact", "--csv"]));
    assert!(said.matches(",Artefact,").count() > said.matches(",Uninfected,").count(), "{said}");
    succeed(&mut bench.cross_validate("folds"));
    // Finished folds are known again by what they were run with.
    succeed(&mut bench.cross_validate("folds"));
}

#[test]
fn a_network_of_other_classes_is_named() {
    let bench = Workbench::new();
    succeed(&mut bench.train("two"));
    draw_a_third(&bench);
    let said = fail(bench.train("three").args(["--init", "two"]));
    assert!(said.contains("Artefact") && !bench.path("three").exists(), "{said}");
    // What is gone on with has to be what was begun.
    fs::remove_dir_all(bench.path("cells/Artefact")).unwrap();
    fs::remove_file(bench.path("two/metrics.json")).unwrap();
    let settings = fs::read_to_string(bench.path("two/config.json")).unwrap();
    let changed = settings.replace("\"classes\": 2", "\"classes\": 3");
    assert_ne!(changed, settings);
    fs::write(bench.path("two/config.json"), changed).unwrap();
    let said = fail(malaria("train").current_dir(bench.folder.path()).args(["--resume", "two"]));
    assert!(said.contains("`model.classes`") && said.contains("one for each class"), "{said}");
}

#[test]
fn classes_of_any_name_need_their_positive_one_named() {
    let bench = Workbench::new();
    fs::rename(bench.path("cells/Parasitized"), bench.path("cells/sick")).unwrap();
    fs::rename(bench.path("cells/Uninfected"), bench.path("cells/healthy")).unwrap();
    let said = fail(&mut bench.train("run"));
    assert!(said.contains("--positive") && said.contains("healthy") && said.contains("sick"), "{said}");
    let said = succeed(bench.train("run").args(["--positive", "sick", "--epochs", "1"]));
    assert!(said.contains("for sick: sensitivity"), "{said}");
}
