//! `malaria cross-validate`: pooled metrics, folds run separately, the final model, and folds that are refused.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    num::NonZeroUsize,
    sync::{OnceLock, atomic::AtomicBool},
};

use malaria_resnet::{
    Caveat, ChosenOn, Classifier, Context, CrossValidationMetrics, CrossValidationOptions, ExperimentConfig,
    MetricsOf, Progress, RuleKind, metrics::choose_threshold, train::Precision,
};

use crate::support::{
    CELLS, PATIENTS, Training, Workbench, cross_validated, fail, json, replace_in, rows, succeed,
};

type Row = BTreeMap<String, String>;

/// The metrics of the shared cross-validation and the rows of its predictions.
fn pooled() -> (CrossValidationMetrics, Vec<Row>) {
    let folds = cross_validated().path("folds");
    (serde_json::from_value(json(&folds.join("metrics.json"))).unwrap(), rows(&folds.join("predictions.csv")))
}

/// Whether each cell is infected, and its probability of being infected.
fn truth_and_scores<'a>(rows: impl IntoIterator<Item = &'a Row>) -> (Vec<bool>, Vec<f64>) {
    let score = |row: &Row| row["probability_Parasitized"].parse::<f64>().unwrap();
    rows.into_iter().map(|row| (row["class"] == "Parasitized", score(row))).unzip()
}

#[test]
fn every_cell_is_predicted_once_in_the_fold_of_its_patient() {
    let (metrics, pooled) = pooled();
    let bench = cross_validated();
    assert_eq!((pooled.len(), metrics.n_test), (CELLS, CELLS));
    let mut fold_of: BTreeMap<&str, &str> = BTreeMap::new();
    for row in &pooled {
        assert_eq!(fold_of.entry(&row["patient"]).or_insert(&row["fold"]), &row["fold"]);
    }
    assert_eq!(fold_of.len(), PATIENTS);
    for (number, fold) in (1..).zip(&metrics.folds) {
        let own = rows(&bench.path(&format!("folds/fold-{number}/predictions.csv")));
        let theirs = pooled.iter().filter(|row| row["fold"] == number.to_string());
        assert!(own.iter().map(|row| &row["path"]).eq(theirs.map(|row| &row["path"])));
        assert_eq!(fold.n_test, own.len());
    }
    let said = fs::read_to_string(bench.path("folds.txt")).unwrap();
    for words in [
        "patient split: no patient is in two sets",
        "not a medical device",
        "fold 3: ",
        "bootstrap over 16 patients",
    ] {
        assert!(said.contains(words), "{words}:\n{said}");
    }
}

#[test]
fn each_fold_is_called_at_the_threshold_of_the_other_folds() {
    let (metrics, pooled) = pooled();
    let target = metrics.threshold.unwrap().target;
    assert_eq!(metrics.threshold.unwrap().chosen_on, ChosenOn::OutOfFold);
    let (mut found, mut infected) = (0, 0);
    for (number, fold) in (1..).zip(&metrics.folds) {
        let (own, others): (Vec<_>, Vec<_>) =
            pooled.iter().partition(|row| row["fold"] == number.to_string());
        let (truth, scores) = truth_and_scores(others);
        let chosen = choose_threshold(&truth, &scores, target).unwrap();
        assert_eq!(fold.threshold, Some(chosen.threshold));
        let (truth, scores) = truth_and_scores(own.iter().copied());
        let called = |score: &f64| if *score >= chosen.threshold { "Parasitized" } else { "Uninfected" };
        assert!(own.iter().zip(&scores).all(|(row, score)| row["predicted"] == called(score)), "{own:?}");
        let right = own.iter().filter(|row| row["class"] == row["predicted"]).count();
        assert_eq!(fold.accuracy, Some(right as f64 / own.len() as f64));
        found += truth.iter().zip(&scores).filter(|&(&is, &score)| is && score >= chosen.threshold).count();
        infected += truth.iter().filter(|&&is| is).count();
    }
    assert_eq!(metrics.pooled.sensitivity, Some(found as f64 / infected as f64));
    assert_eq!(metrics.decision_rule, RuleKind::FoldThresholds);
    assert!(metrics.caveats.contains(&Caveat::FoldThresholds));
    let page = fs::read_to_string(cross_validated().path("folds/report.html")).unwrap();
    assert!(page.contains(&Caveat::FoldThresholds.to_string()));
}

