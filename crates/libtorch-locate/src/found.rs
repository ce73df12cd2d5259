//! Finds the libtorch that torch-sys will use, and checks it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::marker::{MARKER_FILE, Marker};
use crate::python::installed_torch;
use crate::version::LIBTORCH_VERSION;

/// The environment variables that torch-sys and this crate read.
pub const VARIABLES: [&str; 7] = [
    "LIBTORCH",
    "LIBTORCH_BYPASS_VERSION_CHECK",
    "LIBTORCH_INCLUDE",
    "LIBTORCH_LIB",
    "LIBTORCH_STATIC",
    "LIBTORCH_USE_PYTORCH",
    "VIRTUAL_ENV",
];

/// The environment variables that select libtorch, with the same meaning as in torch-sys.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// `LIBTORCH`: the folder that contains `lib` and `include`.
    pub libtorch: Option<PathBuf>,
    /// `LIBTORCH_INCLUDE`: the folder that contains `include`, if not `LIBTORCH`.
    pub include: Option<PathBuf>,
    /// `LIBTORCH_LIB`: the folder that contains `lib`, if not `LIBTORCH`.
    pub lib: Option<PathBuf>,
    /// `LIBTORCH_USE_PYTORCH`, with any value: use the PyTorch of Python. It overrides the three above.
    pub use_pytorch: bool,
    /// `LIBTORCH_BYPASS_VERSION_CHECK`, with any value: accept any version.
    pub bypass_version_check: bool,
    /// `LIBTORCH_STATIC`: link statically, so that no shared library is needed.
    pub link_statically: bool,
    /// Whether a Python virtual environment is active, in which the interpreter is called `python`.
    pub virtual_env: bool,
}

impl Settings {
    /// Reads the process's environment.
    pub fn from_env() -> Self {
        Self::from_variables(|name| std::env::var_os(name))
    }

    /// Reads an environment given as a function from a variable's name to its value.
    pub fn from_variables(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let folder = |name| variable(name).map(PathBuf::from);
        Self {
            libtorch: folder("LIBTORCH"),
            include: folder("LIBTORCH_INCLUDE"),
            lib: folder("LIBTORCH_LIB"),
            use_pytorch: variable("LIBTORCH_USE_PYTORCH").is_some(),
            bypass_version_check: variable("LIBTORCH_BYPASS_VERSION_CHECK").is_some(),
            link_statically: variable("LIBTORCH_STATIC")
                .is_some_and(|value| !["0", "false", "FALSE"].iter().any(|off| value == *off)),
            virtual_env: variable("VIRTUAL_ENV").is_some(),
        }
    }
}

/// A complete libtorch of the right version.
#[derive(Clone, Debug)]
pub struct Libtorch {
    /// The folder of libtorch.
    pub root: PathBuf,
    /// The folder of its libraries.
    pub lib: PathBuf,
    /// Its version, without the part after `+`.
    pub version: String,
    /// Whether it can use NVIDIA GPUs.
    pub has_cuda: bool,
    /// The files that were checked.
    pub watched: Vec<PathBuf>,
}

/// Finds the libtorch that torch-sys uses under `settings`, and checks it.
///
/// # Errors
/// An [`Error`] for the first problem found.
pub fn locate(settings: &Settings) -> Result<Libtorch, Error> {
    let (root, version) = if settings.use_pytorch {
        // In the order of torch-sys.
        let interpreter = if settings.virtual_env { "python" } else { "python3" };
        let (version, root) = installed_torch(interpreter)?;
        (root, Some(version))
    } else if let Some(root) = &settings.libtorch {
        (root.clone(), None)
    } else if Path::new("/usr/lib").join(library("torch")).exists() {
        (PathBuf::from("/usr"), None)
    } else {
        return Err(Error::NotConfigured);
    };
    if root.is_relative() {
        return Err(Error::Relative { path: root });
    }
    if !root.is_dir() {
        return Err(Error::NoFolder { path: root });
    }
    let of_python = settings.use_pytorch;
    let lib = settings.lib.as_ref().filter(|_| !of_python).unwrap_or(&root).join("lib");
    let include = settings.include.as_ref().filter(|_| !of_python).unwrap_or(&root).join("include");

    let missing = |path: &&PathBuf| !path.is_file();
    let mut watched = vec![include.join("torch/csrc/api/include/torch/torch.h")];
    if let Some(path) = watched.iter().find(missing) {
        return Err(Error::MissingFile { path: path.clone() });
    }
    // Checked before the libraries, whose names may differ in another version.
    let version = version.or_else(|| version_of(&root, &include)).unwrap_or_else(|| "unknown".to_owned());
    let version = version.split('+').next().unwrap_or_default().trim().to_owned();
    if version != LIBTORCH_VERSION && !settings.bypass_version_check {
        return Err(Error::WrongVersion { path: root, found: version });
    }
    if !settings.link_statically {
        watched.extend(["torch_cpu", "torch", "c10"].map(|name| lib.join(library(name))));
    }
    if let Some(path) = watched.iter().find(missing) {
        return Err(Error::MissingFile { path: path.clone() });
    }
    if let Some(marker) = Marker::read(&root)? {
        marker.verify(&root)?;
        watched.push(root.join(MARKER_FILE));
    }
    let has_cuda = lib.join(library("torch_cuda")).exists();
    Ok(Libtorch { root, lib, version, has_cuda, watched })
}

/// The version in the file `build-version` of `root`, or else in the headers in `include`.
fn version_of(root: &Path, include: &Path) -> Option<String> {
    if let Ok(version) = std::fs::read_to_string(root.join("build-version")) {
        return Some(version.trim().to_owned());
    }
    // The macros moved from the second file to the first in the course of the 2.x releases.
    ["torch/headeronly/version.h", "torch/csrc/api/include/torch/version.h"].iter().find_map(|name| {
        let header = std::fs::read_to_string(include.join(name)).ok()?;
        let number = |part: &str| {
            header.lines().find_map(|line| {
                let value = line.strip_prefix("#define TORCH_VERSION_")?.strip_prefix(part)?;
                value.trim().parse::<u32>().ok()
            })
        };
        Some(format!("{}.{}.{}", number("MAJOR")?, number("MINOR")?, number("PATCH")?))
    })
}

/// File name of a shared library on this system, for linking.
fn library(name: &str) -> String {
    match std::env::consts::OS {
        "macos" => format!("lib{name}.dylib"),
        "windows" => format!("{name}.lib"),
        _ => format!("lib{name}.so"),
    }
}
