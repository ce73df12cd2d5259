use std::path::Path;

use malaria_metrics::RocCurve;

use super::axis::Axis;
use super::figure::{AXIS, Align, BLUE, Figure, Look, MUTED};
use super::panel::{HEADING, Panel, Stroke};
use super::render;
use crate::error::Result;

const WIDTH: u32 = 1000;
const HEIGHT: u32 = 1100;
const MARGIN: f64 = 48.0;

/// Draws a ROC curve with the area under it, in a figure of 1000 x 1100 pixels, and writes it to `path`, as PNG or
/// SVG by its extension.
///
/// `positive_class` is the name of the class that counts as positive; the axis says it.
///
/// # Errors
/// An extension that is neither `.png` nor `.svg`, or a path that cannot be written to; what was there before then
/// stays.
pub fn roc_plot(curve: &RocCurve, positive_class: &str, title: &str, path: impl AsRef<Path>) -> Result<()> {
    render::save(&figure(curve, positive_class, title), path.as_ref())
}

fn figure(curve: &RocCurve, positive_class: &str, title: &str) -> Figure {
    let mut figure = Figure::new(WIDTH, HEIGHT);
    let right = f64::from(WIDTH) - MARGIN;
    figure.title((MARGIN, 66.0), title, right - MARGIN);

    let axis = Axis::linear(0.0, 1.0);
    let panel = Panel { left: 112.0, top: 156.0, right, bottom: 996.0, x: axis.clone(), y: axis };
    let (_, name) = HEADING.fit(positive_class, 480.0, HEADING.size);
    panel.heading(&mut figure, &format!("Sensitivity (positive class: {name})"));
    panel.frame(&mut figure, "1 − specificity");

    let chance = Stroke { color: AXIS, dash: Some((8.0, 8.0)) };
    figure.line(&[(panel.left, panel.bottom), (panel.right, panel.top)], 1.5, chance.dash, chance.color);
    let points = curve.points.iter().map(|point| (point.false_positive_rate, Some(point.true_positive_rate)));
    panel.curve(&mut figure, &Vec::from_iter(points), Stroke { color: BLUE, dash: None }, false);

    let at = (panel.right - 36.0, panel.bottom - 72.0);
    figure.text(at, format!("AUC {:.4}", curve.auc), Look::bold(34.0, BLUE), Align::Right);
    figure.text((at.0, at.1 + 34.0), "dashed: chance", Look::plain(18.0, MUTED), Align::Right);
    figure
}
