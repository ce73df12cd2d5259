//! Writes a picture of each step of the finder.

use std::path::Path;

use image::RgbImage;

use crate::annotate::annotated;
use crate::error::{Error, Result};
use crate::find::{Smear, find_in_steps};

/// [`find_cells`](crate::find_cells) that also writes the picture of each step as a PNG to `folder`.
///
/// # Errors
/// Those of [`find_cells`](crate::find_cells), after the pictures of the preceding steps; [`Error::Write`].
pub fn find_cells_and_write_steps(photo: &RgbImage, folder: &Path) -> Result<Smear> {
    std::fs::create_dir_all(folder)
        .map_err(|error| Error::Write { path: folder.to_owned(), reason: error.to_string() })?;
    let write = |name: &str, picture: &RgbImage| {
        let path = folder.join(format!("{name}.png"));
        let failed = |reason: String| Error::Write { path: path.clone(), reason };
        let mut bytes = std::io::Cursor::new(Vec::new());
        picture.write_to(&mut bytes, image::ImageFormat::Png).map_err(|error| failed(error.to_string()))?;
        malaria_files::write(&path, bytes.get_ref()).map_err(|error| failed(error.to_string()))
    };
    let smear = find_in_steps(photo, &mut |name, picture| write(name, &picture()))?;
    write("5-objects", &annotated(photo, &smear))?;
    Ok(smear)
}
