//! The errors of this crate.

use tch::{Kind, TchError};

/// An invalid configuration, or a batch that could not be augmented.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting lies outside its range.
    #[error("augmentation setting `{field}`: expected {expected}, found {found}; change it or omit it")]
    Config {
        /// The field of [`AugmentConfig`](crate::AugmentConfig).
        field: &'static str,
        /// The allowed range.
        expected: &'static str,
        /// The value found.
        found: String,
    },

    /// The batch is not a stack of RGB images.
    #[error("augmentation takes a batch of shape [N, 3, H, W] with H and W of 1 or more, found {found:?}")]
    Shape {
        /// The shape of the batch.
        found: Vec<i64>,
    },

    /// The batch is neither float32 nor float64.
    #[error(
        "augmentation takes a batch of kind Float or Double in [0, 1], found {found:?}; convert the batch first"
    )]
    Kind {
        /// The kind of the batch.
        found: Kind,
    },

    /// The number of parameters differs from the number of images.
    #[error("augmentation takes one set of parameters per image, found {params} for {images} images")]
    ParamsCount {
        /// Images in the batch.
        images: usize,
        /// Sets of parameters given.
        params: usize,
    },

    /// A parameter is NaN or infinite.
    #[error(
        "image {index} of the batch: expected finite augmentation parameters, found `{field}` = {found}; check the configuration"
    )]
    Params {
        /// Position in the batch, from 0.
        index: usize,
        /// The field of [`AugmentParams`](crate::AugmentParams).
        field: &'static str,
        /// The value found.
        found: f64,
    },

    /// A libtorch operation failed, usually because memory is short.
    #[error("libtorch failed while augmenting a batch: {0}")]
    Torch(#[from] TchError),
}
