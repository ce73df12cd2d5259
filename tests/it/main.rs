//! Tests of the library and its examples. The programs are tested in `crates/cli/tests` and `crates/edge/tests`.

mod examples;
mod features;
mod keras_parity;
mod outer_cargo;
mod overfit_tiny;
mod slow;
