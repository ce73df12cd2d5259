//! `--patient-pattern` and `--patients`: the patients of cells, from training to calls.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
};

use serde_json::Value;

use crate::support::{CELLS, PATIENTS, Workbench, errors, fail, json, rows, succeed};

const PATTERN: [&str; 2] = ["--patient-pattern", "(case[0-9]+)-"];

/// A workbench whose cells do not have NLM's names but names such as `case7-2.png`, and `patients.csv` with their patients.
fn clinic() -> Workbench {
    let bench = Workbench::new();
    let mut table = String::from("file,patient\n");
    for class in ["Parasitized", "Uninfected"] {
        for cell in fs::read_dir(bench.path("cells").join(class)).unwrap() {
            let path = cell.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap();
            let patient = &name[1..name.find('P').unwrap()];
            let renamed = format!("case{patient}-{}.png", name.rsplit('_').next().unwrap());
            table += &format!("{class}/{renamed},case{patient}\n");
            fs::rename(&path, path.with_file_name(renamed)).unwrap();
        }
    }
    fs::write(bench.path("patients.csv"), table).unwrap();
    bench
}

/// The patients of each subset in a split.csv.
fn patients(split: &Path) -> BTreeMap<String, BTreeSet<String>> {
    let mut patients: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in rows(split) {
        patients.entry(row["subset"].clone()).or_default().insert(row["patient"].clone());
    }
    patients
}

#[track_caller]
fn assert_apart(split: &Path) {
    let subsets = patients(split);
    let all: BTreeSet<&String> = subsets.values().flatten().collect();
    assert_eq!((all.len(), subsets.values().map(BTreeSet::len).sum::<usize>()), (PATIENTS, PATIENTS));
    assert!(all.iter().all(|patient| patient.starts_with("case")), "{all:?}");
}

fn document(command: &mut Command) -> Value {
    serde_json::from_str(&succeed(command.arg("--json"))).unwrap()
}

#[test]
fn a_pattern_applies_from_training_to_calls() {
    let bench = clinic();
    let said = fail(&mut bench.train("run"));
    for words in [
        "pictures of unknown patients: 96 of 96, first `Parasitized/case1-0.png`",
        "help: name the patients with --patient-pattern or --patients",
    ] {
        assert!(said.contains(words) && !said.contains("reading images"), "{said}");
    }
    succeed(bench.train("run").args(PATTERN).args(["--epochs", "2"]));
    assert_apart(&bench.path("run/split.csv"));
    assert_eq!(json(&bench.path("run/config.json"))["patients"]["pattern"], PATTERN[1]);
    let metrics = json(&bench.path("run/metrics.json"));
    assert_eq!(metrics["cells_without_patient"], 0);

    // The patients of a run's own cells are in its split.csv.
    fs::remove_file(bench.path("run/metrics.json")).unwrap();
    succeed(&mut bench.resume("run"));
    assert_apart(&bench.path("run/split.csv"));
    let own = document(&mut bench.evaluate("run"));
    assert_eq!((&own["n_patients"], &own["unknown_patients"]), (&metrics["n_patients"], &Value::Null));
    let mut export = bench.malaria("export");
    let exported =
        document(export.args(["--run", "run", "--out", "a.onnx", "--weights", "int8", "--max-loss", "1"]));
    assert_eq!(exported["quantization_loss"]["n_patients"], metrics["n_patients"]);

    // For other cells a flag is needed.
    bench.mirror_cells("others", str::to_owned);
    let evaluate = |flags: &[&str]| {
        let mut evaluate = bench.malaria("evaluate");
        evaluate.args(["--run", "run", "--data", "others"]).args(flags);
        evaluate
    };
    let output = evaluate(&["--json"]).output().unwrap();
    let others: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&others["unknown_patients"]["cells"], &others["n_patients"]), (&CELLS.into(), &0.into()));
    assert!(errors(&output).contains("unknown patients: 96 of 96"), "{}", errors(&output));
    assert_eq!(document(&mut evaluate(&PATTERN))["n_patients"], PATIENTS);
    let mut predict = bench.malaria("predict");
    let called = document(predict.args(["--run", "run", "others"]).args(PATTERN));
    assert_eq!(
        (&called["unknown_patients"], &called["cells"][0]["patient"]),
        (&Value::Null, &"case1".into())
    );
}

