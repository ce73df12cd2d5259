//! One red blood cell: its outline, stain and texture, and the marks in it.

use image::{Rgb, RgbImage};

use super::marks::{Mark, Plan, debris, parasite};
use super::random::{Random, Stream};
use super::shapes::{Blob, cover, hill, noise, speckle};
use super::vector::{Vector, length, minus, mix, unit};

/// Red, green, blue, 0 to 255.
type Colour = [f32; 3];

/// Stains of cells in smears; a patient's stain is a mix of two.
const STAINS: [Colour; 7] = [
    [222.0, 158.0, 148.0],
    [205.0, 128.0, 138.0],
    [186.0, 168.0, 186.0],
    [172.0, 180.0, 204.0],
    [204.0, 108.0, 150.0],
    [196.0, 168.0, 150.0],
    [150.0, 140.0, 196.0],
];
/// Stains of parasites, platelets and debris; a patient's ink is a mix of two.
const INKS: [Colour; 4] =
    [[150.0, 22.0, 118.0], [108.0, 32.0, 142.0], [88.0, 44.0, 128.0], [168.0, 36.0, 96.0]];
/// The colour that vacuoles, halos and the centre of a cell fade to.
const PALE: Colour = [236.0, 226.0, 218.0];

/// Properties that all cells of a patient share.
pub(super) struct Patient {
    stain: Colour,
    ink: Colour,
    /// Mixing share of [`PALE`] in the centre of a cell.
    pallor: f32,
    /// Relative change of brightness by the texture.
    texture: f32,
    /// Relative brightness of the rim, lighter or darker.
    rim: f32,
}

impl Patient {
    pub(super) fn sample(seed: u64, patient: usize) -> Self {
        let mut rng = Random::new(seed, Stream::Patient(patient));
        let light = rng.between(0.88, 1.08);
        Self {
            stain: mixed(&mut rng, &STAINS, 10.0).map(|channel| channel * light),
            ink: mixed(&mut rng, &INKS, 10.0),
            pallor: rng.between(0.0, 0.3),
            texture: rng.between(0.01, 0.035),
            rim: rng.between(-0.08, 0.08),
        }
    }
}

fn mixed(rng: &mut Random, colours: &[Colour], jitter: f32) -> Colour {
    let last = colours.len() as u32 - 1;
    let [one, other] = [0; 2].map(|_| colours[rng.count(0, last) as usize]);
    let share = rng.between(0.0, 1.0);
    [0, 1, 2].map(|i| mix(one[i], other[i], share) + rng.between(-jitter, jitter))
}

/// A cell without its marks; its centre is the origin.
struct Body {
    outline: Blob,
    /// Centre and radius of a neighbour that covers part of the cell, if any.
    neighbour: Option<(Vector, f32)>,
    stain: Colour,
    /// Centre, radius and strength of the pale spot.
    pallor: (Vector, f32, f32),
    /// Radius of a darker spot within the pale one, as in a target cell; 0 for none.
    target: f32,
    texture: f32,
    rim: f32,
    noise: u32,
}

/// A cell whose pixels can be computed one by one.
pub(super) struct Cell {
    body: Body,
    marks: Vec<Mark>,
    ink: Colour,
}

/// Draws a cell of a patient on black: with parasites and debris if infected, else with debris alone.
///
/// Everything except the shape of the marks has the same distribution for both classes.
pub(super) fn draw(rng: &mut Random, patient: &Patient, infected: bool) -> RgbImage {
    let cell = Cell::sample(rng, patient, infected);
    let [left, top, right, bottom] = cell.body.bounds();
    let mut image = RgbImage::new((right - left) as u32, (bottom - top) as u32);
    for (column, row, pixel) in image.enumerate_pixels_mut() {
        let place = [left + column as i32, top + row as i32];
        if let Some((colour, inside)) = cell.at(place, 0.0) {
            *pixel = Rgb(colour.map(|channel| (channel * inside).round().clamp(0.0, 255.0) as u8));
        }
    }
    image
}

impl Cell {
    fn sample(rng: &mut Random, patient: &Patient, infected: bool) -> Self {
        let body = Body::sample(rng, patient);
        let marks = draw_marks(rng, &body, infected);
        let ink = patient.ink.map(|channel| channel + rng.between(-8.0, 8.0));
        Self { body, marks, ink }
    }

    /// A whole cell, not covered by a neighbour, whose centre is paler by up to `pallor` (0 to 1).
    pub(super) fn whole(rng: &mut Random, patient: &Patient, infected: bool, pallor: f32) -> Self {
        let mut cell = Self::sample(rng, patient, infected);
        cell.body.neighbour = None;
        let (_, _, strength) = &mut cell.body.pallor;
        *strength = strength.max(pallor * rng.between(0.5, 1.0));
        cell
    }

    /// Distance from the centre to the edge in a direction, in pixels.
    pub(super) fn reach(&self, way: Vector) -> f32 {
        self.body.outline.reach(way)
    }

