//! Seeded random numbers, the same on every platform.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::vector::{Vector, length, unit};

/// Number of values of a random fraction: as many as an f32 holds exactly.
const STEPS: u32 = 1 << 24;

/// Purpose of a random stream. Each purpose has its own numbers.
#[derive(Clone, Copy)]
pub(super) enum Stream {
    /// Properties that all cells of a patient share.
    Patient(usize),
    /// One cell.
    Cell(usize),
    /// The other objects of a smear, and the positions of all.
    Smear,
}

/// A stream of random numbers, a pure function of the seed and of its purpose.
pub(super) struct Random(ChaCha8Rng);

impl Random {
    pub(super) fn new(seed: u64, stream: Stream) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(match stream {
            Stream::Patient(patient) => 2 * patient as u64,
            Stream::Cell(cell) => 2 * cell as u64 + 1,
            Stream::Smear => u64::MAX,
        });
        Self(rng)
    }

    /// 32 random bits, for example as another seed.
    pub(super) fn bits(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// Uniform from `low` (included) to `high` (excluded).
    pub(super) fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * ((self.bits() % STEPS) as f32 / STEPS as f32)
    }

    /// Uniform whole number from `low` to `high`, both included.
    pub(super) fn count(&mut self, low: u32, high: u32) -> u32 {
        low + self.bits() % (high - low + 1)
    }

    /// True with probability `share`.
    pub(super) fn chance(&mut self, share: f32) -> bool {
        self.between(0.0, 1.0) < share
    }

    /// Uniform in the disc of radius 1.
    pub(super) fn in_disc(&mut self) -> Vector {
        loop {
            let point = [self.between(-1.0, 1.0), self.between(-1.0, 1.0)];
            if length(point) < 1.0 {
                return point;
            }
        }
    }

    /// A uniformly distributed direction.
    pub(super) fn direction(&mut self) -> Vector {
        loop {
            let point = self.in_disc();
            // Too close to the centre, rounding would affect the length.
            if length(point) > 0.01 {
                return unit(point);
            }
        }
    }

    /// Index of one of `weights`, with a probability in proportion to its weight.
    pub(super) fn choose(&mut self, weights: &[f32]) -> usize {
        let mut left = self.between(0.0, weights.iter().sum());
        for (case, weight) in weights.iter().enumerate() {
            if left < *weight {
                return case;
            }
            left -= weight;
        }
        weights.len() - 1
    }
}
