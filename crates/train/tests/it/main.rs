//! Tests of the training loop through its public interface.

mod loader;
mod own_network;
mod support;
mod training;