#[test]
fn pooled_metrics_follow_from_the_predictions_and_lie_in_their_intervals() {
    let (metrics, pooled) = pooled();
    let share =
        |column: &str| pooled.iter().filter(|row| row["class"] == row[column]).count() as f64 / CELLS as f64;
    let right = share("predicted");
    assert!((metrics.pooled.accuracy.unwrap() - right).abs() < 1e-12);
    assert!((metrics.pooled.accuracy_argmax.unwrap() - share("argmax")).abs() < 1e-12);
    let intervals = &metrics.assessment.intervals;
    let accuracy = intervals.accuracy.unwrap();
    assert!(accuracy.low <= right && right <= accuracy.high, "{accuracy:?}");
    let sensitivity = intervals.sensitivity.unwrap();
    let found = metrics.pooled.sensitivity.unwrap();
    assert!((sensitivity.low..=sensitivity.high).contains(&found), "{sensitivity:?}");
    assert_eq!((intervals.clusters, metrics.metrics_of), (PATIENTS, MetricsOf::CrossValidation));
    assert!(metrics.at_published_specificity.expect("real cells").specificity >= 0.972);
    let mean = metrics.folds.iter().filter_map(|fold| fold.accuracy).sum::<f64>() / 3.0;
    assert!((metrics.accuracy_over_folds.unwrap().mean - mean).abs() < 1e-12);
}

#[test]
fn contradicted_labels_and_patients_are_listed() {
    let (metrics, _) = pooled();
    let folds = cross_validated().path("folds");
    let audit = rows(&folds.join("label_audit.csv"));
    let of_label: Vec<f64> = audit.iter().map(|row| row["probability_of_label"].parse().unwrap()).collect();
    assert!(of_label.is_sorted() && audit.iter().all(|row| row["class"] != row["suggested"]));
    let header = "path,class,patient,fold,suggested,probability_of_label\n";
    assert!(fs::read_to_string(folds.join("label_audit.csv")).unwrap().starts_with(header));
    let page = fs::read_to_string(folds.join("report.html")).unwrap();
    assert!(page.contains(&format!("{} of {CELLS} labels are contradicted", audit.len())));

    let patient_level = metrics.assessment.patient_level.as_ref().expect("patients are called");
    assert_eq!(metrics.assessment.n_patients, PATIENTS);
    let patients = rows(&folds.join("patients.csv"));
    assert_eq!(patients.len(), PATIENTS);
    let sum = |column: &str| patients.iter().map(|row| row[column].parse::<usize>().unwrap()).sum::<usize>();
    assert_eq!((sum("cells"), sum("infected")), (CELLS, CELLS / 2));
    let called = patients.iter().filter(|row| row["call"] == "positive").count() as u64;
    assert_eq!(
        called,
        patient_level.as_they_are.infected.positive + patient_level.as_they_are.healthy.positive
    );
}

#[test]
fn a_fold_run_separately_and_copied_gives_the_same_predictions() {
    let together = cross_validated();
    let bench = together.copy();
    fs::rename(bench.path("folds"), bench.path("there")).unwrap();
    let said = succeed(bench.cross_validate("folds").args(["--fold", "2"]));
    assert!(said.contains("folds still to run: [1, 3]"), "{said}");
    assert!(!bench.path("folds/metrics.json").exists());
    assert!(bench.weights("folds/fold-2") == together.weights("folds/fold-2"), "the weights differ");
    for fold in ["fold-1", "fold-3"] {
        fs::rename(bench.path("there").join(fold), bench.path("folds").join(fold)).unwrap();
    }
    let modified =
        || fs::metadata(bench.path("folds/fold-2/weights.safetensors")).unwrap().modified().unwrap();
    let before = modified();
    succeed(&mut bench.cross_validate("folds"));
    assert_eq!(before, modified(), "a finished fold was run again");
    let predictions = |bench: &Workbench| fs::read(bench.path("folds/predictions.csv")).unwrap();
    assert!(predictions(&bench) == predictions(together), "the predictions differ");
}

