//! Finds the libtorch that torch-sys will use, and reports problems with it in one message.
//!
//! Without this crate, the first sign of a missing libtorch is a page of C++ errors from torch-sys, and the first sign of an
//! incomplete one is a program that does not start. As in torch-sys, `LIBTORCH_USE_PYTORCH` comes first, then `LIBTORCH`,
//! then `/usr/lib`.
//!
//! With the feature `check` the build script of this crate runs the check and stops the build, unless the variable `DOCS_RS`
//! is set: documentation needs no libtorch. The crate has no dependencies, so it is built before torch-sys. `cargo xtask`
//! uses its functions without the feature.
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
