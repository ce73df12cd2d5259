//! `malaria export`: the ONNX file yields the probabilities of libtorch.

use std::fs;

use malaria_resnet::{
    Classifier, ExportOptions, Metrics,
    dataset::{Cells, Index, LoadOptions, load},
    edge::{Model, WeightFormat},
    train::CellTensors,
};

use tch::Device;

use crate::support::{Workbench, fail, finished, json, malaria, succeed};

/// All cells of a workbench, at the input size of its models.
fn decoded(bench: &Workbench) -> Cells {
    let index = Index::open(&bench.path("cells")).unwrap();
    load(index, LoadOptions { size: 16, ..LoadOptions::default() }).unwrap().cells
}

/// Probabilities of all of `cells` by libtorch, `[N, classes]`.
pub(crate) fn by_libtorch(classifier: &Classifier, cells: &Cells) -> Vec<f64> {
    let classes = vec![0; cells.len()];
    let indices: Vec<usize> = (0..cells.len()).collect();
    let tensors = CellTensors::new(cells, &classes, Device::Cpu).unwrap();
    classifier.probabilities(&tensors, &indices, &mut |_| {}).unwrap()
}

/// Probabilities of all of `cells` by the runtime of `malaria-edge`, `[N, classes]`.
pub(crate) fn by_runtime(model: &Model, cells: &Cells) -> Vec<f64> {
    let indices: Vec<usize> = (0..cells.len()).collect();
    model.probabilities(cells, &indices, &mut |_| {}).unwrap()
}

pub(crate) fn largest_difference(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

/// The range of the first class's probabilities, of `[N, 2]`.
pub(crate) fn spread(probabilities: &[f64]) -> f64 {
    let reach = |most: fn(f64, f64) -> f64| probabilities.iter().step_by(2).copied().reduce(most).unwrap();
    reach(f64::max) - reach(f64::min)
}

#[test]
fn an_exported_model_yields_the_probabilities_of_libtorch() {
    let bench = finished();
    let out = tempfile::tempdir().unwrap();
    let classifier = Classifier::load(&bench.path("run"), Device::Cpu).unwrap();
    let cells = decoded(bench);
    let expected = by_libtorch(&classifier, &cells);
    assert!(spread(&expected) > 0.3, "the cells are too similar to test anything: {expected:?}");
    let metrics: Metrics = serde_json::from_value(json(&bench.path("run/metrics.json"))).unwrap();
    for format in WeightFormat::ALL {
        let file = out.path().join(format!("{format}.onnx"));
        let mut command = bench.malaria("export");
        command.args(["--weights", &format.to_string(), "--run", "run", "--out"]).arg(&file);
        // f16 and int8 are compared with f32 on the run's own test cells.
        let compared = format != WeightFormat::F32;
        if compared {
            // So few cells cannot rule out a loss.
            command.args(["--data", "cells", "--max-loss", "1"]);
        }
        let said = succeed(&mut command);
        assert!(said.contains(&format!("written: {}", file.display())), "{said}");
        assert_eq!(said.contains(&format!("compared with f32 on {} cells", metrics.n_test)), compared);
        let model = Model::load(&fs::read(&file).unwrap()).unwrap();
        // Float32 sums in another order; half precision has 11 bits, int8 has 7, over some ten layers.
        let tolerance = match format {
            WeightFormat::F32 => 1e-5,
            WeightFormat::F16 => 5e-3,
            WeightFormat::Int8 => 0.1,
        };
        let difference = largest_difference(&by_runtime(&model, &cells), &expected);
        assert!(difference < tolerance, "{format}: {difference:e}");
        assert_eq!(model.description().classes, classifier.description.classes);
        assert_eq!(model.description().threshold, classifier.description.threshold);
        assert_eq!(model.positive(), classifier.positive);
        assert_eq!(model.origin().weights, format);
        assert_eq!(model.origin().quantization_loss.map(|loss| loss.n), compared.then_some(metrics.n_test));
    }
}

#[test]
fn an_export_that_cannot_be_made_is_refused() {
    let bench = finished().copy();
    let export = |flags: &[&str]| {
        let mut command = bench.malaria("export");
        command.args(["--run", "run", "--out", "model.onnx"]).args(flags);
        command
    };
    let refused = |flags: &[&str], words: &[&str]| {
        let said = fail(&mut export(flags));
        assert!(words.iter().all(|word| said.contains(word)), "{words:?}: {said}");
        assert!(!bench.path("model.onnx").exists());
    };
    refused(&["--weights", "int8", "--max-loss", "nan"], &["--max-loss"]);
    refused(
        &["--weights", "int8", "--data", "cells"],
        &["lowers the sensitivity by", "give more cells with --data"],
    );
    let said = fail(malaria("export").arg("--run").arg(bench.folder.path()).args(["--out", "model.onnx"]));
    assert!(said.contains(&bench.folder.path().display().to_string()), "{said}");
    let said = fail(bench.malaria("export").args(["--run", "run", "--out", "nowhere/model.onnx"]));
    assert!(said.contains("nowhere"), "{said}");
    // A limit that no model can meet: the sensitivity would have to rise.
    let strict = ExportOptions {
        run: &bench.path("run"),
        weights: WeightFormat::Int8,
        data: Some(&bench.path("cells")),
        patients: None,
        max_loss: -0.5,
        skip_corrupt: false,
    };
    let said = malaria_resnet::export(strict, &|_| {}).unwrap_err().to_string();
    assert!(said.contains("lowers the sensitivity by"), "{said}");

    fs::rename(bench.path("cells"), bench.path("elsewhere")).unwrap();
    refused(&["--weights", "int8"], &["--data", "--unchecked"]);
    succeed(&mut export(&["--weights", "int8", "--unchecked"]));
    fs::remove_file(bench.path("model.onnx")).unwrap();
    let weights = bench.path("run/weights.safetensors");
    let bytes = fs::read(&weights).unwrap();
    fs::write(&weights, &bytes[..bytes.len() / 2]).unwrap();
    refused(&[], &["weights.safetensors"]);
}
