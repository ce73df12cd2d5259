//! Applies augmentation parameters to a batch of images.

use tch::{Kind, Tensor};

use crate::{
    affine::affine,
    colour::colour,
    config::AugmentConfig,
    error::Error,
    images::{Outside, mix, on_chosen, warp},
    laboratory,
    params::{AugmentParams, sample},
};

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
    if params.iter().all(|one| !one.moves() && !one.recolours() && one.laboratory.is_identity()) {
        return Ok(images.shallow_clone());
    }
    let moved = on_chosen(images, params, AugmentParams::moves, |images, params| {
        let (height, width) = (images.size()[2], images.size()[3]);
        let maps: Vec<_> = params.iter().map(|one| affine(one, height, width)).collect();
        warp(images, &maps, Outside::NearestPixel)
    })?;
    // Before the colours, which may brighten the black by which a cell is separated from its surroundings.
    let elsewhere = on_chosen(
        &moved,
        params,
        |one| !one.laboratory.is_identity(),
        |images, params| {
            let params: Vec<_> = params.iter().map(|one| one.laboratory).collect();
            laboratory::apply(images, &params)
        },
    )?;
    let coloured = on_chosen(&elsewhere, params, AugmentParams::recolours, |images, params| {
        mix(images, &params.iter().map(colour).collect::<Vec<_>>())
    })?;

    // grid_sampler always returns plain NCHW memory; empty_like restores the layout of the input. Colour maps leave [0, 1],
    // and rounding can also move interpolated values out of it.
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
