//! From a photograph to its cells.
use image::RgbImage;
use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};

use crate::field::field_of_view;
use crate::foreground::{foreground, typical_diameter};
use crate::illumination::Background;
use crate::part::part;

/// Diameter of cells on the working copy, in pixels.
pub const WORKING_DIAMETER: f32 = 40.0;
const FIRST_LOOK: u32 = 1400;
const SMALLEST_DIAMETER: f32 = 14.0;

pub(crate) fn reduced(picture: &RgbImage, factor: f32) -> RgbImage {
    let side = |side: u32| ((side as f32 * factor).round() as u32).max(1);
    let (width, height) = (side(picture.width()), side(picture.height()));
    let mut resized = RgbImage::new(width, height);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
    let from = TypedImageRef::<U8x3>::from_buffer(picture.width(), picture.height(), picture).unwrap();
    let mut to = TypedImage::<U8x3>::from_buffer(width, height, &mut resized).unwrap();
    Resizer::new().resize_typed(&from, &mut to, &options).unwrap();
    resized
}

pub struct Cell { pub x: f32, pub y: f32, pub w: f32, pub h: f32, pub support: f32, pub area: f32, pub solidity: f32 }

pub fn find(photo: &RgbImage, debug: Option<&std::path::Path>) -> (Vec<Cell>, f32) {
    let longest = photo.width().max(photo.height());
    let mut factor = (FIRST_LOOK as f32 / longest as f32).min(1.0);
    let mut diameter = None;
    loop {
        let copy = reduced(photo, factor);
        let field = field_of_view(&copy);
        let Some(background) = Background::fit(&copy, &field) else { return (vec![], 0.0) };
        let (darkness, _) = background.darkness(&copy, &field);
        let first = foreground(&darkness, &field, None);
        let found = typical_diameter(&first.mask);
        let Some(found) = found else { return (vec![], 0.0) };
        diameter = Some(found / factor);
        if found >= SMALLEST_DIAMETER || factor >= 1.0 { break; }
        factor = (factor * 2.0).min(1.0);
    }
    let Some(diameter) = diameter else { return (vec![], 0.0) };
    let factor = (WORKING_DIAMETER / diameter).min(1.0);
    let copy = reduced(photo, factor);
    let field = field_of_view(&copy);
    let Some(background) = Background::fit(&copy, &field) else { return (vec![], 0.0) };
    let (darkness, weights) = background.darkness(&copy, &field);
    let fore = foreground(&darkness, &field, Some(diameter * factor));
    let measured = typical_diameter(&fore.mask).unwrap_or(diameter * factor);
    let parts = part(&darkness, &fore.mask, measured);
    if let Some(debug) = debug {
        let most = fore.typical * 1.6;
        let d = image::GrayImage::from_raw(copy.width(), copy.height(), darkness.as_raw().iter().map(|v| (v / most * 255.0).clamp(0.0, 255.0) as u8).collect()).unwrap();
        d.save(debug.join("darkness.png")).unwrap();
        fore.mask.save(debug.join("mask.png")).unwrap();
        eprintln!("d {diameter} -> {measured} at {factor}; weights {weights:?} level {} typical {}", fore.level, fore.typical);
    }
    let cells = parts.iter().map(|c| {
        let [l, t, r, b] = c.shape.bounds.map(|v| v as f32 / factor);
        Cell { x: l, y: t, w: r - l + 1.0 / factor, h: b - t + 1.0 / factor, support: c.support, area: c.shape.area / (0.7854 * measured * measured), solidity: c.shape.solidity }
    }).collect();
    (cells, measured / factor)
}
