//! Reads photographs.

use std::path::Path;

use image::RgbImage;
use malaria_dataset::Fingerprint;

use crate::error::Result;

/// Reads a PNG, JPEG, BMP, TIFF or WebP, turned upright as its EXIF orientation says, with the fingerprint of its pixels,
/// which is the same for the same photograph in another file.
///
/// # Errors
/// [`Error::Photo`](crate::Error::Photo) if the file cannot be read or decoded, see [`malaria_dataset::decode_photo`].
pub fn read_photo(path: &Path) -> Result<(RgbImage, Fingerprint)> {
    let (photo, _) = malaria_dataset::read_photo(path)?;
    let fingerprint = Fingerprint::of_pixels(&photo);
    Ok((photo, fingerprint))
}
