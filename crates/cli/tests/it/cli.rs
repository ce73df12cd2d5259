//! The program as its users call it.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use malaria_resnet::{
    ChosenOn, Metrics, RuleKind,
    metrics::{Target, choose_threshold},
};
use serde_json::Value;

use crate::support::{CELLS, Training, Workbench, fail, malaria, rows, succeed};

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn training_leaves_a_run_directory_that_evaluate_and_predict_agree_with() {
    let bench = Workbench::new();
    let said = succeed(bench.train("run").args(["--plot", "figure.svg"]));
    assert!(said.contains("patient split: no patient is on two sides"), "{said}");
    assert!(said.contains("Research software, not a medical device"), "{said}");
    let run = bench.path("run");
    for file in [
        "config.json",
        "split.csv",
        "history.csv",
        "checkpoint.safetensors",
        "weights.safetensors",
        "predictions.csv",
        "metrics.json",
        "plot.png",
        "report.html",
        "model_card.md",
    ] {
        assert!(fs::metadata(run.join(file)).unwrap().len() > 100, "{file}");
        assert!(said.contains(&format!("run/{file}")), "the summary leaves out {file}:\n{said}");
    }
    assert!(fs::read_to_string(bench.path("figure.svg")).unwrap().contains("<svg"));
    let card = fs::read_to_string(run.join("model_card.md")).unwrap();
    let is_name = |text: &str| text.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    let names = card.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name);
    assert!(!card.is_empty() && !names.clone().any(is_name), "{:?}", names.collect::<Vec<_>>());
    assert_eq!(fs::read(run.join("plot.png")).unwrap()[..4], *b"\x89PNG");

    // Nobody on two sides; the test set is tested on, once each, and figures are those of the predictions.
    let split = rows(&run.join("split.csv"));
    assert_eq!(split.len(), CELLS);
    let mut sides: BTreeMap<&str, &str> = BTreeMap::new();
    for row in &split {
        assert_eq!(sides.entry(&row["patient"]).or_insert(&row["subset"]), &row["subset"], "{row:?}");
    }
    let predictions = rows(&run.join("predictions.csv"));
    let tested: Vec<&str> =
        split.iter().filter(|row| row["subset"] == "test").map(|row| row["path"].as_str()).collect();
    assert!(predictions.iter().map(|row| row["path"].as_str()).eq(tested.iter().copied()));
    let metrics: Metrics = serde_json::from_value(json(&run.join("metrics.json"))).unwrap();
    assert_eq!(metrics.n_test, predictions.len());
    let right = predictions.iter().filter(|row| row["class"] == row["predicted"]).count();
    assert!((metrics.test.accuracy - right as f64 / predictions.len() as f64).abs() < 1e-12);
    // Whatever threshold the few validation cells give.
    assert!(metrics.test.accuracy_argmax > 0.9, "a dark spot should be learned: {:?}", metrics.test);
    assert_eq!(metrics.test.positive_class, "Parasitized");

    // `evaluate` gives the same figures from the weights on disk, from any folder.
    let (figures, cells) = (bench.path("figures.json"), bench.path("cells.csv"));
    let mut evaluate = malaria("evaluate");
    evaluate.current_dir("/").arg("--run").arg(&run).arg("--data").arg(bench.path("cells"));
    let said = succeed(evaluate.arg("--json").arg(&figures).arg("--predictions").arg(&cells));
    assert!(said.contains("the run's test cells"), "{said}");
    let again = json(&figures);
    for (name, value) in [
        ("accuracy", Some(metrics.test.accuracy)),
        ("sensitivity", metrics.test.sensitivity),
        ("specificity", metrics.test.specificity),
        ("auc", metrics.test.auc),
    ] {
        assert_eq!(again[name].as_f64(), value, "{name}");
    }
    assert_eq!(rows(&cells), predictions);
    // Where no test cell is, none can be asked for.
    bench.mirror_cells("others", |name| name.replacen('C', "C9", 1));
    let test_cells = |data: &str| {
        let mut evaluate = malaria("evaluate");
        evaluate.arg("--run").arg(&run).arg("--data").arg(bench.path(data)).args(["--subset", "test"]);
        evaluate
    };
    assert!(succeed(&mut test_cells("cells")).contains("the run's test cells"));
    let said = fail(&mut test_cells("others"));
    assert!(said.contains("others") && said.contains("test"), "{said}");

    // A run's own settings make the same run again.
    let mut again = malaria("train");
    again.current_dir(bench.folder.path()).args(["--config", "run/config.json", "--out", "again"]);
    succeed(&mut again);
    let weights = |run: &str| fs::read(bench.path(run).join("weights.safetensors")).unwrap();
    assert!(weights("again") == weights("run"), "the weights differ");

    // On all cells it warns of those that were learned from.
    let mut evaluate = malaria("evaluate");
    evaluate.arg("--run").arg(&run).arg("--data").arg(bench.path("cells")).args(["--subset", "all"]);
    let said = succeed(&mut evaluate);
    let warning = format!("has learned from {} of these cells", CELLS - metrics.n_test);
    assert!(said.contains(&warning), "{said}");

    // `predict` says the same of a single picture, in all three forms.
    let picture = bench.path("cells").join(&predictions[0]["path"]);
    let probability: f64 = predictions[0]["probability_Parasitized"].parse().unwrap();
    let mut predict = malaria("predict");
    predict.env("MALARIA_RUN", &run).arg(&picture).arg("--json");
    let said: Value = serde_json::from_str(&succeed(&mut predict)).unwrap();
    // A batch of another size may add in another order.
    assert!((said["cells"][0]["probability"].as_f64().unwrap() - probability).abs() < 1e-5);
    // What it is called is decided by the threshold that the run chose on its validation set.
    let threshold = metrics.threshold.unwrap().point.threshold;
    let called = if probability >= threshold { "Parasitized" } else { "Uninfected" };
    assert_eq!(said["cells"][0]["class"], called);
    fs::write(bench.path("cells/Uninfected/notes.txt"), "").unwrap();
    let output =
        malaria("predict").arg("--run").arg(&run).arg(bench.path("cells/Uninfected")).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("left out as they are not images: 1"));
    let table = String::from_utf8(output.stdout).unwrap();
    assert_eq!(table.lines().filter(|line| line.contains("Uninfected/C")).count(), CELLS / 2, "{table}");
    let table = succeed(malaria("predict").arg("--run").arg(&run).arg(&picture).arg("--csv"));
    assert!(
        table.starts_with("path,class,probability,warning,error\n") && table.lines().count() == 2,
        "{table}"
    );
}

