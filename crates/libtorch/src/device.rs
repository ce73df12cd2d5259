//! Choice of the device (`--device`) and of the number of threads (`--threads`).

use std::fmt;
use std::num::NonZero;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tch::{Cuda, Device};

use crate::error::Error;
use crate::shim::allow_tf32;

/// The device requested by a user: `auto`, `cpu`, `cuda` or `cuda:1`. Its serde form is the same string.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DeviceChoice {
    /// The first GPU if there is one, or else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The GPU with this index, from 0.
    Cuda(usize),
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

impl FromStr for DeviceChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let unknown = || Error::UnknownDevice { found: text.to_owned() };
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            _ => {
                let digits = text.strip_prefix("cuda:").ok_or_else(unknown)?;
                // `parse` alone would accept `+1`.
                if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                    return Err(unknown());
                }
                digits.parse().map(Self::Cuda).map_err(|_| unknown())
            }
        }
    }
}

impl TryFrom<String> for DeviceChoice {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<DeviceChoice> for String {
    fn from(choice: DeviceChoice) -> Self {
        choice.to_string()
    }
}

/// Whether this program can use NVIDIA GPUs on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CudaState {
    /// libtorch is for the CPU only.
    CpuOnlyLibtorch,
    /// The linker omitted libtorch_cuda.
    NotLinked,
    /// libtorch_cuda is linked, but there is no GPU.
    NoGpu,
    /// The number of GPUs.
    Gpus(NonZero<usize>),
}

impl CudaState {
    fn now() -> Self {
        match usize::try_from(Cuda::device_count()).ok().and_then(NonZero::new) {
            Some(count) => Self::Gpus(count),
            // True if libtorch_cuda is part of the process, with or without a GPU.
            None if tch::utils::has_cudart() => Self::NoGpu,
            None if cfg!(libtorch_cuda) => Self::NotLinked,
            None => Self::CpuOnlyLibtorch,
        }
    }
}

impl DeviceChoice {
    /// The device to use.
    ///
    /// Choosing a GPU turns off TF32 ([`allow_tf32`](crate::allow_tf32)) for the whole process, so that float32 probabilities agree with
    /// the CPU's to six digits. libtorch's default rounds the inputs of convolutions to 10 bits.
    ///
    /// # Errors
    /// A GPU that cannot be used is an error and is never replaced by the CPU: [`Error::CpuOnlyLibtorch`], [`Error::NoGpu`],
    /// [`Error::NoSuchGpu`]. [`Error::CudaNotLinked`] is also returned for `auto`, since the machine may have a GPU.
    pub fn resolve(self) -> Result<Device, Error> {
        // Counting the GPUs starts their driver, which is not needed for the CPU.
        if self == Self::Cpu {
            return Ok(Device::Cpu);
        }
        let device = self.resolve_in(CudaState::now())?;
        if device.is_cuda() {
            allow_tf32(false);
        }
        Ok(device)
    }

    fn resolve_in(self, state: CudaState) -> Result<Device, Error> {
        match (self, state) {
            (Self::Cpu, _) => Ok(Device::Cpu),
            (_, CudaState::NotLinked) => Err(Error::CudaNotLinked),
            (Self::Auto, CudaState::Gpus(_)) => Ok(Device::Cuda(0)),
            (Self::Auto, _) => Ok(Device::Cpu),
            (Self::Cuda(index), CudaState::CpuOnlyLibtorch) => Err(Error::CpuOnlyLibtorch { index }),
            (Self::Cuda(index), CudaState::NoGpu) => Err(Error::NoGpu { index }),
            (Self::Cuda(index), CudaState::Gpus(count)) if index >= count.get() => {
                Err(Error::NoSuchGpu { index, count: count.get() })
            }
            (Self::Cuda(index), CudaState::Gpus(_)) => Ok(Device::Cuda(index)),
        }
    }
}

/// Name of a device for the terminal: `CPU, 8 threads`, or `GPU 2 of 4 (cuda:1)`.
pub fn describe(device: Device) -> String {
    match device {
        Device::Cpu => match threads() {
            1 => "CPU, 1 thread".to_owned(),
            threads => format!("CPU, {threads} threads"),
        },
        Device::Cuda(index) => format!("GPU {} of {} (cuda:{index})", index + 1, Cuda::device_count()),
        other => format!("{other:?}"),
    }
}

