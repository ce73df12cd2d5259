//! From trained weights to an ONNX file.

use std::path::Path;

use malaria_classifier::{Description, WeightsFile, format_advice};
use prost::Message;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    error::{Error, Result},
    format::{KEY, WeightFormat},
    graph::graph,
    onnx::{Model, OperatorSet, Property},
    quantization_loss::QuantizationLoss,
};

/// The version that this code reads and writes.
const FORMAT_VERSION: u32 = 3;

/// Key of the file's last entry: the SHA-256 of all that comes before it, in hexadecimal. A file in which a few bits have turned
/// still reads, and would call cells otherwise.
const DIGEST_KEY: &str = "malaria-resnet.sha256";

/// The version of ONNX's operators, which ONNX Runtime, OpenVINO, rten and tract all know.
const OPSET: i64 = 17;
/// The version of ONNX's file layout that came with it.
const IR_VERSION: i64 = 8;

/// Where a model file comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    /// How its weights are stored.
    pub weights: WeightFormat,
    /// What storing them so has changed; `None` for float32, or where it was not looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantization_loss: Option<QuantizationLoss>,
    /// SHA-256 of the `weights.safetensors` that it was made from, in hexadecimal.
    pub weights_sha256: String,
}

/// What stands in the file's metadata under [`KEY`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ModelMetadata {
    format_version: u32,
    #[serde(flatten)]
    pub(crate) description: Description,
    #[serde(flatten)]
    pub(crate) origin: Origin,
}

impl ModelMetadata {
    /// Reads what stands under [`KEY`].
    ///
    /// # Errors
    /// What is wrong, in words, for another version and for what is no description.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        // The version alone first: another one may have another layout. Files of the first say none.
        #[derive(Deserialize)]
        struct Version {
            format_version: Option<u64>,
        }
        let Version { format_version } = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let found = format_version.unwrap_or(1);
        if found != u64::from(FORMAT_VERSION) {
            let advice = format_advice(FORMAT_VERSION, found);
            return Err(format!("expected format version {FORMAT_VERSION}, found {found}: {advice}"));
        }
        serde_json::from_str(text).map_err(|error| error.to_string())
    }
}

/// The network as an ONNX file: `images`, float32 `[N, 3, S, S]` in [0, 1], to `probabilities`, float32 `[N, classes]`, with
/// any N.
///
/// Batch normalisations are folded into the convolutions around them, but for the image's and those whose weights do not allow it;
/// the temperature into the dense layer. Softmax is part of the network. The metadata holds classes, threshold, how pictures are
/// read, and where the weights come from. The same weights and format give the same bytes.
///
/// What is known of the accuracy cost of fewer bits goes into the metadata.
///
/// # Errors
/// [`Error::Model`] when a tensor is missing, has another shape than the network's settings say, is none of the network's, or holds
/// a value that would become infinite as it is to be stored.
pub fn export(
    file: &WeightsFile,
    weights: WeightFormat,
    quantization_loss: Option<QuantizationLoss>,
) -> Result<Vec<u8>> {
    let graph = graph(&file.weights, weights).map_err(|reason| Error::Model { reason })?;
    let description = &file.weights.description;
    let about = ModelMetadata {
        format_version: FORMAT_VERSION,
        description: description.clone(),
        origin: Origin { weights, quantization_loss, weights_sha256: file.sha256.clone() },
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
    let digest = last_entry(sha256(&onnx));
    onnx.extend(digest);
    Ok(onnx)
}

/// The metadata entry of a digest, as it stands at a file's end: a message that is appended to another is merged into it.
fn last_entry(digest: String) -> Vec<u8> {
    let digest = Property { key: DIGEST_KEY.to_owned(), value: digest };
    Model { metadata_props: vec![digest], ..Model::default() }.encode_to_vec()
}

/// Refuses a `file` whose bytes, `onnx`, are not those that were written. One without a digest passes.
pub(crate) fn check_digest(file: &Model, onnx: &[u8]) -> Result<(), String> {
    let Some(digest) = file.metadata_props.iter().find(|property| property.key == DIGEST_KEY) else {
        return Ok(());
    };
    match onnx.strip_suffix(&last_entry(digest.value.clone())[..]) {
        Some(written) if sha256(written) == digest.value => Ok(()),
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

/// In hexadecimal.
fn sha256(bytes: &[u8]) -> String {
    base16ct::lower::encode_string(&Sha256::digest(bytes))
}

fn json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::Model { reason: error.to_string() })
}
