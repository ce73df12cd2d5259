//! Tests of `apply` against Keras, scipy and NumPy; `fixtures/generate.py` writes the expected values.

use std::collections::BTreeMap;

use malaria_augment::{AugmentParams, apply};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tch::{Kind, Tensor};

/// Largest error allowed, as a fraction of full scale.
const TOLERANCE: f64 = 1e-4;

/// An image, `height * width * 3` bytes row by row, and the reference's result.
#[derive(Deserialize)]
struct Case<P> {
    height: i64,
    width: i64,
    pixels: Vec<u8>,
    expected: Vec<f64>,
    #[serde(flatten)]
    parameters: P,
}

/// The parameters of Keras's `apply_transform`, by their names there.
#[derive(Deserialize)]
struct Geometry {
    theta: f64,
    tx: f64,
    ty: f64,
    shear: f64,
    zx: f64,
    zy: f64,
    flip_horizontal: bool,
    flip_vertical: bool,
}

#[derive(Deserialize)]
struct Colour {
    brightness: f64,
    contrast: f64,
    saturation: f64,
    hue: f64,
}

fn load<P: DeserializeOwned>(json: &str) -> Vec<Case<P>> {
    serde_json::from_str(json).unwrap()
}

fn geometric(case: &Case<Geometry>) -> AugmentParams {
    let Geometry { theta, tx, ty, shear, zx, zy, flip_horizontal, flip_vertical } = case.parameters;
    assert!([theta, tx, ty, shear].iter().all(|&value| value != 0.0) && zx != 1.0 && zy != 1.0);
    AugmentParams {
        rotation_degrees: theta,
        width_shift: tx / case.width as f64,
        height_shift: ty / case.height as f64,
        shear_degrees: shear,
        width_zoom: zx,
        height_zoom: zy,
        horizontal_flip: flip_horizontal,
        vertical_flip: flip_vertical,
        ..AugmentParams::identity()
    }
}

/// Runs the cases in one batch per size, in float32 and float64, in both memory layouts.
fn compare<P>(cases: &[Case<P>], params_of: impl Fn(&Case<P>) -> AugmentParams) {
    let mut by_size = BTreeMap::<_, Vec<_>>::new();
    for case in cases {
        by_size.entry((case.height, case.width)).or_default().push(case);
    }
    for ((height, width), cases) in by_size {
        let params: Vec<_> = cases.iter().map(|case| params_of(case)).collect();
        let shape = [cases.len() as i64, height, width, 3];
        let pixels: Vec<_> = cases.iter().flat_map(|case| case.pixels.iter().copied()).collect();
        let expected: Vec<_> = cases.iter().flat_map(|case| case.expected.iter().copied()).collect();
        let expected = Tensor::from_slice(&expected).view(shape);
        for kind in [Kind::Float, Kind::Double] {
            let channels_last =
                Tensor::from_slice(&pixels).to_kind(kind).view(shape).permute([0, 3, 1, 2]) / 255.0; // NHWC => NCHW
            for images in [channels_last.contiguous(), channels_last] {
                let found = apply(&images, &params).unwrap();
                assert_eq!(found.kind(), kind);
                let found = found.permute([0, 2, 3, 1]).to_kind(Kind::Double); // NCHW => NHWC
                let errors = (found - &expected).abs().amax([1, 2, 3], false);
                let errors = Vec::<f64>::try_from(errors).unwrap();
                assert!(
                    errors.iter().all(|&error| error < TOLERANCE),
                    "{height} x {width} {kind:?}: {errors:?}"
                );
            }
        }
    }
}

#[test]
fn square_images_match_keras() {
    let cases = load::<Geometry>(include_str!("fixtures/keras.json"));
    assert!(cases.len() >= 20);
    for flips in [(false, false), (false, true), (true, false), (true, true)] {
        assert!(
            cases
                .iter()
                .any(|case| (case.parameters.flip_horizontal, case.parameters.flip_vertical) == flips)
        );
    }
    compare(&cases, geometric);
}

#[test]
fn non_square_images_match_scipy() {
    let cases = load::<Geometry>(include_str!("fixtures/scipy.json"));
    assert!(cases.iter().any(|case| case.height < case.width));
    assert!(cases.iter().any(|case| case.height > case.width));
    compare(&cases, geometric);
}

#[test]
fn colours_match_their_definitions() {
    compare(&load::<Colour>(include_str!("fixtures/colour.json")), |case| {
        let Colour { brightness, contrast, saturation, hue } = case.parameters;
        AugmentParams { brightness, contrast, saturation, hue, ..AugmentParams::identity() }
    });
}
