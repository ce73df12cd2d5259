//! The residual network: construction, forward pass and state.

use std::collections::BTreeMap;

use malaria_classifier::ResNetConfig;
use tch::{Device, Kind, Tensor, no_grad};

use crate::block::{
    Builder, Conv, Dense, Features, Norm, Residual, TchResult, TensorKind, TensorSpec, channels_last,
    global_average, row_major_copy,
};
use crate::error::{Error, Result};
use crate::init::glorot_uniform;
use crate::parameter::{Parameter, Role};

/// The action named in errors of the forward pass.
pub(crate) const FORWARD: &str = "compute the network";

/// The pre-activation bottleneck ResNet of the tutorial.
///
/// ```text
/// [N, 3, S, S] in [0, 1]
/// batch norm -> 5x5 conv -> batch norm -> ReLU -> 3x3 max-pool, stride 2     [N, 64, S/2, S/2]
/// stage of 3 modules, stride 1                                               [N, 128, S/2, S/2]
/// stage of 4 modules, stride 2                                               [N, 256, S/4, S/4]
/// stage of 6 modules, stride 2                                               [N, 512, S/8, S/8]
/// batch norm -> ReLU -> global average -> dense                              [N, classes]
/// ```
///
/// A module of K filters is batch norm, ReLU, 1x1 convolution to K/4, batch norm, ReLU, 3x3 convolution (with
/// the stride), batch norm, ReLU, 1x1 convolution to K. Its shortcut is the identity, or, in the first module of
/// each stage, a strided 1x1 convolution of the first ReLU's output. Convolutions have no bias and Keras's
/// "same" padding.
///
/// Kernels and feature maps are channels_last in memory; shapes are libtorch's usual `[N, C, H, W]`.
pub struct ResNet {
    config: ResNetConfig,
    device: Device,
    pub(crate) input_norm: Norm,
    pub(crate) stem_conv: Conv,
    pub(crate) stem_norm: Norm,
    pub(crate) modules: Vec<Residual>,
    pub(crate) head_norm: Norm,
    pub(crate) head_dense: Dense,
    parameters: Vec<Parameter>,
    buffers: Vec<(String, Tensor)>,
}

impl ResNet {
    /// A new network on `device`, initialised as in Keras: kernels Glorot-uniform, batch normalisations with scale 1
    /// and shift 0, bias 0.
    ///
    /// The values are a pure function of `config` and `seed`, the same on every device and platform.
    ///
    /// # Errors
    /// [`Error::Classifier`] for a config that fails its check, [`Error::Torch`] for a missing device.
    pub fn new(config: &ResNetConfig, seed: u64, device: Device) -> Result<Self> {
        Self::build(config, device, &mut |spec| initial_values(spec, seed))
    }

    /// Builds the network with the CPU float32 tensors that `source` gives for each spec.
    pub(crate) fn build(
        config: &ResNetConfig,
        device: Device,
        source: &mut dyn FnMut(&TensorSpec) -> Result<Tensor>,
    ) -> Result<Self> {
        config.check()?;
        let mut builder = Builder { config, device, source, parameters: Vec::new(), buffers: Vec::new() };
        let mut channels = config.filters[0];
        let input_norm = builder.norm("input_norm", 3)?;
        let stem_conv = builder.conv("stem.conv", [channels, 3, 5], 1, Role::StemKernel)?;
        let stem_norm = builder.norm("stem.norm", channels)?;
        let mut modules = Vec::new();
        for (stage, (&count, &filters)) in config.stages.iter().zip(&config.filters[1..]).enumerate() {
            for module in 0..count {
                let first = (module == 0).then_some(if stage == 0 { 1 } else { 2 });
                modules.push(builder.residual(
                    &format!("stages.{stage}.{module}"),
                    channels,
                    filters,
                    first,
                )?);
                channels = filters;
            }
        }
        let head_norm = builder.norm("head.norm", channels)?;
        let head_dense = builder.dense("head.dense", config.classes, channels)?;
        let Builder { parameters, buffers, .. } = builder;
        let config = config.clone();
        Ok(Self {
            config,
            device,
            input_norm,
            stem_conv,
            stem_norm,
            modules,
            head_norm,
            head_dense,
            parameters,
            buffers,
        })
    }

    /// The config the network was built from.
    pub fn config(&self) -> &ResNetConfig {
        &self.config
    }

