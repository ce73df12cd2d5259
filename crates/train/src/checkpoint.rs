//! Checkpoints: the complete state of a training run in one file, verified by its SHA-256 when loaded.

use std::{
    collections::HashMap,
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use malaria_files::Error as FileError;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tch::{Device, Kind, Tensor};

use crate::{error::Error, network::State, run_state::Progress};

const NEWEST: &str = "checkpoint.safetensors";
const PREVIOUS: &str = "checkpoint.previous.safetensors";
const DAMAGED: &str = "checkpoint.damaged.safetensors";
/// Key of the only metadata entry: safetensors writes several in no fixed order.
const HEADER: &str = "malaria-train-checkpoint";
const FORMAT_VERSION: u32 = 2;

/// The content of a checkpoint.
pub(crate) struct Snapshot {
    pub(crate) progress: Progress,
    pub(crate) model: State,
    pub(crate) velocity: State,
    /// Empty if weights are not averaged.
    pub(crate) average: State,
    /// Empty before there is a best epoch.
    pub(crate) best_state: State,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    format_version: u32,
    run: String,
    sha256: String,
    progress: Progress,
}

#[derive(Deserialize)]
struct Version {
    format_version: u32,
}

/// The checkpoints of one run: the newest, and the one before it in case the newest is damaged.
///
/// A checkpoint is a safetensors file. It contains the identity of its run, so that a checkpoint of other settings or data
/// is refused, and a SHA-256 of its content, so that a damaged one is refused.
pub struct Checkpoints {
    folder: PathBuf,
    run: String,
}

impl Checkpoints {
    /// The checkpoints in `folder` of the run identified by `run`: a text, such as a hash of settings and data, that differs
    /// between runs that must not resume from each other's checkpoints.
    pub fn new(folder: &Path, run: &str) -> Self {
        Self { folder: folder.to_owned(), run: run.to_owned() }
    }

    /// The newest checkpoint's path, whether or not it exists yet.
    pub fn path(&self) -> PathBuf {
        self.folder.join(NEWEST)
    }

    /// Whether there is any checkpoint, valid or not.
    pub fn exist(&self) -> bool {
        [NEWEST, PREVIOUS].iter().any(|name| self.folder.join(name).exists())
    }

    /// Writes `snapshot` to a temporary file, syncs it, and only then renames the newest checkpoint to the previous one and
    /// the new one to the newest: at any moment at least one of the two names holds a valid checkpoint.
    pub(crate) fn save(&self, snapshot: &Snapshot) -> Result<(), Error> {
        let newest = self.path();
        let bytes = encode(snapshot, &self.run).map_err(|reason| damaged(&newest, reason))?;
        let mut file = malaria_files::temporary_file(&newest).map_err(FileError::io("write", &newest))?;
        let write = |file: &mut fs::File| file.write_all(&bytes).and_then(|()| file.sync_all());
        write(file.as_file_mut()).map_err(FileError::io("write", &newest))?;
        if newest.exists() {
            fs::rename(&newest, self.folder.join(PREVIOUS)).map_err(FileError::io("replace", &newest))?;
        }
        Ok(malaria_files::persist(file, &newest).map_err(FileError::io("write", &newest))?)
    }

    /// The newest valid checkpoint, its tensors on the CPU, and the reason why a newer one was skipped, if one was.
    ///
    /// A skipped checkpoint is renamed, so that the next save does not move it over the valid one.
    pub(crate) fn load(&self) -> Result<(Snapshot, Vec<String>), Error> {
        let mut reasons = Vec::new();
        for name in [NEWEST, PREVIOUS] {
            let path = self.folder.join(name);
            let read = match fs::read(&path) {
                Ok(bytes) => decode(&bytes, &self.run).map_err(|reason| damaged(&path, reason)),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                // A file that cannot be read now may be valid, so it is not renamed.
                Err(error) => return Err(FileError::io("read", &path)(error).into()),
            };
            match read {
                Ok(snapshot) => {
                    if !reasons.is_empty() {
                        let newest = self.path();
                        fs::rename(&newest, self.folder.join(DAMAGED))
                            .map_err(FileError::io("rename", &newest))?;
                    }
                    return Ok((snapshot, reasons));
                }
                Err(error) => reasons.push(error.to_string()),
            }
        }
        if reasons.is_empty() {
            reasons.push(format!("there is neither {NEWEST} nor {PREVIOUS}"));
        }
        Err(Error::NoCheckpoint { folder: self.folder.clone(), reasons })
    }
}

fn damaged(path: &Path, reason: String) -> Error {
    Error::Checkpoint { path: path.to_owned(), reason }
}

/// One tensor of the file: name, shape, float32 values as little-endian bytes.
type Entry = (String, Vec<usize>, Vec<u8>);

fn encode(snapshot: &Snapshot, run: &str) -> Result<Vec<u8>, String> {
    let mut entries: Vec<Entry> = Vec::new();
    for (part, state) in [
        ("model", &snapshot.model),
        ("velocity", &snapshot.velocity),
        ("average", &snapshot.average),
        ("best", &snapshot.best_state),
    ] {
        for (position, (name, tensor)) in state.iter().enumerate() {
            // The position keeps the order; the file format does not.
            let name = format!("{part}/{position:06}/{name}");
            let shape = tensor.size().iter().map(|&side| side as usize).collect();
            entries.push((name, shape, float_bytes(tensor)?));
        }
    }
    let progress = serde_json::to_string(&snapshot.progress).map_err(|error| error.to_string())?;
    let sha256 =
        digest(run, &progress, entries.iter().map(|(n, s, b)| (n.as_str(), s.as_slice(), b.as_slice())));
    let header = Header {
        format_version: FORMAT_VERSION,
        run: run.to_owned(),
        sha256,
        progress: snapshot.progress.clone(),
    };
    let header = serde_json::to_string(&header).map_err(|error| error.to_string())?;
    let views: Result<Vec<_>, _> = entries
        .iter()
        .map(|(name, shape, bytes)| {
            TensorView::new(Dtype::F32, shape.clone(), bytes).map(|view| (name, view))
        })
        .collect();
    let views = views.map_err(|error| error.to_string())?;
    safetensors::serialize(views, Some(HashMap::from([(HEADER.to_owned(), header)])))
        .map_err(|error| error.to_string())
}

fn decode(bytes: &[u8], run: &str) -> Result<Snapshot, String> {
    let invalid = |error: safetensors::SafeTensorError| format!("damaged, or not a checkpoint ({error})");
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(invalid)?;
    let tensors = SafeTensors::deserialize(bytes).map_err(invalid)?;
    let header = metadata.metadata().as_ref().and_then(|metadata| metadata.get(HEADER));
    let header = header.ok_or("a safetensors file, but not a checkpoint of this program")?;
    let bad_header = |error: serde_json::Error| format!("damaged header: {error}");
    // The version first, since another version may have other fields.
    let Version { format_version } = serde_json::from_str(header).map_err(bad_header)?;
    if format_version != FORMAT_VERSION {
        return Err(format!("expected format version {FORMAT_VERSION}, found {format_version}"));
    }
    let header: Header = serde_json::from_str(header).map_err(bad_header)?;
    if header.run != run {
        return Err("it belongs to a run with other settings or other data".to_owned());
    }
    let mut names = tensors.names();
    names.sort_unstable();
    let mut entries = Vec::with_capacity(names.len());
    for name in names {
        entries.push((name, tensors.tensor(name).map_err(invalid)?));
    }
    let progress = serde_json::to_string(&header.progress).map_err(|error| error.to_string())?;
    // In the order of `encode`: part by part, each in its own order.
    let mut parts = HashMap::from([("model", State::new()), ("velocity", State::new())]);
    let found = {
        let in_order = ["model", "velocity", "average", "best"]
            .into_iter()
            .flat_map(|part| entries.iter().filter(move |(name, _)| name.split('/').next() == Some(part)));
        digest(run, &progress, in_order.map(|(name, view)| (*name, view.shape(), view.data())))
    };
    if found != header.sha256 {
        return Err("damaged: its content does not match its SHA-256".to_owned());
    }
    for (name, view) in &entries {
        let mut fields = name.splitn(3, '/');
        if let (Some(part), Some(_), Some(name)) = (fields.next(), fields.next(), fields.next()) {
            let shape: Vec<i64> = view.shape().iter().map(|&side| side as i64).collect();
            let tensor = Tensor::f_from_data_size(view.data(), &shape, Kind::Float)
                .map_err(|error| error.to_string())?;
            parts.entry(part).or_default().push((name.to_owned(), tensor));
        }
    }
    let mut take = |part| parts.remove(part).unwrap_or_default();
    Ok(Snapshot {
        progress: header.progress,
        model: take("model"),
        velocity: take("velocity"),
        average: take("average"),
        best_state: take("best"),
    })
}

/// SHA-256, in hexadecimal, of the run's identity, its progress and every tensor's name, shape and values.
fn digest<'a>(
    run: &str,
    progress: &str,
    entries: impl Iterator<Item = (&'a str, &'a [usize], &'a [u8])>,
) -> String {
    let mut hash = Sha256::new();
    // Each field is preceded by its length, so that different contents never give the same bytes.
    let mut field = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    field(run.as_bytes());
    field(progress.as_bytes());
    for (name, shape, bytes) in entries {
        field(name.as_bytes());
        for &side in shape {
            field(&(side as u64).to_le_bytes());
        }
        field(bytes);
    }
    base16ct::lower::encode_string(&hash.finalize())
}

fn float_bytes(tensor: &Tensor) -> Result<Vec<u8>, String> {
    let flat = tensor.f_detach().and_then(|t| t.f_to_device(Device::Cpu)).and_then(|t| t.f_flatten(0, -1));
    let values: Vec<f32> = flat.and_then(Vec::try_from).map_err(|error| error.to_string())?;
    Ok(values.iter().flat_map(|value| value.to_le_bytes()).collect())
}
