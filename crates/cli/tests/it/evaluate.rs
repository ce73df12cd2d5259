//! `malaria evaluate`: on the cells of the run, on other cells, and with mirror images.

use std::fs;

use malaria_resnet::Metrics;
use serde_json::Value;

use crate::support::{CELLS, Workbench, errors, fail, finished, json, malaria, rows, succeed};

#[test]
fn evaluate_reproduces_the_metrics_of_a_run_from_any_folder() {
    let bench = finished();
    let out = tempfile::tempdir().unwrap();
    let (document, cells) = (out.path().join("evaluated.json"), out.path().join("cells.csv"));
    let mut evaluate = malaria("evaluate");
    evaluate.current_dir("/").arg("--run").arg(bench.path("run")).arg("--data").arg(bench.path("cells"));
    let said = succeed(evaluate.arg("--json").arg(&document).arg("--predictions").arg(&cells));
    assert!(said.contains("the run's test cells"), "{said}");
    let (again, metrics) = (json(&document), json(&bench.path("run/metrics.json")));
    for name in ["confusion", "log_loss", "brier", "intervals_over_cells"] {
        assert_eq!(again[name], metrics[name], "{name}");
    }
    assert_eq!(rows(&cells), rows(&bench.path("run/predictions.csv")));
}

#[test]
fn the_test_subset_needs_test_cells_of_the_run() {
    let bench = finished().copy();
    bench.mirror_cells("others", |name| name.replacen('C', "C9", 1));
    let said = succeed(bench.evaluate("run").args(["--subset", "test"]));
    assert!(said.contains("the run's test cells"), "{said}");
    let mut others = bench.malaria("evaluate");
    let said = fail(others.args(["--run", "run", "--data", "others", "--subset", "test"]));
    assert!(said.contains("others") && said.contains("test"), "{said}");
}

#[test]
fn evaluated_training_cells_and_few_patients_have_caveats() {
    let bench = finished();
    let metrics: Metrics = serde_json::from_value(json(&bench.path("run/metrics.json"))).unwrap();
    let said = succeed(bench.evaluate("run").args(["--subset", "all"]));
    let warning = format!("was trained or selected on {} of these cells", CELLS - metrics.n_test);
    assert!(said.contains(&warning), "{said}");
    // Their intervals are those of few patients.
    assert!(said.contains("With so few patients (") && said.contains("intervals are too narrow"), "{said}");
}

#[test]
fn mirror_images_change_the_probabilities_and_are_named_in_the_report() {
    let bench = finished();
    let out = tempfile::tempdir().unwrap();
    let page = out.path().join("page.html");
    let evaluate = |flags: &[&str]| -> Value {
        let mut evaluate = bench.evaluate("run");
        serde_json::from_str(&succeed(evaluate.arg("--json").arg("--report").arg(&page).args(flags))).unwrap()
    };
    let (plain, flipped) = (evaluate(&[]), evaluate(&["--flips"]));
    assert_eq!((&plain["flips"], &flipped["flips"]), (&Value::Bool(false), &Value::Bool(true)));
    assert_ne!(plain["log_loss"], flipped["log_loss"]);
    let page = fs::read_to_string(page).unwrap();
    assert!(page.contains("four mirror images") && page.contains("evaluate --run run"), "{page}");
}

#[test]
fn a_closed_output_does_not_stop_the_program() {
    let bench = Workbench::new();
    let closed = |command: &mut std::process::Command| {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        command.stdout(writer.try_clone().unwrap()).stderr(writer);
        assert_eq!(command.status().unwrap().code(), Some(0), "{command:?}");
    };
    closed(bench.train("run").args(["--epochs", "1", "--progress", "plain"]));
    closed(bench.evaluate("run").args(["--json", "evaluated.json"]));
    assert!(json(&bench.path("evaluated.json"))["log_loss"].is_number());
    for form in ["--json", "--csv", "--flips"] {
        closed(bench.malaria("predict").args(["--run", "run", "cells", form]));
    }
}

