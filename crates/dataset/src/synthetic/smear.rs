//! A synthetic thin smear with exact ground truth: red cells, white cells, platelets and specks of stain.

use image::{Rgb, RgbImage};

use super::cell::{Cell, Patient};
use super::random::{Random, Stream};
use super::shapes::{Blob, cover, noise, speckle};
use super::smear_config::SmearConfig;
use super::vector::{Vector, length, minus, mix, turn, unit};
use crate::error::Result;

/// Diameter of a drawn cell in its own pixels, about the mean of those of [`Cell`].
const DRAWN_DIAMETER: f32 = 134.0;
/// Places tried for an object before it is left out.
const TRIES: usize = 400;
/// Directions in which an outline is given.
const CORNERS: usize = 64;
/// Crests of a crenated outline.
const CRESTS: usize = 11;
/// Light of the empty background, red, green and blue, 0 to 255.
const LIGHT: [f32; 3] = [236.0, 232.0, 234.0];

/// The kind of an object in a synthetic smear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SmearKind {
    /// A red cell without parasites.
    Uninfected,
    /// A red cell with parasites.
    Infected,
    /// A white cell.
    WhiteCell,
    /// A platelet.
    Platelet,
    /// A speck of stain.
    Debris,
}

impl SmearKind {
    /// Whether it is a red cell.
    #[must_use]
    pub fn is_red_cell(self) -> bool {
        matches!(self, Self::Uninfected | Self::Infected)
    }
}

/// An object in a synthetic smear.
#[derive(Debug, Clone, PartialEq)]
pub struct SmearObject {
    /// Its kind.
    pub kind: SmearKind,
    /// Corners of its outline, in pixels of the picture, x and y.
    pub outline: Vec<[f32; 2]>,
    /// Left, top, right and bottom edge of the outline; outside the picture if the object is cut off.
    pub bounds: [f32; 4],
}

/// A synthetic smear and its objects.
#[derive(Debug, Clone, PartialEq)]
pub struct SyntheticSmear {
    /// The picture, u8 RGB `[height, width, 3]`.
    pub image: RgbImage,
    /// The objects, in the order in which they were drawn. All of them are at least partly in the picture.
    pub objects: Vec<SmearObject>,
}

/// Draws a smear of one patient: a pure function of the settings, the same on every platform.
///
/// # Errors
/// Those of [`SmearConfig::check`].
pub fn synthetic_smear(config: &SmearConfig) -> Result<SyntheticSmear> {
    config.check()?;
    let mut rng = Random::new(config.seed, Stream::Smear);
    let patient = Patient::sample(config.seed, 0);
    let mut canvas = Canvas::new(config);
    let mut places = Places { config, taken: Vec::new() };
    let mut objects = Vec::new();
    for _ in 0..config.white_cells {
        if let Some(centre) = places.free(&mut rng, 1.0) {
            objects.push(white_cell(&mut canvas, &mut rng, centre, config.cell_diameter));
        }
    }
    // The exact number of infected cells, spread over all.
    let infected_up_to = |cell: usize| (cell as f32 * config.parasitaemia).round() as usize;
    for number in 0..config.cells {
        let crowded = rng.chance(config.crowded);
        let place = if crowded { places.beside(&mut rng) } else { None };
        let Some(centre) = place.or_else(|| places.free(&mut rng, 0.55)) else { continue };
        let infected = infected_up_to(number + 1) > infected_up_to(number);
        let spiky = rng.chance(config.crenated);
        let mut own = Random::new(config.seed, Stream::Cell(number));
        let cell = Cell::whole(&mut own, &patient, infected, config.pallor);
        objects.push(red_cell(&mut canvas, &mut rng, &cell, centre, config.cell_diameter, spiky, infected));
    }
    for (count, kind) in [(config.platelets, SmearKind::Platelet), (config.debris, SmearKind::Debris)] {
        for _ in 0..count {
            if let Some(centre) = places.free(&mut rng, 0.15) {
                objects.push(speck(&mut canvas, &mut rng, centre, config.cell_diameter, kind));
            }
        }
    }
    Ok(SyntheticSmear { image: canvas.develop(config, rng.bits()), objects })
}

/// Positions of the objects: centres and radii.
struct Places<'a> {
    config: &'a SmearConfig,
    taken: Vec<(Vector, f32)>,
}

