//! Classifies the regions of a photograph: red cells, white cells, platelets, debris and clumps.
//!
//! All limits are relative to the picture's typical red cell: its area, its darkness and its colour.

use crate::object::Kind;
use crate::plane::{INSIDE, Mask, mask_where, pieces, quantile};
use crate::scale::Working;
use crate::separate::Candidate;
use crate::shape::Shape;

/// Minimum area of a red cell.
const MIN_AREA: f32 = 0.3;
/// Maximum area of a red cell.
const MAX_AREA: f32 = 2.3;
/// Minimum convexity of a red cell.
const MIN_SOLIDITY: f32 = 0.8;
/// Minimum support of a red cell's outline, see [`Candidate::support`].
const MIN_SUPPORT: f32 = 0.2;
/// Elongation from which a region is not a cell but a line, such as a scale bar. Red cells in BBBC041's photographs
/// reach 5.
const LINE_LENGTH: f32 = 6.0;
/// Maximum area of a platelet.
const PLATELET_AREA: f32 = 0.35;
/// Minimum convexity of a platelet.
const PLATELET_SOLIDITY: f32 = 0.85;
/// Maximum elongation of a platelet.
const PLATELET_LENGTH: f32 = 1.8;
/// Darkness of a nucleus, relative to the median of the foreground.
const NUCLEUS_DARKNESS: f32 = 1.35;
/// Cosine of the angle between the colours (densities of the three channels) of nuclei and red cells.
const NUCLEUS_COLOUR: f32 = 0.985;
/// Minimum area of a white cell's nucleus. An infected red cell may be as dark, but is not as large.
const NUCLEUS_AREA: f32 = 0.6;
/// Minimum and maximum area of a white cell.
const WHITE_AREA: [f32; 2] = [1.7, 6.0];
/// Minimum darkness of a nucleus that counts as a white cell although its cytoplasm is too pale to be seen.
const BARE_DARKNESS: f32 = 1.8;
/// Minimum share of such a nucleus in the dark area around it.
const BARE_SHARE: f32 = 0.75;
/// Minimum and maximum area of an uncovered piece that counts as a red cell with a weak edge, such as a pale infected
/// one. Larger or less convex pieces are clumps.
const UNCOVERED_AREA: [f32; 2] = [0.5, 1.8];
/// Minimum convexity of such a piece.
const UNCOVERED_SOLIDITY: f32 = 0.88;

/// A region of the working copy and its kind.
pub(crate) struct Region {
    pub(crate) kind: Kind,
    /// Positions of its pixels, in ascending order.
    pub(crate) pixels: Vec<u32>,
    pub(crate) shape: Shape,
}

/// Sorts the chosen outlines and the remaining foreground by kind.
pub(crate) fn classify_regions(working: &Working, chosen: Vec<Candidate>) -> Vec<Region> {
    let width = working.picture.width();
    let nuclei = nuclei(working);
    let mut regions = Vec::new();
    let mut covered = mask_where(working.field.dimensions(), |_| false);
    let mut in_nucleus = vec![Vec::new(); nuclei.len()];
    for candidate in chosen {
        let belongs = |nucleus: &Nucleus| {
            let nucleus = &nucleus.pixels;
            let shared = candidate.pixels.iter().filter(|i| nucleus.binary_search(i).is_ok()).count();
            2 * shared > candidate.pixels.len() || 2 * shared > nucleus.len()
        };
        if let Some(nucleus) = nuclei.iter().position(belongs) {
            in_nucleus[nucleus].push(candidate);
        } else {
            cover(&mut covered, &candidate.pixels);
            regions.push(red_cell_or_not(candidate, working.cell_area()));
        }
    }
    let around = pieces(&uncovered(working, &covered));
    for (nucleus, candidates) in nuclei.into_iter().zip(in_nucleus) {
        let own = around.iter().find(|piece| nucleus.pixels.iter().any(|i| piece.binary_search(i).is_ok()));
        let mut pixels = own.cloned().unwrap_or_default();
        pixels.extend(candidates.iter().flat_map(|candidate| &candidate.pixels));
        pixels.sort_unstable();
        pixels.dedup();
        let bare = nucleus.dense && nucleus.pixels.len() as f32 > BARE_SHARE * pixels.len() as f32;
        let kind_of = |shape: &Shape| {
            let white = bare || (WHITE_AREA[0]..=WHITE_AREA[1]).contains(&(shape.area / working.cell_area()));
            if is_line(shape) { Some(Kind::Debris) } else { white.then_some(Kind::WhiteCell) }
        };
        let found = Shape::of(&pixels, width).and_then(|shape| Some((shape, kind_of(&shape)?)));
        if let Some((shape, kind)) = found {
            cover(&mut covered, &pixels);
            regions.push(Region { kind, pixels, shape });
            continue;
        }
        for candidate in candidates {
            cover(&mut covered, &candidate.pixels);
            regions.push(red_cell_or_not(candidate, working.cell_area()));
        }
    }
    regions.extend(left_over(working, &covered));
    regions.sort_by(|a, b| a.pixels.cmp(&b.pixels));
    regions
}

