//! What can go wrong between a wish for a device and the device.

/// Why a device cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not the name of a device.
    #[error(
        "`{found}` names no device: expected `auto`, `cpu`, `cuda` or `cuda:` and a number from 0, as in `cuda:1`"
    )]
    UnknownDevice {
        /// What was written.
        found: String,
    },
    /// A GPU is wanted, and libtorch was built for the CPU alone.
    #[error(
        "device `cuda:{index}` was asked for, but this program is linked with a libtorch for the CPU alone: run `cargo \
         xtask setup --cuda` and build again, or choose `cpu` or `auto`"
    )]
    CpuOnlyLibtorch {
        /// The GPU that was asked for.
        index: usize,
    },
    /// A GPU is wanted; libtorch can use one, and finds none.
    #[error(
        "device `cuda:{index}` was asked for, but libtorch finds no usable NVIDIA GPU on this machine: see that \
         `nvidia-smi` lists one and that its driver supports CUDA 13.0, or choose `cpu` or `auto`"
    )]
    NoGpu {
        /// The GPU that was asked for.
        index: usize,
    },
    /// There are GPUs, but not so many.
    #[error("device `cuda:{index}` was asked for, but the GPUs here are numbered 0 to {}", count.saturating_sub(1))]
    NoSuchGpu {
        /// The GPU that was asked for.
        index: usize,
        /// How many there are.
        count: usize,
    },
    /// libtorch has its CUDA half on disk, but it is not part of this program.
    #[error(
        "this program was linked without libtorch_cuda although the libtorch it was built with has it, so it cannot \
         see a GPU: add `-Wl,--no-as-needed -ltorch_cuda` to its linker arguments, or choose `cpu`"
    )]
    CudaNotLinked,
}
