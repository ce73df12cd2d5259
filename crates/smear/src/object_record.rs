//! An object of a photograph as programs and reports store it: box, outline, call and a person's judgement.

use imageproc::geometry::approximate_polygon_dp;
use imageproc::point::Point;
use serde::{Deserialize, Serialize};

use crate::call::Call;
use crate::find::Smear;
use crate::object::{Bounds, Kind, Object};

/// Maximum error of a simplified outline, in diameters of a cell.
const OUTLINE_ERROR: f32 = 0.01;

/// An object in a photograph, with its call if it is a red cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ObjectRecord {
    /// Its kind.
    pub kind: Kind,
    /// The smallest rectangle around it, in pixels of the photograph turned upright.
    #[serde(flatten)]
    pub bounds: Bounds,
    /// Corners of its outline, in order; may be left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outline: Vec<[u32; 2]>,
    /// Probability of the positive class, in `[0, 1]`; `None` for objects other than red cells.
    pub probability: Option<f64>,
    /// Whether it is a red cell called positive.
    pub infected: bool,
    /// Whether it differs from the training cells, which makes its probability unreliable.
    pub warned: bool,
    /// Whether it reaches the edge of the picture, so that part of it may be missing.
    pub touches_border: bool,
    /// A person's judgement; `None` without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judgement: Option<Judgement>,
}

/// A person's judgement of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, strum::EnumIter)]
#[serde(rename_all = "kebab-case")]
pub enum Judgement {
    /// An infected red cell.
    Infected,
    /// An uninfected red cell.
    Uninfected,
    /// Not a red cell, or not a single one.
    NoRedCell,
}

impl ObjectRecord {
    /// All objects of a photograph; `calls` are those of its red cells.
    pub(crate) fn of_smear(smear: &Smear, calls: &[Call]) -> Vec<Self> {
        let mut calls = calls.iter();
        let found = |object: &Object| {
            let call = if object.kind == Kind::RedCell { calls.next() } else { None };
            Self {
                kind: object.kind,
                bounds: object.bounds,
                outline: thinned(&object.outline, OUTLINE_ERROR * smear.cell_diameter),
                probability: call.map(|call| call.probability),
                infected: call.is_some_and(|call| call.infected),
                warned: call.is_some_and(|call| call.warning.is_some()),
                touches_border: object.touches_border,
                judgement: None,
            }
        };
        smear.objects.iter().map(found).collect()
    }

    /// Whether it counts as a red cell, according to the person or, without a judgement, to the finder.
    #[must_use]
    pub fn is_red_cell(&self) -> bool {
        match self.judgement {
            Some(judgement) => judgement != Judgement::NoRedCell,
            None => self.kind == Kind::RedCell,
        }
    }
}

/// An outline with fewer corners, at most `error` pixels off (Ramer, Douglas and Peucker).
fn thinned(outline: &[[u32; 2]], error: f32) -> Vec<[u32; 2]> {
    if outline.len() < 3 {
        return outline.to_vec();
    }
    let points: Vec<Point<u32>> = outline.iter().map(|&[x, y]| Point::new(x, y)).collect();
    approximate_polygon_dp(&points, f64::from(error), true).iter().map(|point| [point.x, point.y]).collect()
}
