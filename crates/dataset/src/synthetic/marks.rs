//! The dark marks in a cell: parasites, and debris that resembles them.
//!
//! Both kinds are drawn from the same plan (place, size, strength) and then scaled to its amount of ink and paleness, so
//! that they differ only in shape: a parasite is a hollow ring with chromatin on its wall, or a rosette around a
//! grain of pigment; debris is filled, a streak, an open bow or scattered grains.

use super::random::Random;
use super::shapes::{Blob, arc, cover, line};
use super::vector::{Vector, length, minus, turn, unit};

/// Place, size and strength of a mark, chosen before its kind.
pub(super) struct Plan {
    /// Its centre, in pixels from the centre of the cell.
    pub(super) centre: Vector,
    /// Its outer radius, in pixels.
    pub(super) radius: f32,
    /// Its amount of ink, relative to [`INK`].
    pub(super) strength: f32,
}

/// A drawn mark.
pub(super) struct Mark {
    /// Its upper left pixel, relative to the centre of the cell.
    pub(super) corner: [i32; 2],
    /// Its side in pixels.
    pub(super) side: i32,
    /// Mixing shares of the ink and then of the pale colour in each pixel, 0 to 1, row by row.
    pub(super) pixels: Vec<[f32; 2]>,
}

/// Ink of a mark of radius 1 and strength 1: the sum of its darkness over its area.
const INK: f32 = 1.0;
/// Paleness beside the ink (the vacuole of a ring, the halo around a speck), as a sum like [`INK`].
const PALENESS: f32 = 0.65;
/// Darkness of the body of a mark, relative to its core, before scaling.
const BODY: f32 = 0.7;
/// Pixels over which the edges of a mark fade.
const SOFTNESS: f32 = 2.5;
/// Half the side of a mark's square, relative to its radius.
const ROOM: f32 = 1.4;

/// Signed distances from a point to the three parts of a mark.
struct Parts {
    body: f32,
    /// The darkest part: chromatin, or the core of a speck.
    core: f32,
    /// The part that is paler than the cell, where there is no ink.
    pale: f32,
}

/// The parts of a mark at a point relative to the mark's centre.
type Shape = Box<dyn Fn(Vector) -> Parts>;

/// Draws a parasite for a plan.
pub(super) fn parasite(rng: &mut Random, plan: &Plan) -> Mark {
    let shape = match rng.choose(&[0.62, 0.14, 0.14, 0.10]) {
        0 => ring(rng, plan.radius, 1),
        1 => ring(rng, plan.radius, 2),
        2 => trophozoite(rng, plan.radius),
        _ => rosette(rng, plan.radius),
    };
    render(plan, &shape)
}

/// Draws a piece of debris for a plan.
pub(super) fn debris(rng: &mut Random, plan: &Plan) -> Mark {
    let shape = match rng.choose(&[0.35, 0.15, 0.15, 0.15, 0.20]) {
        0 => speck(rng, plan.radius),
        1 => pair(rng, plan.radius),
        2 => streak(rng, plan.radius),
        3 => bow(rng, plan.radius),
        _ => grains(rng, plan.radius),
    };
    render(plan, &shape)
}

/// A thin wall around a pale vacuole, with one or two chromatin dots on the wall.
fn ring(rng: &mut Random, radius: f32, dots: usize) -> Shape {
    let wall = radius * rng.between(0.2, 0.32);
    let dot = radius * rng.between(0.24, 0.36);
    let outline = Blob::sample(rng, radius - dot, 0.16, 0.08);
    let first = rng.direction();
    // 60 to 120 degrees further.
    let second = turn(first, unit([rng.between(-0.5, 0.5), 0.87]));
    let dots: Vec<Vector> =
        [first, second].into_iter().take(dots).map(|way| scaled(way, outline.reach(way))).collect();
    Box::new(move |point| {
        let from_wall = outline.distance(point);
        Parts {
            body: from_wall.abs() - wall / 2.0,
            core: nearest(&dots, point) - dot,
            pale: from_wall + wall / 2.0,
        }
    })
}

/// A ragged body with its vacuole on one side and the chromatin on the other.
fn trophozoite(rng: &mut Random, radius: f32) -> Shape {
    let outline = Blob::sample(rng, 0.85 * radius, 0.2, 0.16);
    let hole_size = radius * rng.between(0.45, 0.55);
    let hole = Blob::sample(rng, hole_size, 0.1, 0.1);
    let way = rng.direction();
    let hole_at = scaled(way, 0.18 * radius);
    let dot = radius * rng.between(0.24, 0.32);
    let dots = [scaled(way, -0.62 * radius)];
    Box::new(move |point| {
        let in_hole = hole.distance(minus(point, hole_at));
        Parts {
            body: outline.distance(point).max(-in_hole),
            core: nearest(&dots, point) - dot,
            pale: in_hole,
        }
    })
}

