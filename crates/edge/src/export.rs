//! From trained weights to an ONNX file.

use std::path::Path;

use half::f16;
use prost::Message;
use serde::{Deserialize, Serialize};

use crate::{
    Description, Error, Result, Toll,
    onnx::{Attribute, FLOAT, FLOAT16, Graph, INT8, Model, Node, OperatorSet, Property, Tensor, ValueInfo},
    weights::{NetworkShape, Values, Weights},
};

/// Key of our own entry in the model's metadata: a [`Description`] and an [`Origin`] in JSON.
pub(crate) const KEY: &str = "malaria-resnet";

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

/// The network as an ONNX file: `images`, float32 `[N, 3, S, S]` in [0, 1], to `probabilities`, float32 `[N, classes]`, with
/// any N.
///
/// Batch normalisations are folded into the convolutions around them, all but the one on the image, and the temperature into the
/// dense layer; softmax is part of the network. The metadata holds classes, threshold, how pictures are read, and where the weights come from. The same weights
/// and precision give the same bytes.
///
/// What is known of the `toll` of fewer bits goes into the metadata.
///
/// # Errors
/// [`Error::Model`] when a tensor is missing or has another shape than the network's settings say.
pub fn export(weights: &Weights, precision: Precision, toll: Option<Toll>) -> Result<Vec<u8>> {
    let graph = Builder { weights, precision, graph: Graph::default() }
        .network()
        .map_err(|reason| Error::Model { reason })?;
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
    Ok(model.encode_to_vec())
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

/// A graph in the making.
struct Builder<'a> {
    weights: &'a Weights,
    precision: Precision,
    graph: Graph,
}

/// A batch normalisation by running statistics, as scale and shift by channel.
struct Affine {
    scale: Vec<f64>,
    shift: Vec<f64>,
}

/// A batch normalisation that follows an addition and is followed by a ReLU. Where every scale is above 0,
///
/// `relu(scale x + shift) = scale relu(x + offset)` with `offset = shift / scale`,
///
/// so that the scale goes into the kernels that read it and the offset into the bias of the convolution that makes x. Nothing
/// but the ReLU is left to compute.
struct Preactivation {
    /// What the ReLU's readers have to multiply it by.
    scale: Vec<f64>,
    /// What has to be added to x beforehand.
    offset: Vec<f64>,
    /// What has to stay before the ReLU, since it cannot be folded; scales are 1 and offsets 0 then.
    kept: Option<Affine>,
}

impl Preactivation {
    fn of(norm: Affine, foldable: impl Fn(f64, f64) -> bool) -> Self {
        let Affine { scale, shift } = norm;
        let offset: Vec<f64> = shift.iter().zip(&scale).map(|(shift, scale)| shift / scale).collect();
        if scale.iter().zip(&offset).all(|(&scale, &offset)| foldable(scale, offset)) {
            return Self { scale, offset, kept: None };
        }
        let channels = scale.len();
        Self { scale: vec![1.0; channels], offset: vec![0.0; channels], kept: Some(Affine { scale, shift }) }
    }
}

