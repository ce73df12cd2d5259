//! Finds red blood cells in photographs of thin blood smears.
#![allow(missing_docs, dead_code, unused)]
mod field;
mod find;
mod foreground;
mod illumination;
mod outline;
mod part;
mod peaks;
mod plane;
mod shape;
pub use find::*;
