//! Checks with three simple measures whether an image resembles the training cells.

use image::{Rgb, RgbImage};
use serde::{Deserialize, Serialize};

use crate::resize::{ResizePolicy, resize};

/// Pixels with all channels below this count as black, the background of a cut-out cell.
const BLACK: u8 = 32;
/// Share of the training cells beyond each bound. With five bounds, at most 0.5 % have a warning.
const OUTSIDE: f64 = 0.001;
/// Minimum of the shorter side in pixels: smaller pictures show too little of a cell.
const SHORTEST_SIDE: u32 = 24;
/// Maximum of the longer side of a picture of a cell, in pixels: larger pictures show more than one.
pub const MAX_CELL_SIDE: u32 = 1024;
/// Maximum ratio of the longer to the shorter side.
const LONGEST_SHAPE: u32 = 3;

/// Whether a pixel belongs to the background of a cut-out cell.
fn is_black(pixel: &Rgb<u8>) -> bool {
    pixel.0.iter().all(|&value| value < BLACK)
}

/// Measures of an image that are compared with the training cells.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ImageStats {
    /// Share of the outermost pixels that are black, in `[0, 1]`.
    pub black_border: f64,
    /// Mean absolute discrete Laplacian (four times a pixel's brightness, 0 to 255, minus the brightness of its four
    /// neighbours) over the pixels that, like their neighbours, are not black. 0 if there is no such pixel.
    pub sharpness: f64,
    /// Mean difference between the largest and the smallest channel, 0 to 255, over the same pixels: 0 for a grey image.
    pub colour: f64,
}

impl ImageStats {
    /// Measures `picture`, which should already have the model's input size.
    #[must_use]
    pub fn of(picture: &RgbImage) -> Self {
        let (width, height) = picture.dimensions();
        let black = |x: u32, y: u32| is_black(picture.get_pixel(x, y));
        let brightness = |x: u32, y: u32| {
            picture.get_pixel(x, y).0.iter().map(|&value| f64::from(value)).sum::<f64>() / 3.0
        };
        let (mut border, mut black_border, mut inside) = (0_u32, 0_u32, 0_u32);
        let (mut laplacian, mut colour) = (0.0, 0.0);
        for (x, y) in (0..height).flat_map(|y| (0..width).map(move |x| (x, y))) {
            if x == 0 || y == 0 || x + 1 == width || y + 1 == height {
                border += 1;
                black_border += u32::from(black(x, y));
                continue;
            }
            let neighbours = [(x - 1, y), (x + 1, y), (x, y - 1), (x, y + 1)];
            if !black(x, y) && neighbours.iter().all(|&(x, y)| !black(x, y)) {
                inside += 1;
                let around: f64 = neighbours.iter().map(|&(x, y)| brightness(x, y)).sum();
                laplacian += (4.0 * brightness(x, y) - around).abs();
                let [r, g, b] = picture.get_pixel(x, y).0;
                colour += f64::from(r.max(g).max(b) - r.min(g).min(b));
            }
        }
        let share = |sum: f64, count: u32| if count == 0 { 0.0 } else { sum / f64::from(count) };
        Self {
            black_border: share(f64::from(black_border), border),
            sharpness: share(laplacian, inside),
            colour: share(colour, inside),
        }
    }
}

/// Ranges of [`ImageStats`] that contain nearly all training cells.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputCheck {
    /// Lowest and highest [`ImageStats::black_border`].
    pub black_border: [f64; 2],
    /// Lowest and highest [`ImageStats::sharpness`].
    pub sharpness: [f64; 2],
    /// Lowest [`ImageStats::colour`].
    pub min_colour: f64,
}

