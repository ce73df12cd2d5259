//! The microscope's focus, and the camera: pixels, noise and JPEG.

use std::collections::BTreeMap;

use malaria_libtorch::upload;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use tch::Tensor;

use super::{
    jpeg::{BLOCK, jpeg},
    params::LaboratoryParams,
};
use crate::{
    error::Error,
    images::{above, on_chosen, tensor},
};

/// Standard deviation of the blur that sharpening compares with, as a fraction of the width.
const SHARPENING: f64 = 1.0 / 64.0;
/// Number of standard deviations at which a Gaussian is truncated.
const CUT_OFF: f64 = 3.0;

/// Blurs or sharpens each image. The outermost pixels are repeated beyond the border.
pub(super) fn focus(images: &Tensor, params: &[LaboratoryParams]) -> Result<Tensor, Error> {
    let width = images.size()[3] as f64;
    let deviation = |one: &LaboratoryParams| width * if one.blur > 0.0 { one.blur } else { SHARPENING };
    let reach = |one: &LaboratoryParams| (CUT_OFF * deviation(one) + 0.5).min(width) as i64;
    let longest = params.iter().map(reach).max().unwrap_or(0);
    let mut weights = Vec::new();
    for place in -longest..=longest {
        weights.extend(params.iter().map(|one| {
            let value = |place: i64| (-0.5 * (place as f64 / deviation(one)).powi(2)).exp();
            let reach = reach(one);
            if place.abs() > reach { 0.0 } else { value(place) / (-reach..=reach).map(value).sum::<f64>() }
        }));
    }
    let count = params.len() as i64;
    let weights = tensor(&weights, &[2 * longest + 1, count, 1, 1, 1], images)?;
    let blurred = convolve(images, &weights, "replicate")?;
    // 1 for blur, negative for sharpening.
    let shares: Vec<f64> = params.iter().map(|one| if one.blur > 0.0 { 1.0 } else { -one.sharpen }).collect();
    Ok(images.f_lerp_tensor(&blurred, &tensor(&shares, &[count, 1, 1, 1], images)?)?.f_clamp_(0.0, 1.0)?)
}

/// Sums of each image's pixels along its columns and along its rows with `weights`, `[taps, N, 1, 1, 1]`: an odd number of
/// taps around each pixel. `padding` is libtorch's name for the values beyond the border.
pub(super) fn convolve(images: &Tensor, weights: &Tensor, padding: &str) -> Result<Tensor, Error> {
    let taps = weights.size()[0];
    let mut images = images.shallow_clone();
    for axis in [3, 2] {
        let side = images.size()[axis as usize];
        let margin = |on: i64| if axis == on { taps / 2 } else { 0 };
        let padded = images.f_pad([margin(3), margin(3), margin(2), margin(2)], padding, None)?;
        let mut sum = padded.f_narrow(axis, 0, side)?.f_mul(&weights.f_select(0, 0)?)?;
        for tap in 1..taps {
            sum = sum.f_addcmul_(&padded.f_narrow(axis, tap, side)?, &weights.f_select(0, tap)?)?;
        }
        images = sum;
    }
    Ok(images)
}

/// Photographs the images, `[N, 3, H, W]` in `[0, 1]`, and cuts the cells out: `shares`, `[N, 1, H, W]`, of each pixel.
pub(super) fn photograph(
    images: &Tensor,
    shares: &Tensor,
    params: &[LaboratoryParams],
) -> Result<Tensor, Error> {
    let mut result = images.f_mul(shares)?;
    let size = [images.size()[2], images.size()[3]];
    // Images with the same number of pixels together.
    let mut groups = BTreeMap::<[i64; 2], (Vec<i64>, Vec<LaboratoryParams>)>::new();
    for (place, one) in params.iter().enumerate().filter(|(_, one)| one.photographs()) {
        let group = groups.entry(size.map(|side| pixels(one, side))).or_default();
        group.0.push(place as i64);
        group.1.push(*one);
    }
    for (pixels, (places, params)) in groups {
        let places = upload(Tensor::f_from_slice(&places)?, images.device())?;
        let mut images = images.f_index_select(0, &places)?;
        let mut shares = shares.f_index_select(0, &places)?;
        if pixels != size {
            images = images.f_internal_upsample_bilinear2d_aa(pixels, false, None, None)?;
            let smaller = shares.f_internal_upsample_bilinear2d_aa(pixels, false, None, None)?;
            shares = above(&smaller, 0.5)?.f_to_kind(images.kind())?;
        }
        let noisy = on_chosen(&images, &params, |one| one.noise != 0.0, noise)?;
        let mut cut = on_chosen(&noisy, &params, |one| one.jpeg > 0.0, jpeg)?.f_mul(&shares)?;
        if pixels != size {
            cut = cut.f_upsample_bilinear2d(size, false, None, None)?;
        }
        result = result.f_index_copy_(0, &places, &cut)?;
    }
    Ok(result)
}

/// Side in the photograph of an image with a side of `side` pixels: whole JPEG blocks, unless the size does not change.
fn pixels(params: &LaboratoryParams, side: i64) -> i64 {
    if params.resolution <= 0.0 {
        return side;
    }
    let blocks = (params.resolution / BLOCK as f64).round().max(1.0);
    (blocks as i64).saturating_mul(BLOCK).min(side)
}

/// Adds noise.
fn noise(images: &Tensor, params: &[LaboratoryParams]) -> Result<Tensor, Error> {
    let size = images.size();
    let values = size[1..].iter().product::<i64>() as usize;
    let mut noise = Vec::with_capacity(params.len() * values);
    for one in params {
        let rng = ChaCha8Rng::seed_from_u64(one.noise_seed);
        noise.extend(rng.sample_iter(StandardNormal).take(values).map(|value: f64| one.noise * value));
    }
    Ok(images.f_add(&tensor(&noise, &size, images)?)?.f_clamp_(0.0, 1.0)?)
}
