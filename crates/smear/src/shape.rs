//! Measures of a region: area, centre, box, convexity and axes.

use imageproc::geometry::{contour_area, convex_hull};
use imageproc::point::Point;

/// Measures of a set of pixels, in pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Shape {
    pub(crate) area: f32,
    pub(crate) centre: [f32; 2],
    /// Left, top, right and bottom: the first and the last column and row.
    pub(crate) bounds: [u32; 4],
    /// Area over that of the convex hull, at most 1.
    pub(crate) solidity: f32,
    /// Major and minor axis of the ellipse with the same second moments.
    pub(crate) axes: [f32; 2],
}

impl Shape {
    /// Measures the pixels at the positions `pixels` in a picture of `width`. `None` without pixels.
    pub(crate) fn of(pixels: &[u32], width: u32) -> Option<Self> {
        let first = *pixels.first()?;
        let area = pixels.len() as f64;
        let mut bounds = [first % width, first / width, first % width, first / width];
        let (mut sum, mut squares) = ([0.0_f64; 2], [0.0_f64; 3]);
        // The first and the last pixel of each row.
        let mut ends: Vec<Point<i32>> = Vec::new();
        let mut row_before = None;
        for &i in pixels {
            let (x, y) = (i % width, i / width);
            bounds = [bounds[0].min(x), bounds[1].min(y), bounds[2].max(x), bounds[3].max(y)];
            let [dx, dy] = [f64::from(x), f64::from(y)];
            sum = [sum[0] + dx, sum[1] + dy];
            squares = [squares[0] + dx * dx, squares[1] + dx * dy, squares[2] + dy * dy];
            if row_before == Some(y) && ends.len() >= 2 {
                ends.pop();
            } else {
                ends.push(Point::new(x as i32, y as i32));
            }
            ends.push(Point::new(x as i32, y as i32));
            row_before = Some(y);
        }
        let centre = sum.map(|sum| sum / area);
        // A pixel is a square with moments of 1/12.
        let xx = squares[0] / area - centre[0] * centre[0] + 1.0 / 12.0;
        let xy = squares[1] / area - centre[0] * centre[1];
        let yy = squares[2] / area - centre[1] * centre[1] + 1.0 / 12.0;
        let (half, root) = ((xx + yy) / 2.0, (((xx - yy) / 2.0).powi(2) + xy * xy).sqrt());
        let axes = [half + root, (half - root).max(0.0)].map(|moment| (4.0 * moment.sqrt()) as f32);
        // The corners of the pixels, so that the hull contains the whole pixels.
        let corners = ends.iter().flat_map(|end| {
            [(0, 0), (1, 0), (0, 1), (1, 1)].map(|(right, down)| Point::new(end.x + right, end.y + down))
        });
        let hull = contour_area(&convex_hull(Vec::from_iter(corners))).max(area);
        Some(Self {
            area: area as f32,
            centre: centre.map(|at| at as f32),
            bounds,
            solidity: (area / hull) as f32,
            axes,
        })
    }

    /// Diameter of the disc with the same area.
    pub(crate) fn diameter(&self) -> f32 {
        2.0 * (self.area / std::f32::consts::PI).sqrt()
    }
}
