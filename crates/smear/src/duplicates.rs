//! Detects photographs of the same field by the positions of their cells.
//!
//! A photograph that was saved again in another size or format, or taken twice, shares no pixels with the first one.

use crate::field_result::FieldResult;
use crate::object::Kind;

/// Minimum number of cells: fewer may lie at the same places by chance.
const MIN_CELLS: usize = 10;
/// Minimum share of the cells of either photograph that lie at the same places.
const MIN_SHARE: f32 = 0.8;
/// Maximum distance between two cells at the same place, in diameters. In a field one third of which is covered
/// by cells, one cell in ten has another one this near by chance.
const MAX_DISTANCE: f32 = 0.25;
/// Number of cells compared first, which rules out most other photographs.
const SAMPLE: usize = 16;

/// Positions of the red cells of a photograph.
#[derive(Debug, Clone)]
pub(crate) struct CellPositions {
    /// Centres, relative to the photograph's width.
    centres: Vec<[f32; 2]>,
    /// Height over width.
    aspect: f32,
    /// [`MAX_DISTANCE`], relative to the width.
    distance: f32,
}

impl CellPositions {
    pub(crate) fn of(reading: &FieldResult) -> Self {
        let width = reading.width.max(1) as f32;
        let red = reading.objects.iter().filter(|object| object.kind == Kind::RedCell);
        let centre = |at: u32, length: u32| (at as f32 + length as f32 / 2.0) / width;
        Self {
            centres: red
                .map(|object| object.bounds)
                .map(|bounds| [centre(bounds.x, bounds.width), centre(bounds.y, bounds.height)])
                .collect(),
            aspect: reading.height as f32 / width,
            distance: MAX_DISTANCE * reading.count.cell_diameter.unwrap_or(0.0) / width,
        }
    }

    /// Whether the cells lie at the same places as in the `other` photograph. A rotated or shifted photograph does not match.
    pub(crate) fn match_those_of(&self, other: &Self) -> bool {
        let (fewest, most) =
            (self.centres.len().min(other.centres.len()), self.centres.len().max(other.centres.len()));
        let same_form = (self.aspect / other.aspect.max(1e-6) - 1.0).abs() < 0.02;
        if fewest < MIN_CELLS || (fewest as f32) < MIN_SHARE * most as f32 || !same_form {
            return false;
        }
        let at_same_place =
            |[x, y]: &[f32; 2]| other.centres.iter().any(|[u, v]| (x - u).hypot(y - v) <= self.distance);
        let share = |centres: &[[f32; 2]]| {
            centres.iter().filter(|centre| at_same_place(centre)).count() as f32 / centres.len() as f32
        };
        let sample = &self.centres[..SAMPLE.min(self.centres.len())];
        share(sample) >= MIN_SHARE / 2.0 && share(&self.centres) >= MIN_SHARE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(seed: u32, noise: f32) -> CellPositions {
        // A few hundred pixels of a lattice, moved at random.
        let mut state = seed;
        let mut random = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32
        };
        let centres = (0..40).map(|_| [random(), 0.75 * random()]).collect::<Vec<_>>();
        let moved = centres
            .iter()
            .map(|[x, y]| [x + noise * (random() - 0.5), y + noise * (random() - 0.5)])
            .collect();
        CellPositions { centres: moved, aspect: 0.75, distance: MAX_DISTANCE * 0.06 }
    }

    #[test]
    fn the_same_cells_at_the_same_places_are_a_repetition() {
        let first = places(1, 0.0);
        assert!(first.match_those_of(&first) && places(1, 0.01).match_those_of(&first));
        // Some cells are missing or were added.
        let mut fewer = places(1, 0.005);
        fewer.centres.truncate(35);
        assert!(fewer.match_those_of(&first) && first.match_those_of(&fewer));
        fewer.centres.truncate(30);
        assert!(!fewer.match_those_of(&first) && !first.match_those_of(&fewer));
        assert!((2..50).all(|seed| !places(seed, 0.0).match_those_of(&first)));
        // Shifted by half a diameter, and cropped.
        let mut shifted = first.clone();
        shifted.centres.iter_mut().for_each(|[x, _]| *x += 0.03);
        assert!(!shifted.match_those_of(&first));
        let square = CellPositions { aspect: 1.0, ..first.clone() };
        assert!(!square.match_those_of(&first));
    }
}
