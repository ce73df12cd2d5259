//! Names in an exported file, and how its weights are stored.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Key of our own entry in the model's metadata: a [`Description`] and an [`Origin`] in JSON, and the version of their layout.
pub(crate) const KEY: &str = "malaria-resnet";
/// Names of the network's input and output.
pub(crate) const INPUT: &str = "images";
pub(crate) const OUTPUT: &str = "probabilities";

/// How the weights of convolutions and of the dense layer are stored. Everything is computed in float32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
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

    /// `f32`, `f16` or `int8`.
    pub fn name(self) -> &'static str {
        match self {
            WeightFormat::F32 => "f32",
            WeightFormat::F16 => "f16",
            WeightFormat::Int8 => "int8",
        }
    }
}

impl std::fmt::Display for WeightFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

impl std::str::FromStr for WeightFormat {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let known = Self::ALL.into_iter().find(|format| format.name() == name);
        known.ok_or_else(|| Error::UnknownWeightFormat { found: name.to_owned() })
    }
}
