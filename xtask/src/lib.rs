//! `cargo xtask`: provisions libtorch, then calls cargo.
//!
//! Beside the workspace's other crates, not in their flow: nothing depends on it, and it does not compute. It takes the
//! pinned libtorch out of PyTorch's wheels, so that everything else is plain cargo:
//! which wheels (`wheels`, `plan`) -> fetched (`pip`) -> checked and unpacked (`unpack`) -> put in place (`place`);
//! `setup` is the thread through these. `peers` measures other libraries beside ours, and
//! `fuzz` damages files for whoever reads them.
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
mod interrupt;
mod peers;
mod pip;
mod place;
mod plan;
mod setup;
mod unpack;
mod wheels;

pub use cargo::{become_cargo, forget_builds};
pub use fuzz::fuzz;
pub use peers::Peers;
pub use pip::Pip;
pub use place::{Held, Partial, Place, megabytes};
pub use plan::{Plan, Variant, Wheel};
pub use setup::{Outcome, Request, is_own, setup, setup_with};
pub use unpack::{unpack, verify};
