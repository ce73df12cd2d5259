//! The pre-activation bottleneck ResNet, its initialisation and its weights file.
//!
//! Place in the flow: a ground crate, beside dataset, augment and metrics. It takes batches of images
//! `[N, 3, H, W]`, float32 in [0, 1], and gives logits `[N, classes]`. Training, evaluation and export stand above it
//! and reach the weights through [`ResNet::parameters`] and [`ResNet::state`], or through the file of
//! [`save_weights`], [`load_weights`] and [`decode_weights`].
//!
//! ```
//! use malaria_model::{ResNet, ResNetConfig};
//! use tch::{Device, Kind, Tensor};
//!
//! let config = ResNetConfig { stages: vec![1, 1], filters: vec![8, 16, 32], ..ResNetConfig::tutorial() };
//! let model = ResNet::new(&config, 42, Device::Cpu)?;
//! let images = Tensor::zeros([5, 3, 64, 64], (Kind::Float, Device::Cpu));
//! assert_eq!(model.forward(&images, false)?.size(), [5, 2]);
//! # Ok::<(), malaria_model::Error>(())
//! ```

// Not called: what it links makes the programs above find libtorch, and its CUDA half, when they run.
use malaria_libtorch as _;

mod block;
mod config;
mod error;
mod fused;
mod init;
mod resnet;
mod weights;

pub use config::ResNetConfig;
pub use error::{Error, Result};
pub use fused::Fused;
pub use resnet::{Parameter, ResNet, Role};
pub use weights::{WEIGHTS_FORMAT, decode_weights, load_weights, save_state, save_weights};