#[test]
#[cfg(unix)]
fn folds_are_pooled_once_before_the_final_model_is_trained() {
    use std::os::unix::fs::MetadataExt;
    let bench = Workbench::new();
    let mut config = ExperimentConfig::read(&bench.path("tiny.json")).unwrap();
    (config.data, config.threads) = (Some(bench.path("cells")), NonZeroUsize::new(1));
    config.set_epochs(1);
    let out = bench.path("cv");
    // Pooling replaces the file.
    let pooled = || fs::metadata(out.join("metrics.json")).unwrap().ino();
    let before = OnceLock::new();
    let listener = |progress: Progress<'_>| {
        if let Progress::FinalModel { .. } = progress {
            before.set(pooled()).unwrap();
        }
    };
    let context = Context { command: "test", stop: &AtomicBool::new(false), listener: &listener };
    let options = CrossValidationOptions { folds: 2, only: None, final_model: true, out: &out };
    let summary = malaria_resnet::cross_validate(&config, options, context).unwrap();
    assert_eq!(before.get(), Some(&pooled()));
    assert!(summary.metrics.is_some() && summary.final_model.is_some());
}

#[test]
fn the_final_model_is_trained_on_every_cell_and_has_the_metrics_of_the_folds() {
    let (metrics, _) = pooled();
    let bench = cross_validated().copy();
    // The metrics of the folds are written first, even if the final model fails: here because a file has its name.
    fs::remove_file(bench.path("folds/metrics.json")).unwrap();
    fs::write(bench.path("folds/final"), "").unwrap();
    let mut with_final = bench.cross_validate("folds");
    with_final.arg("--final");
    let said = fail(&mut with_final);
    assert!(said.contains("folds/final"), "{said}");
    assert!(bench.path("folds/metrics.json").exists(), "no metrics before the final model is trained");
    fs::remove_file(bench.path("folds/final")).unwrap();
    succeed(&mut with_final);
    assert!(rows(&bench.path("folds/final/split.csv")).iter().all(|row| row["subset"] == "train"));
    assert_eq!(json(&bench.path("folds/final/metrics.json")), json(&bench.path("folds/metrics.json")));
    let history = rows(&bench.path("folds/final/history.csv"));
    assert!(history.len() == 6 && history.iter().all(|row| row["validation_loss"].is_empty()), "{history:?}");
    assert!(bench.weights("folds/final") != bench.weights("folds/fold-2"));
    let card = fs::read_to_string(bench.path("folds/final/model_card.md")).unwrap();
    for words in [
        "cross-validated: 96 cells of 16 patients",
        "not a medical device",
        "It was trained on 96 cells of 16 patients. split.csv",
    ] {
        assert!(card.contains(words), "{words}: {card}");
    }
    let threshold =
        || Classifier::load(&bench.path("folds/final"), tch::Device::Cpu).unwrap().description.threshold;
    assert_eq!(threshold(), metrics.threshold);
    let said = fail(&mut bench.resume("folds/final"));
    assert!(said.contains("is finished"), "{said}");
    assert_eq!(threshold(), metrics.threshold);
    let said = fail(&mut bench.train("folds"));
    assert!(said.contains("holds the folds of a cross-validation"), "{said}");
    let said = succeed(&mut bench.evaluate("folds/final"));
    assert!(said.starts_with("96 cells of cells (all cells)"), "{said}");

    calls_patients_without_cells_with_a_warning(&bench);
}

