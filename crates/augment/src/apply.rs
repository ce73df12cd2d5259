//! Carrying a batch of draws out on tensors.

use malaria_libtorch::upload;
use tch::{Kind, Tensor};

use crate::colour::colour;
use crate::{
    affine::affine,
    config::AugmentConfig,
    error::Error,
    params::{AugmentParams, sample},
};

/// libtorch's numbers for `mode="bilinear"` and `padding_mode="border"`.
const BILINEAR: i64 = 0;
const BORDER: i64 = 1;

/// Augments the batch `images`, `[N, 3, H, W]` RGB floats in `[0, 1]`: [`sample()`](crate::sample()) for each image, then
/// [`apply`]. `indices` `[N]` are the images' positions in the data set; `epoch` counts from 0.
///
/// # Errors
/// Those of [`apply`]; [`AugmentConfig::check`] tells beforehand whether the ranges of `config` make sense.
pub fn batch(
    images: &Tensor,
    config: &AugmentConfig,
    seed: u64,
    epoch: u64,
    indices: &[usize],
) -> Result<Tensor, Error> {
    let draws: Vec<AugmentParams> =
        indices.iter().map(|&index| sample(config, seed, epoch, index as u64)).collect();
    apply(images, &draws)
}

/// Augments the batch `images`, `[N, 3, H, W]` RGB floats in `[0, 1]`, by one draw an image.
///
/// The result has the shape, kind, device and memory layout (`channels_last` included) of `images`, and values in
/// `[0, 1]`. Places outside of an image take the nearest border pixel. Images whose draw is the identity come back
/// bit by bit; when all of them do, the result shares its storage with `images`. On CPU an image's result depends
/// neither on the rest of the batch nor on the number of threads, to the last bit.
///
/// # Errors
/// [`Error::Shape`], [`Error::Kind`], [`Error::ParamsCount`] and [`Error::Params`] for what they say,
/// [`Error::Torch`] when libtorch fails.
pub fn apply(images: &Tensor, draws: &[AugmentParams]) -> Result<Tensor, Error> {
    check(images, draws)?;
    if !draws.iter().any(|draw| draw.moves() || draw.recolours()) {
        return Ok(images.shallow_clone());
    }
    let moved = on_chosen(images, draws, AugmentParams::moves, warp)?;
    let coloured = on_chosen(&moved, draws, AugmentParams::recolours, recolour)?;

    // grid_sampler returns plain NCHW memory whatever it is given; empty_like tells the layout to restore. Colours leave [0, 1],
    // and so do, by a rounding, an interpolation's weights.
    let mut result = images.f_empty_like()?;
    result.f_copy_(&coloured)?;
    Ok(result.f_clamp_(0.0, 1.0)?)
}

fn check(images: &Tensor, draws: &[AugmentParams]) -> Result<(), Error> {
    let found = images.size();
    let count = match found[..] {
        [count, 3, height, width] if height > 0 && width > 0 => count as usize,
        _ => return Err(Error::Shape { found }),
    };
    let kind = images.f_kind()?;
    if !matches!(kind, Kind::Float | Kind::Double) {
        return Err(Error::Kind { found: kind });
    }
    if count != draws.len() {
        return Err(Error::ParamsCount { images: count, draws: draws.len() });
    }
    for (index, draw) in draws.iter().enumerate() {
        if let Some((field, found)) = draw.not_finite() {
            return Err(Error::Params { index, field, found });
        }
    }
    Ok(())
}

/// Lets `change` work on the images whose draw is `chosen` and on no other, since even a resampling that moves
/// nothing rounds.
fn on_chosen(
    images: &Tensor,
    draws: &[AugmentParams],
    chosen: fn(&AugmentParams) -> bool,
    change: fn(&Tensor, &[AugmentParams]) -> Result<Tensor, Error>,
) -> Result<Tensor, Error> {
    let (places, some): (Vec<i64>, Vec<AugmentParams>) =
        (0..).zip(draws.iter().copied()).filter(|(_, draw)| chosen(draw)).unzip();
    if places.is_empty() {
        return Ok(images.shallow_clone());
    }
    if places.len() == draws.len() {
        return change(images, draws);
    }
    let places = upload(Tensor::f_from_slice(&places)?, images.device())?;
    let changed = change(&images.f_index_select(0, &places)?, &some)?;
    let mut all = images.f_empty_like()?;
    all.f_copy_(images)?;
    Ok(all.f_index_copy_(0, &places, &changed)?)
}

/// Resamples each image through its affine map; the result is contiguous.
fn warp(images: &Tensor, draws: &[AugmentParams]) -> Result<Tensor, Error> {
    // An affine map is the sum of what the column and what the row contributes. Adding the two, computed in f64
    // for H + W places, is four times as fast as affine_grid's matrix product over H * W places and rounds less.
    // The columns of all places lie together, and so do the rows, so that libtorch adds whole rows of them at once.
    let (height, width) = (images.size()[2], images.size()[3]);
    let mut by_column = Vec::with_capacity(draws.len() * 2 * width as usize);
    let mut by_row = Vec::with_capacity(draws.len() * 2 * height as usize);
    for draw in draws {
        for ([by_x, by_y, offset], side) in affine(draw, height, width).into_iter().zip([width, height]) {
            // grid_sampler counts from -1 to 1 between the centres of the outermost pixels (align_corners).
            let scale = if side > 1 { 2.0 / (side - 1) as f64 } else { 0.0 };
            by_column.extend((0..width).map(|x| scale * (by_x * x as f64 + offset)));
            by_row.extend((0..height).map(|y| scale * by_y * y as f64 - 1.0));
        }
    }
    let count = draws.len() as i64;
    let by_column = tensor(&by_column, &[count, 2, 1, width], images)?;
    let by_row = tensor(&by_row, &[count, 2, height, 1], images)?;
    let grid = by_column.f_add(&by_row)?.f_permute([0, 2, 3, 1])?; // [N, 2, H, W] => [N, H, W, 2]
    Ok(images.f_grid_sampler(&grid, BILINEAR, BORDER, true)?)
}

/// Sends each image's colours through its matrix and offset; the result is contiguous.
fn recolour(images: &Tensor, draws: &[AugmentParams]) -> Result<Tensor, Error> {
    let mut coefficients = Vec::with_capacity(draws.len() * 12);
    for draw in draws {
        let (matrix, offset) = colour(draw);
        for from in 0..3 {
            coefficients.extend(matrix.map(|row| row[from]));
        }
        coefficients.extend([offset; 3]);
    }
    let coefficients = tensor(&coefficients, &[draws.len() as i64, 4, 3, 1, 1], images)?;
    let images = images.f_contiguous()?;
    // Products and sums by element: a matrix product may round differently in batches of different sizes, and
    // does so in half precision under autocast.
    let term = |from: i64| images.f_narrow(1, from, 1)?.f_mul(&coefficients.f_select(1, from)?); // [N, 3, H, W]
    let mut sum = term(0)?;
    for from in 1..3 {
        sum = sum.f_add_(&term(from)?)?;
    }
    let offset = coefficients.f_select(1, 3)?; // [N, 3, 1, 1]
    Ok(sum.f_add_(&offset)?)
}

/// Values computed in f64, in the shape asked for and with the kind and device of `like`.
fn tensor(values: &[f64], shape: &[i64], like: &Tensor) -> Result<Tensor, Error> {
    Ok(upload(Tensor::f_from_slice(values)?.f_view(shape)?.f_to_kind(like.f_kind()?)?, like.device())?)
}
