//! Plots: results become a [`Figure`](figure::Figure) of shapes and labels, which `render` writes as PNG or SVG.

mod axis;
mod comparison;
mod confusion;
mod detection;
mod figure;
mod font;
mod history;
mod panel;
mod patients;
mod render;
mod square;

pub use comparison::comparison_plot;
pub use confusion::confusion_plot;
pub use detection::{DetectionCurve, detection_plot};
pub use figure::Plot;
pub use history::{EpochPoint, history_plot};
pub use patients::{PatientAccuracy, patients_plot};
pub use render::check_figure_path;
pub(crate) use render::encode_png;
pub use square::{calibration_plot, pr_plot, roc_plot};