#[test]
fn copies_wrong_labels_unusual_pictures_and_single_classes_are_reported() {
    let bench = finished().copy();
    let cells = rows(&bench.path("run/split.csv"));
    let learned = &cells.iter().find(|cell| cell["subset"] == "train").unwrap()["path"];
    // The pixels of a training cell in another format, in the folders of both classes, beside its original.
    let picture = image::open(bench.path("cells").join(learned)).unwrap();
    for class in ["Parasitized", "Uninfected"] {
        picture.save(bench.path("cells").join(class).join("again.bmp")).unwrap();
    }
    let evaluate = |flags: &[&str]| -> Value {
        serde_json::from_str(&succeed(bench.malaria("evaluate").args(["--run", "run", "--json"]).args(flags)))
            .unwrap()
    };
    let said = evaluate(&["--data", "cells", "--subset", "all"]);
    let test = json(&bench.path("run/metrics.json"))["n_test"].as_u64().unwrap() as usize;
    assert_eq!(said["seen_in_training"], CELLS + 2 - test);
    assert_eq!(said["copies"], said["doubly_labelled"]);
    assert_eq!(said["copies"].as_array().unwrap().len(), 1);
    let caveats = |said: &Value| -> Vec<String> {
        said["caveats"].as_array().unwrap().iter().map(|caveat| caveat["caveat"].to_string()).collect()
    };
    for caveat in ["\"copies\"", "\"doubly-labelled\""] {
        assert!(caveats(&said).contains(&caveat.to_owned()), "{said}");
    }

    for (class, other) in [("Parasitized", "Uninfected"), ("Uninfected", "Parasitized")] {
        fs::create_dir_all(bench.path("exchanged")).unwrap();
        fs::rename(bench.path("cells").join(class), bench.path("exchanged").join(other)).unwrap();
    }
    assert!(caveats(&evaluate(&["--data", "exchanged"])).contains(&"\"classes-exchanged\"".to_owned()));

    // A single class of grey pictures.
    for class in ["Parasitized", "Uninfected"] {
        fs::create_dir_all(bench.path("grey").join(class)).unwrap();
    }
    let grey = image::RgbImage::from_pixel(60, 60, image::Rgb([128; 3]));
    for number in 0..12 {
        let mut grey = grey.clone();
        grey.put_pixel(0, 0, image::Rgb([number; 3]));
        let class = if number == 0 { "Parasitized" } else { "Uninfected" };
        grey.save(bench.path("grey").join(class).join(format!("{number}.png"))).unwrap();
    }
    for (class, red) in [("Parasitized", 190), ("Uninfected", 200)] {
        fs::create_dir_all(bench.path("photos").join(class)).unwrap();
        let photo = image::RgbImage::from_pixel(1200, 900, image::Rgb([red, 150, 160]));
        photo.save(bench.path("photos").join(class).join("photo.png")).unwrap();
    }
    let said = evaluate(&["--data", "photos"]);
    assert_eq!(said["warnings"].to_string().matches("with `malaria smear`").count(), 2, "{said}");

    let said = evaluate(&["--data", "grey"]);
    assert_eq!(said["warnings"].as_array().unwrap().len(), 12, "{said}");
    for caveat in ["\"unlike-training\"", "\"few-cells\""] {
        assert!(caveats(&said).contains(&caveat.to_owned()), "{said}");
    }
    for unknown in ["accuracy", "accuracy_argmax", "sensitivity", "auc", "balanced_accuracy"] {
        assert!(said[unknown].is_null(), "{unknown}: {said}");
    }
    assert!(said["specificity"].is_number(), "{said}");
    let mut evaluate = bench.malaria("evaluate");
    let said = succeed(evaluate.args(["--run", "run", "--data", "grey", "--report", "grey.html"]));
    // Without a value, on the page as on the run's own model card: the run has nine test cells of either class.
    let page = fs::read_to_string(bench.path("grey.html")).unwrap();
    assert!(page.contains("data-metric=\"accuracy\">"), "{page}");
    assert!(page.contains("data-metric=\"specificity\" data-value=\""), "{page}");
    let card = fs::read_to_string(bench.path("run/model_card.md")).unwrap();
    assert!(card.contains("| Accuracy | n/a | n/a |") && card.contains("Parasitized: only 9."), "{card}");
    assert_eq!(said.matches("accuracy").count(), 2, "the headline and the caveat: {said}");
    assert!(
        said.contains("accuracy n/a") && said.contains("Cells of the class Parasitized: only 1."),
        "{said}"
    );
}

#[test]
#[cfg(target_os = "linux")]
fn results_are_not_lost_with_a_file_that_cannot_be_written() {
    let bench = finished();
    for flag in ["--report", "--predictions"] {
        let output = bench.evaluate("run").args([flag, "/dev/full"]).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.contains("the run's test cells") && said.contains("sensitivity"), "{flag}: {said}");
        assert!(!said.contains("written: /dev/full"), "{said}");
        assert!(errors(&output).contains("error: cannot write /dev/full: "), "{output:?}");
    }
    // A document that cannot be written is not listed, and the other reasons are still printed.
    let out = tempfile::tempdir().unwrap();
    let full = out.path().join("full.json");
    std::os::unix::fs::symlink("/dev/full", &full).unwrap();
    let output = bench.evaluate("run").args(["--report", "/dev/full", "--json"]).arg(&full).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("sensitivity") && !said.contains("written: "), "{said}");
    let said = errors(&output);
    let document = format!("error: cannot write {}: ", full.display());
    assert!(said.find("error: cannot write /dev/full: ").unwrap() < said.find(&document).unwrap(), "{said}");
    assert_eq!(output.status.code(), Some(1));
    // If standard output is full, the file is still written.
    let document = out.path().join("evaluated.json");
    let full = || fs::File::options().write(true).open("/dev/full").unwrap();
    let said = fail(bench.evaluate("run").arg("--json").arg(&document).stdout(full()));
    assert!(said.contains("error: cannot write standard output: "), "{said}");
    assert!(json(&document)["log_loss"].is_number());
}
