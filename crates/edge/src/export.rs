//! From trained weights to an ONNX file.

use std::path::Path;

use prost::Message;
use serde::{Deserialize, Serialize};

use crate::{
    Description, Error, Result, Toll,
    graph::graph,
    onnx::{Model, OperatorSet, Property},
    weights::{self, Weights},
};

/// Key of our own entry in the model's metadata: a [`Description`] and an [`Origin`] in JSON, and the version of their layout.
pub(crate) const KEY: &str = "malaria-resnet";
/// The version that this code reads and writes. The first is not written out, and files that say none are of it.
const FORMAT: u64 = 1;

/// Key of the file's last entry: the SHA-256 of all that comes before it, in hexadecimal. A file in which a few bits have turned
/// still reads, and would call cells otherwise.
const DIGEST_KEY: &str = "malaria-resnet.sha256";

/// The version of ONNX's operators, which ONNX Runtime, OpenVINO, rten and tract all know.
const OPSET: i64 = 17;
/// The version of ONNX's file layout that came with it.
const IR_VERSION: i64 = 8;

/// Names of the network's input and output.
pub(crate) const INPUT: &str = "images";
pub(crate) const OUTPUT: &str = "probabilities";

/// How the weights of convolutions and of the dense layer are stored. Everything is computed in float32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Four bytes each.
    F32,
    /// Two bytes each.
    F16,
    /// One byte each, with a scale for each output channel.
    Int8,
}

impl Precision {
    /// All three.
    pub const ALL: [Self; 3] = [Self::F32, Self::F16, Self::Int8];

    /// `f32`, `f16` or `int8`.
    pub fn name(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::F16 => "f16",
            Precision::Int8 => "int8",
        }
    }
}

impl std::fmt::Display for Precision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

impl std::str::FromStr for Precision {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let known = Self::ALL.into_iter().find(|precision| precision.name() == name);
        known.ok_or_else(|| Error::UnknownPrecision { found: name.to_owned() })
    }
}

/// Where a model file comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    /// How its weights are stored.
    pub precision: Precision,
    /// What storing them so has changed; `None` for float32, or where it was not looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub toll: Option<Toll>,
    /// SHA-256 of the `weights.safetensors` that it was made from, in hexadecimal.
    pub weights_sha256: String,
}

/// What stands in the file's metadata under [`KEY`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct About {
    #[serde(flatten)]
    pub(crate) description: Description,
    #[serde(flatten)]
    pub(crate) origin: Origin,
}

impl About {
    /// Reads what stands under [`KEY`].
    ///
    /// # Errors
    /// What is wrong, in words, for a later version and for what is no description.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        // The version alone first: a later one may have another layout.
        #[derive(Deserialize)]
        struct Version {
            format: Option<u64>,
        }
        let Version { format } = serde_json::from_str(text).map_err(|error| error.to_string())?;
        match format {
            Some(found) if found > FORMAT => Err(format!(
                "expected format version {FORMAT}, found {found}: it was made by a later version, update this program"
            )),
            _ => serde_json::from_str(text).map_err(|error| error.to_string()),
        }
    }
}

/// The network as an ONNX file: `images`, float32 `[N, 3, S, S]` in [0, 1], to `probabilities`, float32 `[N, classes]`, with
/// any N.
///
/// Batch normalisations are folded into the convolutions around them, but for the image's and those whose weights do not allow it;
/// the temperature into the dense layer. Softmax is part of the network. The metadata holds classes, threshold, how pictures are
/// read, and where the weights come from. The same weights and precision give the same bytes.
///
/// What is known of the `toll` of fewer bits goes into the metadata.
///
/// # Errors
/// [`Error::Model`] when a tensor is missing, has another shape than the network's settings say, is none of the network's, or holds
/// a value that would become infinite as it is to be stored.
pub fn export(weights: &Weights, precision: Precision, toll: Option<Toll>) -> Result<Vec<u8>> {
    let graph = graph(weights, precision).map_err(|reason| Error::Model { reason })?;
    let Weights { description, sha256, .. } = weights;
    let about = About {
        description: description.clone(),
        origin: Origin { precision, toll, weights_sha256: sha256.clone() },
    };
    let property = |key: &str, value: String| Property { key: key.to_owned(), value };
    let mut metadata_props = vec![
        property("classes", json(&description.classes)?),
        property("positive", description.positive.clone()),
        property(
            "input",
            format!(
                "RGB, each channel divided by 255, {0}x{0} pixels, resized by `{1}`",
                description.image.pixels, description.image.resize
            ),
        ),
        property(KEY, json(&about)?),
    ];
    if let Some(threshold) = &description.threshold {
        metadata_props.insert(2, property("threshold", threshold.point.threshold.to_string()));
    }
    let model = Model {
        ir_version: IR_VERSION,
        producer_name: KEY.to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        doc_string: "Classifier of red blood cells. Research software, not a medical device.".to_owned(),
        graph: Some(graph),
        opset_import: vec![OperatorSet { domain: String::new(), version: OPSET }],
        metadata_props,
    };
    let mut onnx = model.encode_to_vec();
    let digest = last_entry(weights::sha256(&onnx));
    onnx.extend(digest);
    Ok(onnx)
}

/// The metadata entry of a digest, as it stands at a file's end: a message that is appended to another is merged into it.
fn last_entry(digest: String) -> Vec<u8> {
    let digest = Property { key: DIGEST_KEY.to_owned(), value: digest };
    Model { metadata_props: vec![digest], ..Model::default() }.encode_to_vec()
}

/// Refuses a `file` whose bytes, `onnx`, are not those that were written. Older files have no digest and pass.
pub(crate) fn check_digest(file: &Model, onnx: &[u8]) -> Result<(), String> {
    let Some(digest) = file.metadata_props.iter().find(|property| property.key == DIGEST_KEY) else {
        return Ok(());
    };
    match onnx.strip_suffix(&last_entry(digest.value.clone())[..]) {
        Some(written) if weights::sha256(written) == digest.value => Ok(()),
        _ => Err("its contents are not those that were exported: it is damaged, copy it again, or another program has changed it"
            .to_owned()),
    }
}

/// Writes an exported model to `path`: the file is there whole, or not at all.
///
/// # Errors
/// [`Error::Io`]; the old file then stays.
pub fn write(path: &Path, onnx: &[u8]) -> Result<()> {
    malaria_files::write(path, onnx).map_err(|source| Error::Io {
        action: "write",
        path: path.into(),
        source,
    })
}

fn json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::Model { reason: error.to_string() })
}
