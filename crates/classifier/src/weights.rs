use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, View, serialize};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tch::{Device, Tensor};

use crate::config::ResNetConfig;
use crate::error::{Error, Result};
use crate::resnet::{ResNet, check_shape, missing};

/// The version of the weights file that this code writes and reads.
pub const WEIGHTS_FORMAT: u32 = 1;

/// The one key in the safetensors metadata. All we have to say is one JSON value under it, because the
/// safetensors crate keeps metadata in a `HashMap` and writes several keys in a random order.
const KEY: &str = "malaria-resnet";

#[derive(Serialize, Deserialize)]
struct Header {
    format: u32,
    config: ResNetConfig,
    metadata: BTreeMap<String, String>,
    /// [`digest`] of the tensors; files from before it was written have none.
    #[serde(default)]
    tensors_sha256: Option<String>,
}

/// Saves `model` to `path` as safetensors, with its config and the caller's `metadata` (class names, positive
/// class, normalisation…) inside.
///
/// Kernels are written row-major, `[out, in, kh, kw]`, as float32. The same weights, config and metadata give
/// the same bytes. The file appears whole or not at all: it is written beside `path`, synced and renamed.
///
/// # Errors
/// [`Error::WeightsFile`] with the path around the [`Error::Io`], or around [`Error::NonFinite`] for weights
/// that have diverged: they would not load, and would replace a file that does.
pub fn save_weights(path: &Path, model: &ResNet, metadata: &BTreeMap<String, String>) -> Result<()> {
    model
        .state()
        .and_then(|state| encode(model.config(), &state, metadata))
        .and_then(|bytes| write(path, &bytes))
        .map_err(|e| e.in_file(path))
}

/// Saves a [`state`](ResNet::state) taken earlier from a model of this `config`, as [`save_weights`] does.
///
/// # Errors
/// Those of [`save_weights`] and of [`ResNet::load_state`], inside [`Error::WeightsFile`].
pub fn save_state(
    path: &Path,
    config: &ResNetConfig,
    state: &[(String, Tensor)],
    metadata: &BTreeMap<String, String>,
) -> Result<()> {
    let save = || {
        let model = ResNet::new(config, 0, Device::Cpu)?;
        model.load_state(state)?;
        write(path, &encode(config, &model.state()?, metadata)?)
    };
    save().map_err(|error| error.in_file(path))
}

/// Loads the model that [`save_weights`] wrote to `path` onto `device`, and the metadata saved with it.
///
/// # Errors
/// [`Error::WeightsFile`] with the path around what is wrong: [`Error::Io`], [`Error::NotSafetensors`] for a truncated
/// file or one of another kind, [`Error::Foreign`] for one that is not ours, [`Error::FormatVersion`], [`Error::Config`],
/// [`Error::Damaged`], [`Error::NonFinite`], or the errors of [`ResNet::load_state`] for tensors that do not fit the config.
pub fn load_weights(path: &Path, device: Device) -> Result<(ResNet, BTreeMap<String, String>)> {
    fs::read(path)
        .map_err(|source| Error::Io { action: "read", source })
        .and_then(|bytes| decode_weights(&bytes, device))
        .map_err(|error| error.in_file(path))
}

