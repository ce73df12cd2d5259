//! Fits the illumination of the background, and computes the optical density of each pixel.

use image::RgbImage;
use nalgebra::{Matrix6, Vector6};

use crate::plane::{Mask, Plane, mask_where, plane_of, quantile};

/// Tiles along the longer side for the first estimate.
const TILES: u32 = 12;
/// Maximum number of pixels to which the final background is fitted.
const MAX_SAMPLES: usize = 40_000;
/// Number of rounds. Each fits the background to the pixels that the previous round classified as background.
const ROUNDS: usize = 3;
/// Brightness, 0 to 255, below which all channels of an unlit picture lie.
const DARK: f32 = 16.0;
/// Maximum optical density, that of black.
const DENSEST: f32 = 2.5;

/// The background as a quadratic surface for each channel (Leong et al. 2003, J Clin Pathol 56:619).
pub(crate) struct Background {
    surfaces: [Vector6<f64>; 3],
    width: u32,
    height: u32,
}

impl Background {
    /// Fits the background of the field to the brightest tiles, then to all pixels that are not darker than their surroundings.
    /// `None` without pixels.
    pub(crate) fn fit(picture: &RgbImage, field: &Mask) -> Option<Self> {
        let (width, height) = picture.dimensions();
        let mut background = Self { surfaces: [Vector6::zeros(); 3], width, height };
        background.refit(&bright_tiles(picture, field))?;
        let inside = Vec::from_iter((0..width * height).filter(|&i| field.as_raw()[i as usize] > 0));
        let step = inside.len().div_ceil(MAX_SAMPLES).max(1);
        let samples = Vec::from_iter(inside.into_iter().step_by(step).map(|i| {
            let (x, y) = (i % width, i / width);
            (x, y, picture.get_pixel(x, y).0.map(f32::from))
        }));
        for _ in 0..ROUNDS {
            let density = |&(x, y, colour): &(u32, u32, [f32; 3])| {
                background.density(x, y, colour).iter().sum::<f32>() / 3.0
            };
            let densities = Vec::from_iter(samples.iter().map(density));
            let limit = otsu(&densities) * 0.5;
            let bright = samples.iter().zip(&densities).filter(|(_, density)| **density < limit);
            let bright = Vec::from_iter(bright.map(|(sample, _)| *sample));
            // If there is hardly any background, the brightest tiles are more informative.
            if bright.len() * 50 < samples.len() {
                break;
            }
            background.refit(&bright)?;
        }
        Some(background)
    }

    fn refit(&mut self, samples: &[(u32, u32, [f32; 3])]) -> Option<()> {
        let mut products = Matrix6::zeros();
        let mut sums = [Vector6::zeros(); 3];
        for &(x, y, colour) in samples {
            let terms = self.terms(x, y);
            products += terms * terms.transpose();
            for (sum, value) in sums.iter_mut().zip(colour) {
                *sum += terms * f64::from(value);
            }
        }
        // Keeps the surface flat where the samples do not determine its slope.
        for i in 1..6 {
            products[(i, i)] += 0.01 * samples.len() as f64;
        }
        let decomposed = products.cholesky()?;
        self.surfaces = sums.map(|sum| decomposed.solve(&sum));
        Some(())
    }

    fn terms(&self, x: u32, y: u32) -> Vector6<f64> {
        let longer = f64::from(self.width.max(self.height));
        let centred = |at: u32, side: u32| 2.0 * (f64::from(at) - f64::from(side) / 2.0) / longer;
        let (x, y) = (centred(x, self.width), centred(y, self.height));
        Vector6::new(1.0, x, y, x * x, x * y, y * y)
    }

    /// Optical density of each channel, relative to the background: the logarithm of the background's light over the pixel's.
    pub(crate) fn density(&self, x: u32, y: u32, colour: [f32; 3]) -> [f32; 3] {
        let terms = self.terms(x, y);
        [0, 1, 2].map(|i| {
            let light = (self.surfaces[i].dot(&terms) as f32).clamp(8.0, 255.0);
            (light / colour[i].max(1.0)).ln().clamp(-DENSEST, DENSEST)
        })
    }

    /// Whether the background is too dark for cells to be seen.
    pub(crate) fn is_dark(&self) -> bool {
        self.mean_colour().iter().all(|&channel| channel < DARK)
    }

    /// Colour of the background in the middle of the picture, 0 to 255.
    pub(crate) fn mean_colour(&self) -> [f32; 3] {
        let terms = self.terms(self.width / 2, self.height / 2);
        self.surfaces.map(|surface| surface.dot(&terms) as f32)
    }

    /// The darkness of each pixel: the weighted mean of the channels' densities in which cells stand out most from the
    /// background, as measured by the difference of their means over the sum of their variances. 0 outside the field.
    pub(crate) fn darkness(&self, picture: &RgbImage, field: &Mask) -> Plane {
        let densities = Vec::from_iter(
            picture.enumerate_pixels().map(|(x, y, pixel)| self.density(x, y, pixel.0.map(f32::from))),
        );
        let inside = Vec::from_iter(
            densities
                .iter()
                .zip(field.as_raw())
                .filter(|(_, field)| **field > 0)
                .map(|(density, _)| *density),
        );
        let weights = weights(&inside);
        plane_of(
            picture.dimensions(),
            |i| {
                if field.as_raw()[i] == 0 { 0.0 } else { dot(densities[i], weights) }
            },
        )
    }
}

