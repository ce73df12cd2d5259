//! Plots with one square panel and axes from 0 to 1: ROC, precision and recall, calibration.

use malaria_metrics::{CalibrationBin, PrCurve, RocCurve};

use super::axis::Axis;
use super::figure::{AXIS, Align, BLUE, Figure, Look, MUTED, Plot, VERMILION};
use super::panel::{HEADING, Panel, Stroke};

const WIDTH: u32 = 1000;
const HEIGHT: u32 = 1100;
const MARGIN: f64 = 48.0;
const CURVE: Stroke = Stroke { color: BLUE, dash: None };

/// Plots a ROC curve with the area under it, in 1000 x 1100 pixels.
///
/// `positive_class` is the name of the positive class. A `threshold` is marked by a dot on the curve.
pub fn roc_plot(curve: &RocCurve, positive_class: &str, threshold: Option<f64>, title: &str) -> Plot {
    let mut square = Square::new(title, "Sensitivity", positive_class, "1 − specificity");
    square.diagonal();
    let points = curve.points.iter().map(|point| (point.false_positive_rate, point.true_positive_rate));
    square.curve(points);
    // Thresholds fall along the curve, so the last point that is not below `threshold` has the same calls.
    let chosen = threshold.and_then(|chosen| curve.points.iter().rfind(|point| point.threshold >= chosen));
    if let Some(point) = chosen {
        square.dot((point.false_positive_rate, point.true_positive_rate));
    }
    let mut notes = vec!["dashed: chance".to_owned()];
    notes.extend(threshold.map(dot_note));
    square.words(&format!("AUC {:.4}", curve.auc), &notes);
    square.plot()
}

/// Plots a precision-recall curve with its average precision; the parameters are those of [`roc_plot`].
pub fn pr_plot(curve: &PrCurve, positive_class: &str, threshold: Option<f64>, title: &str) -> Plot {
    let mut square = Square::new(title, "Precision (PPV)", positive_class, "Recall (sensitivity)");
    square.curve(curve.points.iter().map(|point| (point.recall, point.precision)));
    let chosen = threshold.and_then(|chosen| curve.points.iter().find(|point| point.threshold >= chosen));
    if let Some(point) = chosen {
        square.dot((point.recall, point.precision));
    }
    let notes = Vec::from_iter(threshold.map(dot_note));
    square.words(&format!("average precision {:.4}", curve.average_precision), &notes);
    square.plot()
}

/// Plots a calibration curve: the share of positive samples against the mean probability of each bin. The area of a dot
/// grows with the number of samples. `error` is the expected calibration error, a fraction.
pub fn calibration_plot(bins: &[CalibrationBin], error: f64, positive_class: &str, title: &str) -> Plot {
    let mut square =
        Square::new(title, "Share that is positive", positive_class, "Probability of being positive");
    square.diagonal();
    square.curve(bins.iter().map(|bin| (bin.mean_probability, bin.positive_share)));
    let total = bins.iter().map(|bin| bin.count).sum::<u64>() as f64;
    for bin in bins {
        let radius = 6.0 + 30.0 * (bin.count as f64 / total).sqrt();
        square.panel.dot(&mut square.figure, (bin.mean_probability, bin.positive_share), radius, BLUE);
    }
    let notes = ["dashed: perfect".to_owned(), "larger dots: more cells".to_owned()];
    square.words(&format!("calibration error {:.2} %", error * 100.0), &notes);
    square.plot()
}

fn dot_note(threshold: f64) -> String {
    format!("dot: the threshold, {:.1} %", threshold * 100.0)
}

struct Square {
    figure: Figure,
    panel: Panel,
}

impl Square {
    fn new(title: &str, heading: &str, positive_class: &str, x_label: &str) -> Self {
        let mut figure = Figure::new(WIDTH, HEIGHT);
        let right = f64::from(WIDTH) - MARGIN;
        figure.title((MARGIN, 66.0), title, right - MARGIN);
        let axis = Axis::linear(0.0, 1.0);
        let panel = Panel { left: 112.0, top: 156.0, right, bottom: 996.0, x: axis.clone(), y: axis };
        let (_, name) = HEADING.fit(positive_class, 480.0, HEADING.size);
        panel.heading(&mut figure, &format!("{heading} (positive class: {name})"));
        panel.frame(&mut figure, x_label);
        Self { figure, panel }
    }

    fn diagonal(&mut self) {
        let Panel { left, top, right, bottom, .. } = self.panel;
        self.figure.line(&[(left, bottom), (right, top)], 1.5, Some((8.0, 8.0)), AXIS);
    }

    fn curve(&mut self, points: impl Iterator<Item = (f64, f64)>) {
        let points = Vec::from_iter(points.map(|(x, y)| (x, Some(y))));
        self.panel.curve(&mut self.figure, &points, CURVE, false);
    }

    fn dot(&mut self, at: (f64, f64)) {
        self.panel.dot(&mut self.figure, at, 11.0, VERMILION);
    }

    /// Writes the metric and notes on the marks in the lower right corner.
    fn words(&mut self, metric: &str, notes: &[String]) {
        let (x, mut y) = (self.panel.right - 36.0, self.panel.bottom - 42.0 - 30.0 * notes.len() as f64);
        self.figure.text((x, y), metric, Look::bold(34.0, BLUE), Align::Right);
        y += 4.0;
        for note in notes {
            y += 30.0;
            self.figure.text((x, y), note, Look::plain(18.0, MUTED), Align::Right);
        }
    }

    fn plot(self) -> Plot {
        Plot(self.figure)
    }
}
