//! Tests of the fused network against the one it was made from.

use malaria_model::{ResNet, ResNetConfig};
use tch::{Device, Kind, Tensor, no_grad};

/// A network whose batch normalisations all have non-trivial scales, shifts, means and variances.
fn perturbed(config: &ResNetConfig) -> ResNet {
    let model = ResNet::new(config, 5, Device::Cpu).unwrap();
    no_grad(|| {
        let tensors = model.parameters().iter().map(|parameter| &parameter.tensor);
        for (place, tensor) in tensors.chain(model.buffers().iter().map(|(_, tensor)| tensor)).enumerate() {
            if tensor.dim() == 1 {
                let _ = tensor.shallow_clone().g_add_(&(waves(&tensor.size(), place as f64) * 0.3));
            }
        }
    });
    model
}

/// Irregular values from -0.6 to 1, the same in every run.
fn waves(shape: &[i64], phase: f64) -> Tensor {
    let count = shape.iter().product::<i64>();
    ((Tensor::arange(count, (Kind::Float, Device::Cpu)) * 1.37 + phase).sin() * 0.8 + 0.2).view(shape)
}

/// `[N, 3, H, W]`, each image and channel with its own brightness.
fn images(count: i64, height: i64, width: i64) -> Tensor {
    waves(&[count, 3, height, width], 0.5).abs() * waves(&[count, 3, 1, 1], 0.0).abs()
}

/// The largest difference of probabilities between the two networks, and the standard deviation over images.
fn distance_and_spread(model: &ResNet, images: &Tensor) -> (f64, f64) {
    let kind = Kind::Double;
    let probabilities = |logits: Tensor| logits.to_kind(kind).softmax(1, kind);
    let expected = probabilities(no_grad(|| model.forward(images, false).unwrap()));
    let found = probabilities(model.fused(Kind::Float).unwrap().forward(images).unwrap());
    let spread = expected.select(1, 0).std(false).double_value(&[]);
    ((expected - found).abs().max().double_value(&[]), spread)
}

#[test]
fn fused_network_matches_the_eager_one() {
    let model = perturbed(&ResNetConfig::tutorial());
    let (distance, spread) = distance_and_spread(&model, &images(6, 64, 64));
    assert!(distance < 1e-5, "{distance:e}");
    assert!(spread > 1e-3, "all images have the same probability, so nothing was tested: {spread:e}");
}

#[test]
fn odd_and_unequal_sides_match() {
    let config = ResNetConfig {
        classes: 5,
        stages: vec![1, 2, 2],
        filters: vec![6, 8, 12, 20],
        ..ResNetConfig::tutorial()
    };
    let model = perturbed(&config);
    for (height, width) in [(33, 47), (16, 64), (17, 18)] {
        let (distance, spread) = distance_and_spread(&model, &images(3, height, width));
        assert!(distance < 1e-5 && spread > 1e-4, "{height} x {width}: {distance:e}, {spread:e}");
    }
}

#[test]
fn fused_network_is_a_copy_and_leaves_images_unchanged() {
    let config =
        ResNetConfig { stages: vec![1, 1], filters: vec![8, 8, 12], input_size: 16, ..Default::default() };
    let model = perturbed(&config);
    let fused = model.fused(Kind::Float).unwrap();
    // Channels_last, as batches are: no copy is needed, so the images could be overwritten.
    let images = images(4, 16, 16).permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2]);
    let copy = images.copy();
    let before = fused.forward(&images).unwrap();
    assert_eq!(images, copy);
    no_grad(|| {
        model.parameters().iter().for_each(|parameter| drop(parameter.tensor.shallow_clone().zero_()))
    });
    assert_eq!(fused.forward(&images).unwrap(), before);
}

#[test]
fn bfloat16_matches_roughly() {
    let model = perturbed(&ResNetConfig::tutorial());
    let images = images(4, 64, 64);
    let kind = Kind::Double;
    let expected = no_grad(|| model.forward(&images, false).unwrap()).to_kind(kind).softmax(1, kind);
    let logits = model.fused(Kind::BFloat16).unwrap().forward(&images.to_kind(Kind::BFloat16)).unwrap();
    assert_eq!(logits.kind(), Kind::Float);
    // Eight bits of mantissa over some forty layers.
    let distance = (logits.to_kind(kind).softmax(1, kind) - expected).abs().max().double_value(&[]);
    assert!(distance < 0.05, "{distance}");
}

#[test]
fn images_of_another_kind_are_an_error() {
    let model = ResNet::new(&ResNetConfig::tutorial(), 0, Device::Cpu).unwrap();
    for (weights, other) in [(Kind::Float, Kind::BFloat16), (Kind::BFloat16, Kind::Float)] {
        let error = model.fused(weights).unwrap().forward(&images(1, 64, 64).to_kind(other)).unwrap_err();
        assert!(error.to_string().contains(&format!("expected images in {weights:?}")), "{error}");
    }
}
