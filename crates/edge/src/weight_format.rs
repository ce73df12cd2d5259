//! Names in an exported file, and its weight formats.

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// Key of the project's entry in the model's metadata: a [`Description`](malaria_classifier::Description) and an
/// [`Origin`](crate::Origin) in JSON, and the version of their layout.
pub(crate) const KEY: &str = "malaria-resnet";
/// Names of the network's input and output.
pub(crate) const INPUT: &str = "images";
pub(crate) const OUTPUT: &str = "probabilities";

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