#[test]
fn the_threshold_is_chosen_on_validation_and_used_by_evaluate_and_predict() {
    let bench = Workbench::new();
    bench.mislabel();
    // A threshold that is not the most probable class's: it reaches the cells that are called infected and do not look it.
    let said = succeed(bench.train("run").args(["--epochs", "2", "--target-sensitivity", "1"]));
    assert!(said.contains("chosen for a sensitivity of 100.00 % on the validation set"), "{said}");
    let metrics: Metrics = serde_json::from_value(json(&bench.path("run/metrics.json"))).unwrap();
    let threshold = metrics.threshold.unwrap();
    assert_eq!(threshold.target, Target::Sensitivity(1.0));
    assert_eq!(threshold.chosen_on, ChosenOn::Validation);

    let validation: Vec<_> =
        rows(&bench.path("run/split.csv")).into_iter().filter(|row| row["subset"] == "validation").collect();
    let mut predict = malaria("predict");
    predict.current_dir(bench.path("cells")).arg("--run").arg(bench.path("run")).arg("--json=-");
    let said: Value =
        serde_json::from_str(&succeed(predict.args(validation.iter().map(|row| &row["path"])))).unwrap();
    let truth = Vec::from_iter(validation.iter().map(|row| row["class"] == "Parasitized"));
    let cells = said["cells"].as_array().unwrap();
    let scores = Vec::from_iter(cells.iter().map(|cell| cell["probability"].as_f64().unwrap()));
    let again = choose_threshold(&truth, &scores, threshold.target).unwrap();
    // A batch of another size may add in another order.
    assert!((threshold.point.threshold - again.threshold).abs() < 1e-5, "{threshold:?}, {again:?}");
    assert_eq!((threshold.point.sensitivity, again.sensitivity), (1.0, 1.0));

    // The figures at it are those of the predictions, and `evaluate` gives them again.
    let predictions = rows(&bench.path("run/predictions.csv"));
    let positive = |row: &BTreeMap<String, String>| {
        row["probability_Parasitized"].parse::<f64>().unwrap() >= threshold.point.threshold
    };
    let right = predictions.iter().filter(|row| positive(row) == (row["class"] == "Parasitized")).count();
    let called = |row| if positive(row) { "Parasitized" } else { "Uninfected" };
    assert!(predictions.iter().all(|row| row["predicted"] == called(row)), "{predictions:?}");
    assert!(predictions.iter().any(|row| row["predicted"] != row["argmax"]), "nothing was tested");
    assert!((metrics.test.accuracy - right as f64 / predictions.len() as f64).abs() < 1e-12);
    let by_argmax = predictions.iter().filter(|row| row["argmax"] == row["class"]).count();
    assert!((metrics.test.accuracy_argmax - by_argmax as f64 / predictions.len() as f64).abs() < 1e-12);
    assert_eq!(metrics.decision_rule, RuleKind::Threshold);
    let again = bench.evaluate("run");
    assert_eq!(again["decision_rule"], "threshold");
    for name in ["accuracy", "accuracy_argmax", "sensitivity", "specificity", "confusion", "intervals"] {
        assert_eq!(again[name], json(&bench.path("run/metrics.json"))[name], "{name}");
    }

    let said = fail(bench.train("other").args(["--target-specificity", "97"]));
    assert!(said.contains("--target-specificity") && said.contains("from 0 to 1"), "{said}");
}

