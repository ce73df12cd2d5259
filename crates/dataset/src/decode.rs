//! Decodes one image file to RGB.

use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;

use image::codecs::png::PngDecoder;
use image::metadata::Orientation;
use image::{
    DynamicImage, GenericImageView, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, RgbImage,
};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use crate::byte_checks::{
    Fault, MAX_PHOTO_SIDE, check_tiff, check_webp, damaged, jpeg_ends, other_format, too_large,
};
use crate::error::{BadImage, Error, ImageProblem, Result};
use crate::fingerprint::Fingerprint;

/// Largest side of a decoded image, in pixels. A cell has a few hundred.
const MAX_SIDE: u32 = 8192;
/// Largest number of pixels.
const MAX_PIXELS: u64 = 100 << 20;
/// Largest file read, in bytes.
const MAX_FILE_BYTES: u64 = 512 << 20;

/// Reads a file once: returns its pixels as RGB, u8 `[height, width, 3]`, and the fingerprint of its bytes.
///
/// # Errors
/// [`Error::BadImage`] if the file cannot be read or [`decode`] refuses it.
pub fn read_image(path: &Path) -> Result<(RgbImage, Fingerprint)> {
    try_read(path).map_err(|fault| bad_image(path, fault))
}

/// Decodes a PNG, JPEG, BMP, TIFF or WebP to RGB, u8 `[height, width, 3]`.
///
/// The format is detected from the bytes, not from the extension. Grey, palette and 16-bit images become 8-bit RGB;
/// transparency is composed on black, the background of the cells. `path` only names the image in errors.
///
/// # Errors
/// [`Error::BadImage`] if the bytes are in none of these formats, truncated or corrupt; if there are several pages, channels saved as
/// pages, or frames, or floating-point values outside of `[0, 1]`; or if the image is larger than 8192 px on a side, which is checked
/// before memory is allocated for it.
pub fn decode(contents: &[u8], path: &Path) -> Result<RgbImage> {
    decode_within(contents, path, MAX_SIDE)
}

/// [`decode`] for untrusted contents: refuses an image with a side above `longest_side` pixels before memory is allocated for it.
///
/// # Errors
/// As [`decode`].
pub fn decode_within(contents: &[u8], path: &Path, longest_side: u32) -> Result<RgbImage> {
    try_decode(contents, longest_side.min(MAX_SIDE)).map_err(|fault| bad_image(path, fault))
}

/// [`read_image`] for a photograph, see [`decode_photo`].
///
/// # Errors
/// [`Error::BadImage`] if the file cannot be read or [`decode_photo`] refuses it.
pub fn read_photo(path: &Path) -> Result<(RgbImage, Fingerprint)> {
    let contents = read_limited(path).map_err(|fault| bad_image(path, fault))?;
    Ok((decode_photo(&contents, path)?, Fingerprint::of(&contents)))
}

/// [`decode`] for a photograph, which may be larger, up to 16,384 px on a side and 100 million pixels, and which is turned upright as its
/// EXIF orientation says.
///
/// # Errors
/// As [`decode`], with the larger limits.
pub fn decode_photo(contents: &[u8], path: &Path) -> Result<RgbImage> {
    let photo = try_decode(contents, MAX_PHOTO_SIDE).map_err(|fault| bad_image(path, fault))?;
    let mut photo = DynamicImage::ImageRgb8(photo);
    photo.apply_orientation(orientation(contents).unwrap_or(Orientation::NoTransforms));
    Ok(photo.into_rgb8())
}

fn bad_image(path: &Path, (problem, reason): Fault) -> Error {
    Error::BadImage(BadImage { path: path.to_path_buf(), problem, reason })
}

/// The rotation that makes a picture upright, if its EXIF data gives one.
fn orientation(contents: &[u8]) -> Option<Orientation> {
    let format = image::guess_format(contents).ok()?;
    if format == ImageFormat::Jpeg {
        let mut decoder = JpegDecoder::new(ZCursor::new(contents));
        decoder.decode_headers().ok()?;
        return Orientation::from_exif_chunk(decoder.exif()?);
    }
    ImageReader::with_format(Cursor::new(contents), format).into_decoder().ok()?.orientation().ok()
}

