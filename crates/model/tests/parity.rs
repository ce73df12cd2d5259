//! Tests of the network against Keras and PyTorch with the same weights.
//!
//! `fixtures/generate_keras.py` and `fixtures/generate_pytorch.py` write the expected values, and `fixtures/reference.py`
//! describes them. All three compute in float32 and sum in different orders. The bounds are about ten times the largest
//! difference measured, and far below the effect of the mistakes that the last test tries.

mod reference;

use malaria_model::{ResNetConfig, Role};
use tch::{Tensor, no_grad};

use reference::Reference;

/// For logits and the loss. Measured: 2e-6 for logits of order 1, 5e-7 for the loss.
const LOGITS: f64 = 2e-5;
/// For gradients. Measured: 5e-6 for gradients up to 0.8.
const GRADIENTS: f64 = 5e-5;
/// For running statistics and weights after one step at 0.1. Measured: 5e-7.
const STATE: f64 = 5e-6;

fn eval_error(reference: &Reference, config: &ResNetConfig) -> f64 {
    let logits = reference.model(config).forward(&reference.tensors["images"], false).unwrap();
    distance(&logits, &reference.tensors["eval.logits"])
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

/// Compares evaluation, one training pass and one plain SGD step. With `libtorch_variance`, the reference updates the
/// running variance as libtorch does.
fn check_against(reference: &Reference, libtorch_variance: bool) {
    let config = reference.config();
    assert!(eval_error(reference, &config) < LOGITS);

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
            // Keras 3 updates it by the biased variance of the batch, libtorch by the unbiased one.
            let count = reference.tensors[&format!("bn_count.{norm}")].double_value(&[]);
            let earlier = &reference.tensors[&format!("init.{name}")] * (1.0 - config.bn_momentum);
            expected = (expected - &earlier) * (count / (count - 1.0)) + earlier;
        }
        assert_close(name, tensor, &expected, STATE);
    }
}

#[test]
fn network_matches_keras() {
    check_against(&Reference::keras(), false);
}

#[test]
fn network_matches_pytorch() {
    check_against(&Reference::pytorch(), true);
}

#[test]
fn bounds_are_tight_enough_to_find_mistakes() {
    let reference = Reference::pytorch();
    let config = reference.config();
    let logits = &reference.tensors["eval.logits"];

    // Padding the strided convolutions on all four sides.
    assert!(distance(&reference.tensors["symmetric.logits"], logits) > 1_000.0 * LOGITS);
    // Keras's default epsilon in place of the tutorial's.
    assert!(eval_error(&reference, &ResNetConfig { bn_eps: 1e-3, ..config.clone() }) > 10.0 * LOGITS);
    // Mirrored images.
    let flipped = reference.tensors["images"].flip([3].as_slice());
    assert!(distance(&reference.model(&config).forward(&flipped, false).unwrap(), logits) > 100.0 * LOGITS);
    // The biased variance in place of the unbiased one.
    let variance = "after1.head.norm.running_var";
    let keras = Reference::keras();
    assert!(distance(&keras.tensors[variance], &reference.tensors[variance]) > 100.0 * STATE);
    // No weight decay: the largest weight of the stem would be off by more than the bound.
    let stem = &reference.tensors["init.stem.conv.weight"];
    let decay = stem.abs().max().double_value(&[]) * reference.number("/weight_decay/stem_and_dense");
    assert!(decay * reference.number("/learning_rates/0") > 2.0 * STATE);
}