/// [`load_weights`] for a file that is in memory already: weights carried inside a program.
///
/// # Errors
/// Those of [`load_weights`], without a path around them.
pub fn decode_weights(bytes: &[u8], device: Device) -> Result<(ResNet, BTreeMap<String, String>)> {
    let broken = |error: safetensors::SafeTensorError| Error::NotSafetensors { reason: error.to_string() };
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(broken)?;
    let Header { config, metadata, tensors_sha256, .. } =
        read_header(metadata.metadata().as_ref().and_then(|map| map.get(KEY)))?;
    let file = SafeTensors::deserialize(bytes).map_err(broken)?;

    let mut left: BTreeMap<_, _> = file.iter().collect();
    let found = digest(left.iter().map(|(&name, view)| (name, view.data())));
    let model = ResNet::build(&config, device, &mut |slot| {
        let view = left.remove(slot.name.as_str()).ok_or_else(|| missing(&slot.name, &slot.shape))?;
        let shape: Vec<i64> = view.shape().iter().map(|&side| side as i64).collect();
        check_shape(&slot.name, &slot.shape, &shape)?;
        if view.dtype() != Dtype::F32 {
            return Err(Error::ElementType { name: slot.name.clone(), found: view.dtype().to_string() });
        }
        let values: Vec<f32> =
            view.data().as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
        check_finite(&slot.name, &values)?;
        let tensor = Tensor::f_from_slice(&values).and_then(|tensor| tensor.f_view(slot.shape.as_slice()));
        tensor.map_err(Error::torch(format!("make tensor `{}`", slot.name)))
    })?;
    if let Some(name) = left.into_keys().next() {
        return Err(Error::UnexpectedTensor { name: name.to_owned() });
    }
    match tensors_sha256.filter(|expected| *expected != found) {
        Some(expected) => Err(Error::Damaged { expected, found }),
        None => Ok((model, metadata)),
    }
}

fn encode(
    config: &ResNetConfig,
    state: &[(String, Tensor)],
    metadata: &BTreeMap<String, String>,
) -> Result<Vec<u8>> {
    let tensors = state
        .iter()
        .map(|(name, tensor)| Ok((name.as_str(), Bytes::of(name, tensor)?)))
        .collect::<Result<BTreeMap<_, _>>>()?;
    let header = Header {
        format: WEIGHTS_FORMAT,
        config: config.clone(),
        metadata: metadata.clone(),
        tensors_sha256: Some(digest(tensors.iter().map(|(&name, bytes)| (name, &*bytes.data)))),
    };
    let header = serde_json::to_string(&header).map_err(not_written)?;
    serialize(tensors, Some(HashMap::from([(KEY.to_owned(), header)]))).map_err(not_written)
}

/// SHA-256 of tensors, given in the order of their names, in hexadecimal: of each its name, a zero byte and its values. A file in which
/// a few bits have turned still reads, and would call cells otherwise.
fn digest<'a>(tensors: impl Iterator<Item = (&'a str, &'a [u8])>) -> String {
    let mut hash = Sha256::new();
    for (name, bytes) in tensors {
        hash.update(name);
        hash.update([0]);
        hash.update(bytes);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn not_written(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Io { action: "encode", source: std::io::Error::other(error) }
}

/// A float32 tensor as safetensors wants it.
struct Bytes {
    shape: Vec<usize>,
    data: Vec<u8>,
}

impl Bytes {
    fn of(name: &str, tensor: &Tensor) -> Result<Self> {
        let torch = |source| Error::Torch { action: format!("read tensor `{name}`"), source };
        let values = Vec::<f32>::try_from(tensor.f_flatten(0, -1).map_err(torch)?).map_err(torch)?;
        check_finite(name, &values)?;
        Ok(Self {
            shape: tensor.size().into_iter().map(|side| side as usize).collect(),
            data: values.into_iter().flat_map(f32::to_le_bytes).collect(),
        })
    }
}

impl View for Bytes {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.data)
    }

    fn data_len(&self) -> usize {
        self.data.len()
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    malaria_files::write(path, bytes).map_err(|source| Error::Io { action: "write", source })
}

fn read_header(json: Option<&String>) -> Result<Header> {
    let expected = || format!("a format version and a model config under `{KEY}` in its metadata");
    let json =
        json.ok_or_else(|| Error::Foreign { expected: expected(), found: "no such key".to_owned() })?;
    let foreign =
        |error: serde_json::Error| Error::Foreign { expected: expected(), found: error.to_string() };
    // The version alone first: a later format may have another header.
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

fn check_finite(name: &str, values: &[f32]) -> Result<()> {
    if values.iter().all(|value| value.is_finite()) {
        return Ok(());
    }
    Err(Error::NonFinite { name: name.to_owned() })
}
