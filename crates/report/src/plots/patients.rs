//! The plot of accuracy by patient.

use super::axis::Axis;
use super::figure::{AXIS, Align, BLUE, Figure, Look, MUTED, Plot, VERMILION};
use super::panel::{Panel, TICK_LABEL};

const WIDTH: u32 = 1600;
const HEIGHT: u32 = 800;
const MARGIN: f64 = 48.0;
/// Number of patients that are named, from the worst.
const NAMED: usize = 5;
/// Minimum distance of names.
const LINE: f64 = 22.0;

/// Accuracy of the cells of one patient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatientAccuracy {
    /// The patient's name.
    pub patient: String,
    /// Cells evaluated, at least 1.
    pub cells: u64,
    /// Correctly called cells.
    pub right: u64,
    /// Whether any of these cells is infected.
    pub infected: bool,
}

impl PatientAccuracy {
    /// Share of correctly called cells.
    pub fn accuracy(&self) -> f64 {
        self.right as f64 / self.cells as f64
    }
}

/// Plots the accuracy of each patient, from the worst to the best, in 1600 x 800 pixels. The area of a dot grows with the number of
/// cells; patients without cells are skipped.
pub fn patients_plot(patients: &[PatientAccuracy], title: &str) -> Plot {
    let mut patients = Vec::from_iter(patients.iter().filter(|patient| patient.cells > 0));
    patients.sort_by(|a, b| a.accuracy().total_cmp(&b.accuracy()).then_with(|| a.patient.cmp(&b.patient)));
    let mut figure = Figure::new(WIDTH, HEIGHT);
    let right = f64::from(WIDTH) - MARGIN;
    figure.title((MARGIN, 66.0), title, right - MARGIN - 500.0);
    // Only the evaluated cells count: other cells of a patient may be infected.
    for (x, color, name) in
        [(right - 390.0, VERMILION, "with infected cells"), (right - 120.0, BLUE, "without")]
    {
        figure.dot((x, 59.0), 9.0, color);
        figure.text((x + 20.0, 66.0), name, TICK_LABEL, Align::Left);
    }

    let values = Vec::from_iter(patients.iter().map(|patient| patient.accuracy()));
    let x = Axis::ranks(patients.len() as u32);
    let panel = Panel { left: 120.0, top: 156.0, right, bottom: 686.0, x, y: Axis::percent(&values) };
    panel.heading(&mut figure, "Accuracy of each patient's cells");
    panel.frame(&mut figure, "Patients, from the worst to the best");
    let cells: u64 = patients.iter().map(|patient| patient.cells).sum();
    if cells > 0 {
        let pooled = patients.iter().map(|patient| patient.right).sum::<u64>() as f64 / cells as f64;
        let y = panel.place((1.0, pooled)).1;
        figure.line(&[(panel.left, y), (panel.right, y)], 1.5, Some((8.0, 8.0)), AXIS);
        let words = format!("all cells together: {:.1} %", pooled * 100.0);
        figure.text((panel.right, y + 26.0), words, TICK_LABEL, Align::Right);
    }
    let max_cells = patients.iter().map(|patient| patient.cells).max().unwrap_or(1) as f64;
    for (rank, patient) in (1..).zip(&patients) {
        let at = (f64::from(rank), patient.accuracy());
        panel.dot(
            &mut figure,
            at,
            radius(patient, max_cells),
            if patient.infected { VERMILION } else { BLUE },
        );
    }
    name_the_worst(&mut figure, &panel, &patients, max_cells);
    Plot(figure)
}

/// Radius of a patient's dot, in pixels, where the largest patient has `max_cells` cells.
fn radius(patient: &PatientAccuracy, max_cells: f64) -> f64 {
    3.0 + 9.0 * (patient.cells as f64 / max_cells).sqrt()
}

/// Labels the first of the sorted `patients` with their names, spread so that they do not overlap, with a line to each dot.
fn name_the_worst(figure: &mut Figure, panel: &Panel, patients: &[&PatientAccuracy], max_cells: f64) {
    let named = &patients[..patients.len().min(NAMED)];
    let places =
        Vec::from_iter((1..).zip(named).map(|(rank, p)| panel.place((f64::from(rank), p.accuracy()))));
    // One line below the dots, since the next dots are higher.
    let heights =
        spread(&places.iter().map(|&(_, y)| y + LINE).collect::<Vec<_>>(), panel.bottom - LINE / 2.0);
    // All names begin right of the dots; with few patients, whose dots reach far to the right, they end left of them.
    let last = places.iter().map(|&(x, _)| x).fold(panel.left, f64::max);
    let (edge, align, away) = if last < f64::from(WIDTH) / 2.0 {
        (last + 40.0, Align::Left, 1.0)
    } else {
        (places.first().map_or(panel.left, |&(x, _)| x) - 40.0, Align::Right, -1.0)
    };
    for ((patient, (x, y)), height) in named.iter().zip(places).zip(heights) {
        let start = (x + away * (radius(patient, max_cells) + 3.0), y);
        figure.line(&[start, (edge - away * 6.0, height)], 1.0, None, AXIS);
        let words = format!("{} ({} of {})", patient.patient, patient.right, patient.cells);
        figure.text((edge, height + 6.0), words, Look::plain(16.0, MUTED), align);
    }
}

/// Heights of text lines, as close to `wanted` as possible but at least [`LINE`] apart and none below `bottom`. `wanted` rises from
/// line to line.
fn spread(wanted: &[f64], bottom: f64) -> Vec<f64> {
    let mut heights = wanted.to_vec();
    for i in (0..heights.len().saturating_sub(1)).rev() {
        heights[i] = heights[i].max(heights[i + 1] + LINE);
    }
    let mut lowest = bottom;
    for height in &mut heights {
        *height = height.min(lowest);
        lowest = *height - LINE;
    }
    heights
}

#[cfg(test)]
mod tests {
    use super::{LINE, spread};

    #[test]
    fn names_do_not_overlap() {
        let wanted = [600.0, 598.0, 597.0, 300.0];
        assert_eq!(spread(&wanted, 675.0), [597.0 + 2.0 * LINE, 597.0 + LINE, 597.0, 300.0]);
        assert_eq!(spread(&[690.0, 690.0], 675.0), [675.0, 675.0 - LINE]);
    }
}
