//! Device, libtorch and driver that the checks run on.

use std::{fmt, process::Command};

use malaria_resnet::libtorch::{LIBTORCH_VERSION, describe};
use serde::Serialize;
use tch::Device;

#[derive(Serialize)]
pub(super) struct Machine {
    device: String,
    libtorch: &'static str,
    /// `None` on the CPU, or without `nvidia-smi`.
    gpu: Option<Gpu>,
}

/// A GPU as reported by `nvidia-smi`.
#[derive(Serialize)]
struct Gpu {
    name: String,
    driver: String,
    memory_mib: u64,
    memory_used_before_mib: u64,
    #[serde(skip)]
    index: usize,
}

pub(super) fn of(device: Device) -> Machine {
    let gpu = if let Device::Cuda(index) = device { Gpu::query(index) } else { None };
    Machine { device: describe(device), libtorch: LIBTORCH_VERSION, gpu }
}

impl Gpu {
    fn query(index: usize) -> Option<Self> {
        let output = Command::new("nvidia-smi")
            .args([
                "--query-gpu=name,driver_version,memory.total,memory.used",
                "--format=csv,noheader,nounits",
            ])
            .arg(format!("--id={index}"))
            .output()
            .ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        let fields: Vec<&str> = text.trim().split(", ").collect();
        let [name, driver, memory, used] = fields[..] else { return None };
        Some(Self {
            name: name.to_owned(),
            driver: driver.to_owned(),
            memory_mib: memory.parse().ok()?,
            memory_used_before_mib: used.parse().ok()?,
            index,
        })
    }
}

impl Machine {
    /// Memory of the GPU in use at the start and now, in MiB, by all programs.
    pub(super) fn memory_used_mib(&self) -> Option<[u64; 2]> {
        let gpu = self.gpu.as_ref()?;
        Some([gpu.memory_used_before_mib, Gpu::query(gpu.index)?.memory_used_before_mib])
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, libtorch {}", self.device, self.libtorch)?;
        if let Some(Gpu { name, driver, memory_mib, .. }) = &self.gpu {
            write!(f, "; {name}, {memory_mib} MiB, driver {driver}")?;
        }
        Ok(())
    }
}