    /// The device its tensors live on.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Logits `[N, classes]`, float32, of `images` `[N, 3, H, W]` in [0, 1], on the model's device.
    ///
    /// Images are float32 or bfloat16. With bfloat16 the convolutions run in bfloat16; weights, their gradients, batch
    /// statistics and the dense layer stay float32.
    ///
    /// With `train`, batch normalisation uses the statistics of the batch and updates the running ones in place; without,
    /// it uses the running ones, and an image's logits do not depend on the rest of the batch. Height and width may differ
    /// from the config's input size and from each other, as long as every batch normalisation has more than one value per
    /// channel in training.
    ///
    /// # Errors
    /// [`Error::Torch`] when memory is short, or the images have another number of dimensions or channels, or live on another
    /// device.
    pub fn forward(&self, images: &Tensor, train: bool) -> Result<Tensor> {
        let logits = || {
            let features = global_average(&self.features(images, train)?)?;
            self.head_dense.forward(&features)?.f_to_kind(Kind::Float)
        };
        logits().map_err(Error::torch(FORWARD))
    }

    /// Class activation maps `[N, classes, H/8, W/8]` (with the three stages of the tutorial), float32.
    ///
    /// A logit of [`forward`](Self::forward) without `train` is the mean of its class's map, plus the bias of the dense layer.
    /// For a network with this head they equal Grad-CAM's maps before its final ReLU.
    ///
    /// Source: B. Zhou et al., "Learning deep features for discriminative localization", CVPR 2016.
    ///
    /// # Errors
    /// Those of [`forward`](Self::forward).
    pub fn activation_maps(&self, images: &Tensor) -> Result<Tensor> {
        let maps = || self.head_dense.at_each_place(&self.features(images, false)?)?.f_to_kind(Kind::Float);
        no_grad(maps).map_err(Error::torch(FORWARD))
    }

    /// The feature maps before the global average: `[N, C, H/8, W/8]`.
    fn features(&self, images: &Tensor, train: bool) -> TchResult {
        let images = channels_last(images)?;
        let x = if train {
            self.input_norm.forward_through(&self.stem_conv, &images)?
        } else {
            self.stem_conv.forward(&self.input_norm.forward(&images, false)?)?
        };
        let x = self.stem_norm.relu(&x, train)?;
        // The tutorial pads with zeros before pooling, libtorch with minus infinity. After a ReLU both give the same maxima:
        // each window holds a real pixel, and none is below zero.
        let x = x.f_max_pool2d([3, 3], [2, 2], [1, 1], [1, 1], false)?;
        let pooled = Features { x, added: None };
        let features =
            self.modules.iter().try_fold(pooled, |features, module| module.forward(features, train))?;
        Ok(self.head_norm.sum_and_relu(features, train)?.1)
    }

    /// The trainable tensors in their fixed order, input to output.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// The running means and variances of the batch normalisations by name, in their fixed order.
    pub fn buffers(&self) -> &[(String, Tensor)] {
        &self.buffers
    }

    /// A copy of every parameter, then every buffer, by name: the content of a weights file.
    ///
    /// The copies are detached, row-major, on the model's device, and independent of further training.
    ///
    /// # Errors
    /// [`Error::Torch`] when memory is short.
    pub fn state(&self) -> Result<Vec<(String, Tensor)>> {
        let copied = |(name, tensor): (&str, &Tensor)| Ok((name.to_owned(), row_major_copy(tensor)?));
        no_grad(|| self.tensors().map(copied).collect::<TchResult<_>>())
            .map_err(Error::torch("copy the weights"))
    }

    /// Copies `state` into the model's tensors, in place: handles from [`parameters`](Self::parameters) stay valid.
    ///
    /// Tensors may be in any order and on any device. Nothing is written unless all of them fit.
    ///
    /// # Errors
    /// [`Error::MissingTensor`], [`Error::UnexpectedTensor`], [`Error::DuplicateTensor`], [`Error::Shape`] or
    /// [`Error::ElementType`] when names, shapes and float32 are not exactly the model's; [`Error::Torch`] when memory is short.
    pub fn load_state(&self, state: &[(String, Tensor)]) -> Result<()> {
        let mut given = BTreeMap::new();
        for (name, tensor) in state {
            if given.insert(name.as_str(), tensor).is_some() {
                return Err(Error::DuplicateTensor { name: name.clone() });
            }
        }
        let mut pairs = Vec::with_capacity(given.len());
        for (name, own) in self.tensors() {
            let tensor = given.remove(name).ok_or_else(|| missing(name, &own.size()))?;
            check_shape(name, &own.size(), &tensor.size())?;
            if tensor.kind() != Kind::Float {
                return Err(Error::ElementType {
                    name: name.to_owned(),
                    found: format!("{:?}", tensor.kind()),
                });
            }
            pairs.push((own, tensor));
        }
        if let Some(name) = given.into_keys().next() {
            return Err(Error::UnexpectedTensor { name: name.to_owned() });
        }
        let mut copy = |(own, tensor): (&Tensor, &Tensor)| own.shallow_clone().f_copy_(tensor);
        no_grad(|| pairs.into_iter().try_for_each(&mut copy)).map_err(Error::torch("copy the weights"))
    }

