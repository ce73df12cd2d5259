//! Cross-validation as its users run it: fold by fold, cut off, spread out, put together.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{BufRead, BufReader},
    process::Command,
};

use malaria_resnet::{
    Caveat, ChosenOn, Classifier, CrossValidationMetrics, ExperimentConfig, MetricsOf, RuleKind,
    metrics::choose_threshold, train::Precision,
};

use crate::support::{CELLS, PATIENTS, Workbench, fail, malaria, rows, succeed};

#[test]
fn folds_run_apart_come_to_what_they_come_to_together() {
    let bench = Workbench::new();
    // Without false alarms no patient is called.
    bench.mislabel();
    let settings = fs::read_to_string(bench.path("tiny.json")).unwrap();
    let allowing = settings.replace(r#""target":{"specificity":0.972}"#, r#""target":{"specificity":0.5}"#);
    assert_ne!(settings, allowing);
    fs::write(bench.path("tiny.json"), allowing).unwrap();
    let said = succeed(&mut bench.cross_validate("together"));
    for words in [
        "patient split: no patient is on two sides",
        "not a medical device",
        "fold 3: ",
        "bootstrap over 16 patients",
    ] {
        assert!(said.contains(words), "{words}:\n{said}");
    }

    // On two machines: one runs fold 2, the other 1 and 3; the first then has them all.
    let said = succeed(bench.cross_validate("here").args(["--fold", "2"]));
    assert!(said.contains("folds still to be run: [1, 3]"), "{said}");
    assert!(!bench.path("here/metrics.json").exists());
    for fold in ["1", "3"] {
        succeed(bench.cross_validate("there").args(["--fold", fold]));
        let name = format!("fold-{fold}");
        fs::rename(bench.path("there").join(&name), bench.path("here").join(&name)).unwrap();
    }
    let weights = |out: &str| fs::read(bench.path(out).join("fold-2/weights.safetensors")).unwrap();
    assert!(weights("here") == weights("together"), "the weights of fold 2 differ");
    let before = fs::metadata(bench.path("here/fold-2/weights.safetensors")).unwrap().modified().unwrap();
    succeed(&mut bench.cross_validate("here"));
    let after = fs::metadata(bench.path("here/fold-2/weights.safetensors")).unwrap().modified().unwrap();
    assert_eq!(before, after, "a finished fold was run again");
    let read = |name: &str| fs::read(bench.path(name)).unwrap();
    assert!(read("here/predictions.csv") == read("together/predictions.csv"), "the predictions differ");

    let said = fail(&mut bench.train("together"));
    assert!(said.contains("holds the folds of a cross-validation"), "{said}");

    // Every cell stands once, under the fold whose test set its patient is in.
    let metrics: CrossValidationMetrics = serde_json::from_slice(&read("together/metrics.json")).unwrap();
    let pooled = rows(&bench.path("together/predictions.csv"));
    assert_eq!((pooled.len(), metrics.n_test), (CELLS, CELLS));
    let mut fold_of: BTreeMap<&str, &str> = BTreeMap::new();
    for row in &pooled {
        assert_eq!(fold_of.entry(&row["patient"]).or_insert(&row["fold"]), &row["fold"]);
    }
    assert_eq!(fold_of.len(), PATIENTS);
    for (number, fold) in (1..).zip(&metrics.folds) {
        let own = rows(&bench.path(&format!("together/fold-{number}/predictions.csv")));
        let theirs = pooled.iter().filter(|row| row["fold"] == number.to_string());
        assert!(own.iter().map(|row| &row["path"]).eq(theirs.map(|row| &row["path"])));
        assert_eq!(fold.n_test, own.len());
    }

    // Labels that the models contradict, the worst first; the page says how many.
    let audit = rows(&bench.path("together/label_audit.csv"));
    let of_label: Vec<f64> = audit.iter().map(|row| row["probability_of_label"].parse().unwrap()).collect();
    assert!(of_label.is_sorted() && audit.iter().all(|row| row["class"] != row["suggested"]));
    let header = "path,class,patient,fold,suggested,probability_of_label\n";
    assert!(read("together/label_audit.csv").starts_with(header.as_bytes()));
    let page = String::from_utf8(read("together/report.html")).unwrap();
    assert!(page.contains(&format!("{} of {CELLS} labels are contradicted", audit.len())));
    // The threshold is chosen on all of them, and the roll-up by patient is there.
    assert_eq!(metrics.threshold.map(|threshold| threshold.chosen_on), Some(ChosenOn::OutOfFold));
    // But a fold's cells are evaluated at what was chosen on those of the others.
    let parasitized = |rows: &[&BTreeMap<String, String>]| -> (Vec<bool>, Vec<f64>) {
        let score = |row: &&BTreeMap<String, String>| row["probability_Parasitized"].parse::<f64>().unwrap();
        (rows.iter().map(|row| row["class"] == "Parasitized").collect(), rows.iter().map(score).collect())
    };
    let (mut found, mut infected) = (0, 0);
    for (number, fold) in (1..).zip(&metrics.folds) {
        let (own, others): (Vec<_>, Vec<_>) =
            pooled.iter().partition(|row| row["fold"] == number.to_string());
        let (truth, scores) = parasitized(&others);
        let chosen = choose_threshold(&truth, &scores, metrics.threshold.unwrap().target).unwrap();
        assert_eq!(fold.threshold, Some(chosen.threshold));
        let (truth, scores) = parasitized(&own);
        let called = |score: &f64| if *score >= chosen.threshold { "Parasitized" } else { "Uninfected" };
        assert!(own.iter().zip(&scores).all(|(row, score)| row["predicted"] == called(score)), "{own:?}");
        let right = own.iter().filter(|row| row["class"] == row["predicted"]).count();
        assert_eq!(fold.accuracy, right as f64 / own.len() as f64);
        found += truth.iter().zip(&scores).filter(|&(&is, &score)| is && score >= chosen.threshold).count();
        infected += truth.iter().filter(|&&is| is).count();
    }
    assert_eq!(metrics.pooled.sensitivity, Some(found as f64 / infected as f64));
    assert_eq!(metrics.decision_rule, RuleKind::FoldThresholds);
    assert!(metrics.caveats.contains(&Caveat::FoldThresholds));
    assert!(page.contains(&Caveat::FoldThresholds.to_string()));
    let roll_up = metrics.assessment.roll_up.as_ref().expect("patients are called");
    assert_eq!(metrics.assessment.n_patients, PATIENTS);
    let patients = rows(&bench.path("together/patients.csv"));
    assert_eq!(patients.len(), PATIENTS);
    let sum = |column: &str| patients.iter().map(|row| row[column].parse::<usize>().unwrap()).sum::<usize>();
    assert_eq!((sum("cells"), sum("infected")), (CELLS, CELLS / 2));
    let called = patients.iter().filter(|row| row["call"] == "positive").count() as u64;
    assert_eq!(called, roll_up.as_they_are.infected.positive + roll_up.as_they_are.healthy.positive);

    // On request a last model learns from every cell, and carries the figures of the folds, which do not wait for it: here it
    // has no place to lie.
    fs::remove_file(bench.path("together/metrics.json")).unwrap();
    fs::write(bench.path("together/final"), "").unwrap();
    let said = fail(bench.cross_validate("together").arg("--final"));
    assert!(said.contains("together/final"), "{said}");
    assert!(bench.path("together/metrics.json").exists(), "no figures before the last model is trained");
    fs::remove_file(bench.path("together/final")).unwrap();
    succeed(bench.cross_validate("together").arg("--final"));
    assert!(rows(&bench.path("together/final/split.csv")).iter().all(|row| row["subset"] == "train"));
    assert!(read("together/final/metrics.json") == read("together/metrics.json"));
    let last = Classifier::load(&bench.path("together/final"), tch::Device::Cpu).unwrap();
    assert_eq!(last.threshold, metrics.threshold);
    // Which nothing takes from it again.
    let mut resume = malaria("train");
    let said = fail(resume.current_dir(bench.folder.path()).args(["--resume", "together/final"]));
    assert!(said.contains("is finished"), "{said}");
    assert_eq!(
        Classifier::load(&bench.path("together/final"), tch::Device::Cpu).unwrap().threshold,
        metrics.threshold
    );
    let card = String::from_utf8(read("together/final/model_card.md")).unwrap();
    assert!(
        card.contains("cross-validated: 96 cells of 16 patients") && card.contains("not a medical device"),
        "{card}"
    );
    assert!(card.contains("It has learned from 96 cells of 16 patients. split.csv"), "{card}");
    let predict = |flags: &[&str]| {
        let mut command = malaria("predict");
        succeed(
            command.current_dir(bench.folder.path()).args(["--run", "together/final", "cells"]).args(flags),
        )
    };
    // By the model's rule, in the words of malaria-edge, and without cells that it warns of; not where its rates do not hold.
    let said = predict(&[]);
    let table = said.split("infected cells (95 % interval)  call\n").nth(1).expect(&said);
    let plain = said.lines().filter(|line| line.contains("cells/") && !line.contains('['));
    let evaluated: BTreeSet<&str> = plain.map(|line| line.split(['/', 'P']).rev().nth(1).unwrap()).collect();
    let called =
        table.lines().take_while(|line| line.starts_with('C')).map(|line| line.split(' ').next().unwrap());
    let called: BTreeSet<&str> = called.collect();
    assert!(!evaluated.is_empty() && called == evaluated, "{evaluated:?}\n{said}");
    let warned = said.lines().filter(|line| line.contains("cells/") && line.contains('[')).count();
    let told = format!("as they were warned of: {warned}");
    assert!(warned == 0 || said.contains(&told), "{said}");
    let flipped = predict(&["--flips"]);
    assert!(!flipped.contains("infected cells (95 %") && flipped.contains("four mirror images"), "{flipped}");
    let said: serde_json::Value = serde_json::from_str(&predict(&["--json"])).unwrap();
    let patients =
        said["patients"].as_array().unwrap().iter().map(|patient| patient["patient"].as_str().unwrap());
    assert!(patients.eq(evaluated.iter().copied()), "{said}");
    assert_eq!(said["cells"].as_array().unwrap().len(), CELLS);
    assert!(read("together/final/weights.safetensors") != weights("together"));
    let history = rows(&bench.path("together/final/history.csv"));
    assert!(history.len() == 6 && history.iter().all(|row| row["validation_loss"].is_empty()), "{history:?}");
    let said = succeed(malaria("evaluate").current_dir(bench.folder.path()).args([
        "--run",
        "together/final",
        "--data",
        "cells",
    ]));
    assert!(said.starts_with("96 cells of cells (all cells)"), "{said}");

    // The pooled figures are those of the rows, and their intervals hold them.
    let share =
        |column: &str| pooled.iter().filter(|row| row["class"] == row[column]).count() as f64 / CELLS as f64;
    let right = share("predicted");
    assert!((metrics.pooled.accuracy - right).abs() < 1e-12);
    assert!((metrics.pooled.accuracy_argmax - share("argmax")).abs() < 1e-12);
    let interval = metrics.assessment.intervals.accuracy.unwrap();
    assert!(interval.low <= right && right <= interval.high, "{interval:?}");
    assert_eq!(
        (metrics.assessment.intervals.clusters, metrics.metrics_of),
        (PATIENTS, MetricsOf::CrossValidation)
    );
    assert!(metrics.at_published_specificity.expect("real cells").specificity >= 0.972);
    let sensitivity = metrics.assessment.intervals.sensitivity.unwrap();
    assert!(
        (sensitivity.low..=sensitivity.high).contains(&metrics.pooled.sensitivity.unwrap()),
        "{sensitivity:?}"
    );
    let mean = metrics.folds.iter().map(|fold| fold.accuracy).sum::<f64>() / 3.0;
    assert!((metrics.accuracy_over_folds.mean - mean).abs() < 1e-12);
}

#[test]
fn cells_left_out_are_told_of_where_folds_are_put_together() {
    let bench = Workbench::new();
    let named = "Uninfected/C1P0ThinF_IMG_20150101_cell_3.png";
    assert!(bench.path("cells").join(named).is_file());
    fs::write(bench.path("doubtful.csv"), format!("path\n{named}\n")).unwrap();
    succeed(bench.cross_validate("out").args(["--exclude", "doubtful.csv", "--final"]));
    let metrics: CrossValidationMetrics =
        serde_json::from_slice(&fs::read(bench.path("out/metrics.json")).unwrap()).unwrap();
    assert_eq!((metrics.n_excluded, metrics.n_test), (1, CELLS));
    let page = fs::read_to_string(bench.path("out/report.html")).unwrap();
    assert!(
        page.contains("Cells left out of every training set on request: 1;")
            && !page.contains("none was left out")
    );
    let card = fs::read_to_string(bench.path("out/final/model_card.md")).unwrap();
    assert!(card.contains("but for those left out on request: 1"), "{card}");

    // All folds have to leave out the same.
    let tests_others = |fold: &usize| {
        let tested = rows(&bench.path(&format!("out/fold-{fold}/predictions.csv")));
        tested.iter().all(|row| row["patient"] != "C1")
    };
    let fold = format!("fold-{}", (1..=3).find(tests_others).unwrap());
    fs::remove_dir_all(bench.path("out").join(&fold)).unwrap();
    fs::write(bench.path("doubtful.csv"), format!("path\n{}\n", named.replace("cell_3", "cell_4"))).unwrap();
    let said = fail(bench.cross_validate("out").args(["--exclude", "doubtful.csv"]));
    assert!(said.contains("it has learned from Uninfected/") && said.contains(&fold), "{said}");
}

#[test]
fn folds_that_do_not_belong_together_are_refused() {
    let bench = Workbench::new();
    // The rest leaves the precision to the machine, which may choose another: such folds do belong together.
    let settings = fs::read_to_string(bench.path("tiny.json")).unwrap();
    fs::write(bench.path("tiny.json"), settings.replace(r#""float32""#, r#""auto""#)).unwrap();
    succeed(bench.cross_validate("out").args(["--fold", "1", "--precision", "float32"]));
    let said = fail(bench.cross_validate("out").args(["--seed", "9"]));
    assert!(
        said.contains("fold-1") && said.contains("`split.seed` is 1 in its config.json, and 9 now"),
        "{said}"
    );
    let said = fail(bench.cross_validate("out").args(["--lr", "0.01"]));
    assert!(said.contains("`train.schedule.rate` is 0.1 in its config.json, and 0.01 now"), "{said}");
    let said = fail(bench.cross_validate("out").args(["--precision", "bfloat16"]));
    assert!(
        said.contains("`train.precision` is \"float32\" in its config.json, and \"bfloat16\" now"),
        "{said}"
    );
    let said = fail(bench.cross_validate("out").args(["--fold", "4"]));
    assert!(said.contains("no fold 4 of 3"), "{said}");
    let mut predict = malaria("predict");
    let said = fail(predict.current_dir(bench.folder.path()).args(["--run", "out", "cells"]));
    assert!(said.contains("holds the folds of a cross-validation"), "{said}");
    let said = fail(&mut bench.cross_validate("out/fold-1"));
    assert!(said.contains("holds a finished run") && !bench.path("out/fold-1/fold-1").exists(), "{said}");
    let said = fail(bench.cross_validate("new").args(["--split", "given"]));
    assert!(said.contains("use random or patient") && !bench.path("new/fold-1").exists(), "{said}");

    // Other cells behind one fold.
    succeed(bench.cross_validate("out").args(["--fold", "2"]));
    // What `auto` came to is written down.
    let precision = |fold| {
        let settings = fs::read_to_string(bench.path("out").join(fold).join("config.json")).unwrap();
        serde_json::from_str::<ExperimentConfig>(&settings).unwrap().train.precision
    };
    assert_eq!(precision("fold-1"), Precision::Float32);
    assert_eq!(precision("fold-2"), Precision::Auto.resolve(tch::Device::Cpu));
    let cells = bench.path("cells/Uninfected");
    fs::copy(
        cells.join("C1P0ThinF_IMG_20150101_cell_3.png"),
        cells.join("C1P0ThinF_IMG_20150101_cell_9.png"),
    )
    .unwrap();
    // It is known before another fold is trained.
    let said = fail(&mut bench.cross_validate("out"));
    assert!(said.contains("cell_9.png") && !bench.path("out/fold-3").exists(), "{said}");
    let said = fail(bench.cross_validate("elsewhere").args(["--init", "out/fold-1"]));
    assert!(said.contains("setting `init`") && said.contains("learned from"), "{said}");
    // A fold that was run elsewhere on other cells is found out when they are put together.
    succeed(bench.cross_validate("elsewhere").args(["--fold", "3"]));
    fs::rename(bench.path("elsewhere/fold-3"), bench.path("out/fold-3")).unwrap();
    let said = fail(&mut bench.cross_validate("out"));
    assert!(said.contains("other cells than that of") && !bench.path("out/metrics.json").exists(), "{said}");

    // Predictions that are not those of the fold's test set.
    let bench = Workbench::new();
    succeed(&mut bench.cross_validate("out"));
    let path = bench.path("out/fold-2/predictions.csv");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.lines().take(5).map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    let said = fail(&mut bench.cross_validate("out"));
    assert!(said.contains("fold-2") && said.contains("not the 30 test cells"), "{said}");
    fs::write(&path, text.replace("0.", "1.")).unwrap();
    let said = fail(&mut bench.cross_validate("out"));
    assert!(said.contains("expected a probability"), "{said}");
    let (header, rows) = text.split_once('\n').unwrap();
    for (from, to) in [(",Parasitized,", ",Uninfected,"), (",Parasitized,0.", ",Parasitized,0.00")] {
        let changed = rows.replacen(from, to, 1);
        assert_ne!(changed, rows, "{from}");
        fs::write(&path, format!("{header}\n{changed}")).unwrap();
        let said = fail(&mut bench.cross_validate("out"));
        let reason = if to.ends_with("0.00") { "sum to 1" } else { "with their classes and patients" };
        assert!(said.contains("fold-2") && said.contains(reason), "{said}");
    }
}

#[test]
fn a_fold_that_was_cut_off_goes_on_to_the_same_weights() {
    let bench = Workbench::new();
    // From weights of other cells of other patients, by a path that says nothing elsewhere.
    bench.mirror_cells("others", |name| name.replacen('C', "C9", 1));
    succeed(bench.train_on("others", "started").args(["--epochs", "1"]));
    let fold_1 = |out: &str| {
        let mut command = bench.cross_validate(out);
        command.args(["--fold", "1", "--init", "started"]);
        command
    };
    succeed(&mut fold_1("whole"));
    // What the first weights know of the patients, nobody can tell here: patients are not called.
    let metrics = fs::read_to_string(bench.path("whole/fold-1/metrics.json")).unwrap();
    assert!(metrics.contains(r#""roll_up": null"#), "{metrics}");
    let mut child =
        fold_1("cut").args(["--progress", "json"]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.next().unwrap().contains(r#""event":"fold","fold":1,"#));
    assert!(lines.any(|line| line.contains(r#""batch","epoch":2"#)));
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    lines.for_each(drop);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(!bench.path("cut/fold-1/metrics.json").exists() && !bench.path("cut/fold-2").exists());

    succeed(&mut fold_1("cut"));
    let weights = |out: &str| fs::read(bench.path(out).join("fold-1/weights.safetensors")).unwrap();
    assert!(weights("cut") == weights("whole"), "the weights differ");
    // The command of the record is the one that does it all again.
    let metrics = fs::read_to_string(bench.path("cut/fold-1/metrics.json")).unwrap();
    assert!(metrics.contains("--progress json"), "{metrics}");
}
