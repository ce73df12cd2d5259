//! Work of a GPU that is recorded once and repeated as a whole: CUDA graphs, through `graph.cpp`.

#![allow(
    unsafe_code,
    reason = "calls of C++; a training step of 32 cells takes a quarter of the time by it, see docs/performance.md"
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
/// same memory every time: copy new inputs into the tensors that it was recorded with, and read the results from the tensors that the
/// work returned.
pub struct Graph(*mut c_void);

impl Graph {
    /// Whether this program was built with CUDA's headers, as after `cargo xtask setup --cuda`.
    pub fn is_supported() -> bool {
        // SAFETY: it returns a constant.
        unsafe { malaria_graph_is_supported() }
    }

    /// Records what `work` tells GPU number `gpu` to do, without doing it.
    ///
    /// The work must have been done a few times before, so that what libtorch prepares once is prepared. It must wait for nothing,
    /// so it reads no value back, and while it runs no other thread may use this GPU.
    ///
    /// # Errors
    /// Those of `work`, which fails where it waits for the GPU, and libtorch's own.
    pub fn record<T, E: From<TchError>>(
        gpu: usize,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<(Self, T), E> {
        if !Self::is_supported() {
            return Err(TchError::Torch("this program was built without CUDA's headers".to_owned()).into());
        }
        Cuda::synchronize(gpu as i64);
        let mut graph = null_mut();
        // SAFETY: without a problem, `graph` is one that is ours alone.
        checked(unsafe { malaria_graph_begin(gpu as c_int, &mut graph) })?;
        let graph = Self(graph);
        let done = work();
        // SAFETY: begun above, and ended once.
        let ended = checked(unsafe { malaria_graph_end(graph.0) });
        let done = done?;
        ended?;
        Ok((graph, done))
    }

    /// Does the recorded work once more, after everything that the GPU has been told before.
    ///
    /// # Errors
    /// libtorch's own.
    pub fn replay(&self) -> Result<(), TchError> {
        // SAFETY: the graph lives as long as this does.
        checked(unsafe { malaria_graph_replay(self.0) })
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        // SAFETY: it is freed once.
        unsafe { malaria_graph_free(self.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_cuda_there_are_no_recordings_and_no_panic() {
        if !cfg!(libtorch_cuda) {
            assert!(!Graph::is_supported());
            assert!(Graph::record(0, || Ok::<_, TchError>(())).is_err());
        }
    }
}
