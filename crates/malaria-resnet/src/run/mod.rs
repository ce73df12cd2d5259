//! One run: its directory, start, training and results.

pub(crate) mod dir;
mod execute;
mod finish;
pub(crate) mod lineage;
pub(crate) mod metrics;
pub(crate) mod session;
pub(crate) mod sources;
pub(crate) mod start;
pub(crate) mod teach;
