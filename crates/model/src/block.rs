//! The layers of the network, and the builder that names and creates their tensors.

use malaria_classifier::ResNetConfig;
use malaria_libtorch::BatchNorm;
use tch::{Device, Kind, TchError, Tensor};

use crate::error::{Error, Result};
use crate::parameter::{Parameter, Role};

/// The result of libtorch operations; they fail when memory is short or shapes do not fit.
pub(crate) type TchResult<T = Tensor> = std::result::Result<T, TchError>;

/// Name, shape and kind of a tensor of the network: enough to initialise it or to find it in a file.
pub(crate) struct TensorSpec {
    pub(crate) name: String,
    pub(crate) shape: Vec<i64>,
    pub(crate) kind: TensorKind,
}

#[derive(Clone, Copy)]
pub(crate) enum TensorKind {
    /// A trainable tensor; `order` is its position among the trainable ones.
    Trainable {
        role: Role,
        order: u64,
    },
    RunningMean,
    RunningVar,
}

/// Creates the tensors in their fixed order and lists them. `source` initialises or reads a CPU float32 tensor for each
/// spec.
pub(crate) struct Builder<'a> {
    pub(crate) config: &'a ResNetConfig,
    pub(crate) device: Device,
    pub(crate) source: &'a mut dyn FnMut(&TensorSpec) -> Result<Tensor>,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) buffers: Vec<(String, Tensor)>,
}

impl Builder<'_> {
    fn create(&mut self, name: String, shape: &[i64], kind: TensorKind) -> Result<(String, Tensor)> {
        let spec = TensorSpec { name, shape: shape.to_vec(), kind };
        let tensor = (self.source)(&spec)?;
        let action = format!("place tensor `{}` on {:?}", spec.name, self.device);
        let placed = tensor.f_to_device(self.device).map_err(Error::torch(action))?;
        Ok((spec.name, placed))
    }

    fn parameter(&mut self, name: String, shape: &[i64], role: Role) -> Result<Tensor> {
        let order = self.parameters.len() as u64;
        let (name, tensor) = self.create(name, shape, TensorKind::Trainable { role, order })?;
        let laid_out = || {
            let tensor = if shape.len() == 4 { channels_last(&tensor)? } else { tensor };
            tensor.f_set_requires_grad(true)
        };
        let tensor = laid_out().map_err(Error::torch(format!("lay out tensor `{name}`")))?;
        self.parameters.push(Parameter { name, tensor: tensor.shallow_clone(), role });
        Ok(tensor)
    }

    fn buffer(&mut self, name: String, shape: &[i64], kind: TensorKind) -> Result<Tensor> {
        let (name, tensor) = self.create(name, shape, kind)?;
        self.buffers.push((name, tensor.shallow_clone()));
        Ok(tensor)
    }

    pub(crate) fn norm(&mut self, name: &str, channels: i64) -> Result<Norm> {
        let shape = [channels];
        Ok(Norm {
            scale: self.parameter(format!("{name}.weight"), &shape, Role::Scale)?,
            shift: self.parameter(format!("{name}.bias"), &shape, Role::Shift)?,
            mean: self.buffer(format!("{name}.running_mean"), &shape, TensorKind::RunningMean)?,
            var: self.buffer(format!("{name}.running_var"), &shape, TensorKind::RunningVar)?,
            eps: self.config.bn_eps,
            momentum: self.config.bn_momentum,
        })
    }

    /// A bias-free convolution whose kernel is `[out, in, side, side]`.
    pub(crate) fn conv(&mut self, name: &str, shape: [i64; 3], stride: i64, role: Role) -> Result<Conv> {
        let [output, input, side] = shape;
        let kernel = self.parameter(format!("{name}.weight"), &[output, input, side, side], role)?;
        Ok(Conv { kernel, stride })
    }

    pub(crate) fn dense(&mut self, name: &str, output: i64, input: i64) -> Result<Dense> {
        Ok(Dense {
            kernel: self.parameter(format!("{name}.weight"), &[output, input], Role::DenseKernel)?,
            bias: self.parameter(format!("{name}.bias"), &[output], Role::DenseBias)?,
        })
    }

    /// The residual module `name`. `first` is the stride of the first module of a stage, whose shortcut is a projection.
    pub(crate) fn residual(
        &mut self,
        name: &str,
        input: i64,
        output: i64,
        first: Option<i64>,
    ) -> Result<Residual> {
        let inner = output / 4;
        let role = Role::ResidualKernel;
        let stride = first.unwrap_or(1);
        Ok(Residual {
            norm1: self.norm(&format!("{name}.norm1"), input)?,
            conv1: self.conv(&format!("{name}.conv1"), [inner, input, 1], 1, role)?,
            norm2: self.norm(&format!("{name}.norm2"), inner)?,
            conv2: self.conv(&format!("{name}.conv2"), [inner, inner, 3], stride, role)?,
            norm3: self.norm(&format!("{name}.norm3"), inner)?,
            conv3: self.conv(&format!("{name}.conv3"), [output, inner, 1], 1, role)?,
            shortcut: match first {
                Some(stride) => {
                    Some(self.conv(&format!("{name}.shortcut"), [output, input, 1], stride, role)?)
                }
                None => None,
            },
        })
    }
}

