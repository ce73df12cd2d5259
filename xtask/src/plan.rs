//! The wheels that set-up fetches for a platform, and the files that it takes from each. The pins are in `wheels.txt`.

use anyhow::{Context, Result, bail};
use malaria_libtorch_locate::LIBTORCH_VERSION;

const PINS: &str = include_str!("wheels.txt");

/// The projects whose headers `malaria-libtorch` needs to record steps on a GPU.
const CUDA_HEADERS: [&str; 2] = ["nvidia-cuda-runtime", "nvidia-cuda-crt"];

/// Libraries of the torch wheel that only Python needs.
const PYTHON_ONLY: [&str; 3] = ["libtorch_python.so", "libshm.so", "libtorch_global_deps.so"];

/// Whether libtorch can use NVIDIA GPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// The libraries that the CPU needs.
    Cpu,
    /// Every library of the wheel, and NVIDIA's.
    Cuda,
}

impl Variant {
    /// `cpu` or `cuda`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
        }
    }
}

/// One wheel on the Python package index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wheel {
    /// SHA-256 of the file in lower-case hexadecimal digits.
    pub sha256: String,
    /// Size of the file.
    pub bytes: u64,
    /// File name, which states the project, its version, and the tags that pip selects by.
    pub file: String,
    /// Libraries in it that a libtorch for the CPU needs.
    pub cpu_libraries: Vec<String>,
}

impl Wheel {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ').map(str::to_owned);
        Some(Self {
            sha256: words.next()?,
            bytes: words.next()?.parse().ok()?,
            file: words.next()?,
            cpu_libraries: words.collect(),
        })
    }

    /// Project name as it is written for pip, `nvidia-cuda-runtime`.
    pub fn project(&self) -> String {
        self.part(0).replace('_', "-")
    }

    /// Version, `13.0.96`.
    pub fn version(&self) -> &str {
        self.part(1)
    }

    /// The last of the platform tags, `manylinux_2_17_x86_64`: one is enough for pip to find the file.
    pub fn platform(&self) -> &str {
        self.file.trim_end_matches(".whl").rsplit(['-', '.']).next().unwrap_or_default()
    }

    fn part(&self, index: usize) -> &str {
        self.file.split('-').nth(index).unwrap_or_default()
    }
}

/// The wheels of one libtorch, and the result of unpacking them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// CPU or CUDA.
    pub variant: Variant,
    /// The wheels to fetch.
    pub wheels: Vec<Wheel>,
    /// Approximate size of the unpacked libtorch.
    pub unpacked_bytes: u64,
    /// Text of `lib/libtorch.so` if the wheel's own file cannot be used.
    pub linker_script: Option<&'static str>,
}

impl Plan {
    /// The plan for an operating system and an architecture, named as in [`std::env::consts`].
    ///
    /// # Errors
    /// If PyTorch has no wheel that tch can be linked with.
    pub fn new(os: &str, arch: &str, variant: Variant) -> Result<Self> {
        let platform = format!("{os} {arch} ");
        let Some(block) = PINS.split("\nplatform ").find_map(|block| block.strip_prefix(&platform)) else {
            bail!(
                "set-up does not support {os} on {arch}: set LIBTORCH to the folder of your own libtorch \
                 {LIBTORCH_VERSION} (on Windows, WSL works too)"
            )
        };
        let mut lines = block.lines().filter(|line| !line.is_empty());
        let mut sizes = lines.next().unwrap_or_default().split(' ');
        let cuda = variant == Variant::Cuda;
        let Some(unpacked_bytes) = sizes.nth(usize::from(cuda)).and_then(|size| size.parse().ok()) else {
            bail!("there is no CUDA on {os}: run `cargo xtask setup` without `--cuda`")
        };
        let wheels: Option<Vec<Wheel>> = lines.map(Wheel::parse).collect();
        let mut wheels = wheels.context("wheels.txt has a line that is not a wheel")?;
        wheels.retain(|wheel| cuda || !wheel.cpu_libraries.is_empty());
        // The wheel's own file refers to libtorch_cuda, which a libtorch for the CPU omits.
        let linker_script = (os == "linux" && !cuda).then_some("INPUT(libtorch_cpu.so libc10.so)\n");
        Ok(Self { variant, wheels, unpacked_bytes, linker_script })
    }

    /// The plan for this machine.
    ///
    /// # Errors
    /// As for [`Plan::new`].
    pub fn for_this_machine(variant: Variant) -> Result<Self> {
        Self::new(std::env::consts::OS, std::env::consts::ARCH, variant)
    }

    /// Size of all wheels together.
    pub fn fetched_bytes(&self) -> u64 {
        self.wheels.iter().map(|wheel| wheel.bytes).sum()
    }

    /// SHA-256 and file name of each wheel.
    pub(crate) fn hashes(&self) -> Vec<(String, String)> {
        self.wheels.iter().map(|wheel| (wheel.sha256.clone(), wheel.file.clone())).collect()
    }