impl Builder<'_> {
    fn network(mut self) -> Result<Graph, String> {
        let NetworkShape { classes, stages, filters, input_size, .. } = self.weights.shape.clone();
        let modules = || {
            let each = |(stage, (&modules, &output)): (usize, (&usize, &usize))| {
                (0..modules).map(move |module| (stage, module, output))
            };
            stages.iter().zip(&filters[1..]).enumerate().flat_map(each)
        };
        // What each module, and the head, does to the map it reads, since the one before has to prepare it.
        let mut preactivations = Vec::new();
        let mut channels = filters[0];
        for (stage, module, output) in modules() {
            let norm = self.affine(&format!("stages.{stage}.{module}.norm1"), channels)?;
            // The first reads a ReLU, and relu(relu(x) + offset) = relu(x + offset) for no offset above 0.
            let first = preactivations.is_empty();
            preactivations
                .push(Preactivation::of(norm, |scale, offset| scale > 0.0 && (!first || offset <= 0.0)));
            channels = output;
        }
        let norm = self.affine("head.norm", channels)?;
        preactivations.push(Preactivation::of(norm, |scale, _| scale > 0.0));

        let mut size = input_size;
        let mut x = self.batch_norm(INPUT, "input_norm", &self.affine("input_norm", 3)?);
        let mut norm = self.affine("stem.norm", filters[0])?;
        norm.shift.iter_mut().zip(&preactivations[0].offset).for_each(|(shift, offset)| *shift += offset);
        x = self.conv(&x, "stem.conv", [filters[0], 3, 5], (size, 1), None, Some(norm))?;
        // A ReLU and a maximum may change places, and of the maxima there are four times fewer.
        x = self.node(
            "MaxPool",
            "stem.pool",
            &[&x],
            vec![
                Attribute::ints("kernel_shape", &[3, 3]),
                Attribute::ints("pads", &[1, 1, 1, 1]),
                Attribute::ints("strides", &[2, 2]),
            ],
        );
        if preactivations[0].kept.is_some() {
            x = self.relu(&x, "stem.relu");
        }
        size = size.div_ceil(2);
        let mut channels = filters[0];
        for ((stage, module, output), around) in modules().zip(preactivations.windows(2)) {
            let stride = if module == 0 && stage > 0 { 2 } else { 1 };
            let name = format!("stages.{stage}.{module}");
            x = self.module(&x, &name, [channels, output], (size, stride), module == 0, around)?;
            size = size.div_ceil(stride);
            channels = output;
        }
        let head = &preactivations[preactivations.len() - 1];
        x = self.preactivate(&x, "head.norm", "head.relu", head);
        x = self.node("GlobalAveragePool", "head.average", &[&x], vec![]);
        x = self.node("Flatten", "head.flatten", &[&x], vec![Attribute::int("axis", 1)]);
        self.dense(&x, classes, &head.scale)?;
        let side = input_size as i64;
        self.graph.name = KEY.to_owned();
        self.graph.input = vec![ValueInfo::batch(INPUT, &[3, side, side])];
        self.graph.output = vec![ValueInfo::batch(OUTPUT, &[classes as i64])];
        Ok(self.graph)
    }

    /// A pre-activation bottleneck; `first` of its stage, it projects its shortcut. `around` are its own pre-activation and the
    /// next one.
    fn module(
        &mut self,
        x: &str,
        name: &str,
        [input, output]: [usize; 2],
        (size, stride): (usize, usize),
        first: bool,
        around: &[Preactivation],
    ) -> Result<String, String> {
        let part = |part: &str| format!("{name}.{part}");
        let inner = output / 4;
        let [own, next] = around else { unreachable!("windows of two") };
        let active = self.preactivate(x, &part("norm1"), &part("relu1"), own);
        let scale = Some(own.scale.as_slice());
        let norm = self.affine(&part("norm2"), inner)?;
        let reduced = self.conv(&active, &part("conv1"), [inner, input, 1], (size, 1), scale, Some(norm))?;
        let reduced = self.relu(&reduced, &part("relu2"));
        let norm = self.affine(&part("norm3"), inner)?;
        let seen =
            self.conv(&reduced, &part("conv2"), [inner, inner, 3], (size, stride), None, Some(norm))?;
        let seen = self.relu(&seen, &part("relu3"));
        // The shortcut brings its own offset along, unless it is projected.
        let mut offset = Affine { scale: vec![1.0; output], shift: next.offset.clone() };
        if !first {
            offset.shift.iter_mut().zip(&own.offset).for_each(|(next, own)| *next -= own);
        }
        let shape = [output, inner, 1];
        let expanded =
            self.conv(&seen, &part("conv3"), shape, (size.div_ceil(stride), 1), None, Some(offset))?;
        let shortcut = if first {
            self.conv(&active, &part("shortcut"), [output, input, 1], (size, stride), scale, None)?
        } else {
            x.to_owned()
        };
        Ok(self.node("Add", &part("add"), &[&expanded, &shortcut], vec![]))
    }

    /// The ReLU, and before it what of the batch normalisation `norm` could not be folded.
    fn preactivate(&mut self, x: &str, norm: &str, relu: &str, preactivation: &Preactivation) -> String {
        match &preactivation.kept {
            None => self.relu(x, relu),
            Some(kept) => {
                let x = self.batch_norm(x, norm, kept);
                self.relu(&x, relu)
            }
        }
    }

    fn affine(&self, name: &str, channels: usize) -> Result<Affine, String> {
        let get = |part: &str| {
            let values = self.weights.tensor(&format!("{name}.{part}"), &[channels])?.values;
            Ok::<_, String>(values)
        };
        let (gamma, beta) = (get("weight")?, get("bias")?);
        let (mean, var) = (get("running_mean")?, get("running_var")?);
        let eps = self.weights.shape.bn_eps;
        let scale: Vec<f64> = gamma.iter().zip(var).map(|(gamma, var)| gamma / (var + eps).sqrt()).collect();
        if scale.iter().any(|scale| !scale.is_finite()) {
            return Err(format!("`{name}.running_var` holds variances below 0"));
        }
        let shift = beta.iter().zip(mean).zip(&scale).map(|((beta, mean), scale)| beta - mean * scale);
        Ok(Affine { shift: shift.collect(), scale })
    }

    /// One that cannot be folded, since its scales are not all above 0, or zeros come between it and the convolution.
    fn batch_norm(&mut self, x: &str, name: &str, Affine { scale, shift }: &Affine) -> String {
        let channels = scale.len();
        let mut vector =
            |part: &str, values: &[f64]| self.floats(&format!("{name}.{part}"), &[channels], values);
        let scale = vector("scale", scale);
        let shift = vector("shift", shift);
        // Folded in float64 into scale and shift, so that nothing is left for mean and variance.
        let (mean, var) = (vector("mean", &vec![0.0; channels]), vector("var", &vec![1.0; channels]));
        let attributes = vec![Attribute::float("epsilon", 0.0)];
        self.node("BatchNormalization", name, &[x, &scale, &shift, &mean, &var], attributes)
    }

    /// A convolution of a map of `size` pixels a side with Keras's "same" padding. `scale` multiplies the channels that it reads,
    /// and `norm` follows it.
    fn conv(
        &mut self,
        x: &str,
        name: &str,
        [output, input, side]: [usize; 3],
        (size, stride): (usize, usize),
        scale: Option<&[f64]>,
        norm: Option<Affine>,
    ) -> Result<String, String> {
        let shape = [output, input, side, side];
        let mut kernel = self.weights.tensor(&format!("{name}.weight"), &shape)?;
        if let Some(scale) = scale {
            kernel.scale_inputs(scale);
        }
        if let Some(Affine { scale, .. }) = &norm {
            for (values, scale) in kernel.values.chunks_mut(input * side * side).zip(scale) {
                values.iter_mut().for_each(|value| *value *= scale);
            }
        }
        let kernel = self.kernel(&format!("{name}.weight"), &kernel);
        let mut inputs = vec![x.to_owned(), kernel];
        if let Some(Affine { shift, .. }) = norm {
            inputs.push(self.floats(&format!("{name}.bias"), &[output], &shift));
        }
        let total = ((size.div_ceil(stride) - 1) * stride + side).saturating_sub(size) as i64;
        let (before, after) = (total / 2, total - total / 2);
        let attributes = vec![
            Attribute::ints("kernel_shape", &[side as i64; 2]),
            Attribute::ints("pads", &[before, before, after, after]),
            Attribute::ints("strides", &[stride as i64; 2]),
        ];
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        Ok(self.node("Conv", name, &inputs, attributes))
    }

    /// The dense layer, which reads features to be multiplied by `scale`, and the softmax.
    fn dense(&mut self, x: &str, classes: usize, scale: &[f64]) -> Result<(), String> {
        let temperature = self.weights.description.temperature.unwrap_or(1.0);
        let mut kernel = self.weights.tensor("head.dense.weight", &[classes, scale.len()])?;
        kernel.scale_inputs(scale);
        let mut bias = self.weights.tensor("head.dense.bias", &[classes])?.values;
        kernel.values.iter_mut().chain(&mut bias).for_each(|value| *value /= temperature);
        let kernel = self.kernel("head.dense.weight", &kernel);
        let bias = self.floats("head.dense.bias", &[classes], &bias);
        let logits = self.node("Gemm", "head.dense", &[x, &kernel, &bias], vec![Attribute::int("transB", 1)]);
        self.node("Softmax", OUTPUT, &[&logits], vec![Attribute::int("axis", 1)]);
        Ok(())
    }

    fn relu(&mut self, x: &str, name: &str) -> String {
        self.node("Relu", name, &[x], vec![])
    }

    /// Adds a node, whose one output has its name.
    fn node(&mut self, op_type: &str, name: &str, inputs: &[&str], attribute: Vec<Attribute>) -> String {
        self.graph.node.push(Node {
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: vec![name.to_owned()],
            name: name.to_owned(),
            op_type: op_type.to_owned(),
            attribute,
        });
        name.to_owned()
    }

    fn initializer(&mut self, name: &str, dims: &[usize], data_type: i32, raw_data: Vec<u8>) -> String {
        let dims = dims.iter().map(|&side| side as i64).collect();
        self.graph.initializer.push(Tensor { dims, data_type, name: name.to_owned(), raw_data });
        name.to_owned()
    }

    fn floats(&mut self, name: &str, dims: &[usize], values: &[f64]) -> String {
        let bytes = values.iter().flat_map(|&value| (value as f32).to_le_bytes()).collect();
        self.initializer(name, dims, FLOAT, bytes)
    }

    /// Weights in the format asked for, as float32 to whoever reads their name.
    fn kernel(&mut self, name: &str, kernel: &Values) -> String {
        let Values { shape, values } = kernel;
        let stored = format!("{name}.{}", self.precision);
        match self.precision {
            Precision::F32 => self.floats(name, shape, values),
            Precision::F16 => {
                let bytes = values.iter().flat_map(|&value| f16::from_f64(value).to_le_bytes()).collect();
                let stored = self.initializer(&stored, shape, FLOAT16, bytes);
                self.node("Cast", name, &[&stored], vec![Attribute::int("to", i64::from(FLOAT))])
            }
            Precision::Int8 => {
                let (scales, bytes) = quantise(values, shape[0]);
                let stored = self.initializer(&stored, shape, INT8, bytes);
                let scales = self.floats(&format!("{name}.scale"), &shape[..1], &scales);
                let zeros = self.initializer(&format!("{name}.zero"), &shape[..1], INT8, vec![0; shape[0]]);
                let axis = vec![Attribute::int("axis", 0)];
                self.node("DequantizeLinear", name, &[&stored, &scales, &zeros], axis)
            }
        }
    }
}

/// Symmetric int8 by output channel: the scales, and `round(value / scale)` in -127 to 127, as two's complement bytes.
///
/// Source: R. Krishnamoorthi, "Quantizing deep convolutional networks for efficient inference", arXiv:1806.08342, 2.2.
fn quantise(values: &[f64], channels: usize) -> (Vec<f64>, Vec<u8>) {
    let mut scales = Vec::with_capacity(channels);
    let mut bytes = Vec::with_capacity(values.len());
    for channel in values.chunks(values.len() / channels) {
        let largest = channel.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
        // Rounded to the float32 that is stored, so that it is this scale that values are divided by. A channel of zeros may
        // have any.
        let scale = if largest > 0.0 { f64::from((largest / 127.0) as f32) } else { 1.0 };
        scales.push(scale);
        let rounded = channel.iter().map(|value| (value / scale).round().clamp(-127.0, 127.0) as i8);
        bytes.extend(rounded.map(|value| value.cast_unsigned()));
    }
    (scales, bytes)
}