/// [`read_image`] without the path in the error, for callers that collect several.
pub(crate) fn try_read(path: &Path) -> Result<(RgbImage, Fingerprint), Fault> {
    let contents = read_limited(path)?;
    Ok((try_decode(&contents, MAX_SIDE)?, Fingerprint::of(&contents)))
}

/// The contents of a file, unless it is too large.
fn read_limited(path: &Path) -> Result<Vec<u8>, Fault> {
    let contents = read_up_to(path, MAX_FILE_BYTES + 1)
        .map_err(|error| (ImageProblem::Unreadable, format!("cannot be read: {error}")))?;
    if contents.len() as u64 > MAX_FILE_BYTES {
        let reason = format!("is larger than {} MiB, the largest file that is read", MAX_FILE_BYTES >> 20);
        return Err((ImageProblem::TooLarge, reason));
    }
    Ok(contents)
}

/// The first `most` bytes of a file, or all if it has fewer.
fn read_up_to(path: &Path, most: u64) -> std::io::Result<Vec<u8>> {
    let file = File::open(path)?;
    // One allocation: `read_to_end` alone would grow the buffer in small steps.
    let mut contents = Vec::new();
    contents.try_reserve(file.metadata()?.len().min(most) as usize)?;
    file.take(most).read_to_end(&mut contents)?;
    Ok(contents)
}

fn try_decode(contents: &[u8], longest_side: u32) -> Result<RgbImage, Fault> {
    if contents.is_empty() {
        return Err((ImageProblem::Empty, "is empty (0 bytes)".to_owned()));
    }
    let image = match image::guess_format(contents) {
        Ok(ImageFormat::Jpeg) => decode_jpeg(contents, longest_side)?,
        Ok(format @ (ImageFormat::Png | ImageFormat::Bmp | ImageFormat::Tiff | ImageFormat::WebP)) => {
            decode_other(contents, format, longest_side)?
        }
        Ok(format) => {
            let name = format.extensions_str().first().map_or_else(String::new, |name| name.to_uppercase());
            let reason =
                format!("is in the format {name}; expected PNG, JPEG, BMP, TIFF or WebP: convert it");
            return Err((ImageProblem::OtherFormat, reason));
        }
        Err(_) => {
            let unknown = (ImageProblem::OtherFormat, "is not an image");
            let (problem, found) = other_format(contents).unwrap_or(unknown);
            return Err((problem, format!("{found}; expected PNG, JPEG, BMP, TIFF or WebP")));
        }
    };
    if image.width() == 0 || image.height() == 0 {
        return Err(damaged(format!("has no pixels ({} x {})", image.width(), image.height())));
    }
    Ok(image)
}

fn decode_other(contents: &[u8], format: ImageFormat, longest_side: u32) -> Result<RgbImage, Fault> {
    match format {
        ImageFormat::WebP => check_webp(contents, longest_side)?,
        ImageFormat::Tiff => check_tiff(contents)?,
        ImageFormat::Png
            if PngDecoder::new(Cursor::new(contents)).is_ok_and(|png| png.is_apng().unwrap_or(false)) =>
        {
            let reason = "is an animated PNG; expected a single picture".to_owned();
            return Err((ImageProblem::SeveralPictures, reason));
        }
        _ => {}
    }
    let reader = || ImageReader::with_format(Cursor::new(contents), format);
    // A header that cannot be read is an error of the decoder below.
    if let Ok((width, height)) = reader().into_dimensions() {
        check_size(width, height, longest_side)?;
    }
    let mut reader = reader();
    let mut limits = Limits::default();
    limits.max_image_width = Some(longest_side);
    limits.max_image_height = Some(longest_side);
    // Pixels of four float32, and the same amount for buffers of the decoder, such as the tiles of a TIFF.
    let most = 32 * u64::from(longest_side).pow(2);
    limits.max_alloc = limits.max_alloc.map(|bytes| bytes.min(most));
    reader.limits(limits);
    let image = reader.decode().map_err(|error| match error {
        ImageError::Limits(_) => too_large(longest_side),
        ImageError::Unsupported(error) => (
            ImageProblem::OtherPixels,
            format!("cannot be decoded as {format:?}: {error}; save it as an 8-bit RGB picture, such as PNG"),
        ),
        other => damaged(format!("cannot be decoded as {format:?}: {other}")),
    })?;
    check_range(&image)?;
    check_alpha(&image)?;
    Ok(on_black(image))
}