impl Places<'_> {
    /// A place for an object of a given radius, relative to the cells' diameter, that touches no other.
    fn free(&mut self, rng: &mut Random, radius: f32) -> Option<Vector> {
        let radius = radius * self.config.cell_diameter;
        let margin = 1.3 * radius;
        let (width, height) = (self.config.width as f32, self.config.height as f32);
        if 2.0 * margin >= width.min(height) {
            return None;
        }
        let mut tries =
            (0..TRIES).map(|_| [rng.between(margin, width - margin), rng.between(margin, height - margin)]);
        let gap = 0.12 * self.config.cell_diameter;
        let centre = tries.find(|place| {
            self.taken.iter().all(|(other, size)| length(minus(*place, *other)) > radius + size + gap)
        })?;
        self.taken.push((centre, radius));
        Some(centre)
    }

    /// A place for a red cell that touches one other, or reaches over it.
    fn beside(&mut self, rng: &mut Random) -> Option<Vector> {
        let diameter = self.config.cell_diameter;
        let radius = 0.55 * diameter;
        let (width, height) = (self.config.width as f32, self.config.height as f32);
        let centre = (0..TRIES).find_map(|_| {
            let last = self.taken.len().checked_sub(1)? as u32;
            let (other, size) = self.taken[rng.count(0, last) as usize];
            let apart = diameter * (1.0 - self.config.overlap * rng.between(0.0, 1.0));
            let way = rng.direction();
            let place = [other[0] + apart * way[0], other[1] + apart * way[1]];
            let inside = place[0] > 1.3 * radius
                && place[1] > 1.3 * radius
                && place[0] < width - 1.3 * radius
                && place[1] < height - 1.3 * radius;
            let red = (size - radius).abs() < 0.01 * diameter;
            let alone =
                self.taken.iter().filter(|(third, size)| length(minus(place, *third)) < radius + size);
            (inside && red && alone.count() == 1).then_some(place)
        })?;
        self.taken.push((centre, radius));
        Some(centre)
    }
}

/// The light that passes, red, green and blue, 0 to 1, row by row.
struct Canvas {
    width: u32,
    height: u32,
    light: Vec<[f32; 3]>,
}

impl Canvas {
    fn new(config: &SmearConfig) -> Self {
        let pixels = config.width as usize * config.height as usize;
        Self { width: config.width, height: config.height, light: vec![[1.0; 3]; pixels] }
    }

    /// Adds an object that extends up to `reach`. `paint` returns the light that passes at a point relative to the centre,
    /// and the share of the pixel that the object covers.
    fn lay(&mut self, centre: Vector, reach: f32, paint: impl Fn(Vector) -> Option<([f32; 3], f32)>) {
        let range = |at: f32, side: u32| {
            let low = (at - reach).floor().max(0.0) as u32;
            low..((at + reach).ceil().max(0.0) as u32 + 1).min(side)
        };
        for y in range(centre[1], self.height) {
            for x in range(centre[0], self.width) {
                if let Some((passing, covered)) = paint(minus([x as f32, y as f32], centre)) {
                    let light = &mut self.light[(y * self.width + x) as usize];
                    *light = [0, 1, 2].map(|i| light[i] * mix(1.0, passing[i].min(1.0), covered));
                }
            }
        }
    }

    /// The photograph: blurred, lit unevenly, with grain.
    fn develop(mut self, config: &SmearConfig, seed: u32) -> RgbImage {
        let sigma = config.blur * config.cell_diameter;
        // Three boxes of width 2r + 1 have the variance r (r + 1).
        let radius = ((1.0 + 4.0 * sigma * sigma).sqrt() / 2.0 - 0.5).round() as usize;
        for _ in 0..3 {
            self.blur(radius);
        }
        let (width, height) = (self.width as f32, self.height as f32);
        RgbImage::from_fn(self.width, self.height, |x, y| {
            let from_centre = [x as f32 / width - 0.5, y as f32 / height - 0.5];
            let far = 2.0 * (from_centre[0] * from_centre[0] + from_centre[1] * from_centre[1]);
            let stains = 1.0 + 0.01 * noise([x as f32, y as f32], 1.5 * config.cell_diameter, seed);
            let lit = (1.0 - config.shade * far) * stains;
            let light = self.light[(y * self.width + x) as usize];
            // The sum of three uniform numbers has the variance 1.
            let grain = |channel: u32| {
                (0..3).map(|i| speckle(x as i32, y as i32, seed ^ (3 * channel + i + 1))).sum::<f32>()
                    * config.noise
            };
            Rgb([0, 1, 2].map(|i| {
                let value = LIGHT[i] * light[i] * lit + grain(i as u32);
                value.round().clamp(0.0, 255.0) as u8
            }))
        })
    }

    /// The mean of `2 * radius + 1` pixels along each side; pixels at the edge are repeated outwards.
    fn blur(&mut self, radius: usize) {
        let (width, height) = (self.width as usize, self.height as usize);
        if radius == 0 {
            return;
        }
        for y in 0..height {
            let mut row = self.light[y * width..][..width].to_vec();
            running_mean(&mut row, radius);
            self.light[y * width..][..width].copy_from_slice(&row);
        }
        for x in 0..width {
            let mut column = Vec::from_iter((0..height).map(|y| self.light[y * width + x]));
            running_mean(&mut column, radius);
            column.into_iter().enumerate().for_each(|(y, light)| self.light[y * width + x] = light);
        }
    }
}

