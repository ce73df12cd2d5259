//! The network as a graph of ONNX operators, with batch normalisations folded.

use std::collections::BTreeSet;

use half::f16;
use malaria_classifier::{ResNetConfig, Weights};

use crate::{
    batch_norm::{Affine, LARGEST_OFFSET, Preactivation},
    onnx::{Attribute, FLOAT, FLOAT16, Graph, INPUT, INT8, Node, OUTPUT, PROJECT, Tensor, ValueInfo},
    tensor::{Values, check_finite, quantise},
    weight_format::WeightFormat,
};

/// The network of `weights`, with kernels stored in `format`.
///
/// # Errors
/// A tensor that is missing, unknown or of another shape than the network's settings require, or a value that would become
/// infinite in `format`, as text.
pub(crate) fn graph(weights: &Weights, format: WeightFormat) -> Result<Graph, String> {
    let unread = weights.tensors.keys().map(String::as_str).collect();
    Builder { weights, unread, format, graph: Graph::default() }.network()
}

/// A graph under construction.
struct Builder<'a> {
    weights: &'a Weights,
    /// Names of tensors not read so far.
    unread: BTreeSet<&'a str>,
    format: WeightFormat,
    graph: Graph,
}

impl Builder<'_> {
    fn network(mut self) -> Result<Graph, String> {
        let ResNetConfig { classes, stages, filters, input_size, .. } = &self.weights.network;
        // All are above 0: the network has been checked.
        let (classes, input_size) = (*classes as usize, *input_size as usize);
        let [stages, filters] =
            [stages, filters].map(|all| all.iter().map(|&n| n as usize).collect::<Vec<_>>());
        let modules = || {
            let each = |(stage, (&modules, &output)): (usize, (&usize, &usize))| {
                (0..modules).map(move |module| (stage, module, output))
            };
            stages.iter().zip(&filters[1..]).enumerate().flat_map(each)
        };
        // The pre-activations of all modules and the head first, since the preceding module adds their offsets.
        let mut preactivations = Vec::new();
        let mut channels = filters[0];
        for (stage, module, output) in modules() {
            let norm = self.affine(&format!("stages.{stage}.{module}.norm1"), channels)?;
            // The first module reads a ReLU, and relu(relu(x) + offset) = relu(x + offset) only for offsets up to 0.
            let max_offset = if preactivations.is_empty() { 0.0 } else { LARGEST_OFFSET };
            preactivations.push(Preactivation::of(norm, max_offset));
            channels = output;
        }
        let norm = self.affine("head.norm", channels)?;
        preactivations.push(Preactivation::of(norm, LARGEST_OFFSET));

        let mut size = input_size;
        let norm = self.affine("input_norm", 3)?;
        let mut x = self.batch_norm(INPUT, "input_norm", &norm)?;
        let mut norm = self.affine("stem.norm", filters[0])?;
        norm.shift.iter_mut().zip(&preactivations[0].offset).for_each(|(shift, offset)| *shift += offset);
        x = self.conv(&x, "stem.conv", [filters[0], 3, 5], (size, 1), None, Some(norm))?;
        // The ReLU follows the max-pool: the result is the same, with a quarter of the values.
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
        x = self.preactivate(&x, "head.norm", "head.relu", head)?;
        x = self.node("GlobalAveragePool", "head.average", &[&x], vec![]);
        x = self.node("Flatten", "head.flatten", &[&x], vec![Attribute::int("axis", 1)]);
        self.dense(&x, classes, &head.scale)?;
        if let Some(name) = self.unread.first() {
            return Err(format!("unknown tensor `{name}`"));
        }
        let side = input_size as i64;
        self.graph.name = PROJECT.to_owned();
        self.graph.input = vec![ValueInfo::batch(INPUT, &[3, side, side])];
        self.graph.output = vec![ValueInfo::batch(OUTPUT, &[classes as i64])];
        Ok(self.graph)
    }

    /// Adds a pre-activation bottleneck. The `first` of a stage projects its shortcut. `around` is its own pre-activation and the
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
        let active = self.preactivate(x, &part("norm1"), &part("relu1"), own)?;
        let scale = Some(own.scale.as_slice());
        let norm = self.affine(&part("norm2"), inner)?;
        let reduced = self.conv(&active, &part("conv1"), [inner, input, 1], (size, 1), scale, Some(norm))?;
        let reduced = self.relu(&reduced, &part("relu2"));
        let norm = self.affine(&part("norm3"), inner)?;
        let seen =
            self.conv(&reduced, &part("conv2"), [inner, inner, 3], (size, stride), None, Some(norm))?;
        let seen = self.relu(&seen, &part("relu3"));
        // A shortcut without a projection contains the module's own offset.
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

    /// Adds the ReLU, after the batch normalisation `norm` where it could not be folded.
    fn preactivate(
        &mut self,
        x: &str,
        norm: &str,
        relu: &str,
        preactivation: &Preactivation,
    ) -> Result<String, String> {
        match &preactivation.kept {
            None => Ok(self.relu(x, relu)),
            Some(kept) => {
                let x = self.batch_norm(x, norm, kept)?;
                Ok(self.relu(&x, relu))
            }
        }
    }

    /// The tensor `name` of the weights, which must have this `shape`.
    fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<Values, String> {
        self.unread.remove(name);
        match self.weights.tensors.get(name) {
            None => Err(format!("tensor `{name}` is missing")),
            Some(found) if found.shape != shape => {
                Err(format!("tensor `{name}`: expected shape {shape:?}, found {:?}", found.shape))
            }
            Some(found) => {
                let values = found.values.iter().map(|&value| f64::from(value)).collect();
                Ok(Values { shape: shape.to_vec(), values })
            }
        }
    }

    /// The batch normalisation `name`.
    fn affine(&mut self, name: &str, channels: usize) -> Result<Affine, String> {
        let mut get = |part: &str| {
            let values = self.tensor(&format!("{name}.{part}"), &[channels])?.values;
            Ok::<_, String>(values)
        };
        let (gamma, beta) = (get("weight")?, get("bias")?);
        let (mean, var) = (get("running_mean")?, get("running_var")?);
        let eps = self.weights.network.bn_eps;
        let scale: Vec<f64> = gamma.iter().zip(var).map(|(gamma, var)| gamma / (var + eps).sqrt()).collect();
        if scale.iter().any(|scale| !scale.is_finite()) {
            return Err(format!("`{name}.running_var` holds variances below 0"));
        }
        let shift = beta.iter().zip(mean).zip(&scale).map(|((beta, mean), scale)| beta - mean * scale);
        Ok(Affine { shift: shift.collect(), scale })
    }

    /// Adds a batch normalisation that is not folded: one that [`Preactivation::of`] keeps, or that of the image, which precedes the
    /// zero padding.
    fn batch_norm(
        &mut self,
        x: &str,
        name: &str,
        Affine { scale, shift }: &Affine,
    ) -> Result<String, String> {
        let channels = scale.len();
        let mut vector =
            |part: &str, values: &[f64]| self.floats(&format!("{name}.{part}"), &[channels], values);
        let scale = vector("scale", scale)?;
        let shift = vector("shift", shift)?;
        // Mean and variance are part of scale and shift, computed in float64.
        let (mean, var) = (vector("mean", &vec![0.0; channels])?, vector("var", &vec![1.0; channels])?);
        let attributes = vec![Attribute::float("epsilon", 0.0)];
        Ok(self.node("BatchNormalization", name, &[x, &scale, &shift, &mean, &var], attributes))
    }

    /// Adds a convolution of a map of `size` pixels per side with Keras's "same" padding. `scale` multiplies the input channels, `norm`
    /// follows.
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
        let mut kernel = self.tensor(&format!("{name}.weight"), &shape)?;
        if let Some(scale) = scale {
            kernel.scale_inputs(scale);
        }
        if let Some(Affine { scale, .. }) = &norm {
            for (values, scale) in kernel.values.chunks_mut(input * side * side).zip(scale) {
                values.iter_mut().for_each(|value| *value *= scale);
            }
        }
        let kernel = self.kernel(&format!("{name}.weight"), &kernel)?;
        let mut inputs = vec![x.to_owned(), kernel];
        if let Some(Affine { shift, .. }) = norm {
            inputs.push(self.floats(&format!("{name}.bias"), &[output], &shift)?);
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

    /// Adds the dense layer, whose features are multiplied by `scale`, and the softmax.
    fn dense(&mut self, x: &str, classes: usize, scale: &[f64]) -> Result<(), String> {
        let temperature = self.weights.description.temperature.unwrap_or(1.0);
        let mut kernel = self.tensor("head.dense.weight", &[classes, scale.len()])?;
        kernel.scale_inputs(scale);
        let mut bias = self.tensor("head.dense.bias", &[classes])?.values;
        kernel.values.iter_mut().chain(&mut bias).for_each(|value| *value /= temperature);
        let kernel = self.kernel("head.dense.weight", &kernel)?;
        let bias = self.floats("head.dense.bias", &[classes], &bias)?;
        let logits = self.node("Gemm", "head.dense", &[x, &kernel, &bias], vec![Attribute::int("transB", 1)]);
        self.node("Softmax", OUTPUT, &[&logits], vec![Attribute::int("axis", 1)]);
        Ok(())
    }

    fn relu(&mut self, x: &str, name: &str) -> String {
        self.node("Relu", name, &[x], vec![])
    }

    /// Adds a node whose output has the same name.
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

    fn floats(&mut self, name: &str, dims: &[usize], values: &[f64]) -> Result<String, String> {
        check_finite(name, values, "float32", |value| (value as f32).is_finite())?;
        let bytes = values.iter().flat_map(|&value| (value as f32).to_le_bytes()).collect();
        Ok(self.initializer(name, dims, FLOAT, bytes))
    }

    /// Adds weights in the graph's format. Under `name` they are read as float32.
    fn kernel(&mut self, name: &str, kernel: &Values) -> Result<String, String> {
        let Values { shape, values } = kernel;
        let stored = format!("{name}.{}", self.format);
        match self.format {
            WeightFormat::F32 => self.floats(name, shape, values),
            WeightFormat::F16 => {
                check_finite(name, values, "float16", |value| f16::from_f64(value).is_finite())?;
                let bytes = values.iter().flat_map(|&value| f16::from_f64(value).to_le_bytes()).collect();
                let stored = self.initializer(&stored, shape, FLOAT16, bytes);
                Ok(self.node("Cast", name, &[&stored], vec![Attribute::int("to", i64::from(FLOAT))]))
            }
            WeightFormat::Int8 => {
                check_finite(name, values, "float32", |value| (value as f32).is_finite())?;
                let (scales, bytes) = quantise(values, shape[0]);
                let stored = self.initializer(&stored, shape, INT8, bytes);
                let scales = self.floats(&format!("{name}.scale"), &shape[..1], &scales)?;
                let zeros = self.initializer(&format!("{name}.zero"), &shape[..1], INT8, vec![0; shape[0]]);
                let axis = vec![Attribute::int("axis", 0)];
                Ok(self.node("DequantizeLinear", name, &[&stored, &scales, &zeros], axis))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use malaria_classifier::{WeightTensor, WeightsFile};

    use super::*;

    fn weights() -> Weights {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny.safetensors");
        WeightsFile::read(&path).unwrap().weights
    }

    #[test]
    fn weights_that_would_become_infinite_are_refused_by_name() {
        for (value, format, fits) in [
            (1e30, WeightFormat::F16, false),
            (1e30, WeightFormat::Int8, true),
            (1e30, WeightFormat::F32, true),
            // The temperature, 0.6, divides it.
            (3e38, WeightFormat::Int8, false),
            (3e38, WeightFormat::F32, false),
        ] {
            let mut weights = weights();
            let scale = weights.tensors["head.norm.weight"].values[0]
                / (weights.tensors["head.norm.running_var"].values[0] + 2e-5).sqrt();
            weights.tensors.get_mut("head.dense.weight").unwrap().values[0] = value / scale;
            match graph(&weights, format) {
                Ok(_) => assert!(fits, "{value:e} as {format}"),
                Err(reason) => assert!(!fits && reason.contains("`head.dense.weight`"), "{reason}"),
            }
        }
    }

    #[test]
    fn an_unknown_tensor_is_refused_by_name() {
        let mut weights = weights();
        weights.tensors.insert("stem.more".to_owned(), WeightTensor { shape: vec![1], values: vec![0.0] });
        let reason = graph(&weights, WeightFormat::F32).unwrap_err();
        assert!(reason.contains("`stem.more`"), "{reason}");
    }
}
