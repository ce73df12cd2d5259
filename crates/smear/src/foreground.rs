//! Segments the foreground: everything darker than a level, with the pale centres of cells filled.

use crate::illumination::{darker, otsu};
use crate::peaks::peaks;
use crate::plane::{INSIDE, Mask, Plane, blur, depth, holes, pieces, quantile, weighted_median};
use crate::shape::Shape;

/// Position of the level between the typical darkness of the background (0) and of cells (1).
const LEVEL: f32 = 0.4;
/// Lower levels, at which single pale cells among darker ones are searched for.
const PALE_LEVELS: [f32; 2] = [0.28, 0.2];
/// Minimum and maximum area of such a pale cell, relative to the typical area.
const PALE_AREA: [f32; 2] = [0.45, 1.7];
/// A pale cell is added if a smaller share of it is above [`LEVEL`].
const PALE_KNOWN: f32 = 0.6;
/// Blur before the threshold, relative to a cell's diameter.
const SMOOTHING: f32 = 0.025;
/// Maximum area of a hole that is a pale centre, relative to a cell's area.
const MAX_HOLE: f32 = 0.4;
/// Minimum area of a piece that is kept, relative to a cell's area.
const SMALLEST_PIECE: f32 = 0.02;

/// Minimum difference between dark and bright, as optical density.
const MIN_CONTRAST: f32 = 0.02;
/// Minimum difference between dark and bright, in median deviations of the bright part.
const MIN_SEPARATION: f32 = 6.0;
/// If there are more than this many times as many pixels between Otsu's two levels as above the upper one, they belong
/// to pale cells.
const PALE_CELLS: f32 = 2.0;

/// The dark part of the field, with its measures.
pub(crate) struct Foreground {
    pub(crate) mask: Mask,
    /// Median darkness above the level, that of cells.
    pub(crate) typical: f32,
    /// Median darkness below the level.
    pub(crate) background: f32,
    /// Median deviation of the background's darkness from its median.
    noise: f32,
}

impl Foreground {
    /// Whether dark and bright differ by more than noise.
    pub(crate) fn stands_out(&self) -> bool {
        differ(self.typical, self.background, self.noise)
    }
}

/// Whether dark and bright differ by more than noise: the two halves of a background without cells also differ.
fn differ(typical: f32, background: f32, noise: f32) -> bool {
    let contrast = typical - background;
    contrast > MIN_CONTRAST && contrast > MIN_SEPARATION * noise
}

/// Separates the dark part of the field, for cells of about `diameter` pixels if that is already known.
pub(crate) fn foreground(darkness: &Plane, field: &Mask, diameter: Option<f32>) -> Foreground {
    let smooth = blur(darkness, diameter.map_or(0.8, |diameter| SMOOTHING * diameter));
    let inside = |keep: &dyn Fn(f32) -> bool| {
        let values = smooth.as_raw().iter().zip(field.as_raw()).filter(|(_, field)| **field > 0);
        Vec::from_iter(values.map(|(value, _)| *value).filter(|value| keep(*value)))
    };
    // Typical darkness, background and noise.
    let measures = |level: f32| -> [f32; 3] {
        let bright = inside(&|value| value <= level);
        let typical = quantile(inside(&|value| value > level), 0.5).unwrap_or(0.0);
        let background = quantile(bright.clone(), 0.5).unwrap_or(0.0);
        let deviations = bright.into_iter().map(|value| (value - background).abs());
        [typical, background, quantile(deviations.collect(), 0.5).unwrap_or(0.0)]
    };
    let middle = otsu(&inside(&|_| true));
    let [mut typical, mut background, mut noise] = measures(middle);
    // A few very dark pieces, such as white cells, hide many pale cells.
    let lower = otsu(&inside(&|value| value <= middle));
    let between = inside(&|value| value > lower && value <= middle).len();
    if between as f32 > PALE_CELLS * inside(&|value| value > middle).len() as f32 {
        let pale = measures(lower);
        // In uneven light the lower level may only divide the background.
        if differ(pale[0], pale[1], pale[2]) {
            [typical, background, noise] = pale;
        }
    }
    let level = background + LEVEL * (typical - background);
    let mut mask = darker(&smooth, field, level);
    if let Some(diameter) = diameter {
        let cell = std::f32::consts::FRAC_PI_4 * diameter * diameter;
        for share in PALE_LEVELS {
            let level = background + share * (typical - background);
            if share * (typical - background) > MIN_SEPARATION * noise {
                let pale = pale_cells(darker(&smooth, field, level), &mask, cell);
                pale.into_iter().for_each(|i| mask.as_mut()[i as usize] = INSIDE);
            }
        }
        fill_holes(&mut mask, MAX_HOLE * cell);
        for piece in pieces(&mask) {
            if (piece.len() as f32) < SMALLEST_PIECE * cell {
                piece.iter().for_each(|&i| mask.as_mut()[i as usize] = 0);
            }
        }
    }
    Foreground { mask, typical, background, noise }
}

