//! Separates touching and overlapping cells: from many outlines, the set that explains the foreground best is chosen.

use crate::outline::{Edges, Outline};
use crate::peaks::{peaks, watershed};
use crate::plane::{Mask, Plane, depth, pieces, regions};
use crate::shape::Shape;

/// Cost of a pixel that two cells cover, relative to the value of a covered pixel of the foreground.
const OVERLAP_COST: f32 = 0.3;
/// Maximum overlap of two cells, as a share of the smaller one.
const MAX_OVERLAP: f32 = 0.75;
/// Cost of a covered pixel of the background.
const BACKGROUND_COST: f32 = 1.0;
/// Value of each pixel of a cell for each unit by which the mean edge of its outline exceeds [`MIN_EDGE`].
const EDGE_WORTH: f32 = 1.2;
/// Mean edge of an outline above which a cell has a value; 1 for a typical edge.
const MIN_EDGE: f32 = 0.45;
/// Cost per pixel of a cell whose area is one standard deviation, [`AREA_SPREAD`], from the typical one.
const AREA_COST: f32 = 0.3;
/// Standard deviation of the logarithm of the area.
const AREA_SPREAD: f32 = 0.45;
/// Convexity of a single cell.
const CONVEX: f32 = 0.92;
/// Cost per pixel for each unit by which the convexity is below [`CONVEX`].
const DENT_COST: f32 = 2.0;
/// Minimum and maximum area of candidates, relative to the typical area.
const AREAS: [f32; 2] = [0.2, 3.5];
/// Prominence of the peaks of votes around which outlines are fitted.
const VOTE_PROMINENCE: f32 = 0.05;
/// Prominence of the peaks of depth around which outlines are fitted.
const DEPTH_PROMINENCE: f32 = 0.03;
/// Prominences of the peaks of depth from which the foreground is flooded, each giving other candidates.
const FLOOD_PROMINENCES: [f32; 3] = [0.05, 0.15, 0.3];
/// Maximum distance of two centres that count as one, relative to the typical diameter.
const SAME_CENTRE: f32 = 0.06;
/// Minimum overlap of two candidates, as a share of the smaller one, at which one is tried in place of the other.
const RIVAL: f32 = 0.4;
/// Maximum number of passes that improve the set.
const PASSES: usize = 6;
/// Minimum improvement that counts, in pixels.
const MIN_GAIN: f32 = 0.01;

/// A region that may be a cell.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    /// Positions of its pixels, in ascending order.
    pub(crate) pixels: Vec<u32>,
    pub(crate) shape: Shape,
    /// Mean fall of darkness along its outline, -1 to 1.
    pub(crate) support: f32,
    /// Its value apart from the foreground that it covers, in pixels.
    worth: f32,
}

impl Candidate {
    fn new(pixels: Vec<u32>, width: u32, support: f32, diameter: f32) -> Option<Self> {
        let shape = Shape::of(&pixels, width)?;
        let ratio = shape.area / (std::f32::consts::FRAC_PI_4 * diameter * diameter);
        if !(AREAS[0]..=AREAS[1]).contains(&ratio) {
            return None;
        }
        let unusual = ratio.ln() / AREA_SPREAD;
        let dents = (CONVEX - shape.solidity).max(0.0);
        let worth = shape.area
            * (EDGE_WORTH * (support - MIN_EDGE) - AREA_COST * unusual * unusual - DENT_COST * dents);
        Some(Self { pixels, shape, support, worth })
    }
}

/// The set of outlines that covers `foreground` best, for cells of about `diameter` pixels, in the order of their first pixel.
pub(crate) fn separate_cells(darkness: &Plane, foreground: &Mask, diameter: f32) -> Vec<Candidate> {
    let edges = Edges::of(darkness, foreground, diameter);
    let candidates = candidates(&edges, foreground, diameter);
    choose(candidates, foreground)
}

