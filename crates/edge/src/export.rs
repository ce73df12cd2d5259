//! Exports trained weights to an ONNX file, with metadata and a digest that loading checks.

use malaria_classifier::{Description, WeightsFile, format_advice};
use malaria_dataset::Fingerprint;
use prost::Message;
use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    graph::graph,
    onnx::{Model, OperatorSet, PROJECT, Property},
    quantization_loss::QuantizationLoss,
    weight_format::WeightFormat,
};

/// The version that this code reads and writes.
const FORMAT_VERSION: u32 = 4;

/// Key of the decision threshold, for programs of other projects that read the file.
const THRESHOLD: &str = "threshold";

/// Key of the file's last entry: the SHA-256 of all bytes before it, in hexadecimal. Without it, a file with flipped bits
/// would load and call cells differently.
const DIGEST_KEY: &str = "malaria-resnet.sha256";

/// The operator set version of ONNX, which ONNX Runtime, OpenVINO, rten and tract support.
const OPSET: i64 = 17;
/// The ONNX file format version of that operator set.
const IR_VERSION: i64 = 8;

/// The origin of a model file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    /// How its weights are stored.
    pub weights: WeightFormat,
    /// The accuracy cost of that format; `None` for float32, or where it was not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantization_loss: Option<QuantizationLoss>,
    /// SHA-256 of the exported `weights.safetensors`, in hexadecimal.
    pub weights_sha256: String,
}

/// The JSON value in the file's metadata under [`PROJECT`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ModelMetadata {
    format_version: u32,
    #[serde(flatten)]
    pub(crate) description: Description,
    #[serde(flatten)]
    pub(crate) origin: Origin,
}

impl ModelMetadata {
    /// Reads the JSON value under [`PROJECT`].
    ///
    /// # Errors
    /// Another version or an invalid description, as text.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        // The version first: another one may have another layout. Files of version 1 have none, and 2 has it as `format`.
        #[derive(Deserialize)]
        struct Version {
            #[serde(alias = "format")]
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

/// Exports the network as an ONNX file: `images`, float32 `[N, 3, S, S]` in [0, 1], to `probabilities`, float32 `[N, classes]`, with
/// any N. The same weights and format give the same bytes.
///
/// Batch normalisations are folded into the convolutions around them, except for that of the image and those whose weights
/// cannot be folded; the temperature is folded into the dense layer. Softmax is part of the network. The metadata has the
/// description of the classifier, the origin of the weights and their `quantization_loss`.
///
/// # Errors
/// [`Error::Model`] for a tensor that is missing, unknown or of another shape than the network's settings require, or for a
/// value that would become infinite in the `weights` format.
pub fn export(
    file: &WeightsFile,
    weights: WeightFormat,
    quantization_loss: Option<QuantizationLoss>,
) -> Result<Vec<u8>> {
    let graph = graph(&file.weights, weights).map_err(|reason| Error::Model { reason })?;
    let description = &file.weights.description;
    let metadata = ModelMetadata {
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
        property(PROJECT, json(&metadata)?),
    ];
    if let Some(threshold) = &description.threshold {
        metadata_props.insert(2, property(THRESHOLD, threshold.point.threshold.to_string()));
    }
    Ok(encoded(&Model {
        ir_version: IR_VERSION,
        producer_name: PROJECT.to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        doc_string: "Classifier of red blood cells. Research software, not a medical device.".to_owned(),
        graph: Some(graph),
        opset_import: vec![OperatorSet { domain: String::new(), version: OPSET }],
        metadata_props,
    }))
}

/// The bytes of an exported file with another description, for example with new thresholds. `weights_sha256` is the hash of
/// the weights file that has the new description, if there is one. The network does not change: the classes, the input and
/// the temperature must be the same.
///
/// # Errors
/// [`Error::Model`] for bytes that [`export`] has not written.
pub fn replace_description(
    onnx: &[u8],
    description: Description,
    weights_sha256: Option<String>,
) -> Result<Vec<u8>> {
    let model = |reason: String| Error::Model { reason };
    let mut file = Model::decode(onnx).map_err(|error| model(error.to_string()))?;
    check_digest(&file, onnx).map_err(model)?;
    let entry = file.metadata_props.iter().find(|property| property.key == PROJECT);
    let entry = entry.ok_or_else(|| model(format!("no `{PROJECT}` in its metadata")))?;
    let mut metadata = ModelMetadata::read(&entry.value).map_err(model)?;
    metadata.origin.weights_sha256 = weights_sha256.unwrap_or(metadata.origin.weights_sha256);
    let threshold = description.threshold.map(|threshold| threshold.point.threshold.to_string());
    metadata.description = description;
    file.metadata_props.retain(|property| ![DIGEST_KEY, THRESHOLD, PROJECT].contains(&property.key.as_str()));
    let property = |key: &str, value: String| Property { key: key.to_owned(), value };
    if let Some(threshold) = threshold {
        file.metadata_props.insert(2.min(file.metadata_props.len()), property(THRESHOLD, threshold));
    }
    file.metadata_props.push(property(PROJECT, json(&metadata)?));
    Ok(encoded(&file))
}

/// The bytes of a file, with their digest.
fn encoded(model: &Model) -> Vec<u8> {
    let mut onnx = model.encode_to_vec();
    let digest = last_entry(Fingerprint::of(&onnx).hex());
    onnx.extend(digest);
    onnx
}

/// The metadata entry of a digest, to be appended to a file: protobuf merges appended messages.
fn last_entry(digest: String) -> Vec<u8> {
    let digest = Property { key: DIGEST_KEY.to_owned(), value: digest };
    Model { metadata_props: vec![digest], ..Model::default() }.encode_to_vec()
}

/// Refuses a `file` whose bytes, `onnx`, do not match its digest. A file without a digest passes.
pub(crate) fn check_digest(file: &Model, onnx: &[u8]) -> Result<(), String> {
    let Some(digest) = file.metadata_props.iter().find(|property| property.key == DIGEST_KEY) else {
        return Ok(());
    };
    match onnx.strip_suffix(&last_entry(digest.value.clone())[..]) {
        Some(written) if Fingerprint::of(written).hex() == digest.value => Ok(()),
        _ => Err("its contents differ from the exported ones: it is damaged (copy it again), or another \
            program has changed it"
            .to_owned()),
    }
}

fn json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::Model { reason: error.to_string() })
}
