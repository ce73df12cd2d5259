//! Outlines around a centre: the closed curve along which the darkness falls most, seen from the centre.
//!
//! The sign of the fall separates cells. Around a pale centre the darkness rises outwards, so its rim does not count; where
//! two cells overlap, the overlap is darker than either, so that seen from each cell the darkness falls at the cell's own
//! edge and rises at the other's. The curve is the best path through a table of angles and radii (dynamic programming on a
//! polar grid, as in Baggett et al. 2005, Cytometry A 67:137).

use std::f32::consts::TAU;

use crate::plane::{Mask, Plane, blur, gradient, plane_of, quantile, sample};

/// Number of angles of an outline.
pub(crate) const RAYS: usize = 40;
/// Smallest and largest radius of the table, relative to the typical diameter.
const RADII: [f32; 2] = [0.2, 0.95];
/// Step between radii, relative to the typical diameter.
const STEP: f32 = 0.025;
/// Maximum change of the radius from one angle to the next, in steps.
const MAX_CHANGE: usize = 2;
/// Cost of a change by one step, in shares of a typical edge.
const CHANGE_COST: f32 = 0.06;
/// Cost of a radius that differs from the typical one by a factor of e, in shares of a typical edge.
const RADIUS_COST: f32 = 0.5;
/// Blur of the darkness before its gradient, relative to the typical diameter.
const SMOOTHING: f32 = 0.03;
/// Number of times that the centre is moved to the middle of the outline.
const ROUNDS: usize = 2;

/// The gradient of darkness, in shares of that at a typical edge of a cell.
pub(crate) struct Edges {
    right: Plane,
    down: Plane,
    diameter: f32,
}

impl Edges {
    /// The edges of a picture with cells of about `diameter` pixels, relative to the median along the edge of
    /// `foreground`.
    pub(crate) fn of(darkness: &Plane, foreground: &Mask, diameter: f32) -> Self {
        let [right, down] = gradient(&blur(darkness, SMOOTHING * diameter));
        let (width, height) = foreground.dimensions();
        let inside = |x: u32, y: u32| foreground.get_pixel(x, y)[0] > 0;
        let mut slopes = Vec::new();
        for (y, x) in (1..height.max(1)).flat_map(|y| (1..width.max(1)).map(move |x| (y, x))) {
            if inside(x, y) != inside(x - 1, y) || inside(x, y) != inside(x, y - 1) {
                slopes.push(right.get_pixel(x, y)[0].hypot(down.get_pixel(x, y)[0]));
            }
        }
        let typical = quantile(slopes, 0.5).unwrap_or(1.0).max(1e-6);
        let relative = |plane: &Plane| plane_of(plane.dimensions(), |i| plane.as_raw()[i] / typical);
        Self { right: relative(&right), down: relative(&down), diameter }
    }

    /// The fall of darkness at a point in a direction, -1 to 1 (a typical edge or more).
    pub(crate) fn fall(&self, point: [f32; 2], direction: [f32; 2]) -> f32 {
        let slope = sample(&self.right, point) * direction[0] + sample(&self.down, point) * direction[1];
        (-slope).clamp(-1.0, 1.0)
    }

    /// The likelihood of each pixel as the centre of a round cell: each edge votes for the points behind it at about a
    /// cell's radius (like the fast radial symmetry of Loy and Zelinsky 2003, IEEE Trans PAMI 25:959).
    pub(crate) fn votes(&self) -> Plane {
        let (width, height) = self.right.dimensions();
        let mut votes = Plane::new(width, height);
        let (nearest, farthest) = (0.32 * self.diameter, 0.62 * self.diameter);
        let steps = (farthest - nearest).ceil() as usize;
        for (x, y, right) in self.right.enumerate_pixels() {
            let [right, down] = [right[0], self.down.get_pixel(x, y)[0]];
            let slope = right.hypot(down);
            if slope < 0.25 {
                continue;
            }
            let weight = slope.min(1.0);
            for step in 0..=steps {
                let reach = nearest + step as f32 * (farthest - nearest) / steps.max(1) as f32;
                let column = (x as f32 + reach * right / slope).round();
                let row = (y as f32 + reach * down / slope).round();
                if column >= 0.0 && row >= 0.0 && column < width as f32 && row < height as f32 {
                    votes.get_pixel_mut(column as u32, row as u32)[0] += weight;
                }
            }
        }
        blur(&votes, 0.06 * self.diameter)
    }
}

/// A closed curve around a centre.
#[derive(Debug, Clone)]
pub(crate) struct Outline {
    centre: [f32; 2],
    radii: [f32; RAYS],
}

impl Outline {
    /// The best outline around `centre`; the centre is then moved to the middle of the outline.
    pub(crate) fn fit(edges: &Edges, mut centre: [f32; 2]) -> Self {
        let mut outline = Self { centre, radii: best_radii(edges, centre) };
        for _ in 0..ROUNDS {
            centre = outline.middle();
            outline = Self { centre, radii: best_radii(edges, centre) };
        }
        outline
    }

