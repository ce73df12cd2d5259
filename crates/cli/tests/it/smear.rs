//! `malaria smear`: counts photographs as `malaria-edge smear` does.

use std::fs;

use malaria_resnet::{
    dataset::{PatientNames, SmearConfig, list_images, synthetic_smear},
    edge::Model,
    smear::CountOptions,
};
use serde_json::Value;

use crate::support::{errors, finished, succeed};

#[test]
fn both_programs_give_the_same_counts() {
    let bench = finished();
    let folder = tempfile::tempdir().unwrap();
    let photo = folder.path().join("photos/field.png");
    fs::create_dir(folder.path().join("photos")).unwrap();
    let config =
        SmearConfig { width: 480, height: 360, cell_diameter: 48.0, cells: 20, ..SmearConfig::default() };
    synthetic_smear(&config).unwrap().image.save(&photo).unwrap();

    let model = folder.path().join("model.onnx");
    succeed(bench.malaria("export").args(["--run", "run", "--out"]).arg(&model));
    let model = Model::load(&fs::read(&model).unwrap()).unwrap();
    let photos = list_images(std::slice::from_ref(&photo), &PatientNames::Nlm).unwrap().images;
    let edge = model.count_smears(&photos, &CountOptions::default(), &mut |_, _| {}).unwrap().csv().unwrap();

    let ours = succeed(bench.malaria("smear").args(["--run", "run", "--csv"]).arg(&photo));
    let rows = |csv: &str| -> Vec<csv::StringRecord> {
        csv::Reader::from_reader(csv.as_bytes()).records().map(Result::unwrap).collect()
    };
    let (ours, edge) = (rows(&ours), rows(&edge));
    assert_eq!(ours.len(), edge.len());
    assert!(ours.len() >= 20, "{ours:?}");
    for (ours, edge) in ours.iter().zip(&edge) {
        for (column, (ours, edge)) in ours.iter().zip(edge).enumerate() {
            // The two runtimes round differently.
            let alike = match (ours.parse::<f64>(), edge.parse::<f64>()) {
                (Ok(ours), Ok(edge)) => (ours - edge).abs() < 1e-5,
                _ => ours == edge,
            };
            assert!(alike, "column {column}: {ours}, {edge}");
        }
    }
    let out = folder.path().join("results");
    let mut smear = bench.malaria("smear");
    smear.args(["--run", "run", "--json", "--out"]).arg(&out).arg(folder.path().join("photos"));
    let output = smear.output().unwrap();
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said["photographs"].as_array().unwrap().len(), 1);
    assert!(errors(&output).contains("written: ") && out.join("annotated/field.jpg").is_file());

    let refused =
        bench.malaria("smear").args(["--run", "run", "--out"]).arg(&out).arg(&photo).output().unwrap();
    assert!(!refused.status.success() && errors(&refused).contains("already exists"), "{refused:?}");
}
