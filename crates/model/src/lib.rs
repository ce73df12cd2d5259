//! The pre-activation bottleneck ResNet, its initialisation and its weights file.
//!
//! The network maps images `[N, 3, H, W]`, float32 in [0, 1], to logits `[N, classes]`. Its settings and the layout of its
//! weights file are defined in `malaria-classifier`, below this crate. Training and evaluation, above it, access the weights
//! through [`ResNet::parameters`] and [`ResNet::state`], or as a file through [`save_weights`], [`load_weights`] and
//! [`decode_weights`].
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

// Not called: it links libtorch with its CUDA part and lets programs find it at run time.
use malaria_libtorch as _;

mod block;
mod error;
mod fused;
mod init;
mod parameter;
mod resnet;
mod weights;

pub use error::{Error, Result};
pub use fused::Fused;
pub use malaria_classifier::ResNetConfig;
pub use parameter::{Parameter, Role};
pub use resnet::ResNet;
pub use weights::{decode_weights, load_weights, save_weights};
