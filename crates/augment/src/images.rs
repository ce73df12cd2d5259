//! Operations on batches of images that the stages of augmentation share.

use malaria_libtorch::upload;
use tch::Tensor;

use crate::error::Error;

/// libtorch's code for `mode="bilinear"`.
const BILINEAR: i64 = 0;

/// A matrix and an offset that turn the colour of a pixel into its new one.
pub(crate) type ColourMap = ([[f64; 3]; 3], [f64; 3]);

/// Values outside an image: libtorch's codes for `padding_mode`.
#[derive(Clone, Copy)]
pub(crate) enum Outside {
    Black = 0,
    NearestPixel = 1,
}

/// Applies `change` only to the images whose parameters are `chosen`, since even a resampling that moves nothing would round.
pub(crate) fn on_chosen<P: Copy>(
    images: &Tensor,
    params: &[P],
    chosen: impl Fn(&P) -> bool,
    change: impl FnOnce(&Tensor, &[P]) -> Result<Tensor, Error>,
) -> Result<Tensor, Error> {
    let (places, some): (Vec<i64>, Vec<P>) =
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

/// Resamples each image through its map (see [`affine`](crate::affine())); the result is contiguous.
pub(crate) fn warp(images: &Tensor, maps: &[[[f64; 3]; 2]], outside: Outside) -> Result<Tensor, Error> {
    // An affine map is a sum of a term for the column and a term for the row. Adding the two, computed in f64 for H + W
    // positions, is four times as fast as affine_grid's matrix product over H * W positions and has smaller rounding errors.
    // x and y are stored as separate planes, so that libtorch adds whole rows at once.
    let (height, width) = (images.size()[2], images.size()[3]);
    let mut by_column = Vec::with_capacity(maps.len() * 2 * width as usize);
    let mut by_row = Vec::with_capacity(maps.len() * 2 * height as usize);
    for map in maps {
        for ([by_x, by_y, offset], side) in map.iter().zip([width, height]) {
            // grid_sampler's coordinates run from -1 to 1 between the centres of the outermost pixels (align_corners).
            let scale = if side > 1 { 2.0 / (side - 1) as f64 } else { 0.0 };
            by_column.extend((0..width).map(|x| scale * (by_x * x as f64 + offset)));
            by_row.extend((0..height).map(|y| scale * by_y * y as f64 - 1.0));
        }
    }
    let count = maps.len() as i64;
    let by_column = tensor(&by_column, &[count, 2, 1, width], images)?;
    let by_row = tensor(&by_row, &[count, 2, height, 1], images)?;
    let grid = by_column.f_add(&by_row)?.f_permute([0, 2, 3, 1])?; // [N, 2, H, W] => [N, H, W, 2]
    Ok(images.f_grid_sampler(&grid, BILINEAR, outside as i64, true)?)
}

/// Applies each image's colour matrix and offset, or a single one to all images; the result is contiguous.
pub(crate) fn mix(images: &Tensor, maps: &[ColourMap]) -> Result<Tensor, Error> {
    let mut coefficients = Vec::with_capacity(maps.len() * 12);
    for (matrix, offset) in maps {
        for from in 0..3 {
            coefficients.extend(matrix.map(|row| row[from]));
        }
        coefficients.extend(offset);
    }
    let coefficients = tensor(&coefficients, &[maps.len() as i64, 4, 3, 1, 1], images)?;
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

/// Whether each of `values` is above `limit`.
pub(crate) fn above(values: &Tensor, limit: f64) -> Result<Tensor, Error> {
    Ok(values.f_gt_tensor(&tensor(&[limit], &[1], values)?)?)
}

/// The values as a tensor of `shape`, with the kind and device of `like`.
pub(crate) fn tensor(values: &[f64], shape: &[i64], like: &Tensor) -> Result<Tensor, Error> {
    Ok(upload(Tensor::f_from_slice(values)?.f_view(shape)?.f_to_kind(like.f_kind()?)?, like.device())?)
}
