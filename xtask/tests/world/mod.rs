//! A temporary workspace, small wheels and a fake Python for one test.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use sha2::{Digest, Sha256};
use tempfile::TempDir;
use xtask::{Plan, Variant, Wheel};
use zip::write::SimpleFileOptions;

const TORCH: &str = "torch-2.13.0-cp311-cp311-manylinux_2_28_x86_64.whl";
const RUNTIME: &str = "nvidia_cuda_runtime-13.0.96-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl";

/// Output of a child on both streams, and whether it succeeded.
pub(crate) struct Output {
    pub(crate) ok: bool,
    pub(crate) text: String,
}

impl Output {
    /// Set-up succeeded and ended with this outcome.
    #[track_caller]
    pub(crate) fn assert_outcome(&self, outcome: &str) {
        assert!(self.ok && self.text.contains(&format!("outcome {outcome}")), "{}", self.text);
    }

    /// Set-up failed with all of these words.
    #[track_caller]
    pub(crate) fn assert_failed(&self, words: &[&str]) {
        assert!(!self.ok && words.iter().all(|word| self.text.contains(word)), "{}", self.text);
    }
}

/// Temporary folders, removed when the test ends.
pub(crate) struct World {
    root: TempDir,
    wheels: TempDir,
    bin: TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        let folder = || TempDir::new().unwrap();
        let world = Self { root: folder(), wheels: folder(), bin: folder() };
        write_wheels(world.wheels.path(), "1");
        let python = world.bin.path().join("python3");
        fs::write(&python, include_str!("python3.sh")).unwrap();
        fs::set_permissions(&python, fs::Permissions::from_mode(0o755)).unwrap();
        // The commands that the script needs, on a PATH without a real Python.
        for tool in ["sh", "cp", "tr", "head", "touch", "sleep", "dd", "sha256sum"] {
            let real = ["/usr/bin", "/bin"].map(|folder| Path::new(folder).join(tool));
            let real = real.iter().find(|path| path.exists()).unwrap();
            std::os::unix::fs::symlink(real, world.bin.path().join(tool)).unwrap();
        }
        world
    }

    /// A world in which the CPU's libtorch is set up.
    pub(crate) fn installed() -> Self {
        let world = Self::new();
        world.setup(&[]).assert_outcome("Installed");
        world
    }

    pub(crate) fn libtorch(&self) -> PathBuf {
        self.root.path().join(".libtorch")
    }

    pub(crate) fn read(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.libtorch().join(path)).ok()
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        fs::write(self.libtorch().join(path), text).unwrap();
    }

    pub(crate) fn remove_python(&self) {
        fs::remove_file(self.bin.path().join("python3")).unwrap();
    }

    /// Names beside the folder of libtorch, except the lock.
    pub(crate) fn leftovers(&self) -> Vec<String> {
        let names = fs::read_dir(self.root.path()).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name != ".libtorch" && name != ".libtorch.lock").collect()
    }

    pub(crate) fn downloads(&self) -> usize {
        fs::read_to_string(self.wheels.path().join("downloads")).unwrap_or_default().lines().count()
    }

    pub(crate) fn setup(&self, variables: &[(&str, &str)]) -> Output {
        Self::output(self.spawn(variables))
    }

    pub(crate) fn spawn(&self, variables: &[(&str, &str)]) -> Child {
        if let Some((_, release)) = variables.iter().find(|(name, _)| *name == "FAKE_RELEASE") {
            write_wheels(self.wheels.path(), release);
        }
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture"])
            .env_clear()
            .env("PATH", self.bin.path())
            .env("XTASK_CHILD", self.root.path())
            .env("FAKE_WHEELS", self.wheels.path())
            .env("FAKE_MODE", "")
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    pub(crate) fn output(child: Child) -> Output {
        let output = child.wait_with_output().unwrap();
        let text = [output.stdout, output.stderr].map(|stream| String::from_utf8(stream).unwrap()).concat();
        Output { ok: output.status.success(), text }
    }

    /// Waits until the fake pip has made the file `sign`.
    pub(crate) fn wait_for(&self, sign: &str) {
        let begin = Instant::now();
        while !self.wheels.path().join(sign).exists() {
            assert!(begin.elapsed() < super::PATIENCE, "the fake pip did not make `{sign}`");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

/// Runs set-up in the child, in the folder and with the variant and wheels that the environment names.
pub(crate) fn child() {
    let variable = |name: &str| std::env::var_os(name);
    let root = PathBuf::from(variable("XTASK_CHILD").unwrap());
    let wheels = PathBuf::from(variable("FAKE_WHEELS").unwrap());
    let variant = match std::env::var("VARIANT").as_deref() {
        Ok("cuda") => Some(Variant::Cuda),
        Ok("cpu") => Some(Variant::Cpu),
        _ => None,
    };
    match xtask::setup(&root, variant, variable, |variant| Ok(plan(&wheels, variant))) {
        Ok(outcome) => println!("outcome {outcome:?}"),
        Err(error) => panic!("{error:#}"),
    }
}

fn plan(folder: &Path, variant: Variant) -> Plan {
    let real = Plan::new("linux", "x86_64", variant).unwrap();
    let wheel = |file: &str, libraries: &[&str]| {
        // The hash of the original, even if the fake pip alters its copy.
        let bytes = fs::read(folder.join(file)).unwrap();
        Wheel {
            file: file.to_owned(),
            sha256: base16ct::lower::encode_string(&Sha256::digest(&bytes)),
            bytes: bytes.len() as u64,
            cpu_libraries: libraries.iter().map(|&name| name.to_owned()).collect(),
        }
    };
    Plan {
        wheels: vec![wheel(TORCH, &["libtorch_cpu.so", "libc10.so"]), wheel(RUNTIME, &["libcudart.so.13"])],
        unpacked_bytes: std::env::var("FAKE_UNPACKED").map_or(1000, |bytes| bytes.parse().unwrap()),
        ..real
    }
}

fn write_wheels(folder: &Path, release: &str) {
    let cpu =
        if release == "1" { "cpu library".to_owned() } else { format!("cpu library, release {release}") };
    write_wheel(
        &folder.join(TORCH),
        &[
            ("torch/include/torch/csrc/api/include/torch/torch.h", "// torch"),
            ("torch/lib/libtorch_cpu.so", &cpu),
            ("torch/lib/libc10.so", "c10 library"),
            ("torch/lib/libtorch.so", "the wheel's own"),
            ("torch/lib/libtorch_cuda.so", "cuda library"),
            ("torch/lib/libtorch_python.so", "python library"),
            ("torch/version.py", "__version__ = '2.13.0'"),
        ],
    );
    write_wheel(
        &folder.join(RUNTIME),
        &[
            ("nvidia/cu13/lib/libcudart.so.13", "cudart library"),
            ("nvidia/cu13/lib/libcheckpoint.so", "another"),
            ("nvidia/cu13/include/cuda.h", "// cuda"),
        ],
    );
}

fn write_wheel(path: &Path, files: &[(&str, &str)]) {
    let mut zip = zip::ZipWriter::new(File::create(path).unwrap());
    let options = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, text) in files {
        zip.start_file(*name, options).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    }
    zip.finish().unwrap();
}
