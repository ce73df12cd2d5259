//! Slow tests, which `cargo xtask test --quick` leaves out.

mod commands;
mod export;
mod installed;
mod kills;
mod synthetic_cells;