    /// The path of a file of a wheel relative to the folder of libtorch; `None` for a file that is omitted.
    ///
    /// The libraries are in the same folder, since each one searches its own folder for the others.
    pub(crate) fn destination(&self, wheel: &Wheel, name: &str) -> Option<String> {
        let cuda = self.variant == Variant::Cuda;
        let has_headers = cuda && CUDA_HEADERS.contains(&wheel.project().as_str());
        let header = name
            .strip_prefix("torch/include/")
            .or_else(|| name.strip_prefix("nvidia/cu13/include/").filter(|_| has_headers));
        if let Some(header) = header {
            return Some(format!("include/{header}"));
        }
        let (folder, library) = name.rsplit_once('/')?;
        let is_library = folder == "torch/lib" || (folder.starts_with("nvidia/") && folder.ends_with("/lib"));
        let wanted = if cuda {
            library.contains(".so") && !PYTHON_ONLY.contains(&library)
        } else {
            wheel.cpu_libraries.iter().any(|wanted| wanted == library)
        };
        (is_library && wanted).then(|| format!("lib/{library}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pin_names_one_wheel_of_its_platform_with_a_whole_hash() {
        for (os, arch, variant, count) in [
            ("linux", "x86_64", Variant::Cpu, 3),
            ("linux", "x86_64", Variant::Cuda, 17),
            ("linux", "aarch64", Variant::Cpu, 3),
            ("linux", "aarch64", Variant::Cuda, 17),
            ("macos", "aarch64", Variant::Cpu, 1),
        ] {
            let plan = Plan::new(os, arch, variant).unwrap();
            assert_eq!(
                (plan.wheels[0].project().as_str(), plan.wheels[0].version()),
                ("torch", LIBTORCH_VERSION)
            );
            assert_eq!(plan.wheels.len(), count);
            for wheel in &plan.wheels {
                let ending = if os == "macos" { "arm64" } else { arch };
                assert!(wheel.platform().ends_with(ending), "{}", wheel.file);
                assert!(wheel.sha256.len() == 64 && wheel.sha256.bytes().all(|b| b.is_ascii_hexdigit()));
                assert!(wheel.bytes > 100_000, "{}", wheel.file);
            }
        }
    }

    #[test]
    fn file_names_give_the_project_version_and_platform_for_pip() {
        let plan = Plan::new("linux", "x86_64", Variant::Cpu).unwrap();
        let named = |wheel: &Wheel| format!("{}=={} {}", wheel.project(), wheel.version(), wheel.platform());
        let named: Vec<String> = plan.wheels.iter().map(named).collect();
        let expected = [
            "torch==2.13.0 manylinux_2_28_x86_64",
            "nvidia-cuda-cupti==13.0.85 manylinux_2_25_x86_64",
            "nvidia-cuda-runtime==13.0.96 manylinux_2_17_x86_64",
        ];
        assert_eq!(named, expected);
    }

    #[test]
    fn the_cpu_variant_gets_headers_and_named_libraries_and_cuda_gets_all() {
        let cpu = Plan::new("linux", "x86_64", Variant::Cpu).unwrap();
        let cuda = Plan::new("linux", "x86_64", Variant::Cuda).unwrap();
        let torch = &cpu.wheels[0];
        for (name, in_cpu, in_cuda) in [
            ("torch/include/ATen/ATen.h", Some("include/ATen/ATen.h"), Some("include/ATen/ATen.h")),
            ("torch/lib/libtorch_cpu.so", Some("lib/libtorch_cpu.so"), Some("lib/libtorch_cpu.so")),
            ("torch/lib/libtorch.so", None, Some("lib/libtorch.so")),
            ("torch/lib/libtorch_cuda.so", None, Some("lib/libtorch_cuda.so")),
            ("torch/lib/libtorch_python.so", None, None),
            ("torch/bin/libtorch_cpu.so", None, None),
            ("torch/nn/functional.py", None, None),
            ("nvidia/cudnn/lib/libcudnn.so.9", None, Some("lib/libcudnn.so.9")),
            ("nvidia/cudnn/include/cudnn.h", None, None),
            ("nvidia/cu13/lib/libcudadevrt.a", None, None),
        ] {
            assert_eq!(cpu.destination(torch, name).as_deref(), in_cpu, "{name}");
            assert_eq!(cuda.destination(torch, name).as_deref(), in_cuda, "{name}");
        }
        let header = "nvidia/cu13/include/crt/host_config.h";
        for wheel in &cuda.wheels {
            let expected =
                CUDA_HEADERS.contains(&wheel.project().as_str()).then_some("include/crt/host_config.h");
            assert_eq!(cuda.destination(wheel, header).as_deref(), expected, "{}", wheel.file);
            assert_eq!(cpu.destination(wheel, header), None, "{}", wheel.file);
        }
    }

    #[test]
    fn unsupported_platforms_are_refused_with_advice() {
        for (os, arch) in [("macos", "x86_64"), ("windows", "x86_64"), ("linux", "riscv64")] {
            let message = Plan::new(os, arch, Variant::Cpu).unwrap_err().to_string();
            assert!(message.contains("set LIBTORCH"), "{message}");
        }
        let message = Plan::new("macos", "aarch64", Variant::Cuda).unwrap_err().to_string();
        assert!(message.contains("without `--cuda`"), "{message}");
    }
}
