//! The network for inference: batch normalisations folded into convolutions, one part of a batch per CPU thread.

use std::sync::{Mutex, PoisonError};

use malaria_libtorch::PackedConv;
use rayon::{ThreadPool, ThreadPoolBuilder, prelude::*};
use tch::{Device, Kind, TchError, Tensor, no_grad};

use crate::block::{Conv, Norm, Residual, TchResult, channels_last, row_major_copy, same_padding};
use crate::error::{Error, Result};
use crate::resnet::{FORWARD, ResNet};

/// Maximum number of images that a CPU thread computes at once: more images overflow the cache between layers, and with
/// fewer the weights are loaded more often.
const AT_ONCE: i64 = 8;

/// A [`ResNet`] for inference only, made by [`ResNet::fused`].
///
/// A batch normalisation after a convolution is folded into it. Those after an addition, and the one on the image (whose
/// shift does not apply to the zeros of the padding), remain a scale and a shift.
///
/// On the CPU a batch is split, and each thread computes the whole network for its part: threads that share every layer wait
/// for each other about eighty times per batch.
pub struct Fused {
    /// Handles to the same weights, one per thread: tensors are `Send` but not `Sync`.
    networks: Vec<Mutex<Network>>,
    /// One thread per network, each with single-threaded libtorch; `None` if there is only one.
    pool: Option<ThreadPool>,
    on_cpu: bool,
    kind: Kind,
}

struct Network {
    input: Affine,
    stem: FoldedConv,
    modules: Vec<Module>,
    head: Affine,
    /// `[in, classes]` and `[classes]`.
    dense: (Tensor, Tensor),
}

// Feature maps are contiguous `[N, H, W, C]` here; libtorch calls this layout channels_last.

/// `x * scale + shift` by channel.
struct Affine {
    scale: Tensor,
    shift: Tensor,
}

/// A convolution with Keras's "same" padding, and a bias if a batch normalisation was folded into it.
struct FoldedConv {
    kernel: Kernel,
    side: i64,
    stride: i64,
}

/// The kernel of a convolution, and its bias.
enum Kernel {
    /// On the CPU, if oneDNN supports this kind.
    Packed(PackedConv),
    /// `[out, in, side, side]`, channels innermost in memory, and `[out]`.
    Plain(Tensor, Option<Tensor>),
}

/// A pre-activation bottleneck.
struct Module {
    norm: Affine,
    reduce: FoldedConv,
    conv: FoldedConv,
    expand: FoldedConv,
    shortcut: Option<FoldedConv>,
}

impl ResNet {
    /// A copy of the network for inference. Later training does not change it.
    ///
    /// Weights are folded in float64 and stored in `kind`, except the dense layer, which stays float32; images must be of that
    /// kind. On the CPU it uses as many threads as libtorch is set to.
    ///
    /// # Errors
    /// [`Error::Torch`] when memory is short.
    pub fn fused(&self, kind: Kind) -> Result<Fused> {
        let on_cpu = !self.device().is_cuda();
        let threads = if on_cpu { tch::get_num_threads().max(1) } else { 1 };
        let pool = (threads > 1).then(|| single_threaded_pool(threads)).flatten();
        let network = no_grad(|| Network::of(self, kind)).map_err(Error::torch("fold the network"))?;
        let handles = pool.as_ref().map_or(1, ThreadPool::current_num_threads);
        let networks = (0..handles).map(|_| Mutex::new(network.handle())).collect();
        Ok(Fused { networks, pool, on_cpu, kind })
    }
}

/// Threads in which libtorch is single-threaded; `None` if the system cannot start them: inference then works without them,
/// more slowly.
fn single_threaded_pool(threads: i32) -> Option<ThreadPool> {
    let builder =
        ThreadPoolBuilder::new().num_threads(threads as usize).thread_name(|i| format!("forward-{i}"));
    let pool = builder.start_handler(|_| malaria_libtorch::compute_alone()).build().ok();
    // On systems other than Linux, other threads would also begin with one thread, so the number is restored once all of
    // these have started.
    if let Some(pool) = &pool {
        pool.broadcast(|_| ());
    }
    tch::set_num_threads(threads);
    pool
}

impl Fused {
    /// Logits `[N, classes]`, float32, of `images` `[N, 3, H, W]` in [0, 1]; up to rounding, those of [`ResNet::forward`]
    /// without `train`.
    ///
    /// # Errors
    /// [`Error::Torch`] when memory is short, or the images have another number of dimensions or channels, are of another kind
    /// than the weights, or live on another device.
    pub fn forward(&self, images: &Tensor) -> Result<Tensor> {
        self.in_parts(images).map_err(Error::torch(FORWARD))
    }

