//! The weights file: a safetensors file whose one metadata entry says what the network is and how it is used.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    fs,
    path::Path,
};

use safetensors::{
    SafeTensors,
    tensor::{Dtype, View, serialize},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    description::Description,
    error::{Error, Result},
    network::ResNetConfig,
};

/// The version of the weights file that this code writes and reads.
pub const WEIGHTS_FORMAT: u32 = 2;

/// The one key in the safetensors metadata. All we have to say is one JSON value under it, because the
/// safetensors crate keeps metadata in a `HashMap` and writes several keys in a random order.
const KEY: &str = "malaria-resnet";

/// A trained network: its shape, how it is used, and its tensors.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    /// The shape of the network.
    pub network: ResNetConfig,
    /// Classes, decision threshold, preparation of pictures.
    pub description: Description,
    /// Parameters and running statistics by name.
    pub tensors: BTreeMap<String, WeightTensor>,
}

/// A float32 tensor of a [`Weights`], row by row: kernels are `[out, in, kh, kw]`.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightTensor {
    /// Its sides.
    pub shape: Vec<usize>,
    /// As many values as the sides multiply to.
    pub values: Vec<f32>,
}

/// A [`Weights`] read from a file, and the hash that names the file.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightsFile {
    /// What the file holds.
    pub weights: Weights,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: String,
}

/// The JSON value under [`KEY`].
#[derive(Serialize, Deserialize)]
struct Header {
    format: u32,
    network: ResNetConfig,
    description: Description,
    /// [`digest`] of the tensors.
    tensors_sha256: String,
}

impl WeightsFile {
    /// Reads the weights file `path`.
    ///
    /// # Errors
    /// [`Error::WeightsFile`] with the path around what is wrong: an [`Error::File`], or what [`WeightsFile::decode`] finds.
    pub fn read(path: &Path) -> Result<Self> {
        fs::read(path)
            .map_err(|source| malaria_files::Error::io("read", path)(source).into())
            .and_then(|bytes| Self::decode(&bytes))
            .map_err(|error| error.in_file(path))
    }

    /// Reads a weights file that is in memory.
    ///
    /// # Errors
    /// [`Error::NotSafetensors`] for a truncated file or one of another kind, [`Error::Foreign`] for one that is not ours,
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
        Ok(Self { weights, sha256: base16ct::lower::encode_string(&Sha256::digest(bytes)) })
    }
}

impl Weights {
    /// Writes the weights file `path`. It appears whole or not at all.
    ///
    /// # Errors
    /// [`Error::WeightsFile`] with the path around an [`Error::File`], or around what [`Weights::encode`] refuses: such weights
    /// would not load, and would replace a file that does.
    pub fn write(&self, path: &Path) -> Result<()> {
        let written = self.encode().and_then(|bytes| {
            let io = malaria_files::Error::io("write", path);
            Ok(malaria_files::write(path, &bytes).map_err(io)?)
        });
        written.map_err(|error| error.in_file(path))
    }

    /// The weights file as bytes: the same for the same weights and description.
    ///
    /// # Errors
    /// [`Error::Network`] and [`Error::Description`] where these do not check; [`Error::NonFinite`] for weights that have
    /// diverged.
    pub fn encode(&self) -> Result<Vec<u8>> {
        self.network.check()?;
        self.description.check_for(&self.network)?;
        self.tensors.iter().try_for_each(|(name, tensor)| check_finite(name, &tensor.values))?;
        let header = Header {
            format: WEIGHTS_FORMAT,
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
    // The version alone first: another format may have another header.
    #[derive(Deserialize)]
    struct Version {
        format: u64,
    }
    let Version { format } = serde_json::from_str(json).map_err(foreign)?;
    if format != u64::from(WEIGHTS_FORMAT) {
        return Err(Error::FormatVersion { expected: WEIGHTS_FORMAT, found: format });
    }
    serde_json::from_str(json).map_err(foreign)
}

/// SHA-256 of tensors in the order of their names, in hexadecimal: of each its name, a zero byte and its values. A file in which
/// a few bits have turned still reads, and would classify cells differently.
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
