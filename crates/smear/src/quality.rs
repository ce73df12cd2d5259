//! The quality of a field, measured relative to its cells, and the resulting limits of its counts.

use serde::{Deserialize, Serialize};

use crate::classify_regions::Region;
use crate::object::Kind;
use crate::plane::{gradient, quantile};
use crate::scale::Working;

/// Minimum sharpness of a field in focus, see [`Quality::sharpness`]. Of the infected cells that `field-int8` finds in
/// composed fields, it finds 44 % in the same fields blurred to a median sharpness of 12, and 8 % at 10 (docs/smear.md).
const MIN_SHARPNESS: f32 = 11.0;
/// Minimum brightness of the background, 0 to 255.
const MIN_BRIGHTNESS: f32 = 90.0;
/// Minimum difference between cells and background in optical density.
const MIN_CONTRAST: f32 = 0.08;
/// Maximum share of the field covered by cells at which most of them can still be separated.
const MAX_COVER: f32 = 0.55;
/// Maximum share of the cells' area in clumps.
const MAX_CLUMPED: f32 = 0.2;
/// Minimum number of red cells in a field that is worth counting.
const MIN_CELLS: usize = 10;
/// Minimum mean difference between the largest and the smallest channel of a cell's density, relative to the mean.
const MIN_COLOUR: f32 = 0.06;
/// Maximum spread (interquartile range over median) of the cells' areas in a thin smear.
const MAX_SPREAD: f32 = 0.8;

/// Measures of a field.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// Steepness of the cells' edges: the upper decile of the change of darkness over a cell's diameter, in shares of the difference
    /// between cells and background.
    pub sharpness: f32,
    /// Brightness of the background, 0 to 255.
    pub brightness: f32,
    /// Difference between cells and background, as optical density (natural logarithm).
    pub contrast: f32,
    /// Share of the field that is not background, 0 to 1.
    pub cover: f32,
    /// Share of this area in clumps, 0 to 1.
    pub clumped: f32,
    /// Share of this area in objects with the shape of a cell, 0 to 1.
    pub cellular: f32,
    /// Number of red cells.
    pub red_cells: usize,
    /// Spread between the channels of the cells' density, relative to its mean: 0 for a grey picture.
    pub colour: f32,
    /// Interquartile range of the red cells' areas over their median.
    pub spread: f32,
}

/// A reason to trust the counts of a field less.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, strum::Display, strum::EnumIter,
)]
#[serde(rename_all = "kebab-case")]
pub enum Caveat {
    /// No cells.
    #[strum(to_string = "blank: no cell-sized object is darker than the background")]
    Blank,
    /// Edges of cells are blurred.
    #[strum(to_string = "out of focus: parasites may be invisible")]
    OutOfFocus,
    /// The background is dark.
    #[strum(to_string = "underexposed: the background is dark")]
    Underexposed,
    /// Cells hardly differ from the background.
    #[strum(to_string = "faint: cells hardly differ from the background (overexposed, or weakly stained)")]
    Faint,
    /// Too many cells.
    #[strum(to_string = "too dense: many cells overlap and cannot be separated")]
    TooDense,
    /// Many cells in clumps.
    #[strum(to_string = "clumped: many cells cannot be separated and are not counted")]
    Clumped,
    /// Hardly any cells.
    #[strum(to_string = "sparse: fewer than 10 red cells")]
    Sparse,
    /// No colour.
    #[strum(to_string = "grey: without colour, parasites are hard to distinguish from other marks")]
    Grey,
    /// Cells of a size that was not tested.
    #[strum(
        to_string = "cells are not 25 to 260 pixels across: the classifier was not tested on cells of this size"
    )]
    Scale,
    /// Objects of many sizes.
    #[strum(to_string = "objects of many sizes: possibly not a thin smear")]
    ManySizes,
}

impl Caveat {
    /// Its name in JSON, such as `out-of-focus`.
    #[must_use]
    pub fn key(&self) -> &'static str {
        match self {
            Self::Blank => "blank",
            Self::OutOfFocus => "out-of-focus",
            Self::Underexposed => "underexposed",
            Self::Faint => "faint",
            Self::TooDense => "too-dense",
            Self::Clumped => "clumped",
            Self::Sparse => "sparse",
            Self::Grey => "grey",
            Self::Scale => "scale",
            Self::ManySizes => "many-sizes",
        }
    }

    /// Whether parasites may be invisible, so that finding none means nothing.
    #[must_use]
    pub fn hides_parasites(&self) -> bool {
        matches!(self, Self::OutOfFocus | Self::Underexposed | Self::Faint | Self::Grey | Self::Scale)
    }
}

