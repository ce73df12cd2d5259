//! What can go wrong.

use tch::{Kind, TchError};

/// Why a configuration was refused or a batch could not be augmented.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting lies outside its range.
    #[error("augmentation setting `{field}`: expected {expected}, found {found}; change it, or leave it out")]
    Config {
        /// The field of [`AugmentConfig`](crate::AugmentConfig).
        field: &'static str,
        /// The range that it has to lie in.
        expected: &'static str,
        /// The value that it has.
        found: String,
    },

    /// The batch is not a stack of RGB images.
    #[error("augmentation takes a batch of shape [N, 3, H, W] with H and W of 1 or more, found {found:?}")]
    Shape {
        /// The shape of the batch.
        found: Vec<i64>,
    },

    /// The batch does not hold floats that coordinates can be computed in.
    #[error(
        "augmentation takes a batch of kind Float or Double in [0, 1], found {found:?}; convert the batch first"
    )]
    Kind {
        /// The kind of the batch.
        found: Kind,
    },

    /// There is not one draw for each image.
    #[error("augmentation takes one draw for each image, found {draws} draws for {images} images")]
    ParamsCount {
        /// Images in the batch.
        images: usize,
        /// Draws that came with it.
        draws: usize,
    },

    /// A draw holds a NaN or an infinite value.
    #[error(
        "draw {index} of the batch: expected finite values, found `{field}` = {found}; check the configuration"
    )]
    Params {
        /// Position in the batch, from 0.
        index: usize,
        /// The field of [`AugmentParams`](crate::AugmentParams).
        field: &'static str,
        /// The value that it has.
        found: f64,
    },

    /// libtorch refused an operation, for want of memory as a rule.
    #[error("libtorch failed while augmenting a batch: {0}")]
    Torch(#[from] TchError),
}
