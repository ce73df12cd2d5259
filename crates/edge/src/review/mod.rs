//! Smears read by a person: the record of the photographs, the report, and its verification.

mod cells;
mod phrases;
mod report;
mod verify;

use std::path::Path;

use anyhow::{Context, Result};
use image::{DynamicImage, RgbImage, codecs::jpeg::JpegEncoder};
use malaria_dataset::decode_photo;
use malaria_edge::Model;
use malaria_smear::{Error, FieldResult, ReviewedField};

#[cfg(feature = "serve")]
pub(crate) use self::phrases::Phrases;
pub(crate) use self::{
    phrases::LANGUAGES,
    report::render,
    verify::{Verify, verify},
};

/// Longest side of a photograph in a report, in pixels.
const REPORT_SIDE: u32 = 1_600;
/// Quality of JPEGs, on the scale of the Independent JPEG Group.
const JPEG_QUALITY: u8 = 85;

/// Reads the encoded photograph `contents` called `name`. If it cannot be decoded, its counts contain the reason.
pub(crate) fn read(model: &Model, name: &str, contents: &[u8]) -> Result<ReviewedField> {
    let reading = match decode_photo(contents, Path::new(name)) {
        Ok(photo) => model.analyse_field(name, &photo)?,
        Err(error) => FieldResult::unreadable(name, &Error::from(error)),
    };
    Ok(ReviewedField::new(contents, reading))
}

/// A JPEG of a photograph, at most `side` pixels on each side.
pub(crate) fn jpeg(photo: RgbImage, side: u32) -> Result<Vec<u8>> {
    let mut picture = DynamicImage::ImageRgb8(photo);
    if picture.width().max(picture.height()) > side {
        picture = picture.resize(side, side, image::imageops::FilterType::Triangle);
    }
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY)
        .encode_image(&picture)
        .context("cannot encode a photograph")?;
    Ok(bytes)
}

/// The [`jpeg`] of an encoded photograph for a report; `None` if it cannot be decoded.
pub(crate) fn report_picture(name: &str, contents: &[u8]) -> Option<Vec<u8>> {
    jpeg(decode_photo(contents, Path::new(name)).ok()?, REPORT_SIDE).ok()
}
