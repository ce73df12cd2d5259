//! Exported models: the same probabilities without libtorch as with it.

use std::{fs, path::PathBuf};

use malaria_resnet::{
    Classifier, ExportOptions, ImageConfig, Metrics, RunDir, WeightsFile,
    dataset::{Cells, Index, LoadOptions, ResizePolicy, load},
    edge::{Model, WeightFormat, export},
    model::{ResNet, ResNetConfig},
    train::CellTensors,
};

use crate::support::{Workbench, fail, malaria, succeed};
use tch::{Device, Kind, Tensor, no_grad};

/// A finished run, and the folder it lies in.
fn trained() -> (Workbench, PathBuf) {
    let bench = Workbench::new();
    succeed(&mut bench.train("run"));
    let run = bench.path("run");
    (bench, run)
}

/// The cells that it learned from and was tested on, at its size.
fn decoded(bench: &Workbench) -> Cells {
    let index = Index::open(&bench.path("cells")).unwrap();
    load(index, LoadOptions { size: 16, ..LoadOptions::default() }).unwrap().cells
}

/// Probabilities of all of `cells` by libtorch.
fn by_libtorch(classifier: &Classifier, cells: &Cells) -> Vec<f64> {
    let classes = vec![0; cells.len()];
    let indices: Vec<usize> = (0..cells.len()).collect();
    let tensors = CellTensors::new(cells, &classes, Device::Cpu).unwrap();
    classifier.probabilities(&tensors, &indices, &mut |_| {}).unwrap()
}

/// Probabilities of all of `cells` without it.
fn by_runtime(model: &Model, cells: &Cells) -> Vec<f64> {
    let indices: Vec<usize> = (0..cells.len()).collect();
    model.probabilities(cells, &indices, &mut |_| {}).unwrap()
}