#[test]
fn flips_and_calibration_change_probabilities_and_say_so() {
    let bench = Workbench::new();
    succeed(bench.train("plain").args(["--epochs", "2"]));
    succeed(bench.train("calibrated").args(["--epochs", "2", "--calibrate"]));
    let metrics: Metrics = serde_json::from_value(json(&bench.path("calibrated/metrics.json"))).unwrap();
    let temperature = metrics.temperature.unwrap();
    let logit = |run: &str| -> Vec<f64> {
        let rows = rows(&bench.path(run).join("predictions.csv"));
        let p = rows.iter().map(|row| row["probability_Parasitized"].parse::<f64>().unwrap());
        p.map(|p| (p / (1.0 - p)).ln()).collect()
    };
    assert!((temperature - 1.0).abs() > 1e-3, "{temperature}");
    for (plain, calibrated) in logit("plain").iter().zip(logit("calibrated")) {
        assert!((plain / temperature - calibrated).abs() < 1e-6, "{plain} {calibrated} {temperature}");
    }

    let evaluate = |out: &str, flips: &[&str]| {
        let mut evaluate = malaria("evaluate");
        evaluate.current_dir(bench.folder.path()).args(["--run", "plain", "--data", "cells", "--json", out]);
        evaluate.args(["--report", "page.html"]).args(flips);
        succeed(&mut evaluate);
        json(&bench.path(out))
    };
    let (plain, flipped) = (evaluate("plain.json", &[]), evaluate("flipped.json", &["--flips"]));
    assert_eq!((&plain["flips"], &flipped["flips"]), (&Value::Bool(false), &Value::Bool(true)));
    assert_ne!(plain["log_loss"], flipped["log_loss"]);
    let page = fs::read_to_string(bench.path("page.html")).unwrap();
    assert!(page.contains("four mirror images") && page.contains("evaluate --run plain"), "{page}");
}

#[test]
fn without_a_threshold_predict_says_why_no_patient_is_called() {
    let bench = Workbench::new();
    succeed(bench.train("every").args(["--split", "all", "--epochs", "1"]));
    let said = succeed(malaria("predict").current_dir(bench.folder.path()).args(["--run", "every", "cells"]));
    assert!(said.contains("no threshold") && said.contains("Patients are not called"), "{said}");
}

#[test]
fn patients_are_not_called_by_those_that_were_learned_from() {
    let bench = Workbench::new();
    // Many false alarms, so that they are not what is missing.
    let many = ["--target-specificity", "0.3", "--epochs", "1"];
    succeed(bench.train("random").args(["--split", "random"]).args(many));
    let mut predict = malaria("predict");
    predict.current_dir(bench.folder.path()).args(["--run", "random", "cells", "--json"]);
    let said: Value = serde_json::from_str(&succeed(&mut predict)).unwrap();
    let rule = said["rule"].as_str().unwrap();
    assert!(rule.contains("Patients are not called") && rule.contains("has learned nothing"), "{rule}");
    assert_eq!(said["patients"], Value::Array(Vec::new()));
}

