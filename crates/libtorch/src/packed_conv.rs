//! Convolutions of oneDNN with packed kernels, for inference on the CPU, through `packed_conv.cpp`.

#![allow(unsafe_code, reason = "calls of C++; see docs/performance.md for what they gain")]

use std::{
    ffi::c_char,
    ptr::{null, null_mut},
};

use tch::{TchError, Tensor};
use torch_sys::C_tensor;

use crate::shim::checked;

unsafe extern "C" {
    fn malaria_pack_kernel(
        kernel: *const C_tensor,
        stride: i64,
        input: *const i64,
        packed: *mut *mut C_tensor,
    ) -> *mut c_char;
    fn malaria_convolve(
        x: *const C_tensor,
        kernel: *const C_tensor,
        bias: *const C_tensor,
        padding: *const i64,
        stride: i64,
        relu: bool,
        y: *mut *mut C_tensor,
    ) -> *mut c_char;
    fn malaria_convolve_onto(
        sum: *mut C_tensor,
        x: *const C_tensor,
        kernel: *const C_tensor,
        bias: *const C_tensor,
        padding: *const i64,
        stride: i64,
    ) -> *mut c_char;
}

/// A convolution on the CPU whose kernel is packed in oneDNN's own layout; ReLU or an addition is fused into it. For inference:
/// no gradient is recorded.
#[derive(Debug)]
pub struct PackedConv {
    kernel: Tensor,
    bias: Option<Tensor>,
    stride: i64,
}

impl PackedConv {
    /// Packs a kernel `[out, in, height, width]` with a bias `[out]`, both float32 or bfloat16. Inputs of the size `input`,
    /// `[N, in, H, W]`, are computed fastest; others may need another layout of the kernel, which is then made in every call.
    ///
    /// # Errors
    /// Those of libtorch; also if it was built without oneDNN, or oneDNN does not support this kind on this processor.
    pub fn new(
        kernel: &Tensor,
        bias: Option<&Tensor>,
        stride: i64,
        input: [i64; 4],
    ) -> Result<Self, TchError> {
        let mut packed = null_mut();
        // SAFETY: the shim reads four numbers; unless an error is returned, `packed` is a new tensor that this function owns.
        let kernel = unsafe {
            checked(malaria_pack_kernel(kernel.as_ptr(), stride, input.as_ptr(), &mut packed))?;
            Tensor::from_ptr(packed)
        };
        Ok(Self { kernel, bias: bias.map(Tensor::shallow_clone), stride })
    }

    /// Another handle on the same kernel.
    #[must_use]
    pub fn shallow_clone(&self) -> Self {
        let bias = self.bias.as_ref().map(Tensor::shallow_clone);
        Self { kernel: self.kernel.shallow_clone(), bias, stride: self.stride }
    }

    /// The convolution of `x`, `[N, in, H, W]`, with `padding[0]` rows of zeros above and below and `padding[1]` columns left and
    /// right, followed by ReLU if `relu`. The result is channels_last in memory.
    ///
    /// # Errors
    /// Those of libtorch, such as shapes that do not fit.
    pub fn forward(&self, x: &Tensor, padding: [i64; 2], relu: bool) -> Result<Tensor, TchError> {
        let (kernel, bias) = self.pointers();
        let mut y = null_mut();
        // SAFETY: as above, and the tensors live; the shim reads two numbers.
        unsafe {
            checked(malaria_convolve(x.as_ptr(), kernel, bias, padding.as_ptr(), self.stride, relu, &mut y))?;
            Ok(Tensor::from_ptr(y))
        }
    }

    /// Adds the convolution of `x`, padded as in [`Self::forward`], to `sum`, which is channels_last in memory and shares none
    /// with the other tensors.
    ///
    /// # Errors
    /// Those of libtorch, such as shapes that do not fit.
    pub fn add_to(&self, sum: &mut Tensor, x: &Tensor, padding: [i64; 2]) -> Result<(), TchError> {
        let (kernel, bias) = self.pointers();
        // SAFETY: as above; `sum` is borrowed for writing.
        checked(unsafe {
            malaria_convolve_onto(sum.as_mut_ptr(), x.as_ptr(), kernel, bias, padding.as_ptr(), self.stride)
        })
    }

    fn pointers(&self) -> (*const C_tensor, *const C_tensor) {
        (self.kernel.as_ptr(), self.bias.as_ref().map_or(null(), Tensor::as_ptr))
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    fn waves(shape: &[i64]) -> Tensor {
        let count = shape.iter().product::<i64>();
        (Tensor::arange(count, (Kind::Float, Device::Cpu)) * 1.37).sin().view(shape)
    }

    #[test]
    fn values_are_those_of_separate_functions() {
        if !tch::utils::has_mkldnn() {
            return;
        }
        let x = waves(&[2, 5, 9, 7]);
        for (side, stride, padding) in [(1, 1, [0, 0]), (3, 1, [1, 1]), (3, 2, [0, 1])] {
            let (kernel, bias) = (waves(&[6, 5, side, side]), waves(&[6]));
            let expected = x.conv2d(&kernel, Some(&bias), [stride; 2], padding, [1, 1], 1);
            let packed = PackedConv::new(&kernel, Some(&bias), stride, [2, 5, 9, 7]).unwrap();
            let mut sum = expected.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2]).fill(1.0);
            assert!(expected.allclose(&packed.forward(&x, padding, false).unwrap(), 1e-5, 1e-5, false));
            assert!(expected.relu().allclose(&packed.forward(&x, padding, true).unwrap(), 1e-5, 1e-5, false));
            packed.shallow_clone().add_to(&mut sum, &x, padding).unwrap();
            assert!((expected + 1.0).allclose(&sum, 1e-5, 1e-5, false));
        }
        let packed = PackedConv::new(&waves(&[6, 5, 1, 1]), None, 1, [2, 5, 9, 7]).unwrap();
        assert!(packed.forward(&waves(&[2, 4, 9, 7]), [0, 0], false).is_err());
    }
}