/// Batch normalisation over `[N, C, H, W]`.
pub(crate) struct Norm {
    scale: Tensor,
    shift: Tensor,
    mean: Tensor,
    var: Tensor,
    eps: f64,
    momentum: f64,
}

impl Norm {
    /// With `train`, normalises by the statistics of the batch and updates the running ones, the variance by its
    /// unbiased estimate. Otherwise normalises by the running statistics.
    pub(crate) fn forward(&self, x: &Tensor, train: bool) -> TchResult {
        self.normalise(x, Some((&self.scale, &self.shift)), train)
    }

    fn normalise(&self, x: &Tensor, affine: Option<(&Tensor, &Tensor)>, train: bool) -> TchResult {
        let (scale, shift) = affine.unzip();
        // libtorch's own kernels in both precisions: cuDNN's do not accept bfloat16 and were no faster in float32 on an H100.
        let by_cudnn = false;
        let (mean, var) = (Some(&self.mean), Some(&self.var));
        x.f_batch_norm(scale, shift, mean, var, train, self.momentum, self.eps, by_cudnn)
    }

    /// The normalisation by running statistics as a scale and a shift per channel, float64.
    pub(crate) fn affine(&self) -> TchResult<(Tensor, Tensor)> {
        let wide = |x: &Tensor| x.f_to_kind(Kind::Double);
        let eps = Tensor::f_from_slice(&[self.eps])?.f_to_device(self.var.device())?;
        let scale = wide(&self.scale)?.f_div(&wide(&self.var)?.f_add(&eps)?.f_sqrt()?)?;
        let shift = wide(&self.shift)?.f_sub(&wide(&self.mean)?.f_mul(&scale)?)?;
        Ok((scale, shift))
    }

    pub(crate) fn relu(&self, x: &Tensor, train: bool) -> TchResult {
        let features = Features { x: x.shallow_clone(), added: None };
        Ok(self.sum_and_relu(features, train)?.1)
    }

    /// The sum `x + added`, and its [`forward`](Self::forward) with ReLU. In training on the CPU, `x` is overwritten by the sum.
    pub(crate) fn sum_and_relu(
        &self,
        Features { x, added }: Features,
        train: bool,
    ) -> TchResult<(Tensor, Tensor)> {
        if train && x.device() == Device::Cpu {
            let Self { scale, shift, mean, var, momentum, eps } = self;
            let norm = BatchNorm { scale, shift, mean, var, momentum: *momentum, eps: *eps };
            let active = norm.relu(&x, added.as_ref())?;
            return Ok((x, active));
        }
        let sum = match added {
            Some(added) => x.f_add(&added)?,
            None => x,
        };
        // In place: libtorch's batch norm keeps its input for the backward pass, not its output.
        let active = self.forward(&sum, train)?.f_relu_()?;
        Ok((sum, active))
    }

    /// [`forward`](Self::forward) in training followed by `conv`, with a cheaper gradient: at the stem it saves 3 to 7 % of a
    /// training step in float32, 8 % in bfloat16.
    ///
    /// Scale and shift are folded into the kernel, the shift as an additional input channel of ones, so that zero padding
    /// cuts it off like the shift. Their gradients follow from the kernel's; the convolution's input needs none.
    pub(crate) fn forward_through(&self, conv: &Conv, x: &Tensor) -> TchResult {
        let x = self.normalise(x, None, true)?;
        let ones = x.f_narrow(1, 0, 1)?.f_ones_like()?;
        let by_channel = |values: &Tensor| conv.kernel.f_mul(&values.f_view([1, -1, 1, 1])?);
        let shifts = by_channel(&self.shift)?.f_sum_dim_intlist(1, true, Kind::Float)?;
        let kernel = channels_last(&Tensor::f_cat(&[by_channel(&self.scale)?, shifts], 1)?)?;
        let x = channels_last(&Tensor::f_cat(&[x, ones], 1)?)?;
        Conv { kernel, stride: conv.stride }.forward(&x)
    }
}

/// A bias-free convolution with Keras's "same" padding.
pub(crate) struct Conv {
    pub(crate) kernel: Tensor,
    pub(crate) stride: i64,
}