fn candidates(edges: &Edges, foreground: &Mask, diameter: f32) -> Vec<Candidate> {
    let (width, height) = foreground.dimensions();
    let inside = |i: u32| foreground.as_raw()[i as usize] > 0;
    let point = |i: u32| [(i % width) as f32, (i / width) as f32];
    let mut found = Vec::new();
    let depth = depth(foreground);
    let mut seeds = peaks(&edges.votes(), VOTE_PROMINENCE);
    seeds.retain(|(i, _)| inside(*i));
    seeds.extend(peaks(&depth, DEPTH_PROMINENCE));
    let mut used: Vec<[f32; 2]> = Vec::new();
    for (i, _) in seeds {
        let centre = point(i);
        let near =
            |other: &[f32; 2]| (other[0] - centre[0]).hypot(other[1] - centre[1]) < SAME_CENTRE * diameter;
        if used.iter().any(near) {
            continue;
        }
        used.push(centre);
        let outline = Outline::fit(edges, centre);
        let support = outline.support(edges);
        found.extend(Candidate::new(outline.pixels(width, height), width, support, diameter));
    }
    let mut add_region = |region: Vec<u32>| {
        let Some(shape) = Shape::of(&region, width) else { return };
        let support = region_support(edges, &region, width, &shape);
        found.extend(Candidate::new(region, width, support, diameter));
    };
    pieces(foreground).into_iter().for_each(&mut add_region);
    for prominence in FLOOD_PROMINENCES {
        let seeds = Vec::from_iter(peaks(&depth, prominence).into_iter().map(|(i, _)| i));
        regions(&watershed(&depth, foreground, &seeds)).into_iter().for_each(&mut add_region);
    }
    found.sort_by(|a, b| a.pixels.cmp(&b.pixels));
    found.dedup_by(|a, b| a.pixels == b.pixels);
    found
}

/// Mean fall of darkness across the edge of a region in a picture of `width`, away from its centre.
fn region_support(edges: &Edges, region: &[u32], width: u32, shape: &Shape) -> f32 {
    let [left, top, right, bottom] = shape.bounds;
    let columns = (right - left + 3) as usize;
    let place = |i: u32| ((i / width - top) as usize + 1) * columns + (i % width - left) as usize + 1;
    let mut inside = vec![false; columns * (bottom - top + 3) as usize];
    region.iter().for_each(|&i| inside[place(i)] = true);
    let (mut sum, mut count) = (0.0, 0.0_f32);
    for &i in region {
        let at = place(i);
        if [at - 1, at + 1, at - columns, at + columns].iter().all(|&next| inside[next]) {
            continue;
        }
        let point = [(i % width) as f32, (i / width) as f32];
        let away = [point[0] - shape.centre[0], point[1] - shape.centre[1]];
        let length = away[0].hypot(away[1]).max(1e-3);
        sum += edges.fall(point, away.map(|part| part / length));
        count += 1.0;
    }
    sum / count.max(1.0)
}

/// The number of times each pixel is covered, and the candidates that cover it.
struct Cover<'a> {
    candidates: &'a [Candidate],
    foreground: &'a Mask,
    near: &'a [Vec<(usize, f32)>],
    counts: Vec<u16>,
    chosen: Vec<bool>,
}

