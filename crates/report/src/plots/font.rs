//! Labels in the built-in font: their width, and their pixels in a PNG.
//!
//! plotters draws the labels of an SVG but not those of a PNG, since it ignores the left side bearing of letters and
//! measures in whole pixels.

use std::sync::LazyLock;

use ab_glyph::{Font, FontRef, Glyph, PxScale, ScaleFont, point};
use image::{Rgb, RgbImage};
use plotters::style::RGBColor;

/// The part of a label that is at its x.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Centre,
    Right,
}

/// A text with its baseline at the y of `at`, above all shapes.
#[derive(Debug, Clone)]
pub(crate) struct Label {
    pub(crate) at: (f64, f64),
    pub(crate) text: String,
    pub(crate) look: Look,
    pub(crate) align: Align,
}

/// Size, weight and colour of a label; `size` is its em in pixels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    pub(crate) size: f64,
    pub(crate) bold: bool,
    pub(crate) color: RGBColor,
}

impl Look {
    pub(crate) const fn plain(size: f64, color: RGBColor) -> Self {
        Self { size, bold: false, color }
    }

    pub(crate) const fn bold(size: f64, color: RGBColor) -> Self {
        Self { size, bold: true, color }
    }

    /// Width of `text` in pixels.
    pub(crate) fn width(self, text: &str) -> f64 {
        f64::from(set(text, self).1)
    }

    /// Fits `text` into `width`: smaller letters down to the size `min_size`, then an ellipsis.
    pub(crate) fn fit(self, text: &str, width: f64, min_size: f64) -> (Self, String) {
        let size = (self.size * width / self.width(text)).max(min_size).min(self.size);
        let look = Self { size, ..self };
        // One pixel of tolerance for rounding.
        let fits = |text: &str| look.width(text) <= width + 1.0;
        if fits(text) {
            return (look, text.to_owned());
        }
        let ends = text.char_indices().map(|(end, _)| end).rev();
        let cut = ends.map(|end| format!("{}…", text[..end].trim_end())).find(|cut| fits(cut));
        (look, cut.unwrap_or_else(|| "…".to_owned()))
    }
}

/// DejaVu Sans, regular and bold, with the characters of `assets/fonts/subset.py`.
static FONTS: LazyLock<[FontRef<'static>; 2]> = LazyLock::new(|| {
    let regular: &[u8] = include_bytes!("../../assets/fonts/DejaVuSans.ttf");
    let bold: &[u8] = include_bytes!("../../assets/fonts/DejaVuSans-Bold.ttf");
    [regular, bold].map(|bytes| FontRef::try_from_slice(bytes).expect("the built-in fonts are whole"))
});

/// The font of `look`, and its scale for that em.
fn font(look: Look) -> (&'static FontRef<'static>, PxScale) {
    let font = &FONTS[usize::from(look.bold)];
    // A PxScale counts from ascent to descent.
    let heights_in_em =
        font.height_unscaled() / font.units_per_em().expect("the built-in fonts have a scale");
    (font, PxScale::from(look.size as f32 * heights_in_em))
}

/// The kerned glyphs of `text` from the origin, and its width.
fn set(text: &str, look: Look) -> (Vec<Glyph>, f32) {
    let (font, scale) = font(look);
    let scaled = font.as_scaled(scale);
    let mut caret = 0.0;
    let mut previous = None;
    let glyphs = text.chars().map(|character| {
        let id = scaled.glyph_id(character);
        caret += previous.map_or(0.0, |previous| scaled.kern(previous, id));
        let glyph = id.with_scale_and_position(scale, point(caret, 0.0));
        caret += scaled.h_advance(id);
        previous = Some(id);
        glyph
    });
    (glyphs.collect(), caret)
}

/// Draws `label` onto `picture`, clipped at its edges.
pub(crate) fn draw(picture: &mut RgbImage, label: &Label) {
    let look = label.look;
    let (font, _) = font(look);
    let (glyphs, width) = set(&label.text, look);
    let before_anchor = match label.align {
        Align::Left => 0.0,
        Align::Centre => width / 2.0,
        Align::Right => width,
    };
    let left = label.at.0 as f32 - before_anchor;
    for mut glyph in glyphs {
        // Whole pixels vertically keep the baseline sharp.
        glyph.position = point(left + glyph.position.x, label.at.1.round() as f32);
        let Some(outline) = font.outline_glyph(glyph) else { continue };
        let corner = outline.px_bounds().min;
        outline.draw(|x, y, coverage| {
            let (x, y) = (i64::from(x) + corner.x as i64, i64::from(y) + corner.y as i64);
            let inside = u32::try_from(x).ok().zip(u32::try_from(y).ok());
            if let Some(pixel) = inside.and_then(|(x, y)| picture.get_pixel_mut_checked(x, y)) {
                blend(pixel, look, coverage.clamp(0.0, 1.0));
            }
        });
    }
}

fn blend(pixel: &mut Rgb<u8>, look: Look, coverage: f32) {
    let ink = [look.color.0, look.color.1, look.color.2];
    for (channel, ink) in pixel.0.iter_mut().zip(ink) {
        *channel = (f32::from(*channel) * (1.0 - coverage) + f32::from(ink) * coverage).round() as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plots::figure::INK;

    #[test]
    fn both_fonts_have_the_letters_of_plots() {
        for look in [Look::plain(20.0, INK), Look::bold(20.0, INK)] {
            let (font, _) = font(look);
            for character in "AZaz09 %.,:()-−…éßñłΩжя≥×".chars() {
                assert_ne!(font.glyph_id(character).0, 0, "{character:?} is missing");
            }
        }
        let width = |look: Look| look.width("Parasitized");
        assert!(width(Look::bold(20.0, INK)) > width(Look::plain(20.0, INK)));
        let [small, large] = [20.0, 40.0].map(|size| width(Look::plain(size, INK)));
        assert!((large / small - 2.0).abs() < 1e-3);
    }

    #[test]
    fn text_stands_on_its_baseline_and_ends_at_its_anchor() {
        let look = Look::bold(40.0, INK);
        let width = look.width("HHHH");
        for (align, expected_left) in
            [(Align::Left, 150.0), (Align::Centre, 150.0 - width / 2.0), (Align::Right, 150.0 - width)]
        {
            let mut picture = RgbImage::from_pixel(300, 100, Rgb([255; 3]));
            draw(&mut picture, &Label { at: (150.0, 60.0), text: "HHHH".to_owned(), look, align });
            let inked = picture.enumerate_pixels().filter(|(_, _, pixel)| pixel.0 != [255; 3]);
            let (xs, ys): (Vec<u32>, Vec<u32>) = inked.map(|(x, y, _)| (x, y)).unzip();
            assert_eq!(ys.iter().max(), Some(&59), "the letters' feet");
            let cap_height = 60 - ys.iter().min().unwrap();
            assert!((28..=30).contains(&cap_height), "0.73 em, found {cap_height}");
            let left = f64::from(*xs.iter().min().unwrap());
            assert!((left - expected_left).abs() < 5.0, "{align:?}: {left}, expected {expected_left}");
        }
    }

    #[test]
    fn text_is_clipped_at_the_edges() {
        let mut picture = RgbImage::new(20, 20);
        let look = Look::plain(40.0, INK);
        draw(
            &mut picture,
            &Label { at: (-30.0, 10.0), text: "wide words".to_owned(), look, align: Align::Left },
        );
    }
}