/// `predict` with the final model: patients are in the table and in the JSON; cells with a warning do not count.
fn calls_patients_without_cells_with_a_warning(bench: &Workbench) {
    // A picture without the black border of a cell.
    let mut white = image::RgbImage::from_pixel(24, 20, image::Rgb([255, 255, 255]));
    white.put_pixel(9, 9, image::Rgb([150; 3]));
    white.save(bench.path("cells/Uninfected/C99P98ThinF_IMG_20150101_cell_1.png")).unwrap();
    let predict = |flags: &[&str]| {
        succeed(bench.malaria("predict").args(["--run", "folds/final", "cells"]).args(flags))
    };
    let said = predict(&[]);
    let cells = || said.lines().filter(|line| line.contains("cells/"));
    let warned = cells().filter(|line| line.contains('[')).count();
    assert!(cells().any(|line| line.contains("C99P98") && line.contains('[')), "{said}");
    assert!(said.contains(&format!("which do not count for patients: {warned}\n")), "{said}");
    let counted: BTreeSet<&str> = cells()
        .filter(|line| !line.contains('['))
        .map(|line| line.split(['/', 'P']).rev().nth(1).unwrap())
        .collect();
    let table = said.split("infected cells (95 % interval)  call\n").nth(1).expect(&said);
    let called: BTreeSet<&str> = table
        .lines()
        .take_while(|line| line.starts_with('C'))
        .filter(|line| !line.contains("not called: all pictures have a warning"))
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert!(!counted.is_empty() && called == counted, "{counted:?}\n{said}");

    let flipped = predict(&["--flips"]);
    assert!(
        !flipped.contains("infected cells (95 % interval)") && flipped.contains("four mirror images"),
        "{flipped}"
    );
    let said: serde_json::Value = serde_json::from_str(&predict(&["--json"])).unwrap();
    let patients =
        said["patients"].as_array().unwrap().iter().filter(|patient| patient["called"]["cells"] != 0);
    assert!(
        patients.map(|patient| patient["patient"].as_str().unwrap()).eq(counted.iter().copied()),
        "{said}"
    );
    assert_eq!(said["cells"].as_array().unwrap().len(), CELLS + 1);
    assert_eq!(said["not_counted"], warned);
}

#[test]
fn excluded_cells_are_named_and_the_same_in_every_fold() {
    let bench = Workbench::new();
    let named = "Uninfected/C1P0ThinF_IMG_20150101_cell_3.png";
    assert!(bench.path("cells").join(named).is_file());
    fs::write(bench.path("doubtful.csv"), format!("path\n{named}\n")).unwrap();
    let excluding = || {
        let mut command = bench.cross_validate_folds("2", "out");
        command.args(["--epochs", "1", "--exclude", "doubtful.csv"]);
        command
    };
    succeed(excluding().arg("--final"));
    let metrics: CrossValidationMetrics =
        serde_json::from_value(json(&bench.path("out/metrics.json"))).unwrap();
    assert_eq!((metrics.n_excluded, metrics.n_test), (1, CELLS));
    let page = fs::read_to_string(bench.path("out/report.html")).unwrap();
    assert!(page.contains("Cells excluded from every training set on request: 1."));
    let card = fs::read_to_string(bench.path("out/final/model_card.md")).unwrap();
    assert!(card.contains("except those excluded on request: 1"), "{card}");

    fs::remove_dir_all(bench.path("out/fold-1")).unwrap();
    fs::write(bench.path("doubtful.csv"), format!("path\n{}\n", named.replace("cell_3", "cell_4"))).unwrap();
    let said = fail(&mut excluding());
    assert!(said.contains("other settings: `exclude` is \"SHA-256 ") && said.contains("fold-2"), "{said}");
}