impl Cover<'_> {
    /// The gain from adding a candidate.
    fn gain(&self, i: usize) -> f32 {
        let candidate = &self.candidates[i];
        let (mut fresh, mut twice, mut background) = (0_u32, 0_u32, 0_u32);
        for &pixel in &candidate.pixels {
            match (self.counts[pixel as usize], self.foreground.as_raw()[pixel as usize]) {
                (0, 0) => background += 1,
                (0, _) => fresh += 1,
                _ => twice += 1,
            }
        }
        fresh as f32 - OVERLAP_COST * twice as f32 - BACKGROUND_COST * background as f32 + candidate.worth
    }

    fn add(&mut self, i: usize) -> f32 {
        let gain = self.gain(i);
        self.candidates[i].pixels.iter().for_each(|&pixel| self.counts[pixel as usize] += 1);
        self.chosen[i] = true;
        gain
    }

    fn remove(&mut self, i: usize) -> f32 {
        self.candidates[i].pixels.iter().for_each(|&pixel| self.counts[pixel as usize] -= 1);
        self.chosen[i] = false;
        -self.gain(i)
    }

    /// Whether a candidate overlaps a chosen one by too much.
    fn crowded(&self, i: usize) -> bool {
        self.near[i].iter().any(|&(other, overlap)| self.chosen[other] && overlap > MAX_OVERLAP)
    }

    /// Adds the best of `among` as long as there is a gain; returns the gain and the added candidates.
    fn fill(&mut self, among: impl Iterator<Item = usize>) -> (f32, Vec<usize>) {
        let (mut gained, mut added) = (0.0, Vec::new());
        let mut gains = Vec::from_iter(among.filter(|&i| !self.chosen[i]).map(|i| (self.gain(i), i)));
        while let Some(place) = (0..gains.len()).max_by(|&a, &b| gains[a].0.total_cmp(&gains[b].0)) {
            let (gain, i) = gains.swap_remove(place);
            if gain <= 0.0 {
                break;
            }
            if self.crowded(i) {
                continue;
            }
            gained += self.add(i);
            added.push(i);
            for (gain, other) in &mut gains {
                if self.near[i].iter().any(|(near, _)| near == other) {
                    *gain = self.gain(*other);
                }
            }
        }
        (gained, added)
    }

    /// Removes candidate `i` if it is chosen, or else puts it in place of those that it overlaps; then adds others as
    /// long as there is a gain. Undoes everything if there is none in total.
    fn exchange(&mut self, i: usize) -> bool {
        let was_chosen = self.chosen[i];
        let rivals = if was_chosen {
            vec![i]
        } else {
            let rivals =
                self.near[i].iter().filter(|(other, overlap)| self.chosen[*other] && *overlap > RIVAL);
            Vec::from_iter(rivals.map(|(other, _)| *other))
        };
        let mut gained = 0.0;
        for &rival in &rivals {
            gained += self.remove(rival);
        }
        if !was_chosen {
            gained += self.add(i);
        }
        let near = self.near;
        let (filled, added) = self.fill(near[i].iter().map(|(other, _)| *other));
        if gained + filled > MIN_GAIN {
            return true;
        }
        for other in added {
            self.remove(other);
        }
        if !was_chosen {
            self.remove(i);
        }
        for rival in rivals {
            self.add(rival);
        }
        false
    }
}

fn meet(a: &Candidate, b: &Candidate) -> bool {
    let (a, b) = (a.shape.bounds, b.shape.bounds);
    a[0] <= b[2] && b[0] <= a[2] && a[1] <= b[3] && b[1] <= a[3]
}

/// Greedy choice, then exchanges: each candidate replaces those that it overlaps if that explains more.
fn choose(candidates: Vec<Candidate>, foreground: &Mask) -> Vec<Candidate> {
    let all = 0..candidates.len();
    let near = Vec::from_iter(all.clone().map(|i| {
        let met = all.clone().filter(|&other| other != i && meet(&candidates[i], &candidates[other]));
        let shared = met.map(|other| (other, overlap(&candidates[i], &candidates[other])));
        Vec::from_iter(shared.filter(|(_, overlap)| *overlap > 0.0))
    }));
    let mut cover = Cover {
        candidates: &candidates,
        foreground,
        near: &near,
        counts: vec![0; foreground.as_raw().len()],
        chosen: vec![false; candidates.len()],
    };
    cover.fill(all.clone());
    for _ in 0..PASSES {
        let mut improved = false;
        for i in all.clone() {
            improved |= cover.exchange(i);
        }
        if !improved {
            break;
        }
    }
    let chosen = cover.chosen;
    candidates.into_iter().zip(chosen).filter_map(|(candidate, chosen)| chosen.then_some(candidate)).collect()
}

/// Shared pixels, as a share of the smaller region.
fn overlap(a: &Candidate, b: &Candidate) -> f32 {
    let (mut i, mut j, mut shared) = (0, 0, 0);
    while i < a.pixels.len() && j < b.pixels.len() {
        match a.pixels[i].cmp(&b.pixels[j]) {
            std::cmp::Ordering::Less => i += 1,
            std::cmp::Ordering::Greater => j += 1,
            std::cmp::Ordering::Equal => {
                (i, j, shared) = (i + 1, j + 1, shared + 1);
            }
        }
    }
    shared as f32 / a.pixels.len().min(b.pixels.len()).max(1) as f32
}
