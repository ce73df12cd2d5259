//! Class activation maps over pictures of cells.

use image::imageops::{self, FilterType};
use image::{ImageBuffer, Luma, Rgb, RgbImage};

/// The colour of evidence for a class: Okabe and Ito's vermilion.
const HEAT: Rgb<u8> = Rgb([213, 94, 0]);
/// Opacity at the largest value of the map.
const MAX_OPACITY: f32 = 0.7;

/// `picture` with the positive values of a class activation map laid over it.
///
/// `map`, row by row with `columns` values per row, is stretched over the picture and scaled by its largest value. A map without a
/// positive value or without columns changes nothing.
#[must_use]
pub fn heat_overlay(picture: &RgbImage, map: &[f32], columns: usize) -> RgbImage {
    let largest = map.iter().copied().fold(0.0, f32::max);
    if largest <= 0.0 || !largest.is_finite() || columns == 0 {
        return picture.clone();
    }
    let rows = map.len() / columns;
    let coarse = ImageBuffer::<Luma<f32>, _>::from_fn(columns as u32, rows as u32, |x, y| {
        Luma([(map[y as usize * columns + x as usize] / largest).max(0.0)])
    });
    let heat = imageops::resize(&coarse, picture.width(), picture.height(), FilterType::Triangle);
    RgbImage::from_fn(picture.width(), picture.height(), |x, y| {
        let opacity = MAX_OPACITY * heat.get_pixel(x, y).0[0].clamp(0.0, 1.0);
        let mix = |below: u8, above: u8| {
            (f32::from(below) * (1.0 - opacity) + f32::from(above) * opacity).round() as u8
        };
        let below = picture.get_pixel(x, y).0;
        Rgb([0, 1, 2].map(|channel| mix(below[channel], HEAT.0[channel])))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positive_values_are_overlaid_and_negative_ones_ignored() {
        let picture = RgbImage::from_pixel(40, 20, Rgb([100, 100, 100]));
        // Two rows of four values: positive at the upper right, negative at the left.
        let map = [-3.0, 0.0, 0.0, 2.0, -3.0, 0.0, 0.0, 0.0];
        let overlaid = heat_overlay(&picture, &map, 4);
        assert_eq!(overlaid.get_pixel(0, 0), &Rgb([100, 100, 100]));
        assert_eq!(overlaid.get_pixel(39, 0), &Rgb([179, 96, 30]), "100 * 0.3 + 213 * 0.7 = 179.1");
        let red = |x, y| overlaid.get_pixel(x, y).0[0];
        assert!(red(39, 0) > red(39, 19) && red(39, 19) == 100 && red(39, 0) > red(30, 0));
        assert_eq!(heat_overlay(&picture, &[-1.0, 0.0], 2), picture);
        assert_eq!(heat_overlay(&picture, &[1.0], 0), picture);
    }
}
