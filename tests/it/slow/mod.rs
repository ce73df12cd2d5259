//! Tests of more than ten seconds each, which `cargo xtask test --quick` leaves out.

mod examples;
mod gpu_check;
mod outside_user;
