//! The parts of `cargo xtask`: set-up of libtorch, calls of cargo, fuzzing, and measurements of other libraries.
//!
//! Nothing depends on this crate, and it does not need libtorch. Set-up (`setup`) takes the pinned libtorch from PyTorch's
//! wheels: `plan` selects them, `pip` fetches them.
//!
//! ```
//! use xtask::{Plan, Variant};
//!
//! let plan = Plan::new("linux", "x86_64", Variant::Cpu)?;
//! assert_eq!(plan.wheels[0].project(), "torch");
//! assert!(plan.fetched_bytes() < 600_000_000);
//! # Ok::<(), anyhow::Error>(())
//! ```

mod cargo;
mod fuzz;
mod peers;
mod pip;
mod plan;
mod setup;

pub use cargo::{become_cargo, forget_builds};
pub use fuzz::fuzz;
pub use peers::Peers;
pub use plan::{Plan, Variant, Wheel};
pub use setup::{Outcome, setup};
