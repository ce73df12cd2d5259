//! The training loop from outside.

mod loader;
mod support;
mod training;
