//! Tests of another laboratory's cells against scikit-image, SciPy and Pillow; `fixtures/generate_laboratory.py` writes the
//! expected values.

use malaria_augment::{AugmentConfig, AugmentParams, LaboratoryConfig, LaboratoryParams, apply, sample};
use serde::Deserialize;
use tch::{Device, Kind, Tensor};

/// Largest error allowed, as a fraction of full scale: the expected values are rounded to half of it.
const TOLERANCE: f64 = 1e-4;

/// An entry of laboratory.json.
#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    /// An image, `height * width * 3` bytes row by row.
    Picture { height: i64, width: i64, pixels: Vec<u8> },
    /// The reference's result, in ten-thousandths.
    Case { kind: String, picture: usize, params: Box<LaboratoryParams>, expected: Vec<i64> },
}

struct Case {
    kind: String,
    params: LaboratoryParams,
    /// f64 `[1, 3, H, W]`.
    image: Tensor,
    expected: Tensor,
}

fn cases() -> Vec<Case> {
    let lines: Vec<Line> = serde_json::from_str(include_str!("fixtures/laboratory.json")).unwrap();
    let (mut images, mut cases) = (Vec::new(), Vec::new());
    for line in lines {
        match line {
            Line::Picture { height, width, pixels } => {
                let image = Tensor::from_slice(&pixels).to_kind(Kind::Double) / 255.0;
                images.push(image.view([1, height, width, 3]).permute([0, 3, 1, 2]).contiguous()); // NHWC => NCHW
            }
            Line::Case { kind, picture, params, expected } => {
                let image = images[picture].shallow_clone();
                let [_, channels, height, width] = image.size()[..] else { unreachable!() };
                let expected = Tensor::from_slice(&expected).to_kind(Kind::Double) / 1e4;
                let expected = expected.view([1, height, width, channels]).permute([0, 3, 1, 2]); // NHWC => NCHW
                cases.push(Case { kind, params: *params, image, expected });
            }
        }
    }
    cases
}

fn changed(image: &Tensor, laboratory: LaboratoryParams) -> Tensor {
    let params = AugmentParams { laboratory, ..AugmentParams::identity() };
    apply(image, &vec![params; image.size()[0] as usize]).unwrap()
}

/// 1 where a pixel is black.
fn black(image: &Tensor) -> Tensor {
    image.amax([1], true).lt(31.5 / 255.0)
}

fn largest(values: &Tensor) -> f64 {
    values.abs().max().double_value(&[])
}

#[test]
fn every_change_matches_its_reference() {
    let cases = cases();
    let kinds: Vec<&str> = cases.iter().map(|case| case.kind.as_str()).collect();
    for kind in ["gamma", "stain", "pallor", "sharpen", "resolution", "rim", "cut", "neighbour", "everything"]
    {
        assert_eq!(kinds.iter().filter(|found| **found == kind).count(), 2, "{kind}");
    }
    for Case { kind, params, image, expected } in cases.iter().filter(|case| case.kind != "jpeg") {
        assert!(largest(&(image - expected)) > 0.02, "{kind}: no visible change");
        for precision in [Kind::Float, Kind::Double] {
            let found = changed(&image.to_kind(precision), *params);
            assert_eq!(found.kind(), precision);
            let error = largest(&(found - expected));
            assert!(error < TOLERANCE, "{kind} in {precision:?}: {error}");
        }
    }
}

/// libjpeg computes in integers: a frequency near the middle between two steps may be rounded in the other direction, which
/// changes a block by up to half a step. Therefore only means are compared.
#[test]
fn jpeg_matches_pillow() {
    let cases = cases();
    let cases = cases.iter().filter(|case| case.kind == "jpeg");
    assert_eq!(cases.clone().count(), 2);
    for Case { params, image, expected, .. } in cases {
        let loss = (image - expected).abs().mean(Kind::Double).double_value(&[]);
        let found = changed(image, *params);
        let error = (&found - expected).abs().mean(Kind::Double).double_value(&[]);
        assert!(
            error < 1.0 / 255.0 && error < loss / 8.0,
            "quality {}: {error} of {loss}",
            100.0 - params.jpeg
        );
    }
}

#[test]
fn noise_is_gaussian_and_differs_between_pixels_channels_and_seeds() {
    let image = Tensor::full([1, 3, 64, 64], 0.5, (Kind::Double, Device::Cpu));
    let deviation = 0.05;
    let noise = |noise_seed| {
        let params = LaboratoryParams { noise: deviation, noise_seed, ..LaboratoryParams::identity() };
        (changed(&image, params) - 0.5) / deviation
    };
    let (first, second) = (noise(1), noise(2));
    assert_eq!(first, noise(1));
    let mean = |values: &Tensor| values.mean(Kind::Double).double_value(&[]);
    // Four standard errors of means over standard normal values: of the values, of their squares, and of their fourth powers.
    let error = 4.0 / (3.0 * 64.0 * 64.0_f64).sqrt();
    assert!(mean(&first).abs() < error);
    assert!((mean(&first.square()) - 1.0).abs() < error * 2.0_f64.sqrt());
    assert!((mean(&first.square().square()) - 3.0).abs() < error * 96.0_f64.sqrt());
    for (name, other) in [
        ("seeds", &second),
        ("columns", &first.roll([1], [3])),
        ("rows", &first.roll([1], [2])),
        ("channels", &first.roll([1], [1])),
    ] {
        let correlation = mean(&(&first * other));
        assert!(correlation.abs() < error, "{name}: {correlation}");
    }
}

#[test]
fn black_stays_black_and_cells_change() {
    // Changes that move or resize a rim on purpose.
    let config =
        LaboratoryConfig { rim: 0.0, neighbour: 0.0, resolution: 0.0, ..LaboratoryConfig::of_strength(1.0) };
    let config = AugmentConfig { laboratory: config, ..AugmentConfig::none() };
    let image = &cases()[0].image;
    let black = black(image).expand_as(image);
    assert!(black.any().int64_value(&[]) == 1);
    for index in 0..200 {
        let params = sample(&config, 1, 0, index);
        let found = apply(image, &[params]).unwrap();
        assert_eq!(largest(&found.masked_select(&black)), 0.0, "{params:?}");
        assert!(largest(&(found - image)) > 0.02, "{params:?}");
    }
}
