//! Figures that show how a run went, each as PNG or SVG, and the page of HTML that they stand on.
//!
//! This crate stands above [`malaria_metrics`] and [`malaria_classifier`], whose results it draws and puts into words ([`Report`],
//! [`Card`]), and below the facade that calls it at the end of a run. It computes no figures of its own. It needs no fonts and no libraries of the system: letters come
//! from a part of DejaVu Sans that is built in (Latin, Greek and Cyrillic). A figure is written to a temporary
//! sibling, synced and renamed, so that there is never half of one.
//!
//! Colours are Okabe and Ito's, which colour-blind people tell apart; dashes say the same without colour.
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
    EpochPoint, PatientAccuracy, Plot, calibration_plot, check_figure_path, confusion_plot, history_plot,
    patients_plot, pr_plot, roc_plot,
};
pub use results::{Report, evaluation_section, table};
