//! Pictures in the results: annotated photographs and cut-out cells.

use std::fs;
use std::path::{Path, PathBuf};

use image::codecs::jpeg::JpegEncoder;
use image::{ImageFormat, Rgb, RgbImage};
use malaria_files::{Error, Result};

use crate::call::Call;
use crate::draw::{annotated_with, colour_of_kind};
use crate::find::Smear;

/// Quality of annotated photographs, on the scale of the Independent JPEG Group. A PNG would be several times as large and
/// as slow.
const JPEG_QUALITY: u8 = 90;

/// A folder for pictures.
pub(crate) struct Output {
    annotated: PathBuf,
    cells: PathBuf,
}

impl Output {
    pub(crate) fn new(folder: &Path) -> Result<Self> {
        let output = Self { annotated: folder.join("annotated"), cells: folder.join("cells") };
        create(&output.annotated)?;
        Ok(output)
    }

    /// Writes the pictures of a photograph; `calls` are those of its red cells.
    pub(crate) fn write(&self, name: &str, photo: &RgbImage, smear: &Smear, calls: &[Call]) -> Result<()> {
        let mut colours = calls.iter().map(colour);
        let annotated = annotated_with(photo, smear, |object| {
            if object.kind == crate::Kind::RedCell {
                colours.next().unwrap_or(Rgb([0; 3]))
            } else {
                colour_of_kind(object.kind)
            }
        });
        let path = self.annotated.join(format!("{name}.jpg"));
        let mut bytes = Vec::new();
        JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY)
            .encode_image(&annotated)
            .map_err(unwritable(&path))?;
        fs::write(&path, bytes).map_err(Error::io("write", &path))?;
        for ((number, call), cell) in (1..).zip(calls).zip(smear.red_cells()) {
            let folder = self.cells.join(&call.class);
            create(&folder)?;
            let path = folder.join(format!("{name}-{number}.png"));
            cell.crop(photo).save_with_format(&path, ImageFormat::Png).map_err(unwritable(&path))?;
        }
        Ok(())
    }
}

fn create(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(Error::io("create the folder", folder))
}

fn unwritable(path: &Path) -> impl Fn(image::ImageError) -> Error + use<> {
    let error = Error::io("write", path);
    move |cause| error(std::io::Error::other(cause))
}

/// From green to yellow by probability; red if called infected.
fn colour(call: &Call) -> Rgb<u8> {
    let share = call.probability.clamp(0.0, 1.0);
    if call.infected {
        return Rgb([230, 0, 0]);
    }
    let rising = |from: f64, to: f64| (from + (to - from) * share).round() as u8;
    Rgb([rising(0.0, 240.0), rising(160.0, 150.0), rising(60.0, 0.0)])
}