    fn in_parts(&self, images: &Tensor) -> TchResult {
        let (count, ..) = images.size4()?;
        let kind = images.f_kind()?;
        if kind != self.kind {
            return Err(TchError::Kind(format!("expected images in {:?}, found {kind:?}", self.kind)));
        }
        let part = if self.on_cpu { part_size(count, self.networks.len()) } else { count };
        if part >= count {
            return self.network(0, images);
        }
        let parts = images.f_split(part, 0)?;
        let logits: TchResult<Vec<Tensor>> = match &self.pool {
            None => parts.iter().map(|part| self.network(0, part)).collect(),
            Some(pool) => pool.install(|| {
                let each = |part: Tensor| self.network(rayon::current_thread_index().unwrap_or(0), &part);
                parts.into_par_iter().with_max_len(1).map(each).collect()
            }),
        };
        Tensor::f_cat(&logits?, 0)
    }

    fn network(&self, handle: usize, images: &Tensor) -> TchResult {
        // The weights are still valid after a panic in another call, since nothing writes to them.
        self.networks[handle].lock().unwrap_or_else(PoisonError::into_inner).forward(images)
    }
}

impl std::fmt::Debug for Fused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fused").field("threads", &self.networks.len()).finish_non_exhaustive()
    }
}

/// Number of images per part: parts of about equal size, none above [`AT_ONCE`], and equally many for each thread.
fn part_size(count: i64, threads: usize) -> i64 {
    let threads = threads as i64;
    let rounds = (count + threads * AT_ONCE - 1) / (threads * AT_ONCE);
    let parts = (rounds * threads).max(1);
    ((count + parts - 1) / parts).max(1)
}

impl Network {
    fn of(model: &ResNet, kind: Kind) -> TchResult<Self> {
        let dense = &model.head_dense;
        // The side for which the network is configured; other sizes work, too.
        let mut side = model.config().input_size;
        let stem = FoldedConv::of(&model.stem_conv, Some(&model.stem_norm), kind, side)?;
        side = halved(side);
        let mut modules = Vec::new();
        for module in &model.modules {
            modules.push(Module::of(module, kind, side)?);
            side = if module.conv2.stride == 2 { halved(side) } else { side };
        }
        Ok(Self {
            input: Affine::of(&model.input_norm, kind)?,
            stem,
            modules,
            head: Affine::of(&model.head_norm, kind)?,
            dense: (row_major_copy(&dense.kernel.f_tr()?)?, row_major_copy(&dense.bias)?),
        })
    }

    /// Another handle on the same tensors.
    fn handle(&self) -> Self {
        Self {
            input: self.input.handle(),
            stem: self.stem.handle(),
            modules: self.modules.iter().map(Module::handle).collect(),
            head: self.head.handle(),
            dense: (self.dense.0.shallow_clone(), self.dense.1.shallow_clone()),
        }
    }

    fn forward(&self, images: &Tensor) -> TchResult {
        no_grad(|| {
            let x = self.input.forward(&nhwc(images)?.f_contiguous()?)?;
            let x = self.stem.forward(&x)?;
            // ReLU and max-pool commute, and the pool has a quarter of the values.
            let x = nhwc(&nchw(&x)?.f_max_pool2d([3, 3], [2, 2], [1, 1], [1, 1], false)?)?.f_relu_()?;
            let x = self.modules.iter().try_fold(x, |x, module| module.forward(x))?;
            let features =
                self.head.forward(&x)?.f_relu_()?.f_mean_dim([1, 2].as_slice(), false, Kind::Float)?;
            self.dense.1.f_addmm(&features, &self.dense.0)
        })
    }
}

impl Affine {
    fn of(norm: &Norm, kind: Kind) -> TchResult<Self> {
        let (scale, shift) = norm.affine()?;
        Ok(Self { scale: scale.f_to_kind(kind)?, shift: shift.f_to_kind(kind)? })
    }

    fn handle(&self) -> Self {
        Self { scale: self.scale.shallow_clone(), shift: self.shift.shallow_clone() }
    }

    fn forward(&self, x: &Tensor) -> TchResult {
        self.shift.f_addcmul(x, &self.scale)
    }
}

impl FoldedConv {
    /// `side` is that of the feature maps.
    fn of(conv: &Conv, norm: Option<&Norm>, kind: Kind, side: i64) -> TchResult<Self> {
        let kernel = conv.kernel.f_to_kind(Kind::Double)?;
        let (kernel, bias) = match norm.map(Norm::affine).transpose()? {
            Some((scale, shift)) => {
                (kernel.f_mul(&scale.f_view([-1, 1, 1, 1])?)?, Some(shift.f_to_kind(kind)?))
            }
            None => (kernel, None),
        };
        let kernel = channels_last(&kernel.f_to_kind(kind)?)?;
        let (_, channels, kernel_side, _) = kernel.size4()?;
        let packed = match kernel.device() {
            Device::Cpu => {
                PackedConv::new(&kernel, bias.as_ref(), conv.stride, [AT_ONCE, channels, side, side]).ok()
            }
            _ => None,
        };
        let kernel = packed.map_or(Kernel::Plain(kernel, bias), Kernel::Packed);
        Ok(Self { kernel, side: kernel_side, stride: conv.stride })
    }

