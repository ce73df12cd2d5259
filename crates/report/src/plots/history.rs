//! The plot of loss and accuracy by epoch.

use super::axis::Axis;
use super::figure::{Align, BLUE, Figure, INK, Look, MUTED, Plot, VERMILION};
use super::panel::{HEADING, Panel, Stroke, TICK_LABEL};
use crate::error::{Error, Result};

const WIDTH: u32 = 1600;
const HEIGHT: u32 = 800;
const MARGIN: f64 = 48.0;
/// Maximum number of epochs with dots: more would hide the curve.
const MAX_DOTS: usize = 30;

/// The losses and accuracies of one epoch. A value that is `None`, not finite or beyond 1e100 leaves a gap in its curve.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct EpochPoint {
    /// The epoch's number.
    pub epoch: u32,
    /// Mean cross-entropy on the training set, in nats.
    pub train_loss: Option<f64>,
    /// Accuracy on the training set, a fraction.
    pub train_accuracy: Option<f64>,
    /// Mean cross-entropy on the validation set, in nats.
    pub validation_loss: Option<f64>,
    /// Accuracy on the validation set, a fraction.
    pub validation_accuracy: Option<f64>,
}

/// Names and strokes of the training and the validation curve.
const SERIES: [(&str, Stroke); 2] = [
    ("train", Stroke { color: BLUE, dash: None }),
    ("validation", Stroke { color: VERMILION, dash: Some((13.0, 7.0)) }),
];

/// Epochs with their values, `None` if there is no value.
pub(super) type Curve = Vec<(f64, Option<f64>)>;

pub(super) fn curve(history: &[EpochPoint], value: fn(&EpochPoint) -> Option<f64>) -> Curve {
    history.iter().map(|point| (f64::from(point.epoch), drawable(value(point)))).collect()
}

/// Values below 1e100, since the axis must end at a finite round number.
fn drawable(value: Option<f64>) -> Option<f64> {
    value.filter(|value| value.abs() < 1e100)
}

/// Plots loss and accuracy of the training and the validation set by epoch, side by side in 1600 x 800 pixels.
///
/// `history` is in the order of its epochs. `title` should name the model and the protocol. The accuracy axis ends at 100 %; losses
/// that span more than a factor of 25 get a logarithmic axis.
///
/// # Errors
/// An empty history, or an accuracy outside `[0, 1]`.
pub fn history_plot(history: &[EpochPoint], title: &str) -> Result<Plot> {
    check(history)?;
    Ok(Plot(figure(history, title)))
}

pub(super) fn check(history: &[EpochPoint]) -> Result<()> {
    if history.is_empty() {
        return Err(Error::EmptyHistory);
    }
    for point in history {
        for (series, value) in
            [("train accuracy", point.train_accuracy), ("validation accuracy", point.validation_accuracy)]
        {
            if let Some(value) = drawable(value).filter(|value| !(0.0..=1.0).contains(value)) {
                return Err(Error::InvalidAccuracy { series, epoch: point.epoch, value });
            }
        }
    }
    Ok(())
}

fn figure(history: &[EpochPoint], title: &str) -> Figure {
    let mut figure = Figure::new(WIDTH, HEIGHT);
    let baseline = 66.0;
    let legend_left = legend(&mut figure, f64::from(WIDTH) - MARGIN, baseline);
    figure.title((MARGIN, baseline), title, legend_left - 2.0 * MARGIN);

    let epochs = || history.iter().map(|point| point.epoch);
    let x = Axis::epochs(epochs().min().unwrap_or(0), epochs().max().unwrap_or(0));
    let losses = [curve(history, |point| point.train_loss), curve(history, |point| point.validation_loss)];
    let accuracies =
        [curve(history, |point| point.train_accuracy), curve(history, |point| point.validation_accuracy)];
    let values = |curves: &[Curve]| Vec::from_iter(curves.iter().flatten().filter_map(|&(_, value)| value));
    let panel = |left, right, y| Panel { left, top: 180.0, right, bottom: 686.0, x: x.clone(), y };
    let loss = panel(120.0, 772.0, Axis::loss(&values(&losses)));
    let accuracy = panel(900.0, 1552.0, Axis::percent(&values(&accuracies)));

    let scale = if loss.y.logarithmic { " (log scale)" } else { "" };
    draw(&mut figure, &loss, &format!("Cross-entropy loss{scale}"), &losses, significant);
    draw(&mut figure, &accuracy, "Accuracy", &accuracies, |value| format!("{:.1} %", value * 100.0));
    figure
}

/// Draws one panel: frame, curves, and beside the heading the values of the last epoch, formatted by `show`.
fn draw(figure: &mut Figure, panel: &Panel, heading: &str, curves: &[Curve; 2], show: fn(f64) -> String) {
    panel.heading(figure, heading);
    panel.frame(figure, "Epoch");
    for (curve, (_, stroke)) in curves.iter().zip(SERIES) {
        panel.curve(figure, curve, stroke, curve.len() <= MAX_DOTS);
    }
    if curves.iter().flatten().all(|(_, value)| value.is_none()) {
        let middle = ((panel.left + panel.right) / 2.0, (panel.top + panel.bottom) / 2.0);
        figure.text(middle, "no values recorded", Look::plain(HEADING.size, MUTED), Align::Centre);
    }

    // From the right: the last value of each curve in its colour, then the epoch.
    let mut words = Vec::new();
    for (curve, (_, stroke)) in curves.iter().zip(SERIES).rev() {
        if let Some(&(epoch, Some(value))) = curve.last() {
            words.push((show(value), Look::bold(TICK_LABEL.size, stroke.color), epoch));
        }
    }
    if let Some(&(.., epoch)) = words.first() {
        words.push((format!("epoch {epoch}:"), TICK_LABEL, epoch));
    }
    let mut right = panel.right;
    for (word, look, _) in words {
        let width = look.width(&word);
        figure.text((right, panel.top - 24.0), word, look, Align::Right);
        right -= width + 14.0;
    }
}

/// Draws the legend, ending at `right`, and returns its left end.
fn legend(figure: &mut Figure, right: f64, baseline: f64) -> f64 {
    const LOOK: Look = Look::plain(20.0, INK);
    const SAMPLE: f64 = 53.0;
    let mut right = right;
    for (name, stroke) in SERIES.into_iter().rev() {
        figure.text((right, baseline), name, LOOK, Align::Right);
        let end = right - LOOK.width(name) - 12.0;
        let y = baseline - 7.0;
        figure.line(&[(end - SAMPLE, y), (end, y)], 3.5, stroke.dash, stroke.color);
        right = end - SAMPLE - 36.0;
    }
    right + 36.0
}

/// About three significant digits: 0.0123, 0.123, 1.23, 12.3.
fn significant(value: f64) -> String {
    match value.abs() {
        small if small < 0.1 => format!("{value:.4}"),
        medium if medium < 1.0 => format!("{value:.3}"),
        large if large < 10.0 => format!("{value:.2}"),
        huge if huge < 1e5 => format!("{value:.1}"),
        _ => format!("{value:.1e}"),
    }
}
