//! Slow tests, which `cargo xtask test --quick` leaves out.

mod export;
mod installed;
mod kills;
mod synthetic_cells;