    fn handle(&self) -> Self {
        let kernel = match &self.kernel {
            Kernel::Packed(packed) => Kernel::Packed(packed.shallow_clone()),
            Kernel::Plain(kernel, bias) => {
                Kernel::Plain(kernel.shallow_clone(), bias.as_ref().map(Tensor::shallow_clone))
            }
        };
        Self { kernel, ..*self }
    }

    fn forward(&self, x: &Tensor) -> TchResult {
        self.convolved(x, false)
    }

    /// The convolution, and ReLU.
    fn relu(&self, x: &Tensor) -> TchResult {
        self.convolved(x, true)
    }

    fn convolved(&self, x: &Tensor, relu: bool) -> TchResult {
        let (x, padding) = self.padded(x)?;
        match &self.kernel {
            Kernel::Packed(packed) => nhwc(&packed.forward(&x, padding, relu)?),
            Kernel::Plain(kernel, bias) => {
                let mut y = nhwc(&self.plain(&x, kernel, bias.as_ref(), padding)?)?;
                if relu { y.f_relu_() } else { Ok(y) }
            }
        }
    }

    /// The sum of `residual` and the convolution of `x`, in the memory of `residual`.
    fn added_to(&self, residual: Tensor, x: &Tensor) -> TchResult {
        let (x, padding) = self.padded(x)?;
        let mut sum = nchw(&residual)?;
        match &self.kernel {
            Kernel::Packed(packed) => packed.add_to(&mut sum, &x, padding)?,
            Kernel::Plain(kernel, bias) => {
                let _ = sum.f_add_(&self.plain(&x, kernel, bias.as_ref(), padding)?)?;
            }
        }
        Ok(residual)
    }

    fn plain(&self, x: &Tensor, kernel: &Tensor, bias: Option<&Tensor>, padding: [i64; 2]) -> TchResult {
        x.f_conv2d(kernel, bias, [self.stride; 2], padding, [1, 1], 1)
    }

    /// `x` as NCHW, and its padding (rows, columns). If the two ends of a dimension need different padding, `x` is already padded
    /// and this is 0.
    fn padded(&self, x: &Tensor) -> TchResult<(Tensor, [i64; 2])> {
        let (_, height, width, _) = x.size4()?;
        let (top, bottom) = same_padding(height, self.side, self.stride);
        let (left, right) = same_padding(width, self.side, self.stride);
        if top == bottom && left == right {
            Ok((nchw(x)?, [top, left]))
        } else {
            Ok((nchw(&x.f_constant_pad_nd([0, 0, left, right, top, bottom])?)?, [0, 0]))
        }
    }
}

impl Module {
    fn of(module: &Residual, kind: Kind, side: i64) -> TchResult<Self> {
        let shortcut = module.shortcut.as_ref().map(|conv| FoldedConv::of(conv, None, kind, side));
        let within = if module.conv2.stride == 2 { halved(side) } else { side };
        Ok(Self {
            norm: Affine::of(&module.norm1, kind)?,
            reduce: FoldedConv::of(&module.conv1, Some(&module.norm2), kind, side)?,
            conv: FoldedConv::of(&module.conv2, Some(&module.norm3), kind, side)?,
            expand: FoldedConv::of(&module.conv3, None, kind, within)?,
            shortcut: shortcut.transpose()?,
        })
    }

    fn handle(&self) -> Self {
        Self {
            norm: self.norm.handle(),
            reduce: self.reduce.handle(),
            conv: self.conv.handle(),
            expand: self.expand.handle(),
            shortcut: self.shortcut.as_ref().map(FoldedConv::handle),
        }
    }

    /// Consumes `x`: without a projection its memory becomes the result.
    fn forward(&self, x: Tensor) -> TchResult {
        let active = self.norm.forward(&x)?.f_relu_()?;
        let inner = self.conv.relu(&self.reduce.relu(&active)?)?;
        let residual = match &self.shortcut {
            Some(projection) => projection.forward(&active)?,
            None => x,
        };
        self.expand.added_to(residual, &inner)
    }
}

/// The side of feature maps after a stride of 2.
fn halved(side: i64) -> i64 {
    (side + 1) / 2
}

fn nchw(x: &Tensor) -> TchResult {
    x.f_permute([0, 3, 1, 2])
}

fn nhwc(x: &Tensor) -> TchResult {
    x.f_permute([0, 2, 3, 1])
}

#[cfg(test)]
mod tests {
    use super::part_size;

    #[test]
    fn parts_are_even_and_not_too_large() {
        assert_eq!([1, 2, 8, 9, 24, 32, 128].map(|count| part_size(count, 2)), [1, 1, 4, 5, 6, 8, 8]);
        assert_eq!([1, 8, 9, 32].map(|count| part_size(count, 1)), [1, 8, 5, 8]);
        assert_eq!([0, 3, 17].map(|count| part_size(count, 16)), [1, 1, 2]);
    }
}
