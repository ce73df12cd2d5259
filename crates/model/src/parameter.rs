//! Trainable tensors and their roles.

use tch::Tensor;

/// The role of a trainable tensor, by which optimizers choose its weight decay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The kernel of the 5x5 convolution on the image, `[out, in, 5, 5]`.
    StemKernel,
    /// A kernel of a residual module, including its shortcut, `[out, in, kh, kw]`.
    ResidualKernel,
    /// The kernel of the dense layer, `[classes, in]`.
    DenseKernel,
    /// The bias of the dense layer, `[classes]`.
    DenseBias,
    /// Gamma of a batch normalisation, `[channels]`.
    Scale,
    /// Beta of a batch normalisation, `[channels]`.
    Shift,
}

/// A trainable tensor of a [`ResNet`](crate::ResNet).
#[derive(Debug)]
pub struct Parameter {
    /// Its name in weights files, such as `stages.0.1.conv2.weight`.
    pub name: String,
    /// A handle to the model's own tensor: writing to it in place changes the model.
    pub tensor: Tensor,
    /// Its role.
    pub role: Role,
}