    /// The number of trainable values: 2,150,472 for the tutorial's network.
    pub fn trainable_count(&self) -> i64 {
        self.parameters.iter().map(|parameter| parameter.tensor.numel() as i64).sum()
    }

    fn tensors(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        let parameters = self.parameters.iter().map(|parameter| (parameter.name.as_str(), &parameter.tensor));
        parameters.chain(self.buffers.iter().map(|(name, tensor)| (name.as_str(), tensor)))
    }
}

impl std::fmt::Debug for ResNet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResNet")
            .field("config", &self.config)
            .field("device", &self.device)
            .finish_non_exhaustive()
    }
}

fn initial_values(spec: &TensorSpec, seed: u64) -> Result<Tensor> {
    let shape = spec.shape.as_slice();
    let on_cpu = (Kind::Float, Device::Cpu);
    let values = match spec.kind {
        TensorKind::Trainable {
            role: Role::StemKernel | Role::ResidualKernel | Role::DenseKernel,
            order,
        } => {
            Tensor::f_from_slice(&glorot_uniform(shape, seed, order)).and_then(|values| values.f_view(shape))
        }
        TensorKind::Trainable { role: Role::Scale, .. } | TensorKind::RunningVar => {
            Tensor::f_ones(shape, on_cpu)
        }
        TensorKind::Trainable { role: Role::Shift | Role::DenseBias, .. } | TensorKind::RunningMean => {
            Tensor::f_zeros(shape, on_cpu)
        }
    };
    values.map_err(Error::torch(format!("make tensor `{}`", spec.name)))
}

pub(crate) fn missing(name: &str, expected: &[i64]) -> Error {
    Error::MissingTensor { name: name.to_owned(), expected: expected.to_vec() }
}

pub(crate) fn check_shape(name: &str, expected: &[i64], found: &[i64]) -> Result<()> {
    if expected == found {
        return Ok(());
    }
    Err(Error::Shape { name: name.to_owned(), expected: expected.to_vec(), found: found.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model() -> ResNet {
        let config = ResNetConfig { stages: vec![1, 2], filters: vec![4, 8, 12], ..ResNetConfig::tutorial() };
        ResNet::new(&config, 1, Device::Cpu).unwrap()
    }

    fn assert_channels_last(what: &str, x: &Tensor) {
        let (_, channels, height, width) = x.size4().unwrap();
        assert!(channels > 1 && height > 1 && width > 1, "{what} would be ambiguous");
        assert_eq!(x.stride(), [channels * height * width, 1, channels * width, channels], "{what}");
    }

    #[test]
    fn feature_maps_are_channels_last() {
        let model = model();
        for train in [false, true] {
            let x = channels_last(&Tensor::rand([2, 3, 24, 36], (Kind::Float, Device::Cpu))).unwrap();
            assert_channels_last("input", &x);
            let x = model.input_norm.forward_through(&model.stem_conv, &x).unwrap();
            assert_channels_last("stem's convolution", &x);
            let x = model.stem_norm.relu(&x, train).unwrap();
            assert_channels_last("stem", &x);
            let x = x.max_pool2d([3, 3], [2, 2], [1, 1], [1, 1], false);
            assert_channels_last("pool", &x);
            let mut features = Features { x, added: None };
            for (index, module) in model.modules.iter().enumerate() {
                features = module.forward(features, train).unwrap();
                assert_channels_last(&format!("module {index}"), &features.x);
                assert_channels_last(
                    &format!("shortcut of module {index}"),
                    features.added.as_ref().unwrap(),
                );
            }
        }
    }

    #[test]
    fn kernels_and_their_gradients_are_channels_last() {
        let model = model();
        let images = Tensor::rand([2, 3, 24, 36], (Kind::Float, Device::Cpu));
        model.forward(&images, true).unwrap().mean(Kind::Float).backward();
        // Skips 1x1 kernels, whose strides do not distinguish the orders: both are the same memory.
        let spatial = |x: &Tensor| x.dim() == 4 && x.size()[3] > 1;
        for Parameter { name, tensor, .. } in
            model.parameters.iter().filter(|parameter| spatial(&parameter.tensor))
        {
            assert_channels_last(&format!("gradient of {name}"), &tensor.grad());
            assert_channels_last(name, tensor);
        }
    }
}
