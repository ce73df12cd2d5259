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
fn predict_and_evaluate_use_the_pretrained_model_by_default() {
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
    assert!(said.contains("sensitivity"), "{said}");
}

#[test]
fn the_thresholds_of_the_pretrained_model_were_chosen_out_of_fold() {
    let run = run();
    let rule = fs::read_to_string(run.path().join("../../results/rule-fast.json")).unwrap();
    let rule: Value = serde_json::from_str(&rule).unwrap();
    assert_eq!((&rule["n"], &rule["assessment"]["n_patients"]), (&20_200.into(), &150.into()));
    let classifier = Classifier::load(run.path(), Device::Cpu).unwrap();
    let description = &classifier.description;
    let threshold = description.threshold.as_ref().expect("a threshold");
    assert_eq!(threshold.chosen_on, ChosenOn::OutOfFold);
    assert_eq!(rule["threshold"], serde_json::to_value(threshold).unwrap());
    assert_eq!(rule["smear"], serde_json::to_value(&description.smear).unwrap());
    let seen_in_training = read_manifest(&run.split_path()).unwrap().entries;
    assert_eq!((seen_in_training.len(), description.training_patients.len()), (20_200, 150));
    assert!(seen_in_training.iter().all(|cell| cell.subset == Some(Subset::Train)));
    assert!(description.input.is_some());
}

#[test]
fn the_pretrained_model_comes_without_pictures_and_absolute_paths() {
    let run = run();
    let files: BTreeSet<String> = fs::read_dir(run.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let expected = ["config.json", "history.csv", "model_card.md", "plot.png", "split.csv"];
    for name in expected.into_iter().chain(["weights.safetensors"]) {
        assert!(files.contains(name), "{name} is missing of {files:?}");
    }
    for name in ["report.html", "checkpoint.safetensors", "run.lock"] {
        assert!(!files.contains(name), "{name}");
    }
    assert!(run.config().unwrap().data.unwrap().is_relative());
    let config = fs::read_to_string(run.config_path()).unwrap();
    assert!(!config.contains("\"/"), "an absolute path in config.json");
}
