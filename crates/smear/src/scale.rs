//! The working copy: a photograph reduced so that its cells have the same size for every camera.

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use image::RgbImage;

use crate::error::{Error, Result};
use crate::field::field_of_view;
use crate::foreground::{Foreground, foreground, typical_diameter};
use crate::illumination::Background;
use crate::plane::{Mask, Plane, on_edge};

/// Diameter of cells on the working copy, in pixels. Smaller cells are not enlarged.
const WORKING_DIAMETER: f32 = 40.0;
/// Maximum number of pixels of a copy, which limits the memory.
const MAX_PIXELS: f32 = (2 << 20) as f32;
/// Longer side of the copy on which the scale is first measured, in pixels.
const FIRST_SIDE: u32 = 1000;
/// Diameter below which the scale is measured again on a larger copy, in pixels.
const RELIABLE_DIAMETER: f32 = 16.0;
/// Minimum side of a photograph, in pixels.
const MIN_SIDE: u32 = 32;
/// Minimum diameter of cells in a photograph, in pixels.
const MIN_DIAMETER: f32 = 12.0;

/// A reduced photograph and its measures.
pub(crate) struct Working {
    /// Pixels of the copy per pixel of the photograph, at most 1.
    pub(crate) factor: f32,
    pub(crate) picture: RgbImage,
    /// The field of view.
    pub(crate) field: Mask,
    pub(crate) background: Background,
    pub(crate) darkness: Plane,
    pub(crate) foreground: Foreground,
    /// Typical diameter of a cell, in pixels of the copy.
    pub(crate) diameter: f32,
}

impl Working {
    /// Reduces `photo` to the scale of its cells.
    ///
    /// # Errors
    /// The errors of a picture without cells: [`Error::TooSmall`], [`Error::Dark`], [`Error::Blank`],
    /// [`Error::CellsTooSmall`].
    pub(crate) fn of(photo: &RgbImage) -> Result<Self> {
        let (width, height) = photo.dimensions();
        if width.min(height) < MIN_SIDE {
            return Err(Error::TooSmall { width, height, min: MIN_SIDE });
        }
        let largest = (MAX_PIXELS / (width as f32 * height as f32)).sqrt().min(1.0);
        let mut factor = (FIRST_SIDE as f32 / width.max(height) as f32).min(largest);
        let first = loop {
            let first = Self::at(photo, factor, None)?;
            if first.diameter >= RELIABLE_DIAMETER || factor >= largest {
                break first;
            }
            factor = (2.0 * factor).min(largest);
        };
        let diameter = first.diameter / factor;
        if diameter < MIN_DIAMETER {
            return Err(Error::CellsTooSmall { diameter, min: MIN_DIAMETER });
        }
        Self::at(photo, (WORKING_DIAMETER / diameter).min(largest), Some(diameter))
    }

    /// A copy reduced by `factor`, for cells of about `diameter` pixels of the photograph if that is known.
    fn at(photo: &RgbImage, factor: f32, diameter: Option<f32>) -> Result<Self> {
        let picture = reduce(photo, factor);
        let field = field_of_view(&picture);
        let background = Background::fit(&picture, &field).ok_or(Error::Dark)?;
        if background.is_dark() {
            return Err(Error::Dark);
        }
        let darkness = background.darkness(&picture, &field);
        let expected = diameter.map(|diameter| diameter * factor);
        let foreground = foreground(&darkness, &field, expected);
        if !foreground.stands_out() {
            return Err(Error::Blank);
        }
        let diameter = typical_diameter(&foreground.mask).ok_or(Error::Blank)?;
        Ok(Self { factor, picture, field, background, darkness, foreground, diameter })
    }

    /// Area of a typical cell, in pixels of the copy.
    pub(crate) fn cell_area(&self) -> f32 {
        std::f32::consts::FRAC_PI_4 * self.diameter * self.diameter
    }

    /// Whether a region reaches the edge of the copy or of the field of view.
    pub(crate) fn touches_border(&self, pixels: &[u32]) -> bool {
        let (width, height) = self.field.dimensions();
        let at_rim = |i: u32| {
            let field = self.field.as_raw();
            [i - 1, i + 1, i - width, i + width].iter().any(|&next| field[next as usize] == 0)
        };
        pixels.iter().any(|&i| on_edge(i, width, height) || at_rim(i))
    }

    /// The darkness as shades of grey, for viewing.
    pub(crate) fn shades(&self) -> Mask {
        let white = 2.0 * self.foreground.typical.max(1e-6);
        let shade = |darkness: &f32| (darkness / white * 255.0).clamp(0.0, 255.0) as u8;
        let shades = self.darkness.as_raw().iter().map(shade).collect();
        Mask::from_raw(self.darkness.width(), self.darkness.height(), shades).expect("one value per pixel")
    }
}

/// `photo` with `factor` times as many pixels along each side, each the mean of the pixels that it replaces.
fn reduce(photo: &RgbImage, factor: f32) -> RgbImage {
    if factor >= 1.0 {
        return photo.clone();
    }
    let reduced = |side: u32| ((side as f32 * factor).round() as u32).max(1);
    let (width, height) = (reduced(photo.width()), reduced(photo.height()));
    let mut picture = RgbImage::new(width, height);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
    let sides = "a picture's buffer fits its sides";
    let from = TypedImageRef::<U8x3>::from_buffer(photo.width(), photo.height(), photo).expect(sides);
    let mut to = TypedImage::<U8x3>::from_buffer(width, height, &mut picture).expect(sides);
    // The untyped function would compile the library's code for every pixel type into this crate.
    Resizer::new().resize_typed(&from, &mut to, &options).expect("the whole picture is resized");
    picture
}
