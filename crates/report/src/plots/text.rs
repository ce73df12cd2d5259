//! A text in a figure, and how it looks.

use plotters::style::RGBColor;

/// Which point of a text stands at its x.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Centre,
    Right,
}

/// A text with its baseline at the y of `at`; texts lie on top of all shapes.
#[derive(Debug, Clone)]
pub(crate) struct Label {
    pub(crate) at: (f64, f64),
    pub(crate) text: String,
    pub(crate) look: Look,
    pub(crate) align: Align,
}

/// How a text looks; `size` is its em in pixels.
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
}
