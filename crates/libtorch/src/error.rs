//! Errors in choosing a device.

/// The reason why a device cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text is not the name of a device.
    #[error(
        "unknown device `{found}`: expected `auto`, `cpu`, `cuda` or `cuda:` and a number from 0, as in `cuda:1`"
    )]
    UnknownDevice {
        /// The text.
        found: String,
    },
    /// A GPU was requested, but libtorch is for the CPU only.
    #[error(
        "device `cuda:{index}` was requested, but this program is linked with a libtorch for the CPU only: run `cargo \
         xtask setup --cuda` and build again, or choose `cpu` or `auto`"
    )]
    CpuOnlyLibtorch {
        /// Index of the GPU.
        index: usize,
    },
    /// A GPU was requested, but libtorch finds none.
    #[error(
        "device `cuda:{index}` was requested, but libtorch finds no usable NVIDIA GPU on this machine: check that \
         `nvidia-smi` lists one and that its driver supports CUDA 13.0, or choose `cpu` or `auto`"
    )]
    NoGpu {
        /// Index of the GPU.
        index: usize,
    },
    /// There are fewer GPUs than requested.
    #[error("device `cuda:{index}` was requested, but the GPUs here are numbered 0 to {}", count.saturating_sub(1))]
    NoSuchGpu {
        /// Index of the GPU.
        index: usize,
        /// The number of GPUs.
        count: usize,
    },
    /// libtorch_cuda is on disk, but not linked into this program.
    #[error(
        "this program was linked without libtorch_cuda although the libtorch it was built with has it, so it cannot \
         see a GPU: add `-Wl,--no-as-needed -ltorch_cuda` to its linker arguments, or choose `cpu`"
    )]
    CudaNotLinked,
}
