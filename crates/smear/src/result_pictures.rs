//! Writes the pictures of the results: annotated photographs and cut-out cells.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use image::codecs::jpeg::JpegEncoder;
use image::{ImageFormat, Rgb, RgbImage};
use malaria_files::{Error, Result};

use crate::annotate::{annotated_with, colour_of_kind};
use crate::call::Call;
use crate::find::Smear;
use crate::report::CellRow;

/// Quality of annotated photographs, on the scale of the Independent JPEG Group. A PNG would be several times as large and
/// as slow.
const JPEG_QUALITY: u8 = 90;

/// The comment in the file of an annotated photograph, by which [`is_annotated`] recognises it.
const COMMENT: &[u8] = b"annotated by malaria-smear";

/// The folders for pictures in a folder of results.
pub(crate) struct ResultPictures {
    annotated: PathBuf,
    cells: PathBuf,
}

impl ResultPictures {
    pub(crate) fn new(folder: &Path) -> Result<Self> {
        let pictures = Self { annotated: folder.join("annotated"), cells: folder.join("cells") };
        create(&pictures.annotated)?;
        Ok(pictures)
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
        let path = self.annotated_path(name);
        let mut bytes = Vec::new();
        JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY)
            .encode_image(&annotated)
            .map_err(unwritable(&path))?;
        fs::write(&path, with_comment(&bytes)).map_err(Error::io("write", &path))?;
        for ((number, call), cell) in (1..).zip(calls).zip(smear.red_cells()) {
            create(&self.cells.join(&call.class))?;
            let path = self.cell_path(&call.class, name, number);
            cell.crop(photo).save_with_format(&path, ImageFormat::Png).map_err(unwritable(&path))?;
        }
        Ok(())
    }

    /// Removes the pictures of a photograph with these `cells`, as far as they were written.
    pub(crate) fn remove(&self, name: &str, cells: &[CellRow]) -> Result<()> {
        let cells =
            cells.iter().filter_map(|cell| Some(self.cell_path(cell.called.as_ref()?, name, cell.number?)));
        cells.chain([self.annotated_path(name)]).try_for_each(|path| malaria_files::remove(&path))
    }

    fn annotated_path(&self, name: &str) -> PathBuf {
        self.annotated.join(format!("{name}.jpg"))
    }

    fn cell_path(&self, class: &str, name: &str, number: usize) -> PathBuf {
        self.cells.join(class).join(format!("{name}-{number}.png"))
    }
}

/// A JPEG with [`COMMENT`] after its first segment, which ends at the same place in every file of the encoder.
fn with_comment(jpeg: &[u8]) -> Vec<u8> {
    let at = jpeg.get(4..6).map_or(2, |length| 4 + usize::from(u16::from_be_bytes([length[0], length[1]])));
    let (start, rest) = jpeg.split_at(at.min(jpeg.len()));
    [start, &[0xff, 0xfe, 0, COMMENT.len() as u8 + 2], COMMENT, rest].concat()
}

/// Whether the file at `path` is an annotated photograph.
pub(crate) fn is_annotated(path: &Path) -> bool {
    let mut start = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(128).read_to_end(&mut start));
    read.is_ok() && start.windows(COMMENT.len()).any(|bytes| bytes == COMMENT)
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