#[test]
fn folds_of_other_settings_are_refused() {
    let bench = Workbench::new();
    // `auto` may be another precision on another machine: such folds can be pooled.
    bench.change_settings(r#""float32""#, r#""auto""#);
    let fold = |flags: &[&str]| {
        let mut command = bench.cross_validate("out");
        command.args(["--epochs", "1"]).args(flags);
        command
    };
    succeed(&mut fold(&["--fold", "1", "--precision", "float32"]));
    let cases: [(&[&str], &str); 3] = [
        (
            &["--precision", "bfloat16"],
            "`train.precision` is \"float32\" in its config.json, and \"bfloat16\" now",
        ),
        (&["--fold", "4"], "expected a number from 1 to 3"),
        (&["--split", "given"], "use random or patient"),
    ];
    for (flags, words) in cases {
        let said = fail(&mut fold(flags));
        assert!(said.contains(words), "{words}: {said}");
    }
    let said = fail(bench.malaria("predict").args(["--run", "out", "cells"]));
    assert!(said.contains("holds the folds of a cross-validation"), "{said}");
    let said = fail(&mut bench.cross_validate("out/fold-1"));
    assert!(said.contains("holds a finished run") && !bench.path("out/fold-1/fold-1").exists(), "{said}");

    // The config of a fold contains the precision that `auto` has chosen.
    succeed(&mut fold(&["--fold", "2"]));
    let precision = |fold| {
        ExperimentConfig::read(&bench.path("out").join(fold).join("config.json")).unwrap().train.precision
    };
    assert_eq!(precision("fold-1"), Precision::Float32);
    assert_eq!(precision("fold-2"), Precision::Auto.resolve(tch::Device::Cpu));
}

#[test]
fn folds_of_other_cells_are_refused() {
    let bench = Workbench::new();
    let fold = |out: &str, flags: &[&str]| {
        let mut command = bench.cross_validate(out);
        command.args(["--epochs", "1"]).args(flags);
        command
    };
    succeed(&mut fold("out", &["--fold", "1"]));
    let cells = bench.path("cells/Uninfected");
    fs::copy(
        cells.join("C1P0ThinF_IMG_20150101_cell_3.png"),
        cells.join("C1P0ThinF_IMG_20150101_cell_9.png"),
    )
    .unwrap();
    // Refused before another fold is trained.
    let said = fail(&mut fold("out", &[]));
    assert!(said.contains("cell_9.png") && !bench.path("out/fold-2").exists(), "{said}");
    let said = fail(&mut fold("elsewhere", &["--init", "out/fold-1"]));
    assert!(said.contains("setting `init`") && said.contains("trained or selected on"), "{said}");
}

#[test]
fn altered_predictions_are_refused() {
    let bench = cross_validated().copy();
    let path = bench.path("folds/fold-2/predictions.csv");
    replace_in(&path, ",Parasitized,", ",Uninfected,");
    let said = fail(&mut bench.cross_validate("folds"));
    assert!(said.contains("fold-2") && said.contains("with their classes and patients"), "{said}");
}

#[test]
fn an_interrupted_fold_resumes_to_the_same_weights() {
    let bench = Workbench::new();
    // From weights trained on other cells of other patients, given by a relative path.
    bench.mirror_cells("others", |name| name.replacen('C', "C9", 1));
    succeed(bench.train_on("others", "started").args(["--epochs", "1"]));
    let fold_1 = |out: &str| {
        let mut command = bench.cross_validate(out);
        command.args(["--epochs", "3", "--fold", "1", "--init", "started"]);
        command
    };
    succeed(&mut fold_1("whole"));
    // A fold cannot know whether the initial weights were trained on its patients, so patients are not called.
    assert_eq!(
        json(&bench.path("whole/fold-1/metrics.json")).get("patient_level"),
        Some(&serde_json::Value::Null)
    );
    let mut training = Training::start(&mut fold_1("cut"));
    assert_eq!(training.event("fold")["fold"], 1);
    while training.event("batch")["epoch"] != 2 {}
    training.signal("INT");
    assert_eq!(training.end().0, Some(130));
    assert!(!bench.path("cut/fold-1/metrics.json").exists() && !bench.path("cut/fold-2").exists());

    succeed(&mut fold_1("cut"));
    assert!(bench.weights("cut/fold-1") == bench.weights("whole/fold-1"), "the weights differ");
    // The recorded command is the first one.
    let command = json(&bench.path("cut/fold-1/metrics.json"))["command"].as_str().unwrap().to_owned();
    assert!(command.contains("--progress json"), "{command}");
}
