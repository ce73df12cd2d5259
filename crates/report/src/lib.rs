//! Plots, the page of results and the model card of a run.
//!
//! It presents the results of [`malaria_metrics`] and [`malaria_classifier`] without computing any: plots as PNG or SVG, a
//! [`Report`] as one HTML page, a [`Card`] as Markdown. It needs no system fonts or libraries: a subset of DejaVu Sans
//! (Latin, Greek and Cyrillic) is built in. Files are written to a temporary sibling, synced and renamed.
//!
//! The colours are Okabe and Ito's, which colour-blind people can distinguish. Dashes also distinguish the curves.
//!
//! ```
//! use malaria_report::{EpochPoint, history_plot};
//!
//! let history = [(1, 0.52, 0.83), (2, 0.21, 0.93)].map(|(epoch, loss, accuracy)| EpochPoint {
//!     epoch,
//!     train_loss: Some(loss),
//!     train_accuracy: Some(accuracy),
//!     ..EpochPoint::default()
//! });
//! # let folder = tempfile::tempdir()?;
//! # let out = folder.path();
//! history_plot(&history, "ResNet, random split")?.save(out.join("plot.svg"))?;
//! assert!(std::fs::read_to_string(out.join("plot.svg"))?.contains("ResNet, random split"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod card;
mod error;
mod overlay;
mod page;
mod plots;
mod results;

pub use card::Card;
pub use error::{Error, Result};
pub use overlay::heat_overlay;
pub use page::{Block, Page, Picture, Section, Tile};
pub use plots::{
    DetectionCurve, EpochPoint, PatientAccuracy, Plot, calibration_plot, check_figure_path, comparison_plot,
    confusion_plot, detection_plot, history_plot, patients_plot, pr_plot, roc_plot,
};
pub use results::{Report, evaluation_section, table};