impl Conv {
    /// `[N, in, H, W]` => `[N, out, ceil(H / stride), ceil(W / stride)]`.
    pub(crate) fn forward(&self, x: &Tensor) -> TchResult {
        // The convolution runs in the precision of the features; the kernel and its gradient stay float32.
        let kernel = self.kernel.f_to_kind(x.f_kind()?)?;
        let (_, _, side, _) = kernel.size4()?;
        let (_, _, height, width) = x.size4()?;
        let (top, bottom) = same_padding(height, side, self.stride);
        let (left, right) = same_padding(width, side, self.stride);
        let none: Option<&Tensor> = None;
        let strides = [self.stride, self.stride];
        if top == bottom && left == right {
            return x.f_conv2d(&kernel, none, strides, [top, left], [1, 1], 1);
        }
        // libtorch pads from the last dimension inwards.
        let padded = x.f_constant_pad_nd([left, right, top, bottom])?;
        padded.f_conv2d(&kernel, none, strides, [0, 0], [1, 1], 1)
    }
}

/// Keras's "same" padding of one side of `size` pixels, (before, after): just enough for `ceil(size / stride)` outputs, with
/// an odd pixel after. A stride of 2 thus pads an even size only at the end, where libtorch's `padding=1` would shift the
/// grid by one pixel.
pub(crate) fn same_padding(size: i64, kernel: i64, stride: i64) -> (i64, i64) {
    let outputs = (size + stride - 1) / stride;
    let total = ((outputs - 1) * stride + kernel - size).max(0);
    (total / 2, total - total / 2)
}

/// A dense layer.
pub(crate) struct Dense {
    pub(crate) kernel: Tensor,
    pub(crate) bias: Tensor,
}

impl Dense {
    /// `[N, in]` => `[N, out]`.
    pub(crate) fn forward(&self, x: &Tensor) -> TchResult {
        x.f_linear(&self.kernel, Some(&self.bias))
    }

    /// `[N, in, H, W]` => `[N, out, H, W]`, without the bias.
    pub(crate) fn at_each_place(&self, x: &Tensor) -> TchResult {
        let kernel = self.kernel.f_unsqueeze(-1)?.f_unsqueeze(-1)?.f_to_kind(x.f_kind()?)?;
        x.f_conv2d(&kernel, None::<Tensor>, [1, 1], [0, 0], [1, 1], 1)
    }
}

/// A pre-activation bottleneck.
pub(crate) struct Residual {
    pub(crate) norm1: Norm,
    pub(crate) conv1: Conv,
    pub(crate) norm2: Norm,
    pub(crate) conv2: Conv,
    pub(crate) norm3: Norm,
    pub(crate) conv3: Conv,
    pub(crate) shortcut: Option<Conv>,
}

impl Residual {
    pub(crate) fn forward(&self, features: Features, train: bool) -> TchResult<Features> {
        let (sum, active) = self.norm1.sum_and_relu(features, train)?;
        let inner = self.conv1.forward(&active)?;
        let inner = self.conv2.forward(&self.norm2.relu(&inner, train)?)?;
        let x = self.conv3.forward(&self.norm3.relu(&inner, train)?)?;
        let shortcut = match &self.shortcut {
            Some(projection) => projection.forward(&active)?,
            None => sum,
        };
        Ok(Features { x, added: Some(shortcut) })
    }
}

/// Feature maps `[N, C, H, W]` as a sum that the next batch normalisation computes.
pub(crate) struct Features {
    pub(crate) x: Tensor,
    pub(crate) added: Option<Tensor>,
}

/// The same values with channels innermost in memory, the fastest layout for libtorch's CPU and tensor-core convolutions.
/// A tensor in that layout is returned unchanged.
pub(crate) fn channels_last(x: &Tensor) -> TchResult {
    // NCHW => NHWC in memory => NCHW by strides: tch has no memory-format argument.
    x.f_permute([0, 2, 3, 1])?.f_contiguous()?.f_permute([0, 3, 1, 2])
}

/// A row-major copy.
pub(crate) fn row_major_copy(x: &Tensor) -> TchResult {
    let mut copy = Tensor::f_empty(x.size(), (x.f_kind()?, x.device()))?;
    copy.f_copy_(x)?;
    Ok(copy)
}

/// `[N, C, H, W]` => `[N, C]`, in float32 for every precision of the features.
pub(crate) fn global_average(x: &Tensor) -> TchResult {
    x.f_mean_dim([2, 3].as_slice(), false, Kind::Float)
}

#[cfg(test)]
mod tests {
    use super::same_padding;

    #[test]
    fn same_padding_follows_keras() {
        assert_eq!(same_padding(64, 5, 1), (2, 2));
        assert_eq!(same_padding(32, 3, 1), (1, 1));
        assert_eq!(same_padding(32, 3, 2), (0, 1));
        assert_eq!(same_padding(33, 3, 2), (1, 1));
        assert_eq!(same_padding(32, 1, 2), (0, 0));
        assert_eq!(same_padding(33, 1, 2), (0, 0));
    }
}
