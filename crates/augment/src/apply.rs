//! Applies augmentation parameters to a batch of images.

use malaria_libtorch::upload;
use tch::{Kind, Tensor};

use crate::colour::colour;
use crate::{
    affine::affine,
    config::AugmentConfig,
    error::Error,
    params::{AugmentParams, sample},
};

/// libtorch's codes for `mode="bilinear"` and `padding_mode="border"`.
const BILINEAR: i64 = 0;
const BORDER: i64 = 1;

/// Augments the batch `images`, `[N, 3, H, W]` RGB floats in `[0, 1]`: [`sample()`](crate::sample()) for each image, then
/// [`apply`]. `indices` (N of them) are the images' positions in the data set; `epoch` counts from 0.
///
/// # Errors
/// Those of [`apply`]. Check the ranges of `config` first, with [`AugmentConfig::check`].
pub fn batch(
    images: &Tensor,
    config: &AugmentConfig,
    seed: u64,
    epoch: u64,
    indices: &[usize],
) -> Result<Tensor, Error> {
    let params: Vec<AugmentParams> =
        indices.iter().map(|&index| sample(config, seed, epoch, index as u64)).collect();
    apply(images, &params)
}

/// Augments the batch `images`, `[N, 3, H, W]` RGB floats in `[0, 1]`, with one set of parameters per image.
///
/// The result has the shape, kind, device and memory layout (`channels_last` included) of `images`, and values in
/// `[0, 1]`. Points outside an image take the nearest border pixel. Images whose parameters are the identity
/// are returned unchanged, bit for bit; if all are, the result shares its storage with `images`. On the CPU an image's
/// result is bitwise independent of the rest of the batch and of the number of threads.
///
/// # Errors
/// [`Error::Shape`] or [`Error::Kind`] for a batch that is not RGB floats; [`Error::ParamsCount`] if the lengths differ;
/// [`Error::Params`] for values that are not finite; [`Error::Torch`] if libtorch fails.
pub fn apply(images: &Tensor, params: &[AugmentParams]) -> Result<Tensor, Error> {
    check(images, params)?;
    if !params.iter().any(|one| one.moves() || one.recolours()) {
        return Ok(images.shallow_clone());
    }
    let moved = on_chosen(images, params, AugmentParams::moves, warp)?;
    let coloured = on_chosen(&moved, params, AugmentParams::recolours, recolour)?;

    // grid_sampler always returns plain NCHW memory; empty_like restores the layout of the input. Colour maps leave [0, 1], and
    // rounding lets interpolated values leave it too.
    let mut result = images.f_empty_like()?;
    result.f_copy_(&coloured)?;
    Ok(result.f_clamp_(0.0, 1.0)?)
}

fn check(images: &Tensor, params: &[AugmentParams]) -> Result<(), Error> {
    let found = images.size();
    let count = match found[..] {
        [count, 3, height, width] if height > 0 && width > 0 => count as usize,
        _ => return Err(Error::Shape { found }),
    };
    let kind = images.f_kind()?;
    if !matches!(kind, Kind::Float | Kind::Double) {
        return Err(Error::Kind { found: kind });
    }
    if count != params.len() {
        return Err(Error::ParamsCount { images: count, params: params.len() });
    }
    for (index, one) in params.iter().enumerate() {
        if let Some((field, found)) = one.not_finite() {
            return Err(Error::Params { index, field, found });
        }
    }
    Ok(())
}

/// Applies `change` only to the images whose parameters are `chosen`: even a resampling that moves nothing would round.
fn on_chosen(
    images: &Tensor,
    params: &[AugmentParams],
    chosen: fn(&AugmentParams) -> bool,
    change: fn(&Tensor, &[AugmentParams]) -> Result<Tensor, Error>,
) -> Result<Tensor, Error> {
    let (places, some): (Vec<i64>, Vec<AugmentParams>) =
        (0..).zip(params.iter().copied()).filter(|(_, one)| chosen(one)).unzip();
    if places.is_empty() {
        return Ok(images.shallow_clone());
    }
    if places.len() == params.len() {
        return change(images, params);
    }
    let places = upload(Tensor::f_from_slice(&places)?, images.device())?;
    let changed = change(&images.f_index_select(0, &places)?, &some)?;
    let mut all = images.f_empty_like()?;
    all.f_copy_(images)?;
    Ok(all.f_index_copy_(0, &places, &changed)?)
}

/// Resamples each image through its affine map; the result is contiguous.
fn warp(images: &Tensor, params: &[AugmentParams]) -> Result<Tensor, Error> {
    // An affine map is a sum of a term for the column and a term for the row. Adding the two, computed in f64 for
    // H + W positions, is four times as fast as affine_grid's matrix product over H * W positions and rounds less.
    // x and y are stored as separate planes, so that libtorch adds whole rows at once.
    let (height, width) = (images.size()[2], images.size()[3]);
    let mut by_column = Vec::with_capacity(params.len() * 2 * width as usize);
    let mut by_row = Vec::with_capacity(params.len() * 2 * height as usize);
    for one in params {
        for ([by_x, by_y, offset], side) in affine(one, height, width).into_iter().zip([width, height]) {
            // grid_sampler's coordinates run from -1 to 1 between the centres of the outermost pixels (align_corners).
            let scale = if side > 1 { 2.0 / (side - 1) as f64 } else { 0.0 };
            by_column.extend((0..width).map(|x| scale * (by_x * x as f64 + offset)));
            by_row.extend((0..height).map(|y| scale * by_y * y as f64 - 1.0));
        }
    }
    let count = params.len() as i64;
    let by_column = tensor(&by_column, &[count, 2, 1, width], images)?;
    let by_row = tensor(&by_row, &[count, 2, height, 1], images)?;
    let grid = by_column.f_add(&by_row)?.f_permute([0, 2, 3, 1])?; // [N, 2, H, W] => [N, H, W, 2]
    Ok(images.f_grid_sampler(&grid, BILINEAR, BORDER, true)?)
}

/// Applies each image's colour matrix and offset; the result is contiguous.
fn recolour(images: &Tensor, params: &[AugmentParams]) -> Result<Tensor, Error> {
    let mut coefficients = Vec::with_capacity(params.len() * 12);
    for one in params {
        let (matrix, offset) = colour(one);
        for from in 0..3 {
            coefficients.extend(matrix.map(|row| row[from]));
        }
        coefficients.extend([offset; 3]);
    }
    let coefficients = tensor(&coefficients, &[params.len() as i64, 4, 3, 1, 1], images)?;
    let images = images.f_contiguous()?;
    // Elementwise products and sums: a matrix product may round differently in batches of different sizes, and runs in
    // half precision under autocast.
    let term = |from: i64| images.f_narrow(1, from, 1)?.f_mul(&coefficients.f_select(1, from)?); // [N, 3, H, W]
    let mut sum = term(0)?;
    for from in 1..3 {
        sum = sum.f_add_(&term(from)?)?;
    }
    let offset = coefficients.f_select(1, 3)?; // [N, 3, 1, 1]
    Ok(sum.f_add_(&offset)?)
}

/// The values as a tensor of `shape`, with the kind and device of `like`.
fn tensor(values: &[f64], shape: &[i64], like: &Tensor) -> Result<Tensor, Error> {
    Ok(upload(Tensor::f_from_slice(values)?.f_view(shape)?.f_to_kind(like.f_kind()?)?, like.device())?)
}
