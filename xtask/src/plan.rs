//! What set-up is going to do: which wheels it fetches and what it takes out of them.

use anyhow::{Result, bail};
use malaria_libtorch_locate::LIBTORCH_VERSION;

use crate::wheels::{LINUX_AARCH64, LINUX_X86_64, MACOS_AARCH64, Pin};

/// One wheel on the Python package index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wheel {
    /// File name, which states the project, its version, and the tags that pip selects by.
    pub file: String,
    /// SHA-256 of the file in lower-case hexadecimal digits.
    pub sha256: String,
    /// Size of the file.
    pub bytes: u64,
    /// Libraries that a libtorch for the CPU needs out of it.
    pub cpu_libraries: Vec<String>,
}

impl Wheel {
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
        let tags = self.file.trim_end_matches(".whl").rsplit('-').next().unwrap_or_default();
        tags.rsplit('.').next().unwrap_or_default()
    }

    fn part(&self, index: usize) -> &str {
        self.file.split('-').nth(index).unwrap_or_default()
    }
}

/// Whether libtorch is to use NVIDIA GPUs.
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

/// All that makes one libtorch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What it is for.
    pub variant: Variant,
    /// The wheels to fetch.
    pub wheels: Vec<Wheel>,
    /// About how much disk space the result takes.
    pub unpacked_bytes: u64,
    /// What the file `build-version` says; torch-sys reads it.
    pub build_version: String,
    /// A text to write as `lib/libtorch.so`, where the wheel's own cannot be used.
    pub linker_script: Option<String>,
}

impl Plan {
    /// The plan for an operating system and an architecture, named as in [`std::env::consts`].
    ///
    /// # Errors
    /// Where PyTorch has no wheel that tch could be linked with.
    pub fn new(os: &str, arch: &str, variant: Variant) -> Result<Self> {
        let own = format!("set LIBTORCH to the folder of a libtorch {LIBTORCH_VERSION} of your own instead");
        let (pins, unpacked): (&[Pin], [u64; 2]) = match (os, arch) {
            ("linux", "x86_64") => (LINUX_X86_64, [510_000_000, 3_900_000_000]),
            ("linux", "aarch64") => (LINUX_AARCH64, [365_000_000, 3_900_000_000]),
            ("macos", "aarch64") if variant == Variant::Cuda => {
                bail!("there is no CUDA on macOS: run `cargo xtask setup` without `--cuda`")
            }
            ("macos", "aarch64") => (MACOS_AARCH64, [402_000_000, 0]),
            ("macos", _) => {
                bail!("PyTorch {LIBTORCH_VERSION} has no wheel for Macs with an Intel processor: {own}")
            }
            ("windows", _) => bail!("set-up does not support Windows: {own}, or use WSL"),
            _ => bail!("PyTorch {LIBTORCH_VERSION} has no wheel for {os} on {arch}: {own}"),
        };
        let wheels: Vec<Wheel> = pins
            .iter()
            .filter(|pin| variant == Variant::Cuda || !pin.cpu_libraries.is_empty())
            .map(Pin::wheel)
            .collect();
        let linux = os == "linux";
        let build_version = match variant {
            Variant::Cuda => format!("{LIBTORCH_VERSION}+cu130\n"),
            Variant::Cpu => format!("{LIBTORCH_VERSION}+cpu\n"),
        };
        Ok(Self {
            variant,
            wheels,
            unpacked_bytes: unpacked[usize::from(variant == Variant::Cuda)],
            build_version,
            // The wheel's own refers to libtorch_cuda, which a libtorch for the CPU leaves out.
            linker_script: (linux && variant == Variant::Cpu)
                .then(|| "INPUT(libtorch_cpu.so libc10.so)\n".to_owned()),
        })
    }

    /// The plan for this machine.
    ///
    /// # Errors
    /// As for [`Plan::new`].
    pub fn for_this_machine(variant: Variant) -> Result<Self> {
        Self::new(std::env::consts::OS, std::env::consts::ARCH, variant)
    }

    /// How much there is to fetch.
    pub fn fetched_bytes(&self) -> u64 {
        self.wheels.iter().map(|wheel| wheel.bytes).sum()
    }

    /// How much disk space set-up needs while it works: pip has the wheel that is fetched twice for a moment.
    pub fn working_bytes(&self) -> u64 {
        self.unpacked_bytes + 2 * self.wheels.iter().map(|wheel| wheel.bytes).max().unwrap_or(0)
    }