/// Number of CPU threads that libtorch spreads one operation over.
pub fn threads() -> usize {
    usize::try_from(tch::get_num_threads()).unwrap_or(1)
}

/// Sets the number of CPU threads that libtorch spreads one operation over, for the whole process.
pub fn set_threads(threads: NonZero<usize>) {
    tch::set_num_threads(i32::try_from(threads.get()).unwrap_or(i32::MAX));
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO_GPUS: CudaState = CudaState::Gpus(NonZero::new(2).unwrap());

    #[test]
    fn choices_are_printed_as_they_are_parsed() {
        for (text, choice) in
            [("auto", DeviceChoice::Auto), ("cpu", DeviceChoice::Cpu), ("cuda:0", DeviceChoice::Cuda(0))]
        {
            assert_eq!(text.parse(), Ok(choice));
            assert_eq!(choice.to_string(), text);
            assert_eq!(serde_json::to_string(&choice).unwrap(), format!("\"{text}\""));
            assert_eq!(serde_json::from_str::<DeviceChoice>(&format!("\"{text}\"")).unwrap(), choice);
        }
        assert_eq!("cuda".parse(), Ok(DeviceChoice::Cuda(0)));
        assert_eq!("cuda:13".parse(), Ok(DeviceChoice::Cuda(13)));
    }

    #[test]
    fn unknown_devices_are_refused_with_the_known_ones() {
        for text in ["", "gpu", "CPU", "cuda:", "cuda:+1", "cuda:-1", "cuda:x", "cuda1", "cuda: 1", " cpu"] {
            let error = text.parse::<DeviceChoice>().unwrap_err();
            assert_eq!(error, Error::UnknownDevice { found: text.to_owned() });
            assert!(error.to_string().contains("`auto`, `cpu`, `cuda`"), "{error}");
        }
        let number_too_large = format!("cuda:{}0", usize::MAX);
        assert!(number_too_large.parse::<DeviceChoice>().is_err());
        assert!(serde_json::from_str::<DeviceChoice>("\"gpu\"").unwrap_err().to_string().contains("`gpu`"));
    }

    #[test]
    fn an_unusable_gpu_is_an_error_and_never_the_cpu() {
        let resolve = |state| DeviceChoice::Cuda(2).resolve_in(state);
        assert_eq!(resolve(CudaState::CpuOnlyLibtorch), Err(Error::CpuOnlyLibtorch { index: 2 }));
        assert_eq!(resolve(CudaState::NoGpu), Err(Error::NoGpu { index: 2 }));
        assert_eq!(resolve(TWO_GPUS), Err(Error::NoSuchGpu { index: 2, count: 2 }));
        assert_eq!(resolve(CudaState::NotLinked), Err(Error::CudaNotLinked));
        assert_eq!(DeviceChoice::Cuda(1).resolve_in(TWO_GPUS), Ok(Device::Cuda(1)));
    }

    #[test]
    fn auto_uses_a_gpu_if_there_is_one() {
        let resolve = |state| DeviceChoice::Auto.resolve_in(state);
        assert_eq!(resolve(TWO_GPUS), Ok(Device::Cuda(0)));
        assert_eq!(resolve(CudaState::NoGpu), Ok(Device::Cpu));
        assert_eq!(resolve(CudaState::CpuOnlyLibtorch), Ok(Device::Cpu));
        assert_eq!(resolve(CudaState::NotLinked), Err(Error::CudaNotLinked));
    }

    #[test]
    fn messages_say_what_is_missing_and_what_to_do() {
        let cpu_only = Error::CpuOnlyLibtorch { index: 0 }.to_string();
        assert!(cpu_only.contains("cargo xtask setup --cuda"), "{cpu_only}");
        let no_gpu = Error::NoGpu { index: 0 }.to_string();
        assert!(no_gpu.contains("nvidia-smi") && !no_gpu.contains("setup"), "{no_gpu}");
        let range = Error::NoSuchGpu { index: 5, count: 2 }.to_string();
        assert!(range.contains("cuda:5") && range.contains("0 to 1"), "{range}");
    }
}
