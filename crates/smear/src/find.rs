//! The cell finder: from a photograph to objects and measures of its quality.

use image::{GrayImage, RgbImage};
use imageproc::contours::{BorderType, find_contours};

use crate::classify_regions::{Region, classify_regions};
use crate::error::{Error, Result};
use crate::object::{Bounds, Kind, Object};
use crate::plane::{INSIDE, Labels, Plane, plane_of, sample};
use crate::quality::{Caveat, Quality};
use crate::scale::Working;
use crate::separate::separate_cells;

/// Diameters of red cells, in pixels of the photograph, for which finding and classification were tested.
const DIAMETERS: std::ops::RangeInclusive<f32> = 25.0..=260.0;
/// Minimum share of the dark area that has the shape of cells of one size in a thin smear.
const MIN_CELLULAR: f32 = 0.3;

/// The objects found in a photograph.
#[derive(Debug, Clone, PartialEq)]
pub struct Smear {
    /// The objects, from the top left to the bottom right by their highest pixel.
    pub objects: Vec<Object>,
    /// Typical diameter of a red cell, in pixels of the photograph.
    pub cell_diameter: f32,
    /// Measures of the field's quality.
    pub quality: Quality,
    /// Caveats about the counts.
    pub caveats: Vec<Caveat>,
}

impl Smear {
    /// The red cells.
    pub fn red_cells(&self) -> impl Iterator<Item = &Object> {
        self.objects.iter().filter(|object| object.kind == Kind::RedCell)
    }

    /// The number of objects of a kind.
    #[must_use]
    pub fn count(&self, kind: Kind) -> usize {
        self.objects.iter().filter(|object| object.kind == kind).count()
    }
}

/// Finds the cells of a thin smear in a photograph, u8 RGB `[height, width, 3]`, with cells 25 to 260 px across. The result is a
/// function of the pixels alone.
///
/// # Errors
/// [`Error::TooSmall`], [`Error::Dark`], [`Error::Blank`], [`Error::CellsTooSmall`] or [`Error::NotThinSmear`] if there are
/// no findable cells.
pub fn find_cells(photo: &RgbImage) -> Result<Smear> {
    find_in_steps(photo, &mut |_, _| {})
}

/// Receives the name of a step and a function that draws its picture.
pub(crate) type Step<'a> = dyn FnMut(&str, &dyn Fn() -> RgbImage) + 'a;

/// [`find_cells`] that passes the picture of each step, with its name, to `step`.
pub(crate) fn find_in_steps(photo: &RgbImage, step: &mut Step<'_>) -> Result<Smear> {
    let working = Working::of(photo)?;
    step("1-reduced", &|| working.picture.clone());
    step("2-field", &|| grey(&working.field));
    step("3-darkness", &|| grey(&working.shades()));
    step("4-foreground", &|| grey(&working.foreground.mask));
    let chosen = separate_cells(&working.darkness, &working.foreground.mask, working.diameter);
    let regions = classify_regions(&working, chosen);
    let quality = Quality::of(&working, &regions);
    if quality.cellular < MIN_CELLULAR {
        return Err(Error::NotThinSmear { share: 100.0 * quality.cellular, min: 100.0 * MIN_CELLULAR });
    }
    let objects = objects(&working, &regions, photo);
    let cell_diameter = working.diameter / working.factor;
    let mut caveats = quality.caveats();
    if !DIAMETERS.contains(&cell_diameter) {
        caveats.push(Caveat::Scale);
    }
    Ok(Smear { cell_diameter, caveats, quality, objects })
}

fn grey(picture: &GrayImage) -> RgbImage {
    image::DynamicImage::ImageLuma8(picture.clone()).into_rgb8()
}

/// The objects in pixels of the photograph.
fn objects(working: &Working, regions: &[Region], photo: &RgbImage) -> Vec<Object> {
    let owners = owners(working, regions);
    (1..).zip(regions).map(|(label, region)| object(working, region, label, &owners, photo)).collect()
}

/// For each pixel of the working copy, the number of its object, from 1. If there are several, it belongs to the one whose
/// centre is nearest relative to its size.
fn owners(working: &Working, regions: &[Region]) -> Labels {
    let (width, height) = working.picture.dimensions();
    let mut owners = Labels::new(width, height);
    let mut nearest = plane_of((width, height), |_| f32::INFINITY);
    for (label, region) in (1..).zip(regions) {
        let [x, y] = region.shape.centre;
        for &i in &region.pixels {
            let apart = ((i % width) as f32 - x).hypot((i / width) as f32 - y) / region.shape.diameter();
            let nearest = &mut nearest.as_mut()[i as usize];
            if apart < *nearest {
                *nearest = apart;
                owners.as_mut()[i as usize] = label;
            }
        }
    }
    owners
}

fn object(working: &Working, region: &Region, label: u32, owners: &Labels, photo: &RgbImage) -> Object {
    let (width, height) = working.picture.dimensions();
    let factor_across = photo.width() as f32 / width as f32;
    let factor_down = photo.height() as f32 / height as f32;
    let [left, top, right, bottom] = region.shape.bounds;
    let bounds = {
        let low = |at: u32, factor: f32| (at as f32 * factor).round() as u32;
        let high = |at: u32, factor: f32, side: u32| (((at + 1) as f32 * factor).round() as u32).min(side);
        let (x, y) = (low(left, factor_across), low(top, factor_down));
        let (right, bottom) =
            (high(right, factor_across, photo.width()), high(bottom, factor_down, photo.height()));
        Bounds { x, y, width: (right - x).max(1), height: (bottom - y).max(1) }
    };
    // A copy of the object's pixels with a margin of one pixel, for interpolating the edge.
    let (columns, rows) = (right - left + 3, bottom - top + 3);
    let own = |whole: bool| {
        let mut own = Plane::new(columns, rows);
        for &i in region.pixels.iter().filter(|&&i| whole || owners.as_raw()[i as usize] == label) {
            own.put_pixel(i % width - left + 1, i / width - top + 1, image::Luma([1.0]));
        }
        own
    };
    let own_pixels = own(false);
    let mask = GrayImage::from_fn(bounds.width, bounds.height, |x, y| {
        let at =
            |pixel: u32, factor: f32, first: u32| (pixel as f32 + 0.5) / factor - 0.5 - first as f32 + 1.0;
        let point = [at(bounds.x + x, factor_across, left), at(bounds.y + y, factor_down, top)];
        image::Luma([if sample(&own_pixels, point) >= 0.5 { INSIDE } else { 0 }])
    });
    let whole = own(true);
    let whole = GrayImage::from_fn(columns, rows, |x, y| image::Luma([whole.get_pixel(x, y)[0] as u8]));
    let contours = find_contours::<u32>(&whole);
    let outer = contours.iter().filter(|contour| contour.border_type == BorderType::Outer);
    let longest = outer.max_by_key(|contour| contour.points.len());
    let outline = longest.map_or(Vec::new(), |contour| {
        let corner = |at: u32, first: u32, factor: f32, side: u32| {
            (((at + first) as f32 - 0.5) * factor).round().clamp(0.0, (side - 1) as f32) as u32
        };
        let points = contour.points.iter();
        points
            .map(|point| {
                [
                    corner(point.x, left, factor_across, photo.width()),
                    corner(point.y, top, factor_down, photo.height()),
                ]
            })
            .collect()
    });
    let area = region.shape.area * factor_across * factor_down;
    Object {
        kind: region.kind,
        outline,
        bounds,
        area,
        diameter: 2.0 * (area / std::f32::consts::PI).sqrt(),
        mask,
        touches_border: working.touches_border(&region.pixels),
    }
}