fn dot(a: [f32; 3], b: [f32; 3]) -> f32 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

/// Weights of the channels, not negative, with a sum of 1.
fn weights(densities: &[[f32; 3]]) -> [f32; 3] {
    let mean = Vec::from_iter(densities.iter().map(|density| density.iter().sum::<f32>() / 3.0));
    let level = otsu(&mean);
    // For cells and for the background: number, sum and sum of squares of each channel.
    let mut sums = [[[0.0_f64; 3]; 3]; 2];
    for (density, mean) in densities.iter().zip(&mean) {
        let sums = &mut sums[usize::from(*mean > level)];
        for (i, &value) in density.iter().enumerate() {
            sums[0][i] += 1.0;
            sums[1][i] += f64::from(value);
            sums[2][i] += f64::from(value) * f64::from(value);
        }
    }
    let moments = |[count, sum, squares]: [[f64; 3]; 3], i: usize| {
        let mean = sum[i] / f64::max(count[i], 1.0);
        (mean, (squares[i] / f64::max(count[i], 1.0) - mean * mean).max(0.0))
    };
    let raw = [0, 1, 2].map(|i| {
        let (light, dark) = (moments(sums[0], i), moments(sums[1], i));
        ((dark.0 - light.0) / (dark.1 + light.1 + 1e-4)).max(0.0)
    });
    let sum: f64 = raw.iter().sum();
    if sum > 0.0 { raw.map(|weight| (weight / sum) as f32) } else { [1.0 / 3.0; 3] }
}

/// Centre and colour of the bright background of each tile, where most of the tile is in the field.
fn bright_tiles(picture: &RgbImage, field: &Mask) -> Vec<(u32, u32, [f32; 3])> {
    let (width, height) = picture.dimensions();
    let side = width.max(height).div_ceil(TILES).max(1);
    let mut tiles = Vec::new();
    for top in (0..height).step_by(side as usize) {
        for left in (0..width).step_by(side as usize) {
            let (right, bottom) = ((left + side).min(width), (top + side).min(height));
            let places = (top..bottom).flat_map(|y| (left..right).map(move |x| (x, y)));
            let colours = Vec::from_iter(
                places
                    .filter(|&(x, y)| field.get_pixel(x, y)[0] > 0)
                    .map(|(x, y)| picture.get_pixel(x, y).0.map(f32::from)),
            );
            if 2 * colours.len() < ((right - left) * (bottom - top)) as usize {
                continue;
            }
            let bright = |i: usize| quantile(colours.iter().map(|colour| colour[i]).collect(), 0.9);
            if let (Some(red), Some(green), Some(blue)) = (bright(0), bright(1), bright(2)) {
                tiles.push(((left + right) / 2, (top + bottom) / 2, [red, green, blue]));
            }
        }
    }
    // Tiles full of cells are darker than the others.
    let green = |tile: &(u32, u32, [f32; 3])| tile.2.iter().sum::<f32>();
    if let Some(typical) = quantile(tiles.iter().map(green).collect(), 0.75) {
        tiles.retain(|tile| green(tile) > 0.8 * typical);
    }
    tiles
}

/// The level between dark and bright with the largest variance between the two classes (Otsu 1979, IEEE Trans SMC 9:62); 0 without
/// values.
pub(crate) fn otsu(values: &[f32]) -> f32 {
    const BINS: usize = 512;
    let (low, high) = (-0.2_f32, DENSEST);
    let mut counts = [0_u64; BINS];
    for &value in values {
        let bin = (value - low) / (high - low) * BINS as f32;
        counts[(bin.max(0.0) as usize).min(BINS - 1)] += 1;
    }
    let total: u64 = counts.iter().sum();
    let sum: f64 = counts.iter().enumerate().map(|(bin, &count)| bin as f64 * count as f64).sum();
    let (mut below, mut sum_below, mut best, mut level) = (0.0, 0.0, 0.0, 0);
    for (bin, &count) in counts.iter().enumerate() {
        below += count as f64;
        sum_below += bin as f64 * count as f64;
        let above = total as f64 - below;
        if below > 0.0 && above > 0.0 {
            let apart = sum_below / below - (sum - sum_below) / above;
            let between = below * above * apart * apart;
            if between > best {
                (best, level) = (between, bin + 1);
            }
        }
    }
    if best > 0.0 { low + (high - low) * level as f32 / BINS as f32 } else { 0.0 }
}

/// Pixels darker than `level` in the field.
pub(crate) fn darker(darkness: &Plane, field: &Mask, level: f32) -> Mask {
    mask_where(darkness.dimensions(), |i| field.as_raw()[i] > 0 && darkness.as_raw()[i] > level)
}
