//! An object as the finder returns it: its kind, outline, box and mask.

use image::{GrayImage, Rgb, RgbImage};
use serde::{Deserialize, Serialize};

use crate::plane::INSIDE;

/// The kind of an object.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumIter,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Kind {
    /// A single red blood cell, infected or not.
    RedCell,
    /// A white blood cell.
    WhiteCell,
    /// A platelet: a small, compact, dark piece.
    Platelet,
    /// Other small objects: precipitated stain, dirt, text.
    Debris,
    /// Cells that cannot be separated, or another large object.
    Clump,
}

/// A rectangle of whole pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    /// First column.
    pub x: u32,
    /// First row.
    pub y: u32,
    /// Number of columns.
    pub width: u32,
    /// Number of rows.
    pub height: u32,
}

/// One object, in pixels of the photograph.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// Its kind.
    pub kind: Kind,
    /// Corners of its outline, in order, including the part under another cell.
    pub outline: Vec<[u32; 2]>,
    /// The smallest rectangle around the outline.
    pub bounds: Bounds,
    /// Area within the outline, in square pixels.
    pub area: f32,
    /// Diameter of the disc with this area, in pixels.
    pub diameter: f32,
    /// Its pixels, 255 inside, with the size of `bounds`; a pixel that two cells cover belongs to the nearer one.
    pub mask: GrayImage,
    /// Whether it reaches the edge of the picture or of the field of view, so that part of it may be missing.
    pub touches_border: bool,
}

impl Object {
    /// The object's pixels on black, with the size of its bounds: the form of the cells that the classifier was trained on.
    /// `photo` is the photograph in which the object was found.
    ///
    /// # Panics
    /// If the bounds are not within `photo`.
    #[must_use]
    pub fn crop(&self, photo: &RgbImage) -> RgbImage {
        RgbImage::from_fn(self.bounds.width, self.bounds.height, |x, y| {
            if self.mask.get_pixel(x, y)[0] == INSIDE {
                *photo.get_pixel(self.bounds.x + x, self.bounds.y + y)
            } else {
                Rgb([0; 3])
            }
        })
    }
}
