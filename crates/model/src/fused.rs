//! The network as it is put to use: nothing is learned any more, so what can be computed beforehand is.

use tch::{Kind, Tensor, no_grad};

use crate::block::{Conv, Norm, Residual, same_padding};
use crate::resnet::ResNet;

/// A [`ResNet`] for inference alone, made by [`ResNet::fused`].
///
/// A batch normalisation that follows a convolution is folded into it. Those that follow an addition, and the one on the
/// image (whose shift the zeros of the padding do not get), stay as a scale and a shift. 1x1 convolutions are matrix
/// products over all places of a feature map, and the last one of a module adds to the residual in place.
#[derive(Debug)]
pub struct Fused {
    input: Affine,
    stem: FoldedConv,
    modules: Vec<Module>,
    head: Affine,
    /// `[in, classes]` and `[classes]`.
    dense: (Tensor, Tensor),
}

// Feature maps are `[N, H, W, C]` here, contiguous: what libtorch calls channels_last, and the matrices
// `[places, channels]` of the 1x1 convolutions without a copy.

/// `x * scale + shift` by channel.
#[derive(Debug)]
struct Affine {
    scale: Tensor,
    shift: Tensor,
}

/// A convolution with a bias and Keras's "same" padding.
#[derive(Debug)]
struct FoldedConv {
    /// `[out, in, side, side]`, channels innermost in memory.
    kernel: Tensor,
    bias: Tensor,
    side: i64,
    stride: i64,
}

/// A pre-activation bottleneck.
#[derive(Debug)]
struct Module {
    norm: Affine,
    /// `[in, inner]` and `[inner]`.
    reduce: (Tensor, Tensor),
    conv: FoldedConv,
    /// `[inner, out]`.
    expand: Tensor,
    /// `[in, out]`.
    shortcut: Option<Tensor>,
}

impl ResNet {
    /// The network as it stands, for inference alone; what it learns later does not reach the copy.
    ///
    /// Weights are folded in float64 and kept in `kind`, in which images have to come as well.
    pub fn fused(&self, kind: Kind) -> Fused {
        no_grad(|| Fused {
            input: Affine::of(&self.input_norm, kind),
            stem: FoldedConv::of(&self.stem_conv, &self.stem_norm, kind),
            modules: self.modules.iter().map(|module| Module::of(module, kind)).collect(),
            head: Affine::of(&self.head_norm, kind),
            dense: (
                self.head_dense.kernel.to_kind(Kind::Float).tr().contiguous(),
                self.head_dense.bias.detach().copy(),
            ),
        })
    }
}

impl Fused {
    /// Logits `[N, classes]`, float32, of `images` `[N, 3, H, W]` in [0, 1]: those of [`ResNet::forward`] without `train`,
    /// but for rounding.
    ///
    /// # Panics
    /// When the images have another number of dimensions or channels, are of another kind than the weights, or live on
    /// another device.
    pub fn forward(&self, images: &Tensor) -> Tensor {
        no_grad(|| {
            let x = self.stem.forward(&self.input.forward(&images.permute([0, 2, 3, 1]).contiguous()));
            // A ReLU and a maximum may change places, and of the maxima there are four times fewer.
            let x = nhwc(&nchw(&x).max_pool2d([3, 3], [2, 2], [1, 1], [1, 1], false)).relu_();
            let x = self.modules.iter().fold(x, |x, module| module.forward(x));
            let features = self.head.forward(&x).relu_().mean_dim([1, 2].as_slice(), false, Kind::Float);
            self.dense.1.addmm(&features, &self.dense.0)
        })
    }
}

impl Affine {
    fn of(norm: &Norm, kind: Kind) -> Self {
        let (scale, shift) = norm.affine();
        Self { scale: scale.to_kind(kind), shift: shift.to_kind(kind) }
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        self.shift.addcmul(x, &self.scale)
    }
}

impl FoldedConv {
    fn of(conv: &Conv, norm: &Norm, kind: Kind) -> Self {
        let (scale, shift) = norm.affine();
        let kernel = conv.kernel.to_kind(Kind::Double) * scale.view([-1, 1, 1, 1]);
        let kernel = kernel.to_kind(kind).permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2]);
        Self { side: kernel.size()[2], kernel, bias: shift.to_kind(kind), stride: conv.stride }
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        let size = x.size();
        let (top, bottom) = same_padding(size[1], self.side, self.stride);
        let (left, right) = same_padding(size[2], self.side, self.stride);
        let (x, padding) = if top == bottom && left == right {
            (x.shallow_clone(), [top, left])
        } else {
            (x.constant_pad_nd([0, 0, left, right, top, bottom]), [0, 0])
        };
        nhwc(&nchw(&x).conv2d(&self.kernel, Some(&self.bias), [self.stride; 2], padding, [1, 1], 1))
    }
}

impl Module {
    fn of(module: &Residual, kind: Kind) -> Self {
        let (scale, shift) = module.norm2.affine();
        // [out, in, 1, 1] => [in, out]
        let matrix = |conv: &Conv| conv.kernel.to_kind(Kind::Double).squeeze_dims([2, 3]).tr();
        let stored = |matrix: Tensor| matrix.to_kind(kind).contiguous();
        Self {
            norm: Affine::of(&module.norm1, kind),
            reduce: (stored(matrix(&module.conv1) * scale), stored(shift)),
            conv: FoldedConv::of(&module.conv2, &module.norm3, kind),
            expand: stored(matrix(&module.conv3)),
            shortcut: module.shortcut.as_ref().map(|conv| stored(matrix(conv))),
        }
    }

    /// Takes the feature map apart: without a projection its memory becomes the result.
    fn forward(&self, x: Tensor) -> Tensor {
        let active = self.norm.forward(&x).relu_();
        let size = active.size();
        let (count, channels) = (size[0], self.expand.size()[1]);
        let inner = self.reduce.1.addmm(&places(&active), &self.reduce.0).relu_();
        let inner = self.conv.forward(&inner.view([count, size[1], size[2], -1])).relu_();
        let size = inner.size();
        let mut residual = match &self.shortcut {
            Some(projection) => {
                let stride = self.conv.stride;
                let kept = active.slice(1, None, None, stride).slice(2, None, None, stride);
                places(&kept.contiguous()).matmul(projection)
            }
            None => places(&x),
        };
        residual.addmm_(&places(&inner), &self.expand).view([count, size[1], size[2], channels])
    }
}

/// `[N, H, W, C]` => `[N H W, C]`, the same memory.
fn places(x: &Tensor) -> Tensor {
    x.flatten(0, 2)
}

fn nchw(x: &Tensor) -> Tensor {
    x.permute([0, 3, 1, 2])
}

fn nhwc(x: &Tensor) -> Tensor {
    x.permute([0, 2, 3, 1])
}
