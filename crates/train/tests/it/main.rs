//! Tests of the training loop through its public interface.

mod cell_tensors;
mod own_network;
mod support;
mod training;
