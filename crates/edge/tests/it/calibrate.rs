//! `malaria-edge calibrate`: new thresholds in weights and exported models.

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use malaria_classifier::WeightsFile;
use serde_json::Value;

const MODELS: [&str; 3] = ["tiny.safetensors", "tiny-f32.onnx", "tiny-int8.onnx"];

/// Copies of the fixtures.
fn models(folder: &Path) -> Vec<PathBuf> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let copy = |name: &&str| {
        fs::copy(fixtures.join(name), folder.join(name)).unwrap();
        folder.join(name)
    };
    MODELS.iter().map(copy).collect()
}

/// Forty patients with forty cells each. In half of the patients, half of the cells are infected; a tenth of the infected
/// cells is missed, and sixteen patients have a false alarm.
fn rows(header: &str) -> String {
    rows_of(40, header)
}

fn rows_of(patients: usize, header: &str) -> String {
    let mut rows = format!("{header}\n");
    for patient in 0..patients {
        for cell in 0..40 {
            let infected = patient < patients / 2 && cell < 20;
            let alarm = cell == 39 && patient % 5 < 2;
            let probability = if infected && cell > 1 || alarm { 0.9 } else { 0.001 * f64::from(cell) };
            let class = if infected { "Parasitized" } else { "Uninfected" };
            writeln!(rows, "C{patient}_{cell}.png,{class},C{patient},{},{probability}", patient % 4).unwrap();
        }
    }
    rows
}

fn calibrate(arguments: &[&str], paths: &[PathBuf]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_malaria-edge"));
    command.arg("calibrate").args(paths).args(arguments).output().unwrap()
}

fn info(model: &Path) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_malaria-edge")).arg("info").arg(model).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn weights_and_models_get_the_thresholds_of_the_predictions() {
    let folder = tempfile::tempdir().unwrap();
    let (table, json) = (folder.path().join("oof.csv"), folder.path().join("patients.json"));
    fs::write(&table, rows("File_Name,class,patient,fold,probability")).unwrap();
    let models = models(folder.path());
    let before = WeightsFile::read(&models[0]).unwrap();
    let all = [vec![table], models.clone()].concat();
    let output = calibrate(&["--target-specificity", "0.98", "--json", json.to_str().unwrap()], &all);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    for part in [
        "1600 cells of 40 patients in 4 folds",
        "Too few cells",
        "Detection limit",
        "20 of 20",
        "another laboratory",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let report: Value = serde_json::from_slice(&fs::read(&json).unwrap()).unwrap();
    let smear = &report["smear"];
    assert_eq!((smear["threshold"].as_f64(), smear["infected"]["mean"].as_f64()), (Some(0.9), Some(0.9)));
    assert_eq!(smear["uninfected"]["patients"], 40);
    let calls = &report["assessment"]["patient_level"]["as_they_are"];
    assert_eq!(calls["infected"]["positive"], 20);
    assert_eq!(calls["healthy"]["positive"], 0);

    let after = WeightsFile::read(&models[0]).unwrap();
    assert_eq!(after.weights.tensors, before.weights.tensors);
    assert_ne!(after.sha256, before.sha256);
    for model in &models[1..] {
        let info = info(model);
        assert_eq!(&info["description"]["smear"], smear);
        assert_eq!(info["description"]["threshold"], report["threshold"]);
        assert_eq!(info["description"], serde_json::to_value(&after.weights.description).unwrap());
        assert_eq!(info["origin"]["weights_sha256"], after.sha256);
    }
}

#[test]
fn the_default_target_is_that_of_the_model() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("oof.csv");
    // So few patients that no rule for smears is estimated, which takes most of the time.
    fs::write(&table, rows_of(8, "path,class,patient,fold,probability")).unwrap();
    let models = models(folder.path());
    let all = [vec![table], models.clone()].concat();
    assert!(calibrate(&["--target-specificity", "0.98"], &all).status.success());
    let bytes = models.iter().map(|model| fs::read(model).unwrap()).collect::<Vec<_>>();
    let info = info(&models[1]);
    assert_eq!(info["description"]["threshold"]["target"]["specificity"].as_f64(), Some(0.98), "{info}");
    // Running it again without a target changes nothing.
    assert!(calibrate(&[], &all).status.success());
    assert!(models.iter().zip(bytes).all(|(model, bytes)| fs::read(model).unwrap() == bytes));
}

#[test]
fn unsuitable_predictions_are_refused_and_models_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("oof.csv");
    let models = models(folder.path());
    let bytes = models.iter().map(|model| fs::read(model).unwrap()).collect::<Vec<_>>();
    let sound = rows("path,class,patient,fold,probability_Parasitized");
    for (text, words) in [
        (sound.replace("fold,", "part,"), "expected a column `fold`"),
        (sound.replace(",Uninfected,", ",Healthy,"), "found `Healthy`"),
        (sound.replacen(",0.9\n", ",1.9\n", 1), "expected a probability, found `1.9`"),
        (sound.replacen(",C5,1,", ",C5,2,", 1), "patient C5 are in several folds"),
        (sound.replacen(",C5,1,", ",C5,one,", 1), "the number of a fold, found `one`"),
        ("path,class,patient,fold,probability\n".to_owned(), "expected rows"),
    ] {
        fs::write(&table, text).unwrap();
        let output = calibrate(&[], &[vec![table.clone()], models.clone()].concat());
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && errors.contains(words) && errors.contains("oof.csv"),
            "{words}: {errors}"
        );
    }
    let exchanged = calibrate(&[], &[vec![models[1].clone(), table.clone()]].concat());
    assert!(String::from_utf8_lossy(&exchanged.stderr).contains("a CSV, before the models"), "{exchanged:?}");
    // A damaged gzip file, and a file that is not a model.
    fs::write(&table, [0x1f, 0x8b, 8, 0, 1]).unwrap();
    let output = calibrate(&[], &[vec![table.clone()], models.clone()].concat());
    assert!(String::from_utf8_lossy(&output.stderr).contains("not an intact gzip file"), "{output:?}");
    fs::write(&table, sound).unwrap();
    let output = calibrate(&[], &[vec![table.clone()], models.clone(), vec![table]].concat());
    assert!(!output.status.success(), "{output:?}");
    assert!(models.iter().zip(bytes).all(|(model, bytes)| fs::read(model).unwrap() == bytes));
}
