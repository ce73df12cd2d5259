//! Functions of libtorch that tch lacks, through `shim.cpp`.

#![allow(unsafe_code, reason = "calls of C++, each with its reason and its measurement")]

use std::ffi::{CStr, c_char, c_int};

use tch::{Device, TchError, Tensor};
use torch_sys::C_tensor;

unsafe extern "C" {
    fn malaria_foreach_mul(
        tensors: *const *const C_tensor,
        count: usize,
        factors: *const f64,
        products: *mut *mut C_tensor,
    ) -> *mut c_char;
    fn malaria_foreach_mul_(tensors: *const *const C_tensor, count: usize, factor: f64) -> *mut c_char;
    fn malaria_foreach_add_(
        tensors: *const *const C_tensor,
        count: usize,
        others: *const *const C_tensor,
    ) -> *mut c_char;
    fn malaria_foreach_lerp_(
        tensors: *const *const C_tensor,
        count: usize,
        ends: *const *const C_tensor,
        weight: f64,
    ) -> *mut c_char;
    fn malaria_to_gpu(tensor: *const C_tensor, gpu: c_int, copy: *mut *mut C_tensor) -> *mut c_char;
    fn malaria_compute_alone();
    fn malaria_allow_tf32(allowed: bool);
}

/// Operations on lists of tensors. On a GPU one kernel works on many tensors, instead of one kernel for each. Functions whose
/// names end in `_` write to the tensors of the first list.
///
/// libtorch does so only if the tensors of both lists agree in shape and strides. Otherwise, and on the CPU, it computes one
/// tensor after the other, with the same values.
pub mod foreach {
    use super::*;

    /// `tensors[i] * factors[i]`, as new tensors.
    ///
    /// # Errors
    /// Those of libtorch, such as too little memory.
    ///
    /// # Panics
    /// Unless there is one factor for each tensor.
    pub fn mul<'a>(
        tensors: impl IntoIterator<Item = &'a Tensor>,
        factors: &[f64],
    ) -> Result<Vec<Tensor>, TchError> {
        let tensors = pointers(tensors);
        assert_eq!(tensors.len(), factors.len(), "one factor for each tensor");
        let mut products = vec![std::ptr::null_mut(); tensors.len()];
        // SAFETY: each list holds `count` values, the tensors live, and each product is a new tensor that this function owns.
        unsafe {
            let (count, products) = (tensors.len(), products.as_mut_ptr());
            checked(malaria_foreach_mul(tensors.as_ptr(), count, factors.as_ptr(), products))?;
        }
        // SAFETY: as above; unless an error is returned, all of them are set.
        Ok(products.into_iter().map(|product| unsafe { Tensor::from_ptr(product) }).collect())
    }

    /// `tensors[i] *= factor`.
    ///
    /// # Errors
    /// Those of libtorch.
    pub fn mul_<'a>(tensors: impl IntoIterator<Item = &'a Tensor>, factor: f64) -> Result<(), TchError> {
        let tensors = pointers(tensors);
        // SAFETY: the pointers are of `count` live tensors.
        checked(unsafe { malaria_foreach_mul_(tensors.as_ptr(), tensors.len(), factor) })
    }

    /// `tensors[i] += others[i]`.
    ///
    /// # Errors
    /// Those of libtorch, such as shapes that do not fit.
    ///
    /// # Panics
    /// Unless the lists have the same length.
    pub fn add_<'a>(
        tensors: impl IntoIterator<Item = &'a Tensor>,
        others: impl IntoIterator<Item = &'a Tensor>,
    ) -> Result<(), TchError> {
        let (tensors, others) = pair(tensors, others);
        // SAFETY: the pointers are of live tensors, `count` of each list.
        checked(unsafe { malaria_foreach_add_(tensors.as_ptr(), tensors.len(), others.as_ptr()) })
    }

    /// `tensors[i] += weight * (ends[i] - tensors[i])`.
    ///
    /// # Errors
    /// Those of libtorch, such as shapes that do not fit.
    ///
    /// # Panics
    /// Unless the lists have the same length.
    pub fn lerp_<'a>(
        tensors: impl IntoIterator<Item = &'a Tensor>,
        ends: impl IntoIterator<Item = &'a Tensor>,
        weight: f64,
    ) -> Result<(), TchError> {
        let (tensors, ends) = pair(tensors, ends);
        // SAFETY: the pointers are of live tensors, `count` of each list.
        checked(unsafe { malaria_foreach_lerp_(tensors.as_ptr(), tensors.len(), ends.as_ptr(), weight) })
    }

    type Pointers = Vec<*const C_tensor>;

    fn pointers<'a>(tensors: impl IntoIterator<Item = &'a Tensor>) -> Pointers {
        tensors.into_iter().map(Tensor::as_ptr).collect()
    }

    fn pair<'a>(
        one: impl IntoIterator<Item = &'a Tensor>,
        other: impl IntoIterator<Item = &'a Tensor>,
    ) -> (Pointers, Pointers) {
        let (one, other) = (pointers(one), pointers(other));
        assert_eq!(one.len(), other.len(), "lists of one length");
        (one, other)
    }
}