fn largest_difference(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

/// How far the first class's probabilities of `[N, 2]` lie apart.
fn spread(probabilities: &[f64]) -> f64 {
    let reach = |most: fn(f64, f64) -> f64| probabilities.iter().step_by(2).copied().reduce(most).unwrap();
    reach(f64::max) - reach(f64::min)
}

#[test]
fn a_trained_model_says_the_same_without_libtorch() {
    let (bench, run) = trained();
    let classifier = Classifier::load(&run, Device::Cpu).unwrap();
    let cells = decoded(&bench);
    let expected = by_libtorch(&classifier, &cells);
    for format in WeightFormat::ALL {
        let file = bench.path(&format!("{format}.onnx"));
        let mut command = malaria("export");
        command.args(["--weights", format.name(), "--run"]).arg(&run).arg("--out").arg(&file);
        if format != WeightFormat::F32 {
            command.arg("--data").arg(bench.path("cells"));
        }
        let said = succeed(&mut command);
        assert!(said.contains(&format!("written: {}", file.display())), "{said}");
        let model = Model::load(&fs::read(&file).unwrap()).unwrap();
        let found = by_runtime(&model, &cells);
        // Float32 sums in another order; half precision has 11 bits, int8 has 7, over some ten layers.
        let most = match format {
            WeightFormat::F32 => 1e-5,
            WeightFormat::F16 => 5e-3,
            WeightFormat::Int8 => 0.1,
        };
        let difference = largest_difference(&found, &expected);
        assert!(difference < most, "{format}: {difference:e}");
        assert_eq!(model.description().classes, classifier.classes);
        assert_eq!(model.description().threshold, classifier.threshold);
        assert_eq!(model.positive(), classifier.positive);
        assert_eq!(model.origin().weights, format);
        // Smaller weights were looked at on the run's own test cells, and the file says what came of it.
        let tested =
            serde_json::from_slice::<Metrics>(&fs::read(run.join("metrics.json")).unwrap()).unwrap().n_test;
        assert_eq!(
            model.origin().quantization_loss.map(|quantization_loss| quantization_loss.n),
            (format != WeightFormat::F32).then_some(tested)
        );
        assert_eq!(
            said.contains(&format!("compared with f32 on {tested} cells")),
            format != WeightFormat::F32
        );
    }
    assert!(spread(&expected) > 0.3, "the cells are too much alike to test anything: {expected:?}");
}

#[test]
fn the_tutorials_network_says_the_same_without_libtorch() {
    let onnx = says_the_same_without_libtorch(|_, _| {});
    // The image's: zeros of the padding come between it and the convolution.
    assert_eq!(batch_normalisations(&onnx), 1);
}

#[test]
fn batch_normalisations_stay_where_scales_are_no_help() {
    // Below 0, 0, and so near it that a shift divided by it is beyond float32.
    for factor in [-1.0, 0.0, 1e-38] {
        let onnx = says_the_same_without_libtorch(|name, scales| {
            if ["stages.0.0.norm1.weight", "stages.1.2.norm1.weight", "head.norm.weight"].contains(&name) {
                let _ = scales.narrow(0, 3, 2).g_mul_scalar_(factor);
            }
        });
        assert_eq!(batch_normalisations(&onnx), 4, "{factor}");
    }
}

#[test]
fn the_first_batch_normalisation_stays_where_it_lifts_what_the_stem_has_cut_off() {
    let onnx = says_the_same_without_libtorch(|name, shifts| {
        if name == "stages.0.0.norm1.bias" {
            let _ = shifts.narrow(0, 20, 1).g_add_scalar_(3.0);
        }
    });
    assert_eq!(batch_normalisations(&onnx), 2);
}

/// How often an exported network has one.
fn batch_normalisations(onnx: &[u8]) -> usize {
    onnx.windows(18).filter(|&bytes| bytes == b"BatchNormalization").count()
}

/// Exports the tutorial's network after `change` has seen each of its parameters, compares what the file says with what the
/// network says, and gives the file.
fn says_the_same_without_libtorch(change: impl Fn(&str, &Tensor)) -> Vec<u8> {
    let model = ResNet::new(&ResNetConfig::tutorial(), 3, Device::Cpu).unwrap();
    let pixels: Vec<u8> =
        (0..6 * 64 * 64 * 3_u64).map(|i| (i * i % 1009 * (i / 12_288 + 1) % 256) as u8).collect();
    let cells = Cells::from_pixels(64, pixels).unwrap();
    let (images, _) =
        CellTensors::new(&cells, &[0; 6], Device::Cpu).unwrap().batch(&[0, 1, 2, 3, 4, 5]).unwrap();
    no_grad(|| {
        // Nothing at rest: scales and shifts moved, then statistics of these cells.
        for (place, parameter) in model.parameters().iter().enumerate() {
            let size = parameter.tensor.size();
            if size.len() == 1 {
                let count = (Tensor::arange(size[0], (Kind::Float, Device::Cpu)) + place as f64).sin() * 0.2;
                let _ = parameter.tensor.shallow_clone().g_add_(&count);
            }
            change(&parameter.name, &parameter.tensor);
        }
        for _ in 0..20 {
            let _ = model.forward(&images, true).unwrap();
        }
    });
    let image = ImageConfig { pixels: 64, resize: ResizePolicy::Stretch };
    let classifier =
        Classifier::new(model, vec!["Parasitized".into(), "Uninfected".into()], 0, image).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    classifier.save(&path).unwrap();
    let expected = by_libtorch(&classifier, &cells);
    let onnx = export(&WeightsFile::read(&path).unwrap(), WeightFormat::F32, None).unwrap();
    let found = by_runtime(&Model::load(&onnx).unwrap(), &cells);
    let difference = largest_difference(&found, &expected);
    // Float32 sums in another order, over some forty layers.
    assert!(difference < 1e-5, "{difference:e}, {expected:?}");
    assert!(spread(&expected) > 0.02, "the cells are too much alike to test anything: {expected:?}");
    onnx
}

#[test]
fn what_cannot_be_exported_or_loaded_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("model.onnx");
    let said = fail(malaria("export").arg("--run").arg(folder.path()).arg("--out").arg(&out));
    assert!(said.contains(&folder.path().display().to_string()), "{said}");
    let (bench, run) = trained();
    let said = fail(malaria("export").args(["--weights", "f8", "--run"]).arg(&run).arg("--out").arg(&out));
    assert!(said.contains("f32, f16 and int8"), "{said}");
    // Sensitivity that must rise.
    let strict = ExportOptions {
        run: &run,
        weights: WeightFormat::Int8,
        data: Some(&bench.path("cells")),
        max_sensitivity_loss: -0.5,
        skip_corrupt: false,
    };
    let said = malaria_resnet::export(strict, &|_| {}).unwrap_err().to_string();
    assert!(said.contains("sensitivity falls by"), "{said}");
    // A limit that nothing would be above.
    let mut lax = malaria("export");
    lax.args(["--weights", "int8", "--max-sensitivity-loss", "nan", "--run"])
        .arg(&run)
        .arg("--out")
        .arg(&out);
    let said = fail(lax.arg("--data").arg(bench.path("cells")));
    assert!(said.contains("--max-sensitivity-loss") && !out.exists(), "{said}");
    fs::rename(bench.path("cells"), bench.path("elsewhere")).unwrap();
    let mut blind = malaria("export");
    blind.current_dir("/").args(["--weights", "int8", "--run"]).arg(&run).arg("--out").arg(&out);
    let said = fail(&mut blind);
    assert!(said.contains("--data") && said.contains("--unchecked") && !out.exists(), "{said}");
    succeed(blind.arg("--unchecked"));
    assert!(out.exists());
    fs::remove_file(&out).unwrap();
    let missing = folder.path().join("nowhere/model.onnx");
    let said = fail(malaria("export").arg("--run").arg(&run).arg("--out").arg(&missing));
    assert!(said.contains("nowhere"), "{said}");
    let weights = RunDir::open(&run).unwrap().weights_path();
    let bytes = fs::read(&weights).unwrap();
    fs::write(&weights, &bytes[..bytes.len() / 2]).unwrap();
    let said = fail(malaria("export").arg("--run").arg(&run).arg("--out").arg(&out));
    assert!(said.contains("weights.safetensors") && !out.exists(), "{said}");
    for bytes in [&b""[..], b"not a model", &[0xff; 100]] {
        assert!(Model::load(bytes).is_err());
    }
}
