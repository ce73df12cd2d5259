//! Draws the outlines of objects and their numbers on a photograph.

use image::{Rgb, RgbImage};
use imageproc::drawing::draw_line_segment_mut;

use crate::find::Smear;
use crate::object::{Kind, Object};

/// Strokes of the digits 0 to 9 on a grid of 2 x 4, as in a seven-segment display: top, upper left, upper right, middle, lower left,
/// lower right, bottom.
const SEGMENTS: [[bool; 7]; 10] = [
    [true, true, true, false, true, true, true],
    [false, false, true, false, false, true, false],
    [true, false, true, true, true, false, true],
    [true, false, true, true, false, true, true],
    [false, true, true, true, false, true, false],
    [true, true, false, true, false, true, true],
    [true, true, false, true, true, true, true],
    [true, false, true, false, false, true, false],
    [true; 7],
    [true, true, true, true, false, true, true],
];
/// End points of the segments.
const STROKES: [[f32; 4]; 7] = [
    [0.0, 0.0, 2.0, 0.0],
    [0.0, 0.0, 0.0, 2.0],
    [2.0, 0.0, 2.0, 2.0],
    [0.0, 2.0, 2.0, 2.0],
    [0.0, 2.0, 0.0, 4.0],
    [2.0, 2.0, 2.0, 4.0],
    [0.0, 4.0, 2.0, 4.0],
];

/// The photograph with the outline of each object in the colour of its kind, and the number of each red cell, from 1 in the
/// order of [`Smear::red_cells`].
#[must_use]
pub fn annotated(photo: &RgbImage, smear: &Smear) -> RgbImage {
    annotated_with(photo, smear, |object| colour_of_kind(object.kind))
}

/// [`annotated`] with a colour for each object, such as that of its probability.
#[must_use]
pub fn annotated_with(
    photo: &RgbImage,
    smear: &Smear,
    mut colour: impl FnMut(&Object) -> Rgb<u8>,
) -> RgbImage {
    let mut picture = photo.clone();
    let size = smear.cell_diameter / 12.0;
    let thickness = (smear.cell_diameter / 40.0).ceil().max(1.0) as i32;
    let mut number = 0;
    for object in &smear.objects {
        let colour = colour(object);
        let points = object.outline.iter().zip(object.outline.iter().cycle().skip(1));
        for (from, to) in points {
            line(&mut picture, from.map(|at| at as f32), to.map(|at| at as f32), thickness, colour);
        }
        if object.kind == Kind::RedCell {
            number += 1;
            let x = object.bounds.x as f32 + object.bounds.width as f32 / 2.0;
            let y = object.bounds.y as f32 + object.bounds.height as f32 / 2.0;
            draw_number(&mut picture, number, [x, y], size, colour);
        }
    }
    picture
}

pub(crate) fn colour_of_kind(kind: Kind) -> Rgb<u8> {
    Rgb(match kind {
        Kind::RedCell => [0, 160, 60],
        Kind::WhiteCell => [30, 100, 255],
        Kind::Platelet => [0, 190, 210],
        Kind::Debris => [150, 150, 150],
        Kind::Clump => [110, 20, 120],
    })
}

/// Draws a number centred on a point, with digits two sizes wide.
fn draw_number(picture: &mut RgbImage, number: u32, [x, y]: [f32; 2], size: f32, colour: Rgb<u8>) {
    let digits = number.to_string();
    let left = x - 1.5 * size * digits.len() as f32 + 0.5 * size;
    for (place, digit) in digits.bytes().enumerate() {
        let corner = [left + 3.0 * size * place as f32, y - 2.0 * size];
        let segments = SEGMENTS[usize::from(digit - b'0')];
        for (_, stroke) in segments.iter().zip(STROKES).filter(|(lit, _)| **lit) {
            let end = |i: usize| [corner[0] + size * stroke[i], corner[1] + size * stroke[i + 1]];
            line(picture, end(0), end(2), (size / 3.0).ceil().max(1.0) as i32, colour);
        }
    }
}

fn line(picture: &mut RgbImage, from: [f32; 2], to: [f32; 2], thickness: i32, colour: Rgb<u8>) {
    for (right, down) in (0..thickness).flat_map(|right| (0..thickness).map(move |down| (right, down))) {
        let moved = |[x, y]: [f32; 2]| (x + right as f32, y + down as f32);
        draw_line_segment_mut(picture, moved(from), moved(to), colour);
    }
}
