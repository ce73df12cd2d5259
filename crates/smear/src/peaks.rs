//! Local maxima of a plane, and the watershed from them.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use crate::plane::{Labels, Mask, Plane};

/// The eight neighbours of a pixel in a picture of `width` x `height`.
fn neighbours(i: u32, width: u32, height: u32) -> impl Iterator<Item = u32> {
    let (x, y) = ((i % width) as i64, (i / width) as i64);
    (-1..=1_i64).flat_map(move |down| (-1..=1_i64).map(move |right| (x + right, y + down))).filter_map(
        move |(column, row)| {
            let inside = column >= 0 && row >= 0 && column < i64::from(width) && row < i64::from(height);
            (inside && (column, row) != (x, y)).then(|| row as u32 * width + column as u32)
        },
    )
}

/// Maxima of a plane above 0 with a prominence of at least `prominence` times their height, with their positions and values.
pub(crate) fn peaks(plane: &Plane, prominence: f32) -> Vec<(u32, f32)> {
    let (width, height) = plane.dimensions();
    let values = plane.as_raw();
    let mut order = Vec::from_iter((0..values.len() as u32).filter(|&i| values[i as usize] > 0.0));
    order.sort_unstable_by(|&a, &b| values[b as usize].total_cmp(&values[a as usize]).then(a.cmp(&b)));
    // Regions grow from the top; where two meet, the lower peak is kept only if it is prominent.
    const NONE: u32 = u32::MAX;
    let mut region = vec![NONE; values.len()];
    let mut parents: Vec<u32> = Vec::new();
    let mut tops: Vec<u32> = Vec::new();
    let mut kept = Vec::new();
    let root = |parents: &[u32], mut at: u32| {
        while parents[at as usize] != at {
            at = parents[at as usize];
        }
        at
    };
    for &i in &order {
        let mut own = NONE;
        for neighbour in neighbours(i, width, height) {
            if region[neighbour as usize] == NONE {
                continue;
            }
            let other = root(&parents, region[neighbour as usize]);
            if own == NONE {
                own = other;
            } else if own != other {
                let of = |region: u32| values[tops[region as usize] as usize];
                // At equal heights, the earlier region counts as the higher one.
                let own_first = of(own) > of(other) || (of(own) == of(other) && own < other);
                let (high, low) = if own_first { (own, other) } else { (other, own) };
                if of(low) - values[i as usize] >= prominence * of(low) {
                    kept.push(tops[low as usize]);
                }
                parents[low as usize] = high;
                own = high;
            }
        }
        if own == NONE {
            own = parents.len() as u32;
            parents.push(own);
            tops.push(i);
        }
        region[i as usize] = own;
    }
    for (i, &parent) in parents.iter().enumerate() {
        if parent as usize == i {
            kept.push(tops[i]);
        }
    }
    kept.sort_unstable();
    kept.into_iter().map(|i| (i, values[i as usize])).collect()
}

/// A pixel waiting to be flooded: the highest first, at equal heights the one that has waited longest.
#[derive(PartialEq)]
struct Waiting {
    height: f32,
    turn: u32,
    pixel: u32,
    label: u32,
}

impl Eq for Waiting {}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> Ordering {
        self.height.total_cmp(&other.height).then(other.turn.cmp(&self.turn))
    }
}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Marker-controlled watershed (Meyer 1994, Signal Processing 38:113): each pixel of `mask` that is connected to a seed gets
/// the number of the seed, from 1, whose flood reaches it first, from the highest `relief` down.
pub(crate) fn watershed(relief: &Plane, mask: &Mask, seeds: &[u32]) -> Labels {
    let (width, height) = relief.dimensions();
    let mut labels = Labels::new(width, height);
    let mut queue = BinaryHeap::new();
    let mut turn = 0;
    for (seed, &pixel) in (1..).zip(seeds) {
        labels.as_mut()[pixel as usize] = seed;
        queue.push(Waiting { height: f32::INFINITY, turn, pixel, label: seed });
        turn += 1;
    }
    while let Some(Waiting { pixel, label, .. }) = queue.pop() {
        for neighbour in neighbours(pixel, width, height) {
            let at = neighbour as usize;
            if labels.as_raw()[at] == 0 && mask.as_raw()[at] > 0 {
                labels.as_mut()[at] = label;
                queue.push(Waiting { height: relief.as_raw()[at], turn, pixel: neighbour, label });
                turn += 1;
            }
        }
    }
    labels
}
