//! Renders a figure as PNG or SVG.

use std::{io::Cursor, path::Path};

use image::{ImageFormat, RgbImage};
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, DrawingAreaErrorKind, IntoDrawingArea};
use plotters::element::{Circle, DashedPathElement, PathElement, Rectangle, Text};
use plotters::prelude::{BitMapBackend, DrawingBackend, SVGBackend};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontDesc, FontFamily, FontStyle, ShapeStyle, TextStyle};

use super::figure::{Align, Figure, Label, Plot, Shape, WHITE};
use super::font;
use crate::error::{Error, Result};

/// Shapes are drawn this many times larger, since plotters takes whole pixels and does not smooth edges. A PNG is then
/// averaged down to its size; an SVG is scaled by its view box.
const OVERSAMPLING: u32 = 4;

/// The built-in font, then one of the same width for SVG viewers that lack it, then any sans-serif font.
const FONT_FAMILY: FontFamily<'static> = FontFamily::Name("DejaVu Sans, Verdana, sans-serif");

/// The format of a file by its extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Png,
    Svg,
}

impl Format {
    fn of(path: &Path) -> Result<Self> {
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        match extension.to_ascii_lowercase().as_str() {
            "png" => Ok(Self::Png),
            "svg" => Ok(Self::Svg),
            _ => Err(Error::UnknownFormat { path: path.to_owned() }),
        }
    }
}

/// Checks the extension of a plot's path, so that a wrong extension is an error before training.
///
/// # Errors
/// [`Error::UnknownFormat`] for anything but `.png` and `.svg`, in any case.
pub fn check_figure_path(path: &Path) -> Result<()> {
    Format::of(path).map(|_| ())
}

impl Plot {
    /// Writes the plot to `path`, as PNG or SVG by its extension.
    ///
    /// # Errors
    /// [`Error::UnknownFormat`] for another extension; [`Error::File`], an older file then stays; [`Error::Draw`] and
    /// [`Error::Encode`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let bytes = match Format::of(path)? {
            Format::Png => png(&self.0)?,
            Format::Svg => svg(&self.0)?.into_bytes(),
        };
        Ok(malaria_files::write(path, &bytes).map_err(malaria_files::Error::io("write", path))?)
    }

    /// The plot as the text of an SVG.
    ///
    /// # Errors
    /// [`Error::Draw`] when the drawing library fails.
    pub fn svg(&self) -> Result<String> {
        svg(&self.0)
    }
}

fn png(figure: &Figure) -> Result<Vec<u8>> {
    let size = (figure.width * OVERSAMPLING, figure.height * OVERSAMPLING);
    let mut large = RgbImage::new(size.0, size.1);
    {
        let area = BitMapBackend::with_buffer(&mut large, size).into_drawing_area();
        draw_shapes(&area, figure).and_then(|()| area.present()).map_err(draw_error)?;
    }
    let mut picture = shrink(&large);
    figure.labels.iter().for_each(|label| font::draw(&mut picture, label));
    encode_png(&picture)
}

/// `picture` as the bytes of a PNG.
pub(crate) fn encode_png(picture: &RgbImage) -> Result<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, ImageFormat::Png).map_err(|source| Error::Encode { source })?;
    Ok(bytes.into_inner())
}

/// The mean of each OVERSAMPLING x OVERSAMPLING block, several times as fast as [`image::imageops::thumbnail`].
fn shrink(large: &RgbImage) -> RgbImage {
    const SIDE: usize = OVERSAMPLING as usize;
    const BLOCK: u16 = (OVERSAMPLING * OVERSAMPLING) as u16;
    let mut small = RgbImage::new(large.width() / OVERSAMPLING, large.height() / OVERSAMPLING);
    let length = small.width() as usize * 3;
    for (rows, line) in large.chunks_exact(length * SIDE * SIDE).zip(small.chunks_exact_mut(length)) {
        let mut sums = vec![0_u16; length];
        for row in rows.chunks_exact(length * SIDE) {
            for (sum, pixels) in sums.chunks_exact_mut(3).zip(row.chunks_exact(3 * SIDE)) {
                for pixel in pixels.chunks_exact(3) {
                    sum.iter_mut().zip(pixel).for_each(|(sum, &value)| *sum += u16::from(value));
                }
            }
        }
        line.iter_mut().zip(sums).for_each(|(value, sum)| *value = ((sum + BLOCK / 2) / BLOCK) as u8);
    }
    small
}

fn svg(figure: &Figure) -> Result<String> {
    let (width, height) = (figure.width * OVERSAMPLING, figure.height * OVERSAMPLING);
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (width, height)).into_drawing_area();
        draw_shapes(&area, figure)
            .and_then(|()| figure.labels.iter().try_for_each(|label| area.draw(&svg_text(label))))
            .and_then(|()| area.present())
            .map_err(draw_error)?;
    }
    // The view box keeps the size of the drawing; the picture gets the size of the figure.
    let drawn = format!(r#"<svg width="{width}" height="{height}""#);
    let shown = format!(r#"<svg width="{}" height="{}""#, figure.width, figure.height);
    Ok(svg.replacen(&drawn, &shown, 1))
}

fn draw_error<E: std::error::Error + Send + Sync>(error: DrawingAreaErrorKind<E>) -> Error {
    Error::Draw { reason: error.to_string() }
}

fn draw_shapes<DB: DrawingBackend>(
    area: &DrawingArea<DB, Shift>,
    figure: &Figure,
) -> std::result::Result<(), DrawingAreaErrorKind<DB::ErrorType>> {
    area.fill(&WHITE)?;
    for shape in &figure.shapes {
        match shape {
            Shape::Line { points, width, dash, color } => {
                let mut points = Vec::from_iter(points.iter().copied().map(pixel));
                // A curve of thousands of cells has many points in one pixel.
                points.dedup();
                let stroke_width = pixels(*width).unsigned_abs();
                let style = ShapeStyle { color: color.to_rgba(), filled: false, stroke_width };
                match *dash {
                    None => area.draw(&PathElement::new(points, style))?,
                    Some((on, off)) => {
                        area.draw(&DashedPathElement::new(points, pixels(on), pixels(off), style))?;
                    }
                }
            }
            Shape::Dot { centre, radius, color } => {
                area.draw(&Circle::new(pixel(*centre), pixels(*radius), color.filled()))?;
            }
            Shape::Box { from, to, color } => {
                area.draw(&Rectangle::new([pixel(*from), pixel(*to)], color.filled()))?;
            }
        }
    }
    Ok(())
}

fn svg_text(Label { at: (x, baseline), text, look, align }: &Label) -> Text<'_, (i32, i32), &str> {
    // plotters-svg divides a size by 1.24 to get the em, and puts the baseline 0.76 em below a text's top.
    let em = look.size * f64::from(OVERSAMPLING);
    let style = if look.bold { FontStyle::Bold } else { FontStyle::Normal };
    let anchor = match align {
        Align::Left => HPos::Left,
        Align::Centre => HPos::Center,
        Align::Right => HPos::Right,
    };
    let style = TextStyle::from(FontDesc::new(FONT_FAMILY, 1.24 * em, style))
        .color(&look.color)
        .pos(Pos::new(anchor, VPos::Top));
    Text::new(text.as_str(), pixel((*x, baseline - 0.76 * look.size)), style)
}

/// A length in pixels of the drawing.
fn pixels(length: f64) -> i32 {
    (length * f64::from(OVERSAMPLING)).round() as i32
}

fn pixel((x, y): (f64, f64)) -> (i32, i32) {
    (pixels(x), pixels(y))
}