    /// Colour of a pixel, 0 to 255, and the share of it that the cell covers; `None` if the cell does not cover it. `spike`
    /// moves the edge outwards there, in pixels.
    pub(super) fn at(&self, place: [i32; 2], spike: f32) -> Option<(Colour, f32)> {
        let Self { body, marks, ink } = self;
        let point = place.map(|at| at as f32);
        let from_edge = body.outline.distance(point) - spike;
        let inside = body.inside(point, from_edge);
        if inside == 0.0 {
            return None;
        }
        let mut colour = body.colour(point, from_edge);
        for mark in marks {
            if let Some([dark, pale]) = mark.at(place) {
                colour = [0, 1, 2].map(|i| mix(mix(colour[i], ink[i], dark), PALE[i], 0.75 * pale));
            }
        }
        let grain = 2.5 * speckle(place[0], place[1], body.noise ^ 1);
        Some((colour.map(|channel| channel + grain), inside))
    }
}

impl Body {
    fn sample(rng: &mut Random, patient: &Patient) -> Self {
        let radius = rng.between(54.0, 80.0);
        let outline = Blob::sample(rng, radius, 0.14, 0.05);
        let neighbour = rng.chance(0.15).then(|| {
            let way = rng.direction();
            let size = radius * rng.between(0.5, 1.0);
            let distance = outline.reach(way) + size - radius * rng.between(0.08, 0.3);
            (way.map(|part| part * distance), size)
        });
        let light = rng.between(0.94, 1.06);
        let off_centre = rng.in_disc().map(|part| 0.15 * radius * part);
        let spot = radius * rng.between(0.45, 0.8);
        Self {
            neighbour,
            stain: patient.stain.map(|channel| channel * light + rng.between(-4.0, 4.0)),
            pallor: (off_centre, spot, patient.pallor * rng.between(0.3, 1.2)),
            target: if rng.chance(0.1) { 0.5 * spot } else { 0.0 },
            texture: patient.texture * rng.between(0.7, 1.3),
            rim: patient.rim,
            noise: rng.bits(),
            outline,
        }
    }

    /// Left, top, right and bottom edge of the outline with a small margin.
    fn bounds(&self) -> [i32; 4] {
        const STEPS: i32 = 64;
        let mut low = [0.0_f32; 2];
        let mut high = [0.0_f32; 2];
        for step in -STEPS..STEPS {
            let along = step as f32 / STEPS as f32;
            for way in [[1.0, along], [-1.0, -along], [-along, 1.0], [along, -1.0]].map(unit) {
                let reach = self.outline.reach(way);
                for axis in 0..2 {
                    low[axis] = low[axis].min(reach * way[axis]);
                    high[axis] = high[axis].max(reach * way[axis]);
                }
            }
        }
        let [left, top] = low.map(|edge| edge.floor() as i32 - 1);
        let [right, bottom] = high.map(|edge| edge.ceil() as i32 + 2);
        [left, top, right, bottom]
    }

    /// Share of a pixel that the cell covers.
    fn inside(&self, point: Vector, from_edge: f32) -> f32 {
        let distance = match self.neighbour {
            Some((middle, radius)) => from_edge.max(radius - length(minus(point, middle))),
            None => from_edge,
        };
        cover(distance, 1.5)
    }

    fn colour(&self, point: Vector, from_edge: f32) -> Colour {
        let (middle, radius, strength) = self.pallor;
        let from_middle = length(minus(point, middle));
        let mut pale = strength * hill(from_middle / radius);
        if self.target > 0.0 {
            pale *= 1.0 - hill(from_middle / self.target);
        }
        let fine = noise(point, 7.0, self.noise);
        let coarse = noise(point, 26.0, self.noise ^ 2);
        let rim = self.rim * hill((-from_edge / 9.0).clamp(0.0, 1.0));
        let light = 1.0 + self.texture * (0.5 * fine + coarse) + rim;
        [0, 1, 2].map(|i| mix(self.stain[i], PALE[i], pale) * light)
    }
}

impl Mark {
    /// Ink and paleness at a pixel, if it lies in the mark's square.
    fn at(&self, place: [i32; 2]) -> Option<[f32; 2]> {
        let [x, y] = [place[0] - self.corner[0], place[1] - self.corner[1]];
        let within = (0..self.side).contains(&x) && (0..self.side).contains(&y);
        within.then(|| self.pixels[(y * self.side + x) as usize])
    }
}

/// Probabilities of the number of marks: 0 to 4 in uninfected cells (first), 1 to 3 in infected cells, with a mean of 1.8 in both.
const MARKS: [&[f32]; 2] = [&[0.2, 0.25, 0.25, 0.15, 0.15], &[0.0, 0.4, 0.4, 0.2]];

fn draw_marks(rng: &mut Random, body: &Body, infected: bool) -> Vec<Mark> {
    let count = rng.choose(MARKS[usize::from(infected)]);
    (0..count)
        .map(|i| {
            let size = rng.between(0.25, 0.38);
            let place = rng.in_disc();
            let reach = (0.95 - size) * body.outline.reach(unit(place));
            let plan = Plan {
                centre: place.map(|part| part * reach),
                radius: size * body.outline.reach([1.0, 0.0]),
                strength: rng.between(0.6, 1.0),
            };
            // The first mark of an infected cell is a parasite; each further mark is one with probability 1/2.
            if infected && (i == 0 || rng.chance(0.5)) { parasite(rng, &plan) } else { debris(rng, &plan) }
        })
        .collect()
}
