//! The required version of libtorch.

/// The libtorch release that the pinned tch and torch-sys are written for.
pub const LIBTORCH_VERSION: &str = "2.13.0";
