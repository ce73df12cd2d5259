//! The weights file of a run, read without libtorch.

use std::{collections::BTreeMap, fs, path::Path};

use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

use crate::{Description, Error, Result};

/// Key of the one entry in the file's metadata, as `malaria-model` writes it, and the version of its layout.
const KEY: &str = "malaria-resnet";
const FORMAT: u64 = 1;

/// A trained network: its shape, its tensors and what it says of itself.
pub struct Weights {
    pub(crate) shape: NetworkShape,
    tensors: BTreeMap<String, Values>,
    pub(crate) description: Description,
    /// SHA-256 of the file, in hexadecimal.
    pub(crate) sha256: String,
}

/// What of the network's settings inference depends on; see `malaria_model::ResNetConfig`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct NetworkShape {
    pub(crate) classes: usize,
    pub(crate) stages: Vec<usize>,
    pub(crate) filters: Vec<usize>,
    pub(crate) input_size: usize,
    pub(crate) bn_eps: f64,
}

impl NetworkShape {
    /// Refuses what `malaria_model::ResNetConfig` refuses, but for the size of the input.
    fn check(&self) -> Result<(), String> {
        let Self { stages, filters, bn_eps, .. } = self;
        let counts = (1..=16).contains(&stages.len()) && filters.len() == stages.len() + 1;
        let modules = stages.iter().all(|modules| (1..=1_000).contains(modules));
        let channels = filters.iter().all(|filters| (1..=16_384).contains(filters));
        let bottlenecks = filters.iter().skip(1).all(|filters| filters.is_multiple_of(4));
        // NaN is in no range.
        let eps = *bn_eps > 0.0 && *bn_eps <= 1.0;
        if !(counts && modules && channels && bottlenecks && eps) {
            return Err(format!("a network that makes no sense: {self:?}"));
        }
        Ok(())
    }
}

/// A tensor in float64, row by row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Values {
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Vec<f64>,
}

impl Values {
    /// Multiplies the weights of each input channel, the second side of the shape, by its scale.
    pub(crate) fn scale_inputs(&mut self, scales: &[f64]) {
        let each = self.shape[2..].iter().product();
        for (values, scale) in self.values.chunks_mut(each).zip(scales.iter().cycle()) {
            values.iter_mut().for_each(|value| *value *= scale);
        }
    }
}

#[derive(Deserialize)]
struct Header {
    format: u64,
    config: NetworkShape,
    metadata: BTreeMap<String, String>,
}

impl Weights {
    /// Reads `weights.safetensors` of a run directory.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Weights`].
    pub fn read(path: &Path) -> Result<Self> {
        let bytes =
            fs::read(path).map_err(|source| Error::Io { action: "read", path: path.into(), source })?;
        Self::decode(&bytes).map_err(|reason| Error::Weights { path: path.into(), reason })
    }

    fn decode(bytes: &[u8]) -> Result<Self, String> {
        let broken = |error: safetensors::SafeTensorError| error.to_string();
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(broken)?;
        let header = metadata.metadata().as_ref().and_then(|map| map.get(KEY));
        let header = header.ok_or_else(|| format!("no `{KEY}` in its metadata"))?;
        let Header { format, config: shape, metadata } =
            serde_json::from_str(header).map_err(|error| format!("its description: {error}"))?;
        if format != FORMAT {
            return Err(format!("expected format version {FORMAT}, found {format}"));
        }
        shape.check()?;
        let description = Description {
            classes: field(&metadata, "classes")?,
            positive: field(&metadata, "positive")?,
            image: field(&metadata, "image")?,
            input: optional(&metadata, "input")?,
            threshold: optional(&metadata, "threshold")?,
            temperature: optional(&metadata, "temperature")?,
        };
        description.check()?;
        if description.classes.len() != shape.classes || description.image.pixels as usize != shape.input_size
        {
            return Err(format!("{description:?} does not fit the network {shape:?}"));
        }
        let file = SafeTensors::deserialize(bytes).map_err(broken)?;
        let mut tensors = BTreeMap::new();
        for (name, view) in file.iter() {
            if view.dtype() != Dtype::F32 {
                return Err(format!("tensor `{name}`: expected float32, found {}", view.dtype()));
            }
            let values = view.data().as_chunks().0.iter().map(|&bytes| f64::from(f32::from_le_bytes(bytes)));
            let values: Vec<f64> = values.collect();
            if values.iter().any(|value| !value.is_finite()) {
                return Err(format!("tensor `{name}` holds values that are no numbers"));
            }
            tensors.insert(name.to_owned(), Values { shape: view.shape().to_vec(), values });
        }
        let sha256 = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { shape, tensors, description, sha256 })
    }

    /// What the model says of itself.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// The tensor `name`, which has to have this `shape`.
    pub(crate) fn tensor(&self, name: &str, shape: &[usize]) -> Result<Values, String> {
        match self.tensors.get(name) {
            None => Err(format!("tensor `{name}` is missing")),
            Some(found) if found.shape != shape => {
                Err(format!("tensor `{name}`: expected shape {shape:?}, found {:?}", found.shape))
            }
            Some(found) => Ok(found.clone()),
        }
    }
}

fn field<T: DeserializeOwned>(metadata: &BTreeMap<String, String>, name: &str) -> Result<T, String> {
    let text = metadata.get(name).ok_or_else(|| format!("no `{name}` in its description"))?;
    serde_json::from_str(text).map_err(|error| format!("`{name}` in its description: {error}"))
}

/// As [`field`], but `None` where the file is older than the field.
fn optional<T: DeserializeOwned>(
    metadata: &BTreeMap<String, String>,
    name: &str,
) -> Result<Option<T>, String> {
    if metadata.contains_key(name) { field(metadata, name) } else { Ok(None) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of the fixture's weights with `good` in their header replaced by `bad`, which is as long.
    fn refusal(good: &str, bad: &str) -> String {
        assert_eq!(good.len(), bad.len());
        let mut bytes =
            fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tiny.safetensors")).unwrap();
        let at = bytes.windows(good.len()).position(|found| found == good.as_bytes()).unwrap();
        bytes[at..at + bad.len()].copy_from_slice(bad.as_bytes());
        Weights::decode(&bytes).err().unwrap()
    }

    #[test]
    fn networks_that_cannot_be_are_refused() {
        for (good, bad) in [
            // A convolution without channels would divide by their number.
            ("[8,16,24]", "[0,16,24]"),
            ("[8,16,24]", "[8,16,22]"),
            ("[8,16,24]", "[8,16  ] "),
            ("[1,2]", "[0,2]"),
            ("0.00002", "-0.0002"),
        ] {
            let said = refusal(good, bad);
            assert!(said.contains("makes no sense"), "{bad}: {said}");
        }
    }
}