/// Minimum area of a piece used for the scale, in pixels.
const SMALLEST_MEASURED: usize = 25;
/// Convexity of a single cell.
const CONVEX: f32 = 0.9;
/// Number of convex pieces that give a reliable scale.
const ENOUGH: usize = 4;

fn fill_holes(mask: &mut Mask, largest: f32) {
    for hole in holes(mask) {
        if (hole.len() as f32) < largest {
            hole.iter().for_each(|&i| mask.as_mut()[i as usize] = INSIDE);
        }
    }
}

/// Pixels of the single cells in `lower`, the foreground at a lower level, of which `mask` contains only a small part.
fn pale_cells(mut lower: Mask, mask: &Mask, cell: f32) -> Vec<u32> {
    fill_holes(&mut lower, MAX_HOLE * cell);
    let mut pieces = pieces(&lower);
    pieces.retain(|piece| {
        let known = piece.iter().filter(|&&i| mask.as_raw()[i as usize] > 0).count();
        let single = Shape::of(piece, lower.width()).is_some_and(|shape| {
            (PALE_AREA[0]..=PALE_AREA[1]).contains(&(shape.area / cell)) && shape.solidity > CONVEX
        });
        single && (known as f32) < PALE_KNOWN * piece.len() as f32
    });
    pieces.concat()
}

/// The typical diameter of a cell in pixels, measured on convex pieces, each weighted by its area so that specks do not
/// count. If there are too few of them, it is measured on the depth of all pieces. `None` if there is nothing to
/// measure.
pub(crate) fn typical_diameter(mask: &Mask) -> Option<f32> {
    let (width, height) = mask.dimensions();
    let mut filled = mask.clone();
    for hole in holes(mask) {
        // Without the area that a ring of many cells encloses.
        if hole.len() * 50 < mask.as_raw().len() {
            hole.iter().for_each(|&i| filled.as_mut()[i as usize] = INSIDE);
        }
    }
    let mut convex = Vec::new();
    for piece in pieces(&filled).iter().filter(|piece| piece.len() >= SMALLEST_MEASURED) {
        let Some(shape) = Shape::of(piece, width) else { continue };
        let [left, top, right, bottom] = shape.bounds;
        let inside = left > 0 && top > 0 && right + 1 < width && bottom + 1 < height;
        if inside && shape.solidity > CONVEX && shape.axes[0] < 2.0 * shape.axes[1] {
            convex.push((shape.diameter(), shape.area));
        }
    }
    if convex.len() >= ENOUGH {
        return weighted_median(convex);
    }
    let depth = depth(&filled);
    let peaks = Vec::from_iter(peaks(&depth, 0.1).into_iter().map(|(_, depth)| (2.0 * depth, depth * depth)));
    weighted_median(peaks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plane::{mask_where, plane_of};

    #[test]
    fn sparse_cells_in_uneven_light_are_separated() {
        let size = (200, 150);
        // Twelve discs on a background that becomes darker from left to right.
        let darkness = plane_of(size, |i| {
            let (x, y) = (i % 200, i / 200);
            let [across, down] = [x, y].map(|at| (at % 50) as f32 - 24.5);
            if across.hypot(down) < 8.0 { 0.24 } else { 0.0003 * x as f32 - 0.03 }
        });
        let field = mask_where(size, |_| true);
        for diameter in [None, Some(16.0)] {
            let found = foreground(&darkness, &field, diameter);
            assert!(found.stands_out());
            assert_eq!(pieces(&found.mask).len(), 12);
        }
    }
}