    fn middle(&self) -> [f32; 2] {
        // The centroid of the sectors: each a triangle from the centre.
        let (mut area, mut moment) = (0.0, [0.0; 2]);
        for (ray, &radius) in self.radii.iter().enumerate() {
            let way = direction(ray);
            area += radius * radius;
            moment = [0, 1].map(|i| moment[i] + radius * radius * radius * way[i] * 2.0 / 3.0);
        }
        [0, 1].map(|i| self.centre[i] + moment[i] / area)
    }

    /// Mean fall of darkness along the outline, -1 to 1.
    pub(crate) fn support(&self, edges: &Edges) -> f32 {
        let fall = |(ray, &radius): (usize, &f32)| {
            let way = direction(ray);
            edges.fall([0, 1].map(|i| self.centre[i] + radius * way[i]), way)
        };
        self.radii.iter().enumerate().map(fall).sum::<f32>() / RAYS as f32
    }

    /// Positions of the pixels inside, in a picture of `width` x `height`, in ascending order.
    pub(crate) fn pixels(&self, width: u32, height: u32) -> Vec<u32> {
        let reach = self.radii.iter().fold(0.0_f32, |most, &radius| most.max(radius));
        let range = |centre: f32, side: u32| {
            let low = (centre - reach).floor().max(0.0) as u32;
            let high = ((centre + reach).ceil().max(0.0) as u32).min(side.saturating_sub(1));
            low..=high
        };
        let mut pixels = Vec::new();
        for y in range(self.centre[1], height) {
            for x in range(self.centre[0], width) {
                let (dx, dy) = (x as f32 - self.centre[0], y as f32 - self.centre[1]);
                let turn = (dy.atan2(dx) / TAU).rem_euclid(1.0) * RAYS as f32;
                let (ray, share) = (turn as usize % RAYS, turn.fract());
                let radius = self.radii[ray] * (1.0 - share) + self.radii[(ray + 1) % RAYS] * share;
                if dx * dx + dy * dy <= radius * radius {
                    pixels.push(y * width + x);
                }
            }
        }
        pixels
    }
}

fn direction(ray: usize) -> [f32; 2] {
    let (sin, cos) = (ray as f32 / RAYS as f32 * TAU).sin_cos();
    [cos, sin]
}

/// For each ray, the radius on the best closed path: the middle half of the best path that goes around twice.
fn best_radii(edges: &Edges, centre: [f32; 2]) -> [f32; RAYS] {
    let step = (STEP * edges.diameter).max(0.5);
    let first = RADII[0] * edges.diameter;
    let count = ((RADII[1] * edges.diameter - first) / step) as usize + 1;
    let radius = |i: usize| first + i as f32 * step;
    let prior = Vec::from_iter((0..count).map(|i| {
        let apart = (2.0 * radius(i) / edges.diameter).ln();
        RADIUS_COST * apart * apart
    }));
    let mut gains = vec![0.0; RAYS * count];
    for (ray, gains) in gains.chunks_exact_mut(count).enumerate() {
        let way = direction(ray);
        for (i, gain) in gains.iter_mut().enumerate() {
            let point = [0, 1].map(|axis| centre[axis] + radius(i) * way[axis]);
            *gain = edges.fall(point, way) - prior[i];
        }
    }
    let mut best = gains[..count].to_vec();
    let mut from: Vec<u8> = Vec::with_capacity(2 * RAYS * count);
    from.extend((0..count).map(|_| MAX_CHANGE as u8));
    for turn in 1..2 * RAYS {
        let gains = &gains[turn % RAYS * count..][..count];
        let mut next = Vec::with_capacity(count);
        for (i, gain) in gains.iter().enumerate() {
            let low = i.saturating_sub(MAX_CHANGE);
            let reachable = &best[low..(i + MAX_CHANGE + 1).min(count)];
            let (mut most, mut change) = (f32::NEG_INFINITY, 0);
            for (before, value) in (low..).zip(reachable) {
                let value = value - CHANGE_COST * before.abs_diff(i) as f32;
                if value > most {
                    (most, change) = (value, before + MAX_CHANGE - i);
                }
            }
            next.push(most + gain);
            from.push(change as u8);
        }
        best = next;
    }
    let mut at = (0..count).max_by(|&a, &b| best[a].total_cmp(&best[b])).unwrap_or(0);
    let mut radii = [0.0; RAYS];
    for turn in (0..2 * RAYS).rev() {
        if (RAYS / 2..RAYS / 2 + RAYS).contains(&turn) {
            radii[turn % RAYS] = radius(at);
        }
        at = at + usize::from(from[turn * count + at]) - MAX_CHANGE;
    }
    radii
}
