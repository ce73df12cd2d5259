//! The training loop from outside.

mod loader;
mod own_network;
mod support;
mod training;
