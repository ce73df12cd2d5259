//! A panel: a pair of axes with grid, tick marks and heading.

use plotters::style::RGBColor;

use super::axis::Axis;
use super::figure::{AXIS, Align, Dash, Figure, GRID, INK, Look, MUTED};

pub(crate) const TICK_LABEL: Look = Look::plain(18.0, MUTED);
pub(crate) const AXIS_LABEL: Look = Look::plain(20.0, MUTED);
pub(crate) const HEADING: Look = Look::bold(22.0, INK);

const CURVE_WIDTH: f64 = 3.5;
const DOT_RADIUS: f64 = 5.0;

/// Colour and dashes of a curve.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stroke {
    pub(crate) color: RGBColor,
    pub(crate) dash: Option<Dash>,
}

/// The area between the axes, in pixels of the figure.
#[derive(Debug, Clone)]
pub(crate) struct Panel {
    pub(crate) left: f64,
    pub(crate) top: f64,
    pub(crate) right: f64,
    pub(crate) bottom: f64,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
}

impl Panel {
    /// Position of a point, in pixels of the figure.
    pub(crate) fn place(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let across = self.left + self.x.place(x) * (self.right - self.left);
        let down = self.bottom - self.y.place(y) * (self.bottom - self.top);
        (across, down)
    }

    /// Draws the grid, the axes and their labels, with `x_label` below.
    pub(crate) fn frame(&self, figure: &mut Figure, x_label: &str) {
        const TICK: f64 = 7.0;
        for (value, label) in &self.y.ticks {
            let (_, y) = self.place((0.0, *value));
            figure.line(&[(self.left, y), (self.right, y)], 1.0, None, GRID);
            figure.text((self.left - 12.0, y + 6.5), label, TICK_LABEL, Align::Right);
        }
        figure.line(&[(self.left, self.bottom), (self.right, self.bottom)], 1.5, None, AXIS);
        for (value, label) in &self.x.ticks {
            let x = self.left + self.x.place(*value) * (self.right - self.left);
            figure.line(&[(x, self.bottom), (x, self.bottom + TICK)], 1.5, None, AXIS);
            figure.text((x, self.bottom + 30.0), label, TICK_LABEL, Align::Centre);
        }
        let middle = (self.left + self.right) / 2.0;
        figure.text((middle, self.bottom + 64.0), x_label, AXIS_LABEL, Align::Centre);
    }

    /// Draws the label of the y axis above the panel.
    pub(crate) fn heading(&self, figure: &mut Figure, text: &str) {
        figure.text((self.left, self.top - 24.0), text, HEADING, Align::Left);
    }

    /// Draws a dot at a point.
    pub(crate) fn dot(&self, figure: &mut Figure, at: (f64, f64), radius: f64, color: RGBColor) {
        figure.dot(self.place(at), radius, color);
    }

    /// Draws a curve with gaps where values are missing. Single points get a dot, and all points if `dots` is set.
    pub(crate) fn curve(
        &self,
        figure: &mut Figure,
        points: &[(f64, Option<f64>)],
        stroke: Stroke,
        dots: bool,
    ) {
        for run in points.split(|(_, value)| value.is_none()) {
            let places = run.iter().filter_map(|&(x, value)| Some(self.place((x, value?))));
            let places = Vec::from_iter(places);
            if places.len() > 1 {
                figure.line(&places, CURVE_WIDTH, stroke.dash, stroke.color);
            }
            if dots || places.len() == 1 {
                places.iter().for_each(|&place| figure.dot(place, DOT_RADIUS, stroke.color));
            }
        }
    }
}
