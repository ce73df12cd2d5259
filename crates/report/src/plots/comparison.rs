//! The plot of several runs' losses and accuracies by epoch.

use plotters::style::RGBColor;

use super::axis::Axis;
use super::figure::{Align, BLUE, Figure, Look, Plot, VERMILION};
use super::history::{Curve, EpochPoint, check, curve};
use super::panel::{Panel, Stroke};
use crate::error::Result;

const WIDTH: u32 = 1600;
const MARGIN: f64 = 48.0;
/// Height without the legend, and height of each line of the legend.
const HEIGHTS: [u32; 2] = [790, 34];
/// Okabe and Ito's colours that can be distinguished on white; further runs reuse them with dashes.
const COLORS: [RGBColor; 6] = [
    BLUE,
    VERMILION,
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
];

/// Plots the validation loss and accuracy of several runs by epoch, side by side in 1600 pixels, with a legend line for each
/// run. For a run without a validation set, the training loss and accuracy are plotted.
///
/// Each run has a name and its history, in the order of its epochs, which may be empty.
///
/// # Errors
/// An accuracy outside `[0, 1]`, or no epoch at all.
pub fn comparison_plot(runs: &[(String, Vec<EpochPoint>)], title: &str) -> Result<Plot> {
    let all: Vec<EpochPoint> = runs.iter().flat_map(|(_, history)| history).copied().collect();
    check(&all)?;
    let mut figure = Figure::new(WIDTH, HEIGHTS[0] + HEIGHTS[1] * runs.len() as u32);
    let right = f64::from(WIDTH) - MARGIN;
    figure.title((MARGIN, 66.0), title, right - MARGIN);
    let validated = |history: &[EpochPoint]| history.iter().any(|point| point.validation_loss.is_some());
    let curves = |validation: fn(&EpochPoint) -> Option<f64>, training: fn(&EpochPoint) -> Option<f64>| {
        let of_run = |(_, history): &(String, Vec<EpochPoint>)| {
            curve(history, if validated(history) { validation } else { training })
        };
        runs.iter().map(of_run).collect::<Vec<Curve>>()
    };
    let losses = curves(|point| point.validation_loss, |point| point.train_loss);
    let accuracies = curves(|point| point.validation_accuracy, |point| point.train_accuracy);
    let values =
        |curves: &[Curve]| curves.iter().flatten().filter_map(|&(_, value)| value).collect::<Vec<f64>>();
    let epochs = || all.iter().map(|point| point.epoch);
    let x = Axis::epochs(epochs().min().unwrap_or(0), epochs().max().unwrap_or(0));
    let stroke = |run: usize| Stroke {
        color: COLORS[run % COLORS.len()],
        dash: (run >= COLORS.len()).then_some((13.0, 7.0)),
    };
    for (left, y, heading, curves) in [
        (120.0, Axis::loss(&values(&losses)), "Cross-entropy loss", &losses),
        (900.0, Axis::percent(&values(&accuracies)), "Accuracy", &accuracies),
    ] {
        let panel = Panel { left, top: 156.0, right: left + 652.0, bottom: 662.0, x: x.clone(), y };
        let scale = if panel.y.logarithmic { " (log scale)" } else { "" };
        panel.heading(&mut figure, &format!("{heading}{scale}"));
        panel.frame(&mut figure, "Epoch");
        for (run, curve) in curves.iter().enumerate() {
            panel.curve(&mut figure, curve, stroke(run), false);
        }
    }
    for (run, (name, history)) in runs.iter().enumerate() {
        let y = f64::from(HEIGHTS[0]) + f64::from(HEIGHTS[1]) * run as f64;
        let Stroke { color, dash } = stroke(run);
        figure.line(&[(120.0, y - 7.0), (173.0, y - 7.0)], 3.5, dash, color);
        let set = if validated(history) { "validation" } else { "training" };
        let (look, name) = Look::bold(20.0, color).fit(&format!("{name} ({set})"), right - 190.0, 14.0);
        figure.text((190.0, y), name, look, Align::Left);
    }
    Ok(Plot(figure))
}
