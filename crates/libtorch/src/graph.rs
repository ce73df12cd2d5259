//! CUDA graphs, through `graph.cpp`: GPU work that is recorded once and replayed as a whole.

#![allow(
    unsafe_code,
    reason = "calls of C++; they make a training step of 32 cells four times as fast, see docs/performance.md"
)]

use std::{
    ffi::{c_char, c_int, c_void},
    ptr::null_mut,
};

use tch::{Cuda, TchError};

use crate::shim::checked;

unsafe extern "C" {
    fn malaria_graph_is_supported() -> bool;
    fn malaria_graph_begin(gpu: c_int, graph: *mut *mut c_void) -> *mut c_char;
    fn malaria_graph_end(graph: *mut c_void) -> *mut c_char;
    fn malaria_graph_replay(graph: *mut c_void) -> *mut c_char;
    fn malaria_graph_free(graph: *mut c_void);
}

/// A recording of the kernels that some work launches on a GPU.
///
/// The kernels of a small network run faster than the CPU can launch them one by one. A recording is launched as a whole. It uses the
/// same memory every time: copy new inputs into the tensors that it was recorded with, and read the results from the tensors that
/// `work` returned.
pub struct Graph(*mut c_void);

impl Graph {
    /// Whether this program was built with CUDA's headers, such as those of `cargo xtask setup --cuda`.
    pub fn is_supported() -> bool {
        // SAFETY: it returns a constant.
        unsafe { malaria_graph_is_supported() }
    }

    /// Records the kernels that `work` launches on the GPU with index `gpu`, without running them.
    ///
    /// The work must have been done a few times before, so that libtorch has allocated the memory for it. It must not wait
    /// for the GPU, for instance to read a value, and no other thread may use this GPU in the meantime.
    ///
    /// # Errors
    /// Those of `work`, which fails if it waits for the GPU, and those of libtorch.
    pub fn record<T, E: From<TchError>>(
        gpu: usize,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<(Self, T), E> {
        if !Self::is_supported() {
            return Err(TchError::Torch("this program was built without CUDA's headers".to_owned()).into());
        }
        Cuda::synchronize(gpu as i64);
        let mut graph = null_mut();
        // SAFETY: unless an error is returned, `graph` is a new graph that this function owns.
        checked(unsafe { malaria_graph_begin(gpu as c_int, &mut graph) })?;
        let graph = Self(graph);
        let done = work();
        // SAFETY: begun above, and ended once.
        let ended = checked(unsafe { malaria_graph_end(graph.0) });
        let done = done?;
        ended?;
        Ok((graph, done))
    }

    /// Repeats the recorded work, after all work launched before.
    ///
    /// # Errors
    /// Those of libtorch.
    pub fn replay(&self) -> Result<(), TchError> {
        // SAFETY: the graph is freed on drop only.
        checked(unsafe { malaria_graph_replay(self.0) })
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        // SAFETY: it is freed here only.
        unsafe { malaria_graph_free(self.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_cuda_recording_is_an_error() {
        if !cfg!(libtorch_cuda) {
            assert!(!Graph::is_supported());
            assert!(Graph::record(0, || Ok::<_, TchError>(())).is_err());
        }
    }
}