/// Copies a CPU tensor to `device` without waiting for the work of the GPU, as tch's `to_device` does.
///
/// # Errors
/// Those of libtorch, such as too little memory.
pub fn upload(tensor: Tensor, device: Device) -> Result<Tensor, TchError> {
    let Device::Cuda(gpu) = device else { return tensor.f_to_device(device) };
    let mut copy = std::ptr::null_mut();
    // SAFETY: the tensor lives, and the copy is a new tensor that this function owns.
    unsafe {
        checked(malaria_to_gpu(tensor.as_ptr(), gpu as c_int, &mut copy))?;
        Ok(Tensor::from_ptr(copy))
    }
}

/// Makes libtorch use one CPU thread for operations that the calling thread starts.
///
/// On Linux no other thread is affected. On other systems, threads that have not used libtorch yet are affected until the
/// number is set again.
pub fn compute_alone() {
    // SAFETY: it sets a number.
    unsafe { malaria_compute_alone() }
}

/// Sets whether float32 convolutions and matrix products on a GPU may round their factors to 10 bits (TF32), in the whole process.
pub fn allow_tf32(allowed: bool) {
    // SAFETY: it sets two flags.
    unsafe { malaria_allow_tf32(allowed) }
}

/// `Ok` if `problem` is null, else its text as an error. Frees it.
pub(crate) fn checked(problem: *mut c_char) -> Result<(), TchError> {
    if problem.is_null() {
        return Ok(());
    }
    // SAFETY: the shim returns text from `strdup`, which is freed here only.
    let text = unsafe {
        let text = CStr::from_ptr(problem).to_string_lossy().into_owned();
        libc::free(problem.cast());
        text
    };
    Err(TchError::Torch(text))
}

#[cfg(test)]
mod tests {
    use tch::Kind;

    use super::*;

    fn tensors(values: &[[f32; 2]]) -> Vec<Tensor> {
        values.iter().map(|values| Tensor::from_slice(values)).collect()
    }

    fn values(tensors: &[Tensor]) -> Vec<Vec<f32>> {
        tensors.iter().map(|tensor| Vec::try_from(tensor).unwrap()).collect()
    }

    #[test]
    fn lists_are_combined_tensor_by_tensor() {
        let list = tensors(&[[1.0, 2.0], [3.0, 4.0]]);
        let products = foreach::mul(&list, &[2.0, -1.0]).unwrap();
        assert_eq!(values(&products), [[2.0, 4.0], [-3.0, -4.0]]);
        foreach::add_(&list, &products).unwrap();
        assert_eq!(values(&list), [[3.0, 6.0], [0.0, 0.0]]);
        foreach::mul_(&list, 0.5).unwrap();
        assert_eq!(values(&list), [[1.5, 3.0], [0.0, 0.0]]);
        foreach::lerp_(&list, &tensors(&[[2.5, 3.0], [4.0, 8.0]]), 0.25).unwrap();
        assert_eq!(values(&list), [[1.75, 3.0], [1.0, 2.0]]);
    }

    #[test]
    fn wrong_shapes_are_an_error() {
        let error = foreach::add_(&tensors(&[[1.0, 2.0]]), &[Tensor::from_slice(&[1.0_f32, 2.0, 3.0])]);
        assert!(
            matches!(error, Err(TchError::Torch(text)) if text.contains("size") && !text.contains("frame #"))
        );
        let there = upload(Tensor::from_slice(&[1.0_f32]), Device::Cpu).unwrap();
        assert_eq!((there.device(), there.kind()), (Device::Cpu, Kind::Float));
    }
}
