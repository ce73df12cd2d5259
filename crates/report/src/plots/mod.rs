//! From results to shapes (`history`, `square`, `confusion`, `patients`), and from shapes to files (`figure`, `font`,
//! `render`).

mod axis;
mod confusion;
mod figure;
mod font;
mod history;
mod panel;
mod patients;
mod render;
mod square;
mod text;

pub use confusion::confusion_plot;
pub use figure::Plot;
pub use history::{EpochPoint, history_plot};
pub use patients::{PatientAccuracy, patients_plot};
pub use render::check_figure_path;
pub use square::{calibration_plot, pr_plot, roc_plot};