fn red_cell_or_not(Candidate { pixels, shape, support, .. }: Candidate, cell_area: f32) -> Region {
    let area = shape.area / cell_area;
    let single = area <= MAX_AREA && shape.solidity >= MIN_SOLIDITY && support >= MIN_SUPPORT;
    let kind = match (area < MIN_AREA, single) {
        (true, _) => small(&shape, cell_area),
        (false, true) if is_line(&shape) => Kind::Debris,
        (false, true) => Kind::RedCell,
        (false, false) => Kind::Clump,
    };
    Region { kind, pixels, shape }
}

fn is_line(shape: &Shape) -> bool {
    shape.axes[0] > LINE_LENGTH * shape.axes[1]
}

fn small(shape: &Shape, cell_area: f32) -> Kind {
    let compact = shape.solidity >= PLATELET_SOLIDITY && shape.axes[0] <= PLATELET_LENGTH * shape.axes[1];
    if compact && shape.area <= PLATELET_AREA * cell_area { Kind::Platelet } else { Kind::Debris }
}

fn cover(covered: &mut Mask, pixels: &[u32]) {
    pixels.iter().for_each(|&i| covered.as_mut()[i as usize] = INSIDE);
}

fn uncovered(working: &Working, covered: &Mask) -> Mask {
    let foreground = working.foreground.mask.as_raw();
    mask_where(covered.dimensions(), |i| foreground[i] > 0 && covered.as_raw()[i] == 0)
}

/// Pieces of the foreground that no outline covers. Slivers beside a cell are not objects.
fn left_over(working: &Working, covered: &Mask) -> Vec<Region> {
    let (width, height) = covered.dimensions();
    let beside = |i: u32| {
        let (x, y) = (i % width, i / width);
        let columns = x.saturating_sub(1)..=(x + 1).min(width - 1);
        columns
            .into_iter()
            .any(|x| (y.saturating_sub(1)..=(y + 1).min(height - 1)).any(|y| covered.get_pixel(x, y)[0] > 0))
    };
    let mut found = Vec::new();
    for pixels in pieces(&uncovered(working, covered)) {
        let Some(shape) = Shape::of(&pixels, width) else { continue };
        let area = shape.area / working.cell_area();
        let single = area <= UNCOVERED_AREA[1] && shape.solidity >= UNCOVERED_SOLIDITY;
        let kind = match (area >= UNCOVERED_AREA[0], single) {
            (true, true) if is_line(&shape) => Kind::Debris,
            (true, true) => Kind::RedCell,
            (true, false) => Kind::Clump,
            (false, _) if pixels.iter().any(|&i| beside(i)) => continue,
            (false, _) => small(&shape, working.cell_area()),
        };
        found.push(Region { kind, pixels, shape });
    }
    found
}

/// The nucleus of a white cell.
struct Nucleus {
    /// Positions of its pixels, in ascending order.
    pixels: Vec<u32>,
    /// Whether it is much darker than red cells.
    dense: bool,
}

/// Nuclei of white cells: large, darker than red cells in all channels together, and of another colour.
fn nuclei(working: &Working) -> Vec<Nucleus> {
    let (width, height) = working.picture.dimensions();
    let density = |i: usize| {
        let (x, y) = (i as u32 % width, i as u32 / width);
        working.background.density(x, y, working.picture.get_pixel(x, y).0.map(f32::from))
    };
    let sum = |density: [f32; 3]| density.iter().sum::<f32>();
    let foreground = working.foreground.mask.as_raw();
    let inside = Vec::from_iter((0..foreground.len()).filter(|&i| foreground[i] > 0));
    let median =
        |channel: usize| quantile(inside.iter().map(|&i| density(i)[channel]).collect(), 0.5).unwrap_or(0.0);
    let typical = [median(0), median(1), median(2)];
    let mut dark = mask_where((width, height), |_| false);
    for i in inside {
        let density = density(i);
        if sum(density) > NUCLEUS_DARKNESS * sum(typical) && cosine(density, typical) < NUCLEUS_COLOUR {
            dark.as_mut()[i] = INSIDE;
        }
    }
    let mut pieces = pieces(&dark);
    pieces.retain(|piece| piece.len() as f32 >= NUCLEUS_AREA * working.cell_area());
    let nucleus = |pixels: Vec<u32>| {
        let sums = pixels.iter().map(|&i| sum(density(i as usize))).collect();
        let dense = quantile(sums, 0.5).unwrap_or(0.0) > BARE_DARKNESS * sum(typical);
        Nucleus { pixels, dense }
    };
    pieces.into_iter().map(nucleus).collect()
}

fn cosine(a: [f32; 3], b: [f32; 3]) -> f32 {
    let dot = |a: [f32; 3], b: [f32; 3]| a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt().max(1e-6)
}
