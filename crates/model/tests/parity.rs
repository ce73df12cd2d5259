//! The network against Keras and PyTorch carrying the same weights: `fixtures/generate_keras.py` and
//! `fixtures/generate_pytorch.py` wrote the expected numbers, `fixtures/reference.py` describes them.
//!
//! All three compute in float32 and add in different orders. The bounds below are about ten times the largest
//! difference measured, and far below what any of the mistakes tried at the end makes.

use std::collections::BTreeMap;
use std::path::Path;

use malaria_model::{ResNet, ResNetConfig, Role};
use safetensors::SafeTensors;
use safetensors::tensor::Dtype;
use tch::{Device, Tensor, no_grad};

/// Logits of order 1 were seen to differ by 2e-6, their loss by 5e-7.
const LOGITS: f64 = 2e-5;
/// Gradients up to 0.8 were seen to differ by 5e-6.
const GRADIENTS: f64 = 5e-5;
/// Running statistics, and weights after one step at 0.1, were seen to differ by 5e-7.
const STATE: f64 = 5e-6;

struct Reference {
    header: serde_json::Value,
    tensors: BTreeMap<String, Tensor>,
}

impl Reference {
    fn read(file: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(file);
        let bytes = std::fs::read(path).unwrap();
        let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
        let header = serde_json::from_str(&metadata.metadata().as_ref().unwrap()["reference"]).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let tensors = tensors.iter().map(|(name, view)| {
            let shape: Vec<i64> = view.shape().iter().map(|&side| side as i64).collect();
            let kind = match view.dtype() {
                Dtype::F32 => tch::Kind::Float,
                Dtype::I64 => tch::Kind::Int64,
                other => panic!("{name} is {other}"),
            };
            (name.to_owned(), Tensor::from_data_size(view.data(), &shape, kind))
        });
        Self { header, tensors: tensors.collect() }
    }

    fn config(&self) -> ResNetConfig {
        serde_json::from_value(self.header["config"].clone()).unwrap()
    }

    fn number(&self, pointer: &str) -> f64 {
        self.header.pointer(pointer).unwrap().as_f64().unwrap()
    }

    /// The tensors under `prefix`, without it.
    fn group(&self, prefix: &str) -> Vec<(String, Tensor)> {
        let tensors = self.tensors.iter();
        tensors
            .filter_map(|(key, t)| Some((key.strip_prefix(prefix)?.to_owned(), t.shallow_clone())))
            .collect()
    }

    fn model(&self, config: &ResNetConfig) -> ResNet {
        let model = ResNet::new(config, 0, Device::Cpu).unwrap();
        model.load_state(&self.group("init.")).unwrap();
        model
    }

    fn eval_error(&self, config: &ResNetConfig) -> f64 {
        let logits = self.model(config).forward(&self.tensors["images"], false).unwrap();
        distance(&logits, &self.tensors["eval.logits"])
    }
}

fn distance(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.size(), b.size());
    (a - b).abs().max().double_value(&[])
}

#[track_caller]
fn assert_close(what: &str, a: &Tensor, b: &Tensor, bound: f64) {
    let distance = distance(a, b);
    assert!(distance < bound, "{what} is off by {distance:e}, allowed {bound:e}");
}

/// One training pass and one plain SGD step; `libtorch_variance` says how the reference moves the running variance.
fn check_against(reference: &Reference, libtorch_variance: bool) {
    let config = reference.config();
    assert!(reference.eval_error(&config) < LOGITS);

    let model = reference.model(&config);
    let logits = model.forward(&reference.tensors["images"], true).unwrap();
    assert_close("train logits", &logits, &reference.tensors["train.logits"], LOGITS);
    let loss = logits.cross_entropy_for_logits(&reference.tensors["labels"]);
    assert_close("loss", &loss, &reference.tensors["loss"], LOGITS);
    loss.backward();

    let gradients = reference.group("grad.");
    assert_eq!(gradients.len(), model.parameters().len());
    for parameter in model.parameters() {
        let name = &parameter.name;
        let gradient = parameter.tensor.grad();
        assert_close(
            &format!("gradient of {name}"),
            &gradient,
            &reference.tensors[&format!("grad.{name}")],
            GRADIENTS,
        );
        let decay = match parameter.role {
            Role::StemKernel | Role::DenseKernel => reference.number("/weight_decay/stem_and_dense"),
            Role::ResidualKernel => reference.number("/weight_decay/residual"),
            Role::DenseBias | Role::Scale | Role::Shift => 0.0,
        };
        let step = (gradient + &parameter.tensor * decay) * reference.number("/learning_rates/0");
        let stepped = no_grad(|| &parameter.tensor - step);
        assert_close(
            &format!("{name} after a step"),
            &stepped,
            &reference.tensors[&format!("after1.{name}")],
            STATE,
        );
    }

    for (name, tensor) in model.buffers() {
        let mut expected = reference.tensors[&format!("after1.{name}")].shallow_clone();
        if let (false, Some(norm)) = (libtorch_variance, name.strip_suffix(".running_var")) {
            // Keras 3 moves it by the biased variance of the batch, libtorch by the unbiased one.
            let count = reference.tensors[&format!("bn_count.{norm}")].double_value(&[]);
            let kept = &reference.tensors[&format!("init.{name}")] * (1.0 - config.bn_momentum);
            expected = (expected - &kept) * (count / (count - 1.0)) + kept;
        }
        assert_close(name, tensor, &expected, STATE);
    }
}

#[test]
fn agrees_with_keras() {
    check_against(&Reference::read("keras.safetensors"), false);
}

#[test]
fn agrees_with_pytorch() {
    check_against(&Reference::read("pytorch.safetensors"), true);
}

#[test]
fn mistakes_would_be_seen() {
    let reference = Reference::read("pytorch.safetensors");
    let config = reference.config();
    let logits = &reference.tensors["eval.logits"];

    // Padding the strided convolutions on all four sides.
    assert!(distance(&reference.tensors["symmetric.logits"], logits) > 1_000.0 * LOGITS);
    // Keras's default epsilon in place of the tutorial's.
    assert!(reference.eval_error(&ResNetConfig { bn_eps: 1e-3, ..config.clone() }) > 10.0 * LOGITS);
    // Images the other way round.
    let flipped = reference.tensors["images"].flip([3].as_slice());
    assert!(distance(&reference.model(&config).forward(&flipped, false).unwrap(), logits) > 100.0 * LOGITS);
    // The biased variance in place of the unbiased one.
    let variance = "after1.head.norm.running_var";
    let keras = Reference::read("keras.safetensors");
    assert!(distance(&keras.tensors[variance], &reference.tensors[variance]) > 100.0 * STATE);
    // No weight decay: the stem's largest weight would miss its place by more than the bound.
    let stem = &reference.tensors["init.stem.conv.weight"];
    let decay = stem.abs().max().double_value(&[]) * reference.number("/weight_decay/stem_and_dense");
    assert!(decay * reference.number("/learning_rates/0") > 2.0 * STATE);
}
