//! Tests that take long, which `cargo xtask test --quick` leaves out.

mod export;
mod installed;
mod kills;
mod synthetic_cells;