/// Refuses floating-point values that the conversion to 8 bits would clip.
fn check_range(image: &DynamicImage) -> Result<(), Fault> {
    let values = match image {
        DynamicImage::ImageRgb32F(image) => image.as_raw(),
        DynamicImage::ImageRgba32F(image) => image.as_raw(),
        _ => return Ok(()),
    };
    match values.iter().find(|value| !(0.0..=1.0).contains(*value)) {
        Some(value) => Err((
            ImageProblem::OtherPixels,
            format!("has a floating-point value of {value}; expected 0 to 1: save it as an 8-bit RGB image"),
        )),
        None => Ok(()),
    }
}

/// Decodes a JPEG directly with zune-jpeg in strict mode. The `image` crate turns that mode off and fills the missing part
/// of a truncated or corrupt file with grey without an error.
fn decode_jpeg(contents: &[u8], longest_side: u32) -> Result<RgbImage, Fault> {
    let failed = |error: &dyn std::fmt::Display| damaged(format!("cannot be decoded as Jpeg: {error}"));
    if !jpeg_ends(contents) {
        return Err(failed(&"it is truncated (no end-of-image marker)"));
    }
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX))
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(contents), options);
    decoder.decode_headers().map_err(|error| failed(&error))?;
    let (width, height) = decoder.dimensions().unwrap_or_default();
    let (width, height) = (width as u32, height as u32);
    check_size(width, height, longest_side)?;
    let pixels = decoder.decode().map_err(|error| {
        // Video frames omit the usual tables.
        let tables = if contents.windows(2).any(|bytes| bytes == [0xFF, 0xC4]) {
            ""
        } else {
            "; it may be a frame of an MJPEG video: save it as JPEG"
        };
        failed(&format_args!("{error}{tables}"))
    })?;
    RgbImage::from_raw(width, height, pixels)
        .ok_or_else(|| failed(&"it has fewer pixels than its header says"))
}

/// Refuses a picture that is too large, before memory is allocated for its pixels.
fn check_size(width: u32, height: u32, longest_side: u32) -> Result<(), Fault> {
    if width > longest_side || height > longest_side {
        return Err(too_large(longest_side));
    }
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        let reason = format!("has {width} x {height} pixels; at most {MAX_PIXELS} are decoded");
        return Err((ImageProblem::TooLarge, reason));
    }
    Ok(())
}

/// Refuses a picture that is transparent everywhere.
fn check_alpha(image: &DynamicImage) -> Result<(), Fault> {
    let transparent = image.color().has_alpha() && image.pixels().all(|(_, _, pixel)| pixel.0[3] == 0);
    match transparent {
        true => Err((
            ImageProblem::OtherPixels,
            "is transparent everywhere: save it without its alpha channel".to_owned(),
        )),
        false => Ok(()),
    }
}

fn on_black(image: DynamicImage) -> RgbImage {
    if !image.color().has_alpha() {
        return image.into_rgb8();
    }
    let rgba = image.into_rgba8();
    let mut rgb = RgbImage::new(rgba.width(), rgba.height());
    for (to, from) in rgb.pixels_mut().zip(rgba.pixels()) {
        let [red, green, blue, alpha] = from.0.map(u16::from);
        to.0 = [red, green, blue].map(|value| ((value * alpha + 127) / 255) as u8);
    }
    rgb
}
