//! Resizes an image to a square.

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use image::{GenericImage, RgbImage};
use serde::{Deserialize, Serialize};
use strum::VariantNames;

use crate::error::Error;

/// How an image of any shape becomes a square.
///
/// "Antialiased" is bilinear filtering over all source pixels of a new pixel, as Pillow's `BILINEAR`: it uses every pixel of
/// the cell, and unlike Lanczos or a cubic it does not overshoot at the sharp edge between the cell and its black background.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[derive(strum::Display, strum::EnumString, strum::VariantNames)]
#[strum(serialize_all = "kebab-case", parse_err_ty = Error, parse_err_fn = unknown_policy)]
pub enum ResizePolicy {
    /// Stretched to the square, ignoring the aspect ratio, antialiased.
    #[default]
    Stretch,
    /// Stretched to the square, each pixel the nearest source pixel, as in the tutorial (Keras's `load_img`).
    StretchNearest,
    /// Aspect ratio kept, antialiased, with black margins left and right or above and below.
    Pad,
}

impl ResizePolicy {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Stretch, Self::StretchNearest, Self::Pad];
}

fn unknown_policy(found: &str) -> Error {
    Error::unknown_name("resize policy", found, ResizePolicy::VARIANTS)
}

/// Resizes `picture` to `size` x `size` pixels. A picture without pixels gives a black square.
#[must_use]
pub fn resize(picture: &RgbImage, size: u32, policy: ResizePolicy) -> RgbImage {
    resize_with(&mut Resizer::new(), picture, size, policy)
}

/// [`resize`] with buffers reused from one picture to the next.
pub(crate) fn resize_with(
    resizer: &mut Resizer,
    picture: &RgbImage,
    size: u32,
    policy: ResizePolicy,
) -> RgbImage {
    let (width, height) = picture.dimensions();
    if width == 0 || height == 0 || size == 0 {
        return RgbImage::new(size, size);
    }
    match policy {
        ResizePolicy::Stretch => antialiased(resizer, picture, size, size),
        ResizePolicy::StretchNearest => {
            let columns = nearest(width, size);
            let (pixels, _) = picture.as_raw().as_chunks::<3>();
            let mut square = RgbImage::new(size, size);
            for (to_row, y) in square.rows_mut().zip(nearest(height, size)) {
                let row = &pixels[y as usize * width as usize..][..width as usize];
                to_row.zip(&columns).for_each(|(to, &x)| to.0 = row[x as usize]);
            }
            square
        }
        ResizePolicy::Pad => {
            let longest = width.max(height);
            // A side is at least one pixel, even for a very narrow picture.
            let scaled = |side: u32| {
                let rounded =
                    (u64::from(side) * u64::from(size) * 2 + u64::from(longest)) / (2 * u64::from(longest));
                (rounded as u32).clamp(1, size)
            };
            let inner = antialiased(resizer, picture, scaled(width), scaled(height));
            let (left, top) = ((size - inner.width()) / 2, (size - inner.height()) / 2);
            let mut square = RgbImage::new(size, size);
            square
                .copy_from(&inner, left, top)
                .expect("the inner picture fits: its sides are at most `size`");
            square
        }
    }
}

fn antialiased(resizer: &mut Resizer, picture: &RgbImage, width: u32, height: u32) -> RgbImage {
    let mut resized = RgbImage::new(width, height);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
    let sides = "a picture's buffer fits its sides";
    let from = TypedImageRef::<U8x3>::from_buffer(picture.width(), picture.height(), picture).expect(sides);
    let mut to = TypedImage::<U8x3>::from_buffer(width, height, &mut resized).expect(sides);
    // The untyped function would compile the library's code for every pixel type into this crate.
    resizer.resize_typed(&from, &mut to, &options).expect("the whole picture is resized");
    resized
}

/// For each of `new` pixels in a row, the index of the one of `old` pixels under its centre.
fn nearest(old: u32, new: u32) -> Vec<u32> {
    let step = f64::from(old) / f64::from(new);
    // Added up, not multiplied, as in Pillow: rounding differs where a centre lies on an edge.
    let mut centre = step * 0.5;
    (0..new)
        .map(|_| {
            let pixel = (centre as u32).min(old - 1);
            centre += step;
            pixel
        })
        .collect()
}
