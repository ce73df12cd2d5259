//! Seeded, batched image augmentation after Keras's `ImageDataGenerator`.
//!
//! It depends on no crate of this project except `malaria-libtorch`. The training loop calls it between loading a
//! batch and the forward pass:
//!
//! 1. [`AugmentConfig`] contains the ranges; [`AugmentConfig::tutorial`] is the recipe of the PyImageSearch tutorial.
//! 2. [`sample()`] samples the [`AugmentParams`] of one image from these ranges: a pure function of the seed, the epoch
//!    and the image's index, independent of batch size, thread count and call order.
//! 3. [`apply`] applies the parameters of a batch on the batch's device: one bilinear resampling for all geometry, one
//!    colour matrix per image for all colour.
//!
//! [`batch`] does 2 and 3 in one call.
//!
//! A classifier trained on the cells of one laboratory may fail on another's. [`LaboratoryConfig`] has the ranges of these
//! differences: the stain and the cells' thickness, the microscope's focus, the camera's exposure, gamma, pixels, noise and
//! JPEG, and how cells are cut out. Stains are changed in optical density, where a dye's amount is a factor, and not in
//! CIELAB: both bring the cells of one laboratory equally close to those of another, but the powers that CIELAB needs are
//! slow, and libtorch's results for them depend on an image's position in the batch.
//!
//! Resampling agrees with Keras 3's `apply_transform` (`fill_mode="nearest"`, `interpolation_order=1`) on square
//! images and with `scipy.ndimage.affine_transform` on all. On non-square images Keras rotates about a point that is not
//! the centre, because it swaps half the width and half the height; this crate does not.
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
//! // The second image gives the same result in a separate batch.
//! assert_eq!(batch(&images.narrow(0, 1, 1), &config, seed, epoch, &[8])?, augmented.narrow(0, 1, 1));
//! # Ok::<(), malaria_augment::Error>(())
//! ```

mod affine;
mod apply;
mod colour;
mod config;
mod error;
mod images;
mod laboratory;
mod params;

pub use affine::affine;
pub use apply::{apply, batch};
pub use config::AugmentConfig;
pub use error::Error;
pub use laboratory::{LaboratoryConfig, LaboratoryParams};
pub use params::{AugmentParams, sample};
