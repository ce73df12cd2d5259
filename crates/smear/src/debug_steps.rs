//! Writes a picture of each step of the finder.

use std::path::{Path, PathBuf};

use image::RgbImage;

use crate::annotate::annotated;
use crate::error::{Error, Result};
use crate::find::{Smear, find_in_steps};

/// [`find_cells`](crate::find_cells) that also writes the picture of each step as a PNG to `folder`. The second result is the
/// first picture that could not be written, after which no more are written.
pub fn find_cells_and_write_steps(photo: &RgbImage, folder: &Path) -> (Result<Smear>, Result<()>) {
    let mut written = std::fs::create_dir_all(folder)
        .map_err(|error| Error::Write { path: folder.to_owned(), reason: error.to_string() });
    let mut write = |name: &str, picture: &RgbImage| {
        if written.is_ok() {
            written = write_png(folder.join(format!("{name}.png")), picture);
        }
    };
    let smear = find_in_steps(photo, &mut |name, picture| write(name, &picture()));
    if let Ok(smear) = &smear {
        write("5-objects", &annotated(photo, smear));
    }
    (smear, written)
}

fn write_png(path: PathBuf, picture: &RgbImage) -> Result<()> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let encoded = picture.write_to(&mut bytes, image::ImageFormat::Png).map_err(|error| error.to_string());
    let written = encoded
        .and_then(|()| malaria_files::write(&path, bytes.get_ref()).map_err(|error| error.to_string()));
    written.map_err(|reason| Error::Write { path, reason })
}
