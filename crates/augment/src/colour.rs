//! The colour map of one image: a matrix and an offset.

use std::f64::consts::TAU;

use crate::{images::ColourMap, params::AugmentParams};

/// Grey value of an RGB pixel: the Y of NTSC's YIQ.
const LUMA: [f64; 3] = [0.299, 0.587, 0.114];

/// Rotates the chroma of an RGB pixel by a quarter turn, from red towards yellow, and drops its grey:
/// `inv(YIQ) * [[0, 0, 0], [0, 0, 1], [0, -1, 0]] * YIQ` with the NTSC matrix `YIQ` of rows `LUMA`,
/// (0.596, -0.274, -0.322) and (0.211, -0.523, 0.312).
const QUARTER_TURN: [[f64; 3]; 3] = [
    [-0.16862179492229032, -0.32980474528740344, 0.4984265402096938],
    [0.32796339417237125, -0.03461068792488209, -0.29335270624748916],
    [-1.246461365766816, 1.0432288829196437, 0.20323248284717238],
];

/// The matrix and the offset that turn an RGB pixel into its new colour, before clamping to `[0, 1]`.
///
/// Brightness, contrast, saturation and hue are applied in this order. Saturation scales the chroma (colour less grey)
/// and hue rotates it; neither changes grey, so both commute with brightness and contrast, and one matrix does all four.
pub(crate) fn colour(params: &AugmentParams) -> ColourMap {
    let gain = params.brightness * params.contrast;
    let (sin, cos) = (params.hue * TAU).sin_cos();
    let matrix = std::array::from_fn(|to| {
        std::array::from_fn(|from| {
            let chroma = f64::from(to == from) - LUMA[from];
            gain * (LUMA[from] + params.saturation * (cos * chroma + sin * QUARTER_TURN[to][from]))
        })
    });
    (matrix, [0.5 * (1.0 - params.contrast); 3])
}
