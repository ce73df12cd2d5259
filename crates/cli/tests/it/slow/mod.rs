//! Tests of more than ten seconds each, which `cargo xtask test --quick` leaves out.

mod export;
mod installed;
mod kills;
mod synthetic_cells;
