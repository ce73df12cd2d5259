//! The formats in which an exported file stores its weights.

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// How the weights of convolutions and of the dense layer are stored. Everything is computed in float32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[derive(strum::Display, strum::EnumString)]
#[strum(serialize_all = "lowercase", parse_err_ty = Error, parse_err_fn = unknown_format)]
pub enum WeightFormat {
    /// Four bytes each.
    F32,
    /// Two bytes each.
    F16,
    /// One byte each, with a scale for each output channel.
    Int8,
}

impl WeightFormat {
    /// All three.
    pub const ALL: [Self; 3] = [Self::F32, Self::F16, Self::Int8];
}

fn unknown_format(found: &str) -> Error {
    Error::UnknownWeightFormat { found: found.to_owned() }
}