impl Quality {
    pub(crate) fn of(working: &Working, sorted: &[Region]) -> Self {
        let foreground = working.foreground.mask.as_raw();
        let dark = foreground.iter().filter(|&&value| value > 0).count().max(1) as f32;
        let lit = working.field.as_raw().iter().filter(|&&value| value > 0).count().max(1) as f32;
        let area = |wanted: &[Kind]| {
            let of_kind = sorted.iter().filter(|sorted| wanted.contains(&sorted.kind));
            of_kind.map(|sorted| sorted.shape.area).sum::<f32>()
        };
        let areas = || -> Vec<f32> {
            let red = sorted.iter().filter(|sorted| sorted.kind == Kind::RedCell);
            red.map(|sorted| sorted.shape.area).collect()
        };
        let quartile = |share: f32| quantile(areas(), share).unwrap_or(0.0);
        let contrast = working.foreground.typical - working.foreground.background;
        let cells = area(&[Kind::RedCell, Kind::WhiteCell]);
        let brightness = working.background.mean_colour().iter().sum::<f32>() / 3.0;
        Self {
            sharpness: working.steepest_edges() * working.diameter / contrast.max(1e-6),
            brightness: brightness.clamp(0.0, 255.0),
            contrast,
            cover: (dark / lit).min(1.0),
            clumped: (area(&[Kind::Clump]) / dark).min(1.0),
            cellular: (cells / dark).min(1.0),
            red_cells: areas().len(),
            colour: working.colour_of_cells(),
            spread: (quartile(0.75) - quartile(0.25)) / quartile(0.5).max(1.0),
        }
    }

    /// The caveats that follow from the measures.
    pub(crate) fn caveats(&self) -> Vec<Caveat> {
        [
            (Caveat::OutOfFocus, self.sharpness < MIN_SHARPNESS),
            (Caveat::Underexposed, self.brightness < MIN_BRIGHTNESS),
            (Caveat::Faint, self.contrast < MIN_CONTRAST),
            (Caveat::TooDense, self.cover > MAX_COVER),
            (Caveat::Clumped, self.clumped > MAX_CLUMPED),
            (Caveat::Sparse, self.red_cells < MIN_CELLS),
            (Caveat::Grey, self.colour < MIN_COLOUR),
            (Caveat::ManySizes, self.spread > MAX_SPREAD),
        ]
        .into_iter()
        .filter_map(|(caveat, given)| given.then_some(caveat))
        .collect()
    }
}

impl Working {
    /// The change of darkness per pixel that a tenth of the pixels at the edge of the foreground exceed.
    fn steepest_edges(&self) -> f32 {
        let [right, down] = gradient(&self.darkness);
        let (width, height) = self.picture.dimensions();
        let inside = |x: u32, y: u32| self.foreground.mask.get_pixel(x, y)[0] > 0;
        let places = (1..height).flat_map(|y| (1..width).map(move |x| (x, y)));
        let edge =
            places.filter(|&(x, y)| inside(x, y) != inside(x - 1, y) || inside(x, y) != inside(x, y - 1));
        let slopes = edge.map(|(x, y)| right.get_pixel(x, y)[0].hypot(down.get_pixel(x, y)[0]));
        quantile(slopes.collect(), 0.9).unwrap_or(0.0)
    }

    /// Median over the foreground of the difference between the largest and the smallest channel's density, over the mean.
    fn colour_of_cells(&self) -> f32 {
        let colours = self.picture.enumerate_pixels().zip(self.foreground.mask.as_raw());
        let inside = colours.filter(|(_, inside)| **inside > 0).map(|((x, y, pixel), _)| {
            let [red, green, blue] = self.background.density(x, y, pixel.0.map(f32::from));
            let mean = ((red + green + blue) / 3.0).max(0.05);
            (red.max(green).max(blue) - red.min(green).min(blue)) / mean
        });
        quantile(inside.collect(), 0.5).unwrap_or(0.0)
    }
}
