//! Finds red blood cells in photographs of thin blood smears.
//!
//! Research software, not a medical device.
#![allow(dead_code, unused)]
mod draw;
mod error;
mod field;
mod find;
mod foreground;
mod illumination;
mod kind;
mod object;
mod outline;
mod part;
mod peaks;
mod plane;
mod quality;
mod scale;
mod shape;

pub use draw::{annotated, annotated_with, find_cells_and_write_steps};
pub use error::{Error, Result};
pub use find::{Smear, find_cells};
pub use object::{Bounds, Kind, Object};
pub use quality::{Caveat, Quality};
