//! The weights file: safetensors with the network's settings and description as one metadata entry.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    fs,
    path::Path,
};

use malaria_dataset::Fingerprint;
use safetensors::{
    SafeTensors,
    tensor::{Dtype, View, serialize},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    description::Description,
    error::{Error, Result},
    network_config::ResNetConfig,
};

/// The version of the weights file that this code writes and reads.
pub const WEIGHTS_FORMAT: u32 = 4;

/// The only key in the safetensors metadata, with one JSON value: the safetensors crate keeps metadata in a `HashMap` and would
/// write several keys in random order.
const KEY: &str = "malaria-resnet";

/// A trained network: its settings, description and tensors.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    /// Settings of the network.
    pub network: ResNetConfig,
    /// Classes, input size, decision threshold and smear rule.
    pub description: Description,
    /// Parameters and running statistics by name.
    pub tensors: BTreeMap<String, WeightTensor>,
}

/// A float32 tensor of [`Weights`], row by row; kernels are `[out, in, kh, kw]`.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightTensor {
    /// The shape.
    pub shape: Vec<usize>,
    /// The values, as many as the product of the shape.
    pub values: Vec<f32>,
}

/// [`Weights`] read from a file, with the file's hash.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightsFile {
    /// Contents of the file.
    pub weights: Weights,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: String,
    /// SHA-256 of the tensors, in hexadecimal: the same after a change of the description.
    pub tensors_sha256: String,
}

/// The JSON value under [`KEY`].
#[derive(Serialize, Deserialize)]
struct Header {
    format_version: u32,
    network: ResNetConfig,
    description: Description,
    /// [`digest`] of the tensors.
    tensors_sha256: String,
}

impl WeightsFile {
    /// Reads the weights file `path`.
    ///
    /// # Errors
    /// [`Error::WeightsFile`] with the path around an [`Error::File`] or an error of [`WeightsFile::decode`].
    pub fn read(path: &Path) -> Result<Self> {
        fs::read(path)
            .map_err(|source| malaria_files::Error::io("read", path)(source).into())
            .and_then(|bytes| Self::decode(&bytes))
            .map_err(|error| error.in_file(path))
    }

    /// Decodes the bytes of a weights file.
    ///
    /// # Errors
    /// [`Error::NotSafetensors`] for a truncated file or one of another kind, [`Error::Foreign`] for one of another project,
    /// [`Error::FormatVersion`], [`Error::Network`], [`Error::Description`], [`Error::ElementType`], [`Error::NonFinite`] and
    /// [`Error::Damaged`].
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let broken =
            |error: safetensors::SafeTensorError| Error::NotSafetensors { reason: error.to_string() };
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(broken)?;
        let header = read_header(metadata.metadata().as_ref().and_then(|map| map.get(KEY)))?;
        header.network.check()?;
        header.description.check_for(&header.network)?;
        let file = SafeTensors::deserialize(bytes).map_err(broken)?;
        let mut tensors = BTreeMap::new();
        for (name, view) in file.iter() {
            if view.dtype() != Dtype::F32 {
                return Err(Error::ElementType { name: name.to_owned(), found: view.dtype().to_string() });
            }
            let values: Vec<f32> =
                view.data().as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
            check_finite(name, &values)?;
            tensors.insert(name.to_owned(), WeightTensor { shape: view.shape().to_vec(), values });
        }
        let (expected, found) = (header.tensors_sha256, digest(&tensors));
        if expected != found {
            return Err(Error::Damaged { expected, found });
        }
        let weights = Weights { network: header.network, description: header.description, tensors };
        Ok(Self { weights, sha256: Fingerprint::of(bytes).hex(), tensors_sha256: found })
    }
}

impl Weights {
    /// Writes the weights file `path`. It appears whole or not at all.
    ///
    /// # Errors
    /// [`Error::WeightsFile`] with the path around an [`Error::File`] or an error of [`Weights::encode`]: weights that
    /// cannot be loaded must not replace a file that can.
    pub fn write(&self, path: &Path) -> Result<()> {
        let written = self.encode().and_then(|bytes| {
            let io = malaria_files::Error::io("write", path);
            Ok(malaria_files::write(path, &bytes).map_err(io)?)
        });
        written.map_err(|error| error.in_file(path))
    }

    /// The bytes of the weights file: the same for the same weights and description.
    ///
    /// # Errors
    /// [`Error::Network`] and [`Error::Description`] for invalid settings; [`Error::NonFinite`] for weights that have diverged.
    pub fn encode(&self) -> Result<Vec<u8>> {
        self.network.check()?;
        self.description.check_for(&self.network)?;
        self.tensors.iter().try_for_each(|(name, tensor)| check_finite(name, &tensor.values))?;
        let header = Header {
            format_version: WEIGHTS_FORMAT,
            network: self.network.clone(),
            description: self.description.clone(),
            tensors_sha256: digest(&self.tensors),
        };
        let header = serde_json::to_string(&header).map_err(|error| Error::Encode(error.to_string()))?;
        serialize(self.tensors.iter(), Some(HashMap::from([(KEY.to_owned(), header)])))
            .map_err(|error| Error::Encode(error.to_string()))
    }
}

impl View for &WeightTensor {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        self.values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    fn data_len(&self) -> usize {
        4 * self.values.len()
    }
}

fn read_header(json: Option<&String>) -> Result<Header> {
    let expected =
        || format!("a format version, a network and its description under `{KEY}` in its metadata");
    let json =
        json.ok_or_else(|| Error::Foreign { expected: expected(), found: "no such key".to_owned() })?;
    let foreign =
        |error: serde_json::Error| Error::Foreign { expected: expected(), found: error.to_string() };
    // The version first, since another format may have another header.
    #[derive(Deserialize)]
    struct Version {
        // Its name before version 3 of the format.
        #[serde(alias = "format")]
        format_version: u64,
    }
    let Version { format_version } = serde_json::from_str(json).map_err(foreign)?;
    if format_version != u64::from(WEIGHTS_FORMAT) {
        return Err(Error::FormatVersion { expected: WEIGHTS_FORMAT, found: format_version });
    }
    serde_json::from_str(json).map_err(foreign)
}

/// SHA-256 of the name, a zero byte and the values of each tensor, in the order of names, in hexadecimal. It detects flipped
/// bits, with which the file would still load but classify cells differently.
fn digest(tensors: &BTreeMap<String, WeightTensor>) -> String {
    let mut hash = Sha256::new();
    for (name, tensor) in tensors {
        hash.update(name);
        hash.update([0]);
        tensor.values.iter().for_each(|value| hash.update(value.to_le_bytes()));
    }
    base16ct::lower::encode_string(&hash.finalize())
}

fn check_finite(name: &str, values: &[f32]) -> Result<()> {
    if values.iter().all(|value| value.is_finite()) {
        return Ok(());
    }
    Err(Error::NonFinite { name: name.to_owned() })
}
