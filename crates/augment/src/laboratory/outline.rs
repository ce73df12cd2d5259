//! The outline of a cell in its picture, a piece of a neighbour beside it, and another way of cutting it out.

use std::f64::consts::TAU;

use malaria_libtorch::upload;
use tch::Tensor;

use super::{
    camera::convolve,
    params::{LaboratoryParams, RIM_WAVES},
};
use crate::{
    error::Error,
    images::{Outside, above, on_chosen, tensor, warp},
};

/// Values with all channels below this are black, the surroundings of a cell: between 31 and 32 of 255.
const BLACK: f64 = 31.5 / 255.0;
/// Part of a cell that its neighbour overlaps.
const OVERLAP: f64 = 0.1;
/// Number of directions from the centre in which the position of the rim is computed.
const DIRECTIONS: usize = 256;

/// The colours of cells without the black around them, `[N, 3, H, W]`, and the share of each pixel that is the cell's,
/// `[N, 1, H, W]`.
///
/// Resizing has mixed some of the outermost pixels of a cell with black. They get the brightness of the brightest pixel
/// beside them.
pub(super) fn lift(images: &Tensor) -> Result<(Tensor, Tensor), Error> {
    let brightness = images.f_amax([1], true)?;
    let is_cell = above(&brightness, BLACK)?;
    let is_rim = above(&highest_near(&is_cell.f_logical_not()?.f_to_kind(images.kind())?)?, 0.5)?;
    let one = brightness.f_ones_like()?;
    let rim_shares = brightness.f_div(&highest_near(&brightness)?)?;
    // Outside a cell there is no colour, and no share to divide by.
    let shares = rim_shares.f_where_self(&is_rim.f_logical_and(&is_cell)?, &one)?;
    Ok((images.f_div(&shares)?, shares.f_mul(&is_cell)?))
}

/// The highest of the 3 x 3 values around each of `values`, `[N, 1, H, W]`, 0 or more. Like max-pooling, but several times as fast: libtorch's
/// also records positions.
fn highest_near(values: &Tensor) -> Result<Tensor, Error> {
    let mut highest = values.f_constant_pad_nd([1, 1, 1, 1])?;
    for axis in [3, 2] {
        let side = values.size()[axis as usize];
        let part = |from: i64| highest.f_narrow(axis, from, side);
        highest = part(0)?.f_maximum(&part(1)?)?.f_maximum(&part(2)?)?;
    }
    Ok(highest)
}

/// Shrinks and shifts each cell, and puts a rotated copy of it in the space beside and under it.
pub(super) fn neighbours(images: &Tensor, params: &[LaboratoryParams]) -> Result<Tensor, Error> {
    let sides = [images.size()[3], images.size()[2]].map(|side| side as f64);
    // The map to the content of a cell with its centre at `centre`, from the picture's, and `scale` times its size.
    let map = |centre: [f64; 2], scale: f64, turns: f64| {
        let (sin, cos) = (turns * TAU).sin_cos();
        let rows = [[cos, -sin], [sin, cos]];
        // In fractions of the sides: position / side - 1/2, minus the centre, rotated, enlarged, and back to pixels.
        [0, 1].map(|axis| {
            let by = [0, 1].map(|other| rows[axis][other] / scale * sides[axis] / sides[other]);
            let middle = [0, 1].map(|other| (sides[other] - 1.0) / 2.0 + sides[other] * centre[other]);
            [by[0], by[1], (sides[axis] - 1.0) / 2.0 - by[0] * middle[0] - by[1] * middle[1]]
        })
    };
    let (own, other): (Vec<_>, Vec<_>) = params
        .iter()
        .map(|one| {
            let (sin, cos) = (one.neighbour_turns * TAU).sin_cos();
            let scale = (1.0 - one.neighbour).max(0.1);
            let at = |distance: f64| map([cos * distance, sin * distance], scale, 0.0);
            let own = -one.neighbour / 2.0;
            let distance = own + scale * (1.0 - OVERLAP);
            (at(own), map([cos * distance, sin * distance], scale, one.neighbour_rotation))
        })
        .unzip();
    let own = warp(images, &own, Outside::Black)?;
    let other = warp(images, &other, Outside::Black)?;
    let (_, shares) = lift(&own)?;
    Ok(other.f_sub(&other.f_mul(&shares)?)?.f_add_(&own)?)
}