#[test]
fn a_table_applies_to_all_folds() {
    let bench = clinic();
    let table = fs::read_to_string(bench.path("patients.csv")).unwrap();
    let fold = |flags: &[&str]| {
        let mut fold = bench.cross_validate_folds("2", "cv");
        fold.args(["--epochs", "1"]).args(flags);
        fold
    };
    succeed(&mut fold(&["--fold", "1", "--patients", "patients.csv"]));
    assert_apart(&bench.path("cv/fold-1/split.csv"));

    // Other patients in the table are refused.
    let said = fail(&mut fold(&["--fold", "1", PATTERN[0], PATTERN[1]]));
    assert!(said.contains("fold-1") && said.contains("`patients"), "{said}");
    fs::write(bench.path("patients.csv"), table.replace(",case9\n", ",case10\n")).unwrap();
    let said = fail(&mut fold(&["--fold", "2", "--patients", "patients.csv"]));
    assert!(said.contains("is a cell of case10; in `") && said.contains("one of case9"), "{said}");

    // A resumed run needs no table: split.csv has the patients.
    fs::remove_file(bench.path("patients.csv")).unwrap();
    let split = fs::read(bench.path("cv/fold-1/split.csv")).unwrap();
    fs::remove_file(bench.path("cv/fold-1/metrics.json")).unwrap();
    succeed(&mut bench.resume("cv/fold-1"));
    assert_eq!(fs::read(bench.path("cv/fold-1/split.csv")).unwrap(), split);

    fs::write(bench.path("patients.csv"), table).unwrap();
    succeed(&mut fold(&["--patients", "patients.csv"]));
    assert_eq!(json(&bench.path("cv/metrics.json"))["n_patients"], PATIENTS);
}

#[test]
fn cells_of_unknown_patients_are_counted() {
    let bench = clinic();
    let mut train = bench.train("run");
    let flags = ["--split", "random", "--epochs", "1", "--patient-pattern", "(case[1-8])-"];
    let output = train.args(flags).output().unwrap();
    let said = errors(&output);
    assert!(output.status.success(), "{said}");
    let warning = "warning: pictures of unknown patients: 48 of 96, first `Parasitized/case10-0.png`; name \
        the patients with --patient-pattern";
    assert!(said.contains(warning), "{said}");
    let metrics = json(&bench.path("run/metrics.json"));
    let unknown =
        rows(&bench.path("run/predictions.csv")).iter().filter(|row| row["patient"].is_empty()).count();
    assert!(unknown > 0 && metrics["cells_without_patient"] == unknown);
    let caveat = serde_json::json!({ "caveat": "unknown-patients", "cells": unknown });
    assert!(metrics["caveats"].as_array().unwrap().contains(&caveat), "{metrics}");
    assert!(
        fs::read_to_string(bench.path("run/report.html")).unwrap().contains("Cells of unknown patients: 48.")
    );
}

#[test]
fn trees_keep_patients_in_one_set_by_the_same_flags() {
    let bench = clinic();
    let build = |flags: &[&str]| {
        let mut build = bench.malaria("build-dataset");
        build.args(["--data", "cells", "--out", "trees", "--split", "patient"]).args(flags);
        build
    };
    for (flags, words) in [
        (&[][..], "help: name the patients with --patient-pattern or --patients"),
        (&["--patient-pattern", "(P[0-9]+)"], "help: give another --patient-pattern"),
        (&["--patient-pattern", "(case[1-8])-"], "unknown patients: 48 of 96"),
    ] {
        let said = fail(&mut build(flags));
        assert!(said.contains(words) && !bench.path("trees").exists(), "{said}");
    }
    let by_table = ["--patients", "patients.csv"];
    succeed(&mut build(&by_table));
    succeed(bench.train_on("trees", "run").args(["--split", "given", "--epochs", "1"]).args(by_table));
    assert_apart(&bench.path("run/split.csv"));
}

#[test]
fn flags_that_do_not_fit_are_refused_by_name() {
    let bench = clinic();
    fs::write(bench.path("other.csv"), "file,patient\ncase1-0.png,case1\n").unwrap();
    fs::write(bench.path("names.csv"), "name,patient\nParasitized/case1-0.png,case1\n").unwrap();
    let cases: [(&[&str], &[&str]); 7] = [
        (&["--patient-pattern", "case"], &["--patient-pattern", "`case`, with 0 groups", "expected"]),
        (&["--patient-pattern", "(case"], &["--patient-pattern", "unclosed group"]),
        (&["--patient-pattern", "(C[0-9]+)P"], &["--patient-pattern", "finds no patient in any of the 96"]),
        (&["--patients", "none.csv"], &["none.csv", "No such file"]),
        (&["--patients", "names.csv"], &["names.csv`, line 1", "columns file,patient", "name,patient"]),
        (&["--patients", "other.csv"], &["other.csv`, line 2", "found `case1-0.png`"]),
        (&["--patients", "patients.csv", PATTERN[0], PATTERN[1]], &["cannot be used with", "--patients"]),
    ];
    let train = cases.map(|(flags, words)| (bench.train("run"), flags, words));
    // The same code checks the flags of both subcommands.
    let cross_validate = cases[..1].iter().map(|&(flags, words)| (bench.cross_validate("cv"), flags, words));
    for (mut command, flags, words) in train.into_iter().chain(cross_validate) {
        let said = fail(command.args(flags));
        assert!(words.iter().all(|word| said.contains(word)), "{flags:?}: {said}");
        assert!(!said.contains("reading images"), "{said}");
    }
    assert!(!bench.path("run").exists() && !bench.path("cv/fold-1").exists());
    let said = fail(bench.resume("run").args(PATTERN));
    assert!(said.contains("cannot be used with"), "{said}");
    let said = fail(bench.malaria("export").args(["--out", "a.onnx"]).args(PATTERN));
    assert!(said.contains("--patient-pattern") && said.contains("nothing is compared"), "{said}");
}
