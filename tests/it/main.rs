//! The library and its examples. Whole programs are tested beside themselves: `crates/cli/tests`, `crates/edge/tests`.

mod examples;
mod features;
mod gpu_check;
mod keras_parity;
mod outer_cargo;
mod outside_user;
mod overfit_tiny;
