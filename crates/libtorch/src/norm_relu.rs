//! Batch normalisation with ReLU in training, through `norm_relu.cpp`.

#![allow(
    unsafe_code,
    reason = "a call of C++; with it a float32 training step is 1.1 times as fast, see docs/performance.md"
)]

use std::{
    ffi::c_char,
    ptr::{null, null_mut},
};

use tch::{TchError, Tensor};
use torch_sys::C_tensor;

use crate::shim::checked;

unsafe extern "C" {
    fn malaria_norm_relu(
        x: *const C_tensor,
        added: *const C_tensor,
        scale: *const C_tensor,
        shift: *const C_tensor,
        mean: *const C_tensor,
        var: *const C_tensor,
        momentum: f64,
        eps: f64,
        y: *mut *mut C_tensor,
    ) -> *mut c_char;
}

/// A batch normalisation in training: float32 tensors `[C]`, and constants.
#[derive(Clone, Copy, Debug)]
pub struct BatchNorm<'a> {
    /// Trained factor.
    pub scale: &'a Tensor,
    /// Trained summand.
    pub shift: &'a Tensor,
    /// Running mean, updated.
    pub mean: &'a Tensor,
    /// Running variance, updated by the unbiased estimate.
    pub var: &'a Tensor,
    /// Share of the batch in the running statistics, in [0, 1].
    pub momentum: f64,
    /// Added to the variance before the square root.
    pub eps: f64,
}

impl BatchNorm<'_> {
    /// `relu(batch_norm(x + added))` by the statistics of the batch, on the CPU. `x` is overwritten by the sum if `added` is
    /// given.
    ///
    /// `x` and `added` are `[N, C, H, W]`, channels_last in memory, float32 or bfloat16; statistics and the gradients of
    /// scale and shift are float32. The values are those of libtorch's separate functions, up to rounding. Those read or
    /// write the features 9 times in the forward pass and 11 times in the backward pass; this function does so 6 and 6
    /// times.
    ///
    /// # Errors
    /// Other devices, layouts and types, shapes that do not fit, and fewer than two values per channel.
    pub fn relu(&self, x: &Tensor, added: Option<&Tensor>) -> Result<Tensor, TchError> {
        let mut y = null_mut();
        // SAFETY: the tensors live; unless an error is returned, `y` is a new tensor that this function owns.
        unsafe {
            checked(malaria_norm_relu(
                x.as_ptr(),
                added.map_or(null(), Tensor::as_ptr),
                self.scale.as_ptr(),
                self.shift.as_ptr(),
                self.mean.as_ptr(),
                self.var.as_ptr(),
                self.momentum,
                self.eps,
                &mut y,
            ))?;
            Ok(Tensor::from_ptr(y))
        }
    }
}