/// Cuts cells out along another outline: the new shares of pixels that are the cell's, `[N, 1, H, W]`.
pub(super) fn recut(cells: &Tensor, params: &[LaboratoryParams]) -> Result<Tensor, Error> {
    let ragged = on_chosen(cells, params, |one| one.rim != 0.0, move_rim)?;
    on_chosen(&ragged, params, |one| one.cut > 0.0, cut)
}

/// Moves the rim by different lengths in different directions.
///
/// The mean of a cell over a square around a pixel is 1/2 on a straight rim and falls by 1 over the side of the square: where it
/// is above another threshold than 1/2, the rim lies farther inside or outside.
fn move_rim(cells: &Tensor, params: &[LaboratoryParams]) -> Result<Tensor, Error> {
    let (height, width) = (cells.size()[2], cells.size()[3]);
    let side = 2 * (width / 8) + 1;
    let weights = vec![1.0 / side as f64; side as usize];
    let mean = convolve(cells, &tensor(&weights, &[side, 1, 1, 1, 1], cells)?, "constant")?;
    let (middle_x, middle_y) = ((width - 1) as f64 / 2.0, (height - 1) as f64 / 2.0);
    let directions: Vec<i64> = (0..height)
        .flat_map(|y| (0..width).map(move |x| (x as f64 - middle_x, y as f64 - middle_y)))
        .map(|(x, y)| {
            let direction = (y.atan2(x) / TAU * DIRECTIONS as f64).rem_euclid(DIRECTIONS as f64);
            direction as i64 % DIRECTIONS as i64
        })
        .collect();
    let directions = upload(Tensor::f_from_slice(&directions)?, cells.device())?;
    let mut thresholds = Vec::with_capacity(params.len() * DIRECTIONS);
    for one in params {
        thresholds.extend((0..DIRECTIONS).map(|direction| {
            let turns = direction as f64 / DIRECTIONS as f64;
            let waves = RIM_WAVES.iter().zip(one.rim_phases);
            let sum: f64 = waves.map(|(waves, phase)| ((waves * turns + phase) * TAU).cos()).sum();
            let share = 0.5 + 0.5 * sum / RIM_WAVES.len() as f64;
            0.5 - one.rim * width as f64 * share / side as f64
        }));
    }
    let count = params.len() as i64;
    let thresholds = tensor(&thresholds, &[count, DIRECTIONS as i64], cells)?
        .f_index_select(1, &directions)?
        .f_view([count, 1, height, width])?;
    // Number of pixels from here to the rim, plus half of the pixel on the rim.
    Ok(mean.f_sub(&thresholds)?.f_mul_scalar_(side as f64)?.f_add_scalar_(0.5)?.f_clamp_(0.0, 1.0)?)
}

/// Removes the part beyond a line.
fn cut(cells: &Tensor, params: &[LaboratoryParams]) -> Result<Tensor, Error> {
    let (height, width) = (cells.size()[2], cells.size()[3]);
    let places = |side: i64| (0..side).map(move |place| (place as f64 + 0.5) / side as f64 - 0.5);
    let (mut by_column, mut by_row) = (Vec::new(), Vec::new());
    for one in params {
        let (sin, cos) = (one.cut_turns * TAU).sin_cos();
        // In pixels, from here to the line.
        by_column.extend(places(width).map(|x| width as f64 * (0.5 - one.cut - cos * x) + 0.5));
        by_row.extend(places(height).map(|y| -(width as f64) * sin * y));
    }
    let count = params.len() as i64;
    let by_column = tensor(&by_column, &[count, 1, 1, width], cells)?;
    let by_row = tensor(&by_row, &[count, 1, height, 1], cells)?;
    Ok(cells.f_mul(&by_column.f_add(&by_row)?.f_clamp_(0.0, 1.0)?)?)
}