#[test]
fn cells_can_be_left_out_of_training_but_not_of_the_test() {
    let bench = Workbench::new();
    succeed(bench.train("all").args(["--epochs", "1"]));
    let split = rows(&bench.path("all/split.csv"));
    // One cell of each side.
    let named = ["train", "validation", "test"]
        .map(|side| split.iter().find(|row| row["subset"] == side).map(|row| row["path"].clone()).unwrap());
    fs::write(
        bench.path("doubtful.csv"),
        format!("path,why\n{}\n", named.each_ref().map(|path| format!("{path},?")).join("\n")),
    )
    .unwrap();
    let said = succeed(bench.train("fewer").args(["--epochs", "1", "--exclude", "doubtful.csv"]));
    assert!(said.contains("Cells left out of the training set on request: 1."), "{said}");
    let fewer = rows(&bench.path("fewer/split.csv"));
    for (before, after) in split.iter().zip(&fewer) {
        let expected = if before["path"] == named[0] { "" } else { &before["subset"] };
        assert_eq!(after["subset"], expected, "{}", before["path"]);
    }
    let metrics: Metrics = serde_json::from_value(json(&bench.path("fewer/metrics.json"))).unwrap();
    assert_eq!(metrics.n_excluded, 1);
    // It goes on as it began, even without the list.
    fs::remove_file(bench.path("doubtful.csv")).unwrap();
    fs::remove_file(bench.path("fewer/metrics.json")).unwrap();
    succeed(malaria("train").current_dir(bench.folder.path()).args(["--resume", "fewer"]));

    fs::write(bench.path("doubtful.csv"), "path\nParasitized/nobody.png\n").unwrap();
    let said = fail(bench.train("wrong").args(["--exclude", "doubtful.csv"]));
    assert!(
        said.contains("nobody.png") && said.contains("exclude") && !bench.path("wrong").exists(),
        "{said}"
    );
}

#[test]
fn build_dataset_makes_trees_that_train_as_they_are() {
    let bench = Workbench::new();
    let mut build = malaria("build-dataset");
    build.current_dir(bench.folder.path()).args(["--data", "cells", "--out", "trees", "--seed", "3"]);
    let said = succeed(&mut build);
    // 96 cells: int(96 * 0.8) = 76 for training, of which int(76 * 0.1) = 7 for validation.
    for line in
        ["training: 69 images", "validation: 7 images", "testing: 20 images", "96 images written, 0 there"]
    {
        assert!(said.contains(line), "{said}");
    }
    assert!(succeed(&mut build).contains("0 images written, 96 there already"));

    let mut train = malaria("train");
    train.current_dir(bench.folder.path()).args(["--data", "trees", "--out", "run", "--config", "tiny.json"]);
    let said = succeed(train.args(["--split", "given", "--epochs", "2"]));
    assert!(said.contains("split as given by the folder"), "{said}");
    assert_eq!(json(&bench.path("run/metrics.json"))["n_train"], 69);
    let said = succeed(malaria("evaluate").current_dir(bench.folder.path()).args([
        "--run",
        "run",
        "--data",
        "trees/testing",
    ]));
    assert!(said.starts_with("20 cells of trees/testing"), "{said}");
}

