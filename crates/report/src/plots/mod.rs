//! From results to shapes (`history`, `roc`, `confusion`), and from shapes to files (`figure`, `font`, `render`).

mod axis;
mod confusion;
mod figure;
mod font;
mod history;
mod panel;
mod render;
mod roc;

pub use confusion::confusion_plot;
pub use history::{EpochPoint, history_plot};
pub use render::check_figure_path;
pub use roc::roc_plot;
