//! The plot of detection by smears.

use malaria_metrics::Detection;
use plotters::style::RGBColor;

use super::axis::Axis;
use super::figure::{AXIS, Align, BLUE, Figure, Look, Plot, VERMILION};
use super::panel::{Panel, Stroke, TICK_LABEL};

const WIDTH: u32 = 1600;
const HEIGHT: u32 = 800;
const MARGIN: f64 = 48.0;
/// Okabe and Ito's bluish green.
const GREEN: RGBColor = RGBColor(0, 158, 115);
/// Colours of the curves, from the fewest cells on, and tint of the band.
const COLORS: [RGBColor; 3] = [GREEN, VERMILION, BLUE];
const BAND: RGBColor = RGBColor(214, 232, 242);
/// Probability that defines a detection limit.
const POWER: f64 = 0.95;

/// Detection by smears with a given number of cells.
#[derive(Debug, Clone, PartialEq)]
pub struct DetectionCurve {
    /// Number of cells.
    pub cells: u64,
    /// The curve, by rising shares of infected cells, all above 0.
    pub points: Vec<Detection>,
    /// The detection limit, a share of infected cells; `None` if there is none.
    pub limit: Option<f64>,
}

/// Plots the probability that a patient is called positive against the share of infected cells, in 1600 x 800 pixels, for up
/// to three numbers of cells in rising order. Dots are the detection limits; the band contains eight in ten patients with
/// the most cells.
pub fn detection_plot(curves: &[DetectionCurve], title: &str) -> Plot {
    let mut figure = Figure::new(WIDTH, HEIGHT);
    let right = f64::from(WIDTH) - MARGIN;
    figure.title((MARGIN, 66.0), title, right - MARGIN);
    let shares = curves.iter().flat_map(|curve| &curve.points).map(|point| point.infected_share);
    let (low, high) = (shares.clone().fold(0.5, f64::min), shares.fold(1e-6, f64::max));
    let (x, y) = (Axis::shares(low, high.max(low)), Axis::percent(&[0.0]));
    let panel = Panel { left: 120.0, top: 156.0, right, bottom: 686.0, x, y };
    panel.heading(&mut figure, "Patients called positive");
    if let Some(most) = curves.last() {
        let mid = |a: f64, b: f64| panel.place((a, 0.0)).0.midpoint(panel.place((b, 0.0)).0);
        for (i, point) in most.points.iter().enumerate() {
            let share = point.infected_share;
            let from = mid(most.points[i.saturating_sub(1)].infected_share, share);
            let to = mid(share, most.points[(i + 1).min(most.points.len() - 1)].infected_share);
            let [top, bottom] = [point.high, point.low].map(|found| panel.place((share, found)).1);
            figure.rectangle((from, top), (to, bottom), BAND);
        }
    }
    panel.frame(&mut figure, "Infected cells");
    let power = panel.place((low, POWER)).1;
    figure.line(&[(panel.left, power), (panel.right, power)], 1.5, Some((8.0, 8.0)), AXIS);
    for (curve, color) in curves.iter().zip(COLORS) {
        let points: Vec<_> =
            curve.points.iter().map(|point| (point.infected_share, Some(point.found))).collect();
        panel.curve(&mut figure, &points, Stroke { color, dash: None }, false);
        if let Some(limit) = curve.limit.filter(|limit| (low..=high).contains(limit)) {
            panel.dot(&mut figure, (limit, POWER), 9.0, color);
        }
    }
    let lines = curves.iter().zip(COLORS).rev().map(|(curve, color)| {
        let limit =
            curve.limit.map_or("no limit".to_owned(), |limit| format!("limit {:.1} %", 100.0 * limit));
        (format!("{} cells: {limit}", curve.cells), color)
    });
    for (line, (words, color)) in (0..).zip(lines) {
        let at = (panel.right - 30.0, panel.bottom - 100.0 + 30.0 * f64::from(line));
        figure.text(at, words, Look::bold(20.0, color), Align::Right);
    }
    let note = "dashed: 95 %, which defines the limit; band: eight in ten patients, with the most cells";
    figure.text((panel.left, panel.bottom + 96.0), note, TICK_LABEL, Align::Left);
    Plot(figure)
}