fn running_mean(line: &mut [[f32; 3]], radius: usize) {
    let from = line.to_vec();
    let last = from.len() - 1;
    for (at, to) in line.iter_mut().enumerate() {
        let window = (at..=at + 2 * radius).map(|i| from[i.saturating_sub(radius).min(last)]);
        let sum = window.fold([0.0; 3], |sum, light| [0, 1, 2].map(|i| sum[i] + light[i]));
        *to = sum.map(|sum| sum / (2 * radius + 1) as f32);
    }
}

fn red_cell(
    canvas: &mut Canvas,
    rng: &mut Random,
    cell: &Cell,
    centre: Vector,
    diameter: f32,
    spiky: bool,
    infected: bool,
) -> SmearObject {
    let scale = diameter / DRAWN_DIAMETER;
    let heading = rng.direction();
    let height = if spiky { rng.between(3.0, 7.0) } else { 0.0 };
    // Height of the spikes in a direction: the real part of its power.
    let spike = |way: Vector| {
        let power = (1..CRESTS).fold(way, |power, _| turn(power, way));
        height * power[0]
    };
    let reach = |way: Vector| (cell.reach(turn(way, heading)) + spike(way)) * scale;
    canvas.lay(centre, 0.85 * diameter, |point| {
        let own = turn(point, heading).map(|at| (at / scale).round() as i32);
        let (colour, covered) = cell.at(own, spike(unit(point)))?;
        Some(([0, 1, 2].map(|i| colour[i] / LIGHT[i]), covered))
    });
    object(if infected { SmearKind::Infected } else { SmearKind::Uninfected }, centre, reach)
}

fn white_cell(canvas: &mut Canvas, rng: &mut Random, centre: Vector, diameter: f32) -> SmearObject {
    let body = Blob::sample(rng, 0.8 * diameter, 0.1, 0.05);
    let lobes = Vec::from_iter((0..rng.count(2, 4)).map(|_| {
        let place = rng.in_disc().map(|at| 0.3 * diameter * at);
        let radius = diameter * rng.between(0.34, 0.45);
        (place, Blob::sample(rng, radius, 0.1, 0.05))
    }));
    canvas.lay(centre, 1.1 * diameter, |point| {
        let covered = cover(body.distance(point), 1.5);
        let lobe = |(place, lobe): &(Vector, Blob)| cover(lobe.distance(minus(point, *place)), 2.0);
        let nucleus = lobes.iter().map(lobe).fold(0.0, f32::max);
        let passing = [0, 1, 2].map(|i| mix([0.8, 0.76, 0.9][i], [0.36, 0.14, 0.5][i], nucleus));
        (covered > 0.0).then_some((passing, covered))
    });
    object(SmearKind::WhiteCell, centre, |way| body.reach(way))
}

fn speck(
    canvas: &mut Canvas,
    rng: &mut Random,
    centre: Vector,
    diameter: f32,
    kind: SmearKind,
) -> SmearObject {
    let platelet = kind == SmearKind::Platelet;
    let size = if platelet { rng.between(0.11, 0.17) } else { rng.between(0.04, 0.08) };
    let ragged = if platelet { 0.08 } else { 0.5 };
    let blob = Blob::sample(rng, size * diameter, ragged, ragged);
    let passing = if platelet { [0.68, 0.45, 0.72] } else { [0.3, 0.2, 0.4] };
    canvas.lay(centre, 0.4 * diameter, |point| {
        let covered = cover(blob.distance(point), 2.0);
        (covered > 0.0).then_some((passing, covered))
    });
    object(kind, centre, |way| blob.reach(way))
}

fn object(kind: SmearKind, centre: Vector, reach: impl Fn(Vector) -> f32) -> SmearObject {
    // Directions around the circle without sines: along the sides of a square.
    let side = CORNERS / 4;
    let ways = (0..CORNERS).map(|i| {
        let along = 2.0 * (i % side) as f32 / side as f32 - 1.0;
        unit([[along, -1.0], [1.0, along], [-along, 1.0], [-1.0, -along]][i / side])
    });
    let outline = Vec::from_iter(ways.map(|way| [0, 1].map(|i| centre[i] + reach(way) * way[i])));
    let bounds = outline.iter().fold([f32::MAX, f32::MAX, f32::MIN, f32::MIN], |bounds, &[x, y]| {
        [bounds[0].min(x), bounds[1].min(y), bounds[2].max(x), bounds[3].max(y)]
    });
    SmearObject { kind, outline, bounds }
}
