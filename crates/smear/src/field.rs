//! The field of view: the part of a photograph that the microscope lights, without the black surround of a phone's photograph.

use image::RgbImage;
use imageproc::distance_transform::Norm;
use imageproc::drawing::draw_polygon_mut;
use imageproc::geometry::convex_hull;
use imageproc::morphology::erode;
use imageproc::point::Point;

use crate::plane::{INSIDE, Mask, mask_where, on_edge, pieces, quantile};

/// Maximum brightness of a surround, relative to the background.
const DARK: f32 = 0.25;
/// Minimum size of a surround, as a share of the picture.
const SMALLEST_SURROUND: f32 = 0.01;
/// Minimum share of the picture's outermost pixels that a surround covers.
const SURROUND_EDGE: f32 = 0.05;
/// Margin at the rim of a round field, where the light falls off, relative to the field's width.
const RIM: f32 = 0.012;

/// Masks the field of view of `picture`: the whole picture if there is no dark surround, else the convex hull of the lit
/// part without its rim.
pub(crate) fn field_of_view(picture: &RgbImage) -> Mask {
    let (width, height) = picture.dimensions();
    let brightness = Vec::from_iter(picture.pixels().map(|pixel| {
        let [red, green, blue] = pixel.0.map(f32::from);
        red.max(green).max(blue)
    }));
    let whole = || mask_where((width, height), |_| true);
    let Some(bright) = quantile(brightness.clone(), 0.95) else { return whole() };
    let dark = mask_where((width, height), |i| brightness[i] < DARK * bright);
    let outline = 2.0 * (width + height) as f32;
    let mut surround = mask_where((width, height), |_| false);
    let mut any = false;
    for piece in pieces(&dark) {
        let edge = piece.iter().filter(|&&i| on_edge(i, width, height)).count() as f32;
        let large = piece.len() as f32 >= SMALLEST_SURROUND * brightness.len() as f32;
        if large && edge >= SURROUND_EDGE * outline {
            any = true;
            piece.iter().for_each(|&i| surround.as_mut()[i as usize] = INSIDE);
        }
    }
    if !any {
        return whole();
    }
    let lit = mask_where((width, height), |i| surround.as_raw()[i] == 0);
    let Some(largest) = pieces(&lit).into_iter().max_by_key(Vec::len) else { return surround };
    let points = largest.iter().map(|&i| Point::new((i % width) as i32, (i / width) as i32));
    let hull = convex_hull(Vec::from_iter(points));
    let mut field = mask_where((width, height), |_| false);
    if hull.len() >= 3 {
        draw_polygon_mut(&mut field, &hull, image::Luma([INSIDE]));
    }
    let rim = (RIM * (largest.len() as f32).sqrt()).ceil().min(255.0);
    erode(&field, Norm::L2, rim as u8)
}
