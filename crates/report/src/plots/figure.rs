//! The description of a plot: shapes and labels, in pixels from the top left corner.

use plotters::style::RGBColor;

pub(crate) use super::font::{Align, Label, Look};

/// Okabe and Ito's blue.
pub(crate) const BLUE: RGBColor = RGBColor(0, 114, 178);
/// Okabe and Ito's vermilion.
pub(crate) const VERMILION: RGBColor = RGBColor(213, 94, 0);
pub(crate) const INK: RGBColor = RGBColor(33, 37, 41);
pub(crate) const MUTED: RGBColor = RGBColor(92, 99, 106);
pub(crate) const AXIS: RGBColor = RGBColor(134, 142, 150);
pub(crate) const GRID: RGBColor = RGBColor(225, 229, 233);
pub(crate) const WHITE: RGBColor = RGBColor(255, 255, 255);

/// Lengths of a dash and of the gap after it.
pub(crate) type Dash = (f64, f64);

#[derive(Debug, Clone)]
pub(crate) enum Shape {
    Line { points: Vec<(f64, f64)>, width: f64, dash: Option<Dash>, color: RGBColor },
    Dot { centre: (f64, f64), radius: f64, color: RGBColor },
    Box { from: (f64, f64), to: (f64, f64), color: RGBColor },
}

/// A plot that can be rendered as PNG or SVG.
#[derive(Debug, Clone)]
pub struct Plot(pub(crate) Figure);

/// A figure of `width` x `height` pixels on white.
#[derive(Debug, Clone)]
pub(crate) struct Figure {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) shapes: Vec<Shape>,
    pub(crate) labels: Vec<Label>,
}

impl Figure {
    pub(crate) fn new(width: u32, height: u32) -> Self {
        Self { width, height, shapes: Vec::new(), labels: Vec::new() }
    }

    pub(crate) fn line(&mut self, points: &[(f64, f64)], width: f64, dash: Option<Dash>, color: RGBColor) {
        self.shapes.push(Shape::Line { points: points.to_vec(), width, dash, color });
    }

    pub(crate) fn dot(&mut self, centre: (f64, f64), radius: f64, color: RGBColor) {
        self.shapes.push(Shape::Dot { centre, radius, color });
    }

    pub(crate) fn rectangle(&mut self, from: (f64, f64), to: (f64, f64), color: RGBColor) {
        self.shapes.push(Shape::Box { from, to, color });
    }

    /// Writes `text` with its baseline at the y of `at`.
    pub(crate) fn text(&mut self, at: (f64, f64), text: impl Into<String>, look: Look, align: Align) {
        self.labels.push(Label { at, text: text.into(), look, align });
    }

    /// The title, at `(x, baseline)`, on one line not wider than `width`.
    pub(crate) fn title(&mut self, at: (f64, f64), title: &str, width: f64) {
        let one_line = title.split_whitespace().collect::<Vec<_>>().join(" ");
        let (look, text) = Look::bold(30.0, INK).fit(&one_line, width, 20.0);
        self.text(at, text, look, Align::Left);
    }
}