/// A way in which an image differs from the training cells.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, strum::Display, strum::EnumIter,
)]
#[serde(rename_all = "kebab-case")]
pub enum InputWarning {
    /// Too small, too large or too long for a single cell.
    #[strum(to_string = "not the size of a single cell")]
    Size,
    /// Less or more black around the cell than in the training cells.
    #[strum(to_string = "background unlike that of the training cells")]
    Background,
    /// Fewer details than in the training cells: out of focus, or enlarged.
    #[strum(to_string = "blurred")]
    Blurred,
    /// More details than in the training cells: noise, or not a cell.
    #[strum(to_string = "noisy")]
    Noisy,
    /// Less colour than in the training cells: a grey image, or one of another stain.
    #[strum(to_string = "hardly any colour")]
    Colourless,
}

impl InputCheck {
    /// Ranges of `image_stats`, excluding one in a thousand at either end; `None` for an empty slice.
    #[must_use]
    pub fn of(image_stats: &[ImageStats]) -> Option<Self> {
        let range = |value: fn(&ImageStats) -> f64| {
            let mut values = Vec::from_iter(image_stats.iter().map(value));
            values.sort_unstable_by(f64::total_cmp);
            let last = values.len().checked_sub(1)?;
            let cut = (OUTSIDE * values.len() as f64) as usize;
            Some([values[cut], values[last - cut]])
        };
        Some(Self {
            black_border: range(|stats| stats.black_border)?,
            sharpness: range(|stats| stats.sharpness)?,
            min_colour: range(|stats| stats.colour)?[0],
        })
    }

    /// Warnings for an image with `image_stats` and an original size of `width` x `height` pixels; empty if it resembles the
    /// training cells.
    #[must_use]
    pub fn warnings(&self, image_stats: &ImageStats, (width, height): (u32, u32)) -> Vec<InputWarning> {
        let (shorter, longer) = (width.min(height), width.max(height));
        let size = shorter < SHORTEST_SIDE || longer > MAX_CELL_SIDE || longer > LONGEST_SHAPE * shorter;
        let inside = |[low, high]: [f64; 2], value: f64| (low..=high).contains(&value);
        [
            (InputWarning::Size, size),
            (InputWarning::Background, !inside(self.black_border, image_stats.black_border)),
            (InputWarning::Blurred, image_stats.sharpness < self.sharpness[0]),
            (InputWarning::Noisy, image_stats.sharpness > self.sharpness[1]),
            (InputWarning::Colourless, image_stats.colour < self.min_colour),
        ]
        .into_iter()
        .filter_map(|(warning, given)| given.then_some(warning))
        .collect()
    }
}

/// Side of the square in which cells are sought, in pixels; larger pictures are reduced to it.
const SEARCHED_SIDE: u32 = 128;
/// Minimum side of a picture in which cells are sought: in smaller ones, single pixels would count as cells.
const MIN_SEARCHED_SIDE: u32 = 32;
/// Minimum and maximum share of the lit part of a photograph of many cells that one cell covers.
const CELL_AREAS: std::ops::RangeInclusive<f64> = 0.002..=0.15;
/// Minimum number of cells in a photograph of many cells.
const MANY_CELLS: usize = 5;
/// Pictures with more black at the border show a cut-out cell, or the round field of an eyepiece.
const BLACK_AROUND: f64 = 0.05;
/// [`MANY_CELLS`] with black around: the parasites in a cut-out cell are dark regions, too.
const MANY_CELLS_ON_BLACK: usize = 12;
/// Minimum share of the lit part that is dark, with black around.
const DARK_ON_BLACK: f64 = 0.15;
/// Minimum [separation](otsu) with black around. With a single peak of brightnesses, as in most cells, it is about
/// 0.64.
const SEPARATION_ON_BLACK: f64 = 0.7;

