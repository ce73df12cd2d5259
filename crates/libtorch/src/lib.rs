//! Links libtorch, chooses the device and the number of threads, and provides functions of libtorch that tch lacks.
//!
//! Every crate that computes with tensors depends on this one. Its build script lets them find libtorch at build time and at
//! run time.
//!
//! ```
//! use malaria_libtorch::{DeviceChoice, describe};
//!
//! let choice: DeviceChoice = "auto".parse()?;
//! let device = choice.resolve()?;
//! assert!(!describe(device).is_empty());
//!
//! let sum = tch::Tensor::from_slice(&[1.0_f32, 2.0]).to_device(device).sum(tch::Kind::Float);
//! assert_eq!(sum.double_value(&[]), 3.0);
//! # Ok::<(), malaria_libtorch::Error>(())
//! ```

mod device;
mod error;
mod graph;
mod memory;
mod norm_relu;
mod packed_conv;
mod shim;
mod waiting;

pub use device::{DeviceChoice, describe, set_threads, threads};
pub use error::Error;
pub use graph::Graph;
pub use malaria_libtorch_locate::LIBTORCH_VERSION;
pub use memory::keep_freed_memory;
pub use norm_relu::BatchNorm;
pub use packed_conv::PackedConv;
pub use shim::{allow_tf32, compute_alone, foreach, upload};
pub use waiting::AdaptiveWaits;
