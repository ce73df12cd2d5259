//! Seeded, batched image augmentation after Keras's `ImageDataGenerator`.
//!
//! It stands on the ground of the project, knows no other crate of it but the one that finds libtorch, and is used
//! by the training loop between loading a batch and the forward pass:
//!
//! 1. [`AugmentConfig`] states the ranges; [`AugmentConfig::tutorial`] is the recipe of the PyImageSearch tutorial.
//! 2. [`sample()`] turns the ranges into the [`AugmentParams`] of one image: a pure function of the seed, the epoch and the
//!    image's index, so neither batch size nor thread count nor call order can change what an image looks like.
//! 3. [`apply`] carries the draws of a batch out on the device where the batch lives: one bilinear resampling for
//!    everything geometric, one colour matrix an image for everything about colour.
//!
//! [`batch`] is 2 and 3 in one call.
//!
//! Resampling agrees with Keras 3's `apply_transform` (`fill_mode="nearest"`, `interpolation_order=1`) on square
//! images and with `scipy.ndimage.affine_transform` on all. On non-square images Keras itself turns about a point
//! that is not the centre, because it exchanges the two halves of the sides; this crate does not follow it there.
//!
//! ```
//! use malaria_augment::{AugmentConfig, batch};
//! use tch::{Device, Kind, Tensor};
//!
//! let config = AugmentConfig::tutorial();
//! config.check()?;
//! let images = Tensor::rand([2, 3, 16, 24], (Kind::Float, Device::Cpu)); // [N, 3, H, W] in [0, 1]
//!
//! let (seed, epoch) = (42, 0);
//! let augmented = batch(&images, &config, seed, epoch, &[7, 8])?;
//! assert_eq!(augmented.size(), [2, 3, 16, 24]);
//! assert_ne!(augmented, images);
//!
//! // The same image, alone in its batch, looks the same.
//! assert_eq!(batch(&images.narrow(0, 1, 1), &config, seed, epoch, &[8])?, augmented.narrow(0, 1, 1));
//! # Ok::<(), malaria_augment::Error>(())
//! ```

mod affine;
mod apply;
mod colour;
mod config;
mod error;
mod params;

pub use affine::affine;
pub use apply::{apply, batch};
pub use config::AugmentConfig;
pub use error::Error;
pub use params::{AugmentParams, sample};
