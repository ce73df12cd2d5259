//! Shapes as signed distances (pixels, negative inside), and smooth noise.

use super::random::Random;
use super::vector::{Vector, length, minus, mix, turn, turn_back, unit};

/// Number of waves around a closed outline, the longest first.
const WAVES: usize = 4;

/// A closed, wavy outline around the origin.
#[derive(Clone)]
pub(super) struct Blob {
    radius: f32,
    /// Amplitude, relative to the radius, and phase of the waves with 2, 3, … crests.
    waves: [Vector; WAVES],
}

impl Blob {
    /// An outline of about `radius` pixels; `oval` and `ragged` are the largest amplitudes of the first wave and of the others,
    /// relative to the radius.
    pub(super) fn sample(rng: &mut Random, radius: f32, oval: f32, ragged: f32) -> Self {
        let mut waves = [[0.0; 2]; WAVES];
        for (i, wave) in waves.iter_mut().enumerate() {
            let most = if i == 0 { oval } else { ragged / i as f32 };
            let [x, y] = rng.in_disc();
            *wave = [most * x, most * y];
        }
        Self { radius, waves }
    }

    /// Distance from the origin to the outline in a direction.
    pub(super) fn reach(&self, direction: Vector) -> f32 {
        let mut power = direction;
        let mut lift = 1.0;
        for wave in self.waves {
            power = turn(power, direction);
            lift += power[0] * wave[0] + power[1] * wave[1];
        }
        self.radius * lift
    }

    /// Distance to the outline along the line to the origin, a good approximation for small waves.
    pub(super) fn distance(&self, point: Vector) -> f32 {
        length(point) - self.reach(unit(point))
    }
}

/// Distance to a thick line from `a` to `b`, with round ends.
pub(super) fn line(point: Vector, a: Vector, b: Vector, thickness: f32) -> f32 {
    let [along, to] = [minus(b, a), minus(point, a)];
    let squared = along[0] * along[0] + along[1] * along[1];
    let share =
        if squared > 0.0 { ((to[0] * along[0] + to[1] * along[1]) / squared).clamp(0.0, 1.0) } else { 0.0 };
    length([to[0] - share * along[0], to[1] - share * along[1]]) - thickness / 2.0
}

/// Distance to a thick arc around the origin. It extends to both sides of `middle` by the angle of the direction `half`
/// (`[0, 1]` is a quarter turn to each side).
pub(super) fn arc(point: Vector, radius: f32, middle: Vector, half: Vector, thickness: f32) -> f32 {
    let seen = turn_back(point, middle);
    let upper = [seen[0], seen[1].abs()];
    let outside = upper[1] * half[0] - upper[0] * half[1] > 0.0;
    let gap = if outside {
        length(minus(upper, [half[0] * radius, half[1] * radius]))
    } else {
        (length(point) - radius).abs()
    };
    gap - thickness / 2.0
}

/// Share of a pixel that lies within a shape, 0 to 1, for an edge that fades over `softness` pixels.
pub(super) fn cover(distance: f32, softness: f32) -> f32 {
    (0.5 - distance / softness).clamp(0.0, 1.0)
}

/// A hill of height 1 over the disc of radius 1, flat at the top and at the foot.
pub(super) fn hill(distance: f32) -> f32 {
    let left = (1.0 - distance * distance).max(0.0);
    left * left
}

/// Smooth noise between -1 and 1, with bumps of about `grain` pixels.
pub(super) fn noise([x, y]: Vector, grain: f32, seed: u32) -> f32 {
    let [x, y] = [x / grain, y / grain];
    let [column, row] = [x.floor(), y.floor()];
    let [across, down] = [ease(x - column), ease(y - row)];
    let [column, row] = [column as i32, row as i32];
    let knot = |right: i32, below: i32| speckle(column + right, row + below, seed);
    mix(mix(knot(0, 0), knot(1, 0), across), mix(knot(0, 1), knot(1, 1), across), down)
}

/// A pseudo-random number between -1 and 1 for a place on a grid.
pub(super) fn speckle(column: i32, row: i32, seed: u32) -> f32 {
    let mut bits = (column as u32).wrapping_mul(0x8da6_b343) ^ (row as u32).wrapping_mul(0xd816_3841) ^ seed;
    bits = (bits ^ (bits >> 16)).wrapping_mul(0x85eb_ca6b);
    bits = (bits ^ (bits >> 13)).wrapping_mul(0xc2b2_ae35);
    bits ^= bits >> 16;
    (bits >> 8) as f32 / (1 << 23) as f32 - 1.0
}

fn ease(share: f32) -> f32 {
    share * share * (3.0 - 2.0 * share)
}
