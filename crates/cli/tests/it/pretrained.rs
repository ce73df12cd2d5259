//! The pretrained model of `data/pretrained`: the default, its metrics and its files.

use std::{collections::BTreeSet, fs, path::Path};

use malaria_resnet::{
    ChosenOn, Classifier, RunDir,
    dataset::{Subset, SyntheticConfig, read_manifest, write_synthetic},
};
use serde_json::Value;

use crate::support::{malaria, succeed};
use tch::Device;

fn run() -> RunDir {
    RunDir::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/pretrained")).unwrap()
}

#[test]
fn predict_and_evaluate_use_it_by_default() {
    let folder = tempfile::tempdir().unwrap();
    let cells = folder.path().join("cells");
    write_synthetic(&cells, &SyntheticConfig { cells: 8, ..SyntheticConfig::default() }, &|_| {}).unwrap();
    let said = succeed(malaria("predict").arg(&cells).arg("--json").current_dir(&folder));
    let said: Value = serde_json::from_str(&said).unwrap();
    let cells = said["cells"].as_array().unwrap();
    assert_eq!(cells.len(), 8);
    assert!(cells.iter().all(|cell| cell["probability"].is_f64()), "{said}");
    let said =
        succeed(malaria("evaluate").arg("--data").arg(folder.path().join("cells")).current_dir(&folder));
    assert!(said.contains("support"), "{said}");
}

#[test]
fn its_metrics_are_cross_validated_by_patient() {
    let run = run();
    let metrics: Value = serde_json::from_str(&fs::read_to_string(run.metrics_path()).unwrap()).unwrap();
    assert_eq!(metrics["metrics_of"], "cross-validation");
    assert_eq!(metrics["protocol"], "patient");
    assert_eq!((&metrics["n_test"], &metrics["n_patients"]), (&20_200.into(), &150.into()));
    assert_eq!(metrics["synthetic_cells"], false);
    let classifier = Classifier::load(run.path(), Device::Cpu).unwrap();
    let threshold = classifier.description.threshold.expect("a threshold");
    assert_eq!(threshold.chosen_on, ChosenOn::OutOfFold);
    assert_eq!(metrics["threshold"], serde_json::to_value(threshold).unwrap());
    let learned_from = read_manifest(&run.split_path()).unwrap().entries;
    assert_eq!(learned_from.len(), 20_200);
    assert!(learned_from.iter().all(|cell| cell.subset == Some(Subset::Train)));
    assert!(classifier.description.input.is_some());
}

#[test]
fn it_holds_no_pictures_and_no_absolute_paths() {
    let run = run();
    let files: BTreeSet<String> = fs::read_dir(run.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let expected = ["config.json", "history.csv", "metrics.json", "model_card.md", "plot.png", "split.csv"];
    for name in expected.into_iter().chain(["weights.safetensors"]) {
        assert!(files.contains(name), "{name} is missing of {files:?}");
    }
    for name in ["report.html", "checkpoint.safetensors", "run.lock"] {
        assert!(!files.contains(name), "{name}");
    }
    assert!(run.config().unwrap().data.unwrap().is_relative());
    let metrics = fs::read_to_string(run.metrics_path()).unwrap();
    assert!(!metrics.contains("\"/"), "an absolute path in metrics.json");
}