#[test]
fn a_run_goes_on_after_it_was_asked_to_stop_and_ends_with_the_same_weights() {
    let bench = Workbench::new();
    succeed(&mut bench.train("whole"));
    let expected = fs::read(bench.path("whole/weights.safetensors")).unwrap();

    // Ctrl-C, and what a system that shuts down or a batch queue sends.
    for (signal, status) in [("INT", 130), ("TERM", 130)] {
        let run = format!("cut-by-{signal}");
        let mut training = Training::start(&mut bench.train(&run));
        while training.event("batch")["epoch"] != 2 {}
        training.signal(signal);
        let (code, said) = training.end();
        assert_eq!(code, Some(status), "{said}");
        assert!(!bench.path(&run).join("weights.safetensors").exists());
        let said = fail(
            malaria("evaluate").args(["--data", "cells", "--run", &run]).current_dir(bench.folder.path()),
        );
        assert!(said.contains(&format!("malaria train --resume {run}")), "{said}");

        succeed(malaria("train").current_dir(bench.folder.path()).args(["--resume", &run]));
        let weights = fs::read(bench.path(&run).join("weights.safetensors")).unwrap();
        assert!(weights == expected, "the weights differ after SIG{signal}");
        let history = rows(&bench.path(&run).join("history.csv"));
        assert!(history.iter().map(|row| row["epoch"].as_str()).eq(["1", "2", "3", "4", "5", "6"]));
        // The command to do it again by is the first one.
        let command = json(&bench.path(&run).join("metrics.json"))["command"].as_str().unwrap().to_owned();
        assert!(command.contains(&format!("--out {run}")) && !command.contains("--resume"), "{command}");
    }
}

#[test]
fn fine_tuning_starts_from_the_weights_it_is_given() {
    let bench = Workbench::new();
    succeed(&mut bench.train("first"));
    let before = json(&bench.path("first/metrics.json"))["best_epoch"]["validation_loss"].as_f64().unwrap();
    succeed(bench.train("second").args(["--init", "first", "--epochs", "1", "--lr", "1e-9"]));
    let after = json(&bench.path("second/metrics.json"))["best_epoch"]["validation_loss"].as_f64().unwrap();
    // At a rate of nothing the network stays what it was, but for its running statistics.
    assert!((after - before).abs() < 0.2 * before + 0.05, "{before} before, {after} after");

    let card = fs::read_to_string(bench.path("second/model_card.md")).unwrap();
    assert!(
        card.contains("started from the weights of the run `first`, which had learned from 0 of"),
        "{card}"
    );

    // Cells that only the first weights know count as known, and no patients are called.
    bench.mirror_cells("others", |name| name.replacen('C', "C9", 1));
    succeed(bench.train_on("others", "third").args(["--init", "first", "--epochs", "1"]));
    let mut evaluate = malaria("evaluate");
    evaluate.current_dir(bench.folder.path()).args(["--run", "third", "--data", "cells", "--json", "e.json"]);
    let learned = rows(&bench.path("first/split.csv")).iter().filter(|row| row["subset"] != "test").count();
    let said = succeed(&mut evaluate);
    assert!(said.contains(&format!("has learned from {learned} of these cells")), "{said}");
    let figures = json(&bench.path("e.json"));
    assert!(figures["roll_up"].is_null() && figures["seen_in_training"] == learned, "{figures}");

    // A run goes on without them, and says where nobody can tell any more.
    fs::remove_file(bench.path("third/metrics.json")).unwrap();
    fs::rename(bench.path("first"), bench.path("elsewhere")).unwrap();
    succeed(malaria("train").current_dir(bench.folder.path()).args(["--resume", "third"]));
    assert!(json(&bench.path("third/metrics.json"))["test_cells_seen_by_init"].is_null());
    let card = fs::read_to_string(bench.path("third/model_card.md")).unwrap();
    assert!(card.contains("cannot be read any more: they may have learned from the test cells"), "{card}");
    let said = succeed(&mut evaluate);
    assert!(said.contains("first, too, which cannot be read any more"), "{said}");
}

#[test]
fn a_reader_that_goes_away_costs_nothing_but_its_own_lines() {
    let bench = Workbench::new();
    succeed(bench.train("run").args(["--epochs", "1"]));
    let closed = |command: &mut Command| {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        command.current_dir(bench.folder.path()).stdout(writer.try_clone().unwrap()).stderr(writer);
        assert_eq!(command.status().unwrap().code(), Some(0), "{command:?}");
    };
    closed(malaria("evaluate").args(["--run", "run", "--data", "cells", "--json", "figures.json"]));
    assert!(json(&bench.path("figures.json"))["accuracy"].is_number());
    for form in ["--json", "--csv", "--flips"] {
        closed(malaria("predict").args(["--run", "run", "cells", form]));
    }
    closed(bench.train("other").args(["--epochs", "1", "--progress", "plain"]));
    assert!(bench.path("other/metrics.json").is_file());
}
