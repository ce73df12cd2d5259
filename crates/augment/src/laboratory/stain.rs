//! Optical densities of one cell: a matrix and an offset for gamma, stain, exposure and cast at once, and a cell's thickness.

use std::{array::from_fn, f64::consts::TAU};

use tch::Tensor;

use super::params::{LaboratoryParams, THICKNESS_WAVES};
use crate::{
    error::Error,
    images::{ColourMap, mix, on_chosen, tensor},
};

/// Optical densities in red, green and blue of methylene blue and of eosin: the first rows of scikit-image's `rgb_from_bex`.
const METHYLENE_BLUE: [f64; 3] = [0.834750233, 0.513556283, 0.196330403];
const EOSIN: [f64; 3] = [0.092789, 0.954111, 0.283111];
/// Optical density of a common red cell, in each channel.
const RED_CELL: f64 = 0.45;
/// Optical density of glass without a cell, in each channel.
const GLASS: f64 = 0.1;
/// Minimum value of which the logarithm is taken.
const DARKEST: f64 = 1.0 / 255.0;
/// Number of points across a picture at which the thickness is computed; it is interpolated between them.
const POINTS: usize = 8;

/// Changes the optical densities of each image, `[N, 3, H, W]` in `[0, 1]`.
pub(super) fn restain(images: &Tensor, params: &[LaboratoryParams]) -> Result<Tensor, Error> {
    let logarithms = images.f_maximum(&tensor(&[DARKEST], &[1], images)?)?.f_log_()?;
    let logarithms = on_chosen(&logarithms, params, LaboratoryParams::thickens, thicken)?;
    let maps: Vec<ColourMap> = params.iter().map(map).collect();
    Ok(mix(&logarithms, &maps)?.f_exp_()?.f_clamp_(0.0, 1.0)?)
}

/// The colour of glass in each photograph, `[N, 3, 1, 1]`, with the kind and device of `like`.
pub(super) fn glass(params: &[LaboratoryParams], like: &Tensor) -> Result<Tensor, Error> {
    let colours = params.iter().map(map).flat_map(|(matrix, offset)| {
        [0, 1, 2].map(|to| (offset[to] - GLASS * matrix[to].iter().sum::<f64>()).exp().min(1.0))
    });
    tensor(&colours.collect::<Vec<_>>(), &[params.len() as i64, 3, 1, 1], like)
}

/// The map of the logarithms of red, green and blue, which are negative densities, to their new ones. Gamma, stain, its hue,
/// exposure and cast are applied in this order.
fn map(params: &LaboratoryParams) -> ColourMap {
    let rest = cross(METHYLENE_BLUE, EOSIN);
    let dyes = [METHYLENE_BLUE, EOSIN, rest];
    // Rows of the inverse: each is perpendicular to the two other dyes.
    let volume = dot(rest, rest);
    let measures = [cross(EOSIN, rest), cross(rest, METHYLENE_BLUE), rest].map(|row| row.map(|x| x / volume));
    let stained = |logarithm: [f64; 3]| -> [f64; 3] {
        let amounts: [f64; 3] = from_fn(|dye| params.stain[dye].exp() * dot(logarithm, measures[dye]));
        turned(from_fn(|channel| dot(amounts, dyes.map(|dye| dye[channel]))), params.stain_hue)
    };
    let gamma = params.gamma.exp();
    let columns: [[f64; 3]; 3] =
        from_fn(|from| stained(from_fn(|channel| if channel == from { gamma } else { 0.0 })));
    let shift = stained([(gamma - 1.0) * RED_CELL; 3]);
    (
        from_fn(|to| columns.map(|column| column[to])),
        from_fn(|channel| shift[channel] + params.exposure + params.cast[channel]),
    )
}

/// `colour` rotated about grey by `turns`, red towards green towards blue.
fn turned(colour: [f64; 3], turns: f64) -> [f64; 3] {
    let (sin, cos) = (turns * TAU).sin_cos();
    let grey = colour.iter().sum::<f64>() / 3.0;
    // Rodrigues's formula for the axis (1, 1, 1).
    from_fn(|channel| {
        let [before, after] = [colour[(channel + 2) % 3], colour[(channel + 1) % 3]];
        grey + cos * (colour[channel] - grey) + sin * (before - after) / 3.0_f64.sqrt()
    })
}

fn cross(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    from_fn(|i| a[(i + 1) % 3] * b[(i + 2) % 3] - a[(i + 2) % 3] * b[(i + 1) % 3])
}

fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

/// Multiplies `logarithms`, `[N, 3, H, W]`, by each cell's thickness.
fn thicken(logarithms: &Tensor, params: &[LaboratoryParams]) -> Result<Tensor, Error> {
    let place = |point: usize| (point as f64 + 0.5) / POINTS as f64 - 0.5;
    let mut exponents = Vec::with_capacity(params.len() * POINTS * POINTS);
    for one in params {
        for (y, x) in (0..POINTS).flat_map(|y| (0..POINTS).map(move |x| (place(y), place(x)))) {
            let from_middle = -(x.hypot(y) * TAU).cos();
            let waves = THICKNESS_WAVES.iter().zip(one.thickness_phases);
            let sum: f64 =
                waves.map(|([across, down], phase)| ((across * x + down * y + phase) * TAU).cos()).sum();
            exponents.push(one.pallor * from_middle + one.thickness * sum / THICKNESS_WAVES.len() as f64);
        }
    }
    let points = POINTS as i64;
    let exponents = tensor(&exponents, &[params.len() as i64, 1, points, points], logarithms)?;
    let size = [logarithms.size()[2], logarithms.size()[3]];
    Ok(logarithms.f_mul(&exponents.f_upsample_bilinear2d(size, false, None, None)?.f_exp_()?)?)
}
