//! The weights file of a run, read without libtorch.

use std::{collections::BTreeMap, fmt::Debug, fs, path::Path};

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
    pub(crate) tensors: BTreeMap<String, Values>,
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
        let modules =
            (1..=11).contains(&stages.len()) && stages.iter().all(|modules| (1..=1_000).contains(modules));
        expect(modules, "stages", "1 to 11 numbers from 1 to 1000", stages)?;
        let channels =
            filters.len() == stages.len() + 1 && filters.iter().all(|filters| (1..=16_384).contains(filters));
        expect(channels, "filters", "one number more than `stages`, each from 1 to 16384", filters)?;
        let bottlenecks = filters.iter().skip(1).all(|filters| filters.is_multiple_of(4));
        expect(bottlenecks, "filters", "multiples of 4 after the first", filters)?;
        // NaN is in no range.
        expect(*bn_eps > 0.0 && *bn_eps <= 1.0, "bn_eps", "above 0 and at most 1", bn_eps)
    }

    /// Refuses a network that its description does not fit.
    fn check_against(&self, Description { classes, image, .. }: &Description) -> Result<(), String> {
        let told = |what: String| format!("{what} by its description");
        let Self { classes: outputs, input_size, .. } = self;
        expect(*outputs == classes.len(), "classes", &told(classes.len().to_string()), outputs)?;
        let pixels = image.pixels;
        expect(*input_size == pixels as usize, "input_size", &told(pixels.to_string()), input_size)
    }
}

/// Refuses a setting of the network that is not as it has to be.
fn expect(holds: bool, field: &str, expected: &str, found: &dyn Debug) -> Result<(), String> {
    if holds {
        Ok(())
    } else {
        Err(format!("`{field}` of its network: expected {expected}, found {found:?}"))
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
struct Version {
    format: u64,
}

#[derive(Deserialize)]
struct Header {
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
        let foreign = |error: serde_json::Error| format!("its description: {error}");
        // The version alone first: a later format may have another header.
        let Version { format } = serde_json::from_str(header).map_err(foreign)?;
        if format != FORMAT {
            return Err(format!(
                "expected format version {FORMAT}, found {format}: a later one needs a later version of this program"
            ));
        }
        let Header { config: shape, metadata } = serde_json::from_str(header).map_err(foreign)?;
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
        shape.check_against(&description)?;
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
        Ok(Self { shape, tensors, description, sha256: sha256(bytes) })
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

/// In hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
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
    fn networks_that_cannot_be_are_refused_by_the_name_of_the_setting() {
        for (good, bad, words) in [
            // A convolution without channels would divide by their number.
            ("[8,16,24]", "[0,16,24]", "`filters` of its network: expected one number more than `stages`"),
            ("[8,16,24]", "[8,16,22]", "expected multiples of 4 after the first, found [8, 16, 22]"),
            ("[8,16,24]", "[8,16  ] ", "found [8, 16]"),
            ("[1,2]", "[0,2]", "`stages`"),
            ("0.00002", "-0.0002", "`bn_eps`"),
            (
                r#"\"classes\":2"#,
                r#"\"classes\":3"#,
                "`classes` of its network: expected 2 by its description, found 3",
            ),
            (r#"\"input_size\":32"#, r#"\"input_size\":40"#, "`input_size`"),
        ] {
            let said = refusal(good, bad);
            assert!(said.contains(words), "{bad}: {said}");
        }
    }

    #[test]
    fn a_later_format_is_named_whatever_its_layout() {
        let said = refusal(r#"\"format\":1,\"config\""#, r#"\"format\":2,\"konfig\""#);
        assert!(said.contains("expected format version 1, found 2"), "{said}");
    }
}