/// Whether `picture`, of any size, plainly shows many cells on a bright background rather than one: in its lit part,
/// at least five separate regions of a cell's size are darker than Otsu's threshold, and cover most of what is darker.
/// With black around, as through an eyepiece, it takes twelve regions, a larger dark part, and two separate groups of
/// brightnesses.
///
/// Source of the threshold and of the separation: N. Otsu, "A threshold selection method from gray-level histograms",
/// IEEE Transactions on Systems, Man, and Cybernetics 9 (1979).
#[must_use]
pub fn shows_many_cells(picture: &RgbImage) -> bool {
    let reduced = (picture.width().max(picture.height()) > SEARCHED_SIDE)
        .then(|| resize(picture, SEARCHED_SIDE, ResizePolicy::Stretch));
    let picture = reduced.as_ref().unwrap_or(picture);
    if picture.width().min(picture.height()) < MIN_SEARCHED_SIDE {
        return false;
    }
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    let neighbours = |i: usize| {
        let (x, y) = (i % width, i / width);
        let sides = [(x > 0, i.wrapping_sub(1)), (y > 0, i.wrapping_sub(width))];
        let others = [(x + 1 < width, i + 1), (y + 1 < height, i + width)];
        sides.into_iter().chain(others).filter_map(|(inside, beside)| inside.then_some(beside))
    };
    let black: Vec<bool> = picture.pixels().map(is_black).collect();
    let lit: Vec<bool> =
        (0..black.len()).map(|i| !black[i] && neighbours(i).all(|beside| !black[beside])).collect();
    // Cells are darkest in green for every stain.
    let green: Vec<u8> = picture.pixels().map(|pixel| pixel.0[1]).collect();
    let lit_green: Vec<u8> =
        green.iter().zip(&lit).filter_map(|(&value, &lit)| lit.then_some(value)).collect();
    let (threshold, separation) = otsu(&lit_green);
    let mut dark: Vec<bool> = green.iter().zip(&lit).map(|(&value, &lit)| lit && value < threshold).collect();
    let all = dark.iter().filter(|dark| **dark).count();
    let mut cells = Vec::new();
    for start in 0..dark.len() {
        let mut area = 0_usize;
        let mut open = vec![start];
        while let Some(i) = open.pop() {
            if std::mem::take(&mut dark[i]) {
                area += 1;
                open.extend(neighbours(i));
            }
        }
        if CELL_AREAS.contains(&(area as f64 / lit_green.len() as f64)) {
            cells.push(area);
        }
    }
    let plain = match ImageStats::of(picture).black_border > BLACK_AROUND {
        true => {
            cells.len() >= MANY_CELLS_ON_BLACK
                && all as f64 >= DARK_ON_BLACK * lit_green.len() as f64
                && separation >= SEPARATION_ON_BLACK
        }
        false => cells.len() >= MANY_CELLS,
    };
    plain && 2 * cells.iter().sum::<usize>() > all
}

/// The threshold that divides `values` into two parts with the largest variance between them, and their separation: the
/// share of this variance in the variance of all values, in `[0, 1]`; 0 if all are equal.
fn otsu(values: &[u8]) -> (u8, f64) {
    let mut counts = [0.0_f64; 256];
    values.iter().for_each(|&value| counts[usize::from(value)] += 1.0);
    let sum = |part: &[f64], from: usize| {
        part.iter().enumerate().map(|(i, count)| (from + i) as f64 * count).sum::<f64>()
    };
    let between = |threshold: u8| {
        let (below, above) = counts.split_at(usize::from(threshold));
        let [n, m] = [below, above].map(|part| part.iter().sum::<f64>());
        if n == 0.0 || m == 0.0 {
            0.0
        } else {
            n * m * (sum(below, 0) / n - sum(above, below.len()) / m).powi(2)
        }
    };
    let best = (0..=u8::MAX).map(|threshold| (threshold, between(threshold)));
    let (threshold, largest) = best.max_by(|(_, a), (_, b)| a.total_cmp(b)).unwrap_or_default();
    let number = values.len() as f64;
    let mean = sum(&counts, 0) / number;
    let squares = values.iter().map(|&value| (f64::from(value) - mean).powi(2)).sum::<f64>();
    (threshold, if squares > 0.0 { largest / (number * squares) } else { 0.0 })
}
