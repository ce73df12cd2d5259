//! Finds the libtorch that torch-sys is about to use, and says in one message what is wrong with it.
//!
//! Ground floor, below `malaria-libtorch`. Without it the first sign of a missing libtorch is a page of C++ errors
//! from torch-sys, and the first sign of an incomplete one is a program that does not start. The rules of which
//! libtorch is taken are torch-sys's own: `LIBTORCH_USE_PYTORCH`, then `LIBTORCH`, then `/usr/lib`.
//!
//! With the feature `check` this crate's build script looks, and stops the build. It depends on nothing, so that it
//! is built and has spoken before torch-sys has begun. `cargo xtask` uses the functions without the feature.
//!
//! ```
//! use malaria_libtorch_locate::{LIBTORCH_VERSION, Settings, locate};
//!
//! let settings = Settings { libtorch: Some("/no/such/folder".into()), ..Settings::default() };
//! let message = locate(&settings).unwrap_err().to_string();
//! assert!(message.contains("/no/such/folder") && message.contains(LIBTORCH_VERSION));
//! ```

mod error;
mod found;
mod marker;
mod python;
mod version;

pub use error::Error;
pub use found::{Libtorch, Settings, VARIABLES, locate};
pub use marker::{MARKER_FILE, Marker};
pub use version::LIBTORCH_VERSION;