    /// Where a file of a wheel goes, relative to the folder of libtorch; `None` for what is left behind.
    ///
    /// The libraries lie side by side, since each names its own folder among those to search for the others.
    pub fn destination(&self, wheel: &Wheel, name: &str) -> Option<String> {
        if let Some(header) = name.strip_prefix("torch/include/") {
            return Some(format!("include/{header}"));
        }
        if self.variant == Variant::Cuda
            && CUDA_HEADERS.contains(&wheel.project().as_str())
            && let Some(header) = name.strip_prefix("nvidia/cu13/include/")
        {
            return Some(format!("include/{header}"));
        }
        let (folder, library) = name.rsplit_once('/')?;
        let is_library = folder == "torch/lib" || (folder.starts_with("nvidia/") && folder.ends_with("/lib"));
        let wanted = match self.variant {
            Variant::Cpu => wheel.cpu_libraries.iter().any(|wanted| wanted == library),
            Variant::Cuda => library.contains(".so") && !PYTHON_ONLY.contains(&library),
        };
        (is_library && wanted).then(|| format!("lib/{library}"))
    }

    /// The libraries that have to be there in the end, at least.
    pub fn required_libraries(&self) -> Vec<String> {
        self.wheels
            .iter()
            .flat_map(|wheel| wheel.cpu_libraries.iter().map(|name| format!("lib/{name}")))
            .collect()
    }
}

/// The projects whose headers `malaria-libtorch` needs to have a GPU repeat recorded steps.
const CUDA_HEADERS: [&str; 2] = ["nvidia-cuda-runtime", "nvidia-cuda-crt"];

/// Libraries of the torch wheel that only Python loads.
const PYTHON_ONLY: [&str; 3] = ["libtorch_python.so", "libshm.so", "libtorch_global_deps.so"];

#[cfg(test)]
mod tests {
    use super::*;

    const PLATFORMS: [(&str, &str, Variant); 5] = [
        ("linux", "x86_64", Variant::Cpu),
        ("linux", "x86_64", Variant::Cuda),
        ("linux", "aarch64", Variant::Cpu),
        ("linux", "aarch64", Variant::Cuda),
        ("macos", "aarch64", Variant::Cpu),
    ];

    #[test]
    fn every_pin_names_one_file_of_its_platform_and_a_whole_hash() {
        for (os, arch, variant) in PLATFORMS {
            let plan = Plan::new(os, arch, variant).unwrap();
            assert_eq!(plan.wheels[0].project(), "torch");
            assert_eq!(plan.wheels[0].version(), LIBTORCH_VERSION);
            assert_eq!(
                plan.wheels.len(),
                if variant == Variant::Cuda { 17 } else { 3.min(plan.wheels.len()) }
            );
            for wheel in &plan.wheels {
                let ending = if os == "macos" { "arm64" } else { arch };
                assert!(wheel.platform().ends_with(ending), "{}", wheel.file);
                assert!(wheel.sha256.len() == 64 && wheel.sha256.bytes().all(|b| b.is_ascii_hexdigit()));
                assert!(wheel.bytes > 100_000, "{}", wheel.file);
            }
        }
    }

    #[test]
    fn file_names_give_what_pip_is_asked_for() {
        let plan = Plan::new("linux", "x86_64", Variant::Cpu).unwrap();
        let asked: Vec<_> = plan
            .wheels
            .iter()
            .map(|w| (w.project(), w.version().to_owned(), w.platform().to_owned()))
            .collect();
        let expected = [
            ("nvidia-cuda-cupti", "13.0.85", "manylinux_2_25_x86_64"),
            ("nvidia-cuda-runtime", "13.0.96", "manylinux_2_17_x86_64"),
            ("torch", "2.13.0", "manylinux_2_28_x86_64"),
        ];
        for (project, version, platform) in expected {
            assert!(
                asked.contains(&(project.to_owned(), version.to_owned(), platform.to_owned())),
                "{asked:?}"
            );
        }
    }

    #[test]
    fn the_cpu_gets_headers_and_named_libraries_and_cuda_gets_all() {
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
        for (wheel, expected) in cuda.wheels.iter().filter_map(|wheel| match wheel.project().as_str() {
            "nvidia-cuda-runtime" | "nvidia-cuda-crt" => Some((wheel, Some("include/crt/host_config.h"))),
            "nvidia-cudnn-cu13" => Some((wheel, None)),
            _ => None,
        }) {
            assert_eq!(cuda.destination(wheel, header).as_deref(), expected, "{}", wheel.file);
            assert_eq!(cpu.destination(wheel, header), None, "{}", wheel.file);
        }
        assert!(cpu.required_libraries().contains(&"lib/libcudart.so.13".to_owned()));
        assert!(cpu.linker_script.is_some() && cuda.linker_script.is_none());
    }

    #[test]
    fn what_no_wheel_can_give_is_refused_with_a_way_out() {
        for (os, arch) in
            [("macos", "x86_64"), ("windows", "x86_64"), ("linux", "riscv64"), ("freebsd", "x86_64")]
        {
            let message = Plan::new(os, arch, Variant::Cpu).unwrap_err().to_string();
            assert!(message.contains("LIBTORCH"), "{message}");
        }
        let message = Plan::new("macos", "aarch64", Variant::Cuda).unwrap_err().to_string();
        assert!(message.contains("without `--cuda`"), "{message}");
    }
}