/// Merozoites in a circle around a grain of pigment: a mature schizont.
fn rosette(rng: &mut Random, radius: f32) -> Shape {
    let count = rng.count(6, 8);
    let dot = radius * rng.between(0.17, 0.22);
    // Cosine and sine of one step, as constants: see `vector`.
    let step = match count {
        6 => [0.5, 0.866_025_4],
        7 => [0.623_489_8, 0.781_831_5],
        _ => [0.707_106_77, 0.707_106_77],
    };
    let mut way = rng.direction();
    let mut dots = vec![[0.0, 0.0]];
    for _ in 0..count {
        dots.push(scaled(way, 0.76 * radius));
        way = turn(way, step);
    }
    Box::new(move |point| Parts {
        body: nearest(&dots, point) - dot,
        core: length(point) - dot,
        pale: length(point) - 0.76 * radius,
    })
}

/// A filled, ragged spot: a platelet, or stain.
fn speck(rng: &mut Random, radius: f32) -> Shape {
    let size = radius * rng.between(0.55, 0.85);
    let outline = Blob::sample(rng, size, 0.25, 0.2);
    let core = scaled(rng.in_disc(), 0.25 * radius);
    let core_radius = radius * rng.between(0.24, 0.36);
    Box::new(move |point| {
        let from_edge = outline.distance(point);
        Parts {
            body: from_edge,
            core: length(minus(point, core)) - core_radius,
            pale: from_edge - 0.22 * radius,
        }
    })
}

/// Two filled spots that touch.
fn pair(rng: &mut Random, radius: f32) -> Shape {
    let sizes = [rng.between(0.4, 0.55), rng.between(0.35, 0.5)].map(|share| share * radius);
    let spots = sizes.map(|size| Blob::sample(rng, size, 0.15, 0.15));
    let way = rng.direction();
    let places = [scaled(way, -0.45 * radius), scaled(way, 0.45 * radius)];
    Box::new(move |point| {
        let [one, other] = [0, 1].map(|i| spots[i].distance(minus(point, places[i])));
        Parts { body: one.min(other), core: one + 0.2 * radius, pale: one.min(other) - 0.2 * radius }
    })
}

/// A straight, thick scratch.
fn streak(rng: &mut Random, radius: f32) -> Shape {
    let thickness = radius * rng.between(0.4, 0.6);
    let end = scaled(rng.direction(), radius * rng.between(0.7, 0.95));
    Box::new(move |point| {
        let from_edge = line(point, end, [-end[0], -end[1]], thickness);
        Parts { body: from_edge, core: from_edge + 0.3 * thickness, pale: from_edge - 0.22 * radius }
    })
}

/// An open bow of at most a third of a circle.
fn bow(rng: &mut Random, radius: f32) -> Shape {
    let bend = radius * rng.between(0.9, 1.2);
    let thickness = radius * rng.between(0.38, 0.55);
    // 37 to 60 degrees on each side.
    let half = unit([1.0, rng.between(0.75, 1.73)]);
    let middle = rng.direction();
    // Shifted so that the bow, not its circle, is centred.
    let circle = scaled(middle, -0.8 * bend);
    Box::new(move |point| {
        let from_edge = arc(minus(point, circle), bend, middle, half, thickness);
        Parts { body: from_edge, core: from_edge + 0.3 * thickness, pale: from_edge - 0.22 * radius }
    })
}

/// Scattered grains of stain.
fn grains(rng: &mut Random, radius: f32) -> Shape {
    let count = rng.count(4, 8);
    let grains: Vec<(Vector, f32)> =
        (0..count).map(|_| (scaled(rng.in_disc(), 0.85 * radius), radius * rng.between(0.14, 0.3))).collect();
    Box::new(move |point| {
        let from = |(place, size): &(Vector, f32)| length(minus(point, *place)) - size;
        let from_edge = grains.iter().map(from).fold(f32::MAX, f32::min);
        Parts { body: from_edge, core: from(&grains[0]), pale: from_edge - 0.22 * radius }
    })
}

fn scaled(vector: Vector, factor: f32) -> Vector {
    [vector[0] * factor, vector[1] * factor]
}

fn nearest(places: &[Vector], point: Vector) -> f32 {
    places.iter().map(|place| length(minus(point, *place))).fold(f32::MAX, f32::min)
}

/// Draws a shape and scales it to the plan's ink and paleness.
fn render(plan: &Plan, shape: &Shape) -> Mark {
    let reach = (ROOM * plan.radius).ceil() as i32;
    let [column, row] = plan.centre.map(|middle| middle.round() as i32);
    let corner = [column - reach, row - reach];
    let side = 2 * reach + 1;
    let mut pixels = Vec::with_capacity((side * side) as usize);
    let mut sums = [0.0_f32; 2];
    for y in 0..side {
        for x in 0..side {
            let point = minus([(corner[0] + x) as f32, (corner[1] + y) as f32], plan.centre);
            let parts = shape(point);
            let ink = (BODY * cover(parts.body, SOFTNESS)).max(cover(parts.core, SOFTNESS));
            let pale = cover(parts.pale, SOFTNESS) * (1.0 - ink);
            sums[0] += ink;
            sums[1] += pale;
            pixels.push([ink, pale]);
        }
    }
    let area = plan.strength * plan.radius * plan.radius;
    let wanted = [INK * area, PALENESS * area];
    for pixel in &mut pixels {
        for (share, (wanted, sum)) in pixel.iter_mut().zip(wanted.into_iter().zip(sums)) {
            *share = (*share * wanted / sum.max(1.0)).min(1.0);
        }
    }
    Mark { corner, side, pixels }
}
