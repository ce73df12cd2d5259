use super::axis::Axis;
use super::figure::{AXIS, Align, BLUE, Figure, Look, MUTED, Plot, VERMILION};
use super::panel::{Panel, TICK_LABEL};

const WIDTH: u32 = 1600;
const HEIGHT: u32 = 800;
const MARGIN: f64 = 48.0;
/// The worst patients get their names.
const NAMED: usize = 5;

/// How well the cells of one patient were called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatientAccuracy {
    /// Who.
    pub patient: String,
    /// Cells judged, at least 1.
    pub cells: u64,
    /// Those of them that were called right.
    pub right: u64,
    /// Whether any of the cells is infected.
    pub infected: bool,
}

impl PatientAccuracy {
    /// Share of the cells called right.
    pub fn accuracy(&self) -> f64 {
        self.right as f64 / self.cells as f64
    }
}

/// Draws the accuracy of each patient, from the worst to the best, the dots' area growing with the number of cells, in a
/// figure of 1600 x 800 pixels. A patient without a cell is left out.
pub fn patients_plot(patients: &[PatientAccuracy], title: &str) -> Plot {
    let mut patients = Vec::from_iter(patients.iter().filter(|patient| patient.cells > 0));
    patients.sort_by(|a, b| a.accuracy().total_cmp(&b.accuracy()).then_with(|| a.patient.cmp(&b.patient)));
    let mut figure = Figure::new(WIDTH, HEIGHT);
    let right = f64::from(WIDTH) - MARGIN;
    figure.title((MARGIN, 66.0), title, right - MARGIN - 360.0);
    for (x, color, name) in [(right - 250.0, VERMILION, "infected"), (right - 100.0, BLUE, "healthy")] {
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
    let most = patients.iter().map(|patient| patient.cells).max().unwrap_or(1) as f64;
    for (rank, patient) in (1..).zip(&patients) {
        let at = (f64::from(rank), patient.accuracy());
        let radius = 3.0 + 9.0 * (patient.cells as f64 / most).sqrt();
        panel.dot(&mut figure, at, radius, if patient.infected { VERMILION } else { BLUE });
        if (rank as usize) <= NAMED {
            let (x, y) = panel.place(at);
            let words = format!("{} ({} of {})", patient.patient, patient.right, patient.cells);
            // With few patients the worst are far to the right, too.
            let (x, align) = if x < f64::from(WIDTH) / 2.0 {
                (x + radius + 6.0, Align::Left)
            } else {
                (x - radius - 6.0, Align::Right)
            };
            figure.text((x, y + 6.0), words, Look::plain(16.0, MUTED), align);
        }
    }
    Plot(figure)
}
