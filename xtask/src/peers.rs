//! `cargo xtask bench --peers`: the speed of this library and of others, measured in alternation on this machine.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, bail, ensure};

use crate::cargo::cargo;

/// Settings of the comparison with other libraries: flags beside `--peers`.
#[derive(Clone, Debug, clap::Args)]
pub struct Peers {
    /// For --peers: folder with one folder of cells per class
    #[arg(long, value_name = "DIR", requires = "peers")]
    data: Option<PathBuf>,
    /// For --peers: run directory of the model
    #[arg(long, value_name = "RUN_DIR", requires = "peers", default_value = "data/pretrained")]
    run: PathBuf,
    /// For --peers: file for the results
    #[arg(long, value_name = "FILE", requires = "peers", default_value = "results/peers.json")]
    json: PathBuf,
    /// For --peers: number of rounds, whose medians are reported
    #[arg(long, value_name = "N", requires = "peers", default_value_t = 5)]
    rounds: u32,
}

impl Peers {
    /// Installs the other libraries if necessary, exports the model for them, and measures.
    ///
    /// # Errors
    /// If Python, pip, cargo or a library fails.
    pub fn measure(&self, root: &Path, own_libtorch: bool) -> Result<ExitCode> {
        let weights = self.run.join("weights.safetensors");
        ensure!(weights.is_file(), "{}: no such file; --run expects a finished run", weights.display());
        let data = self.data.as_deref().unwrap_or(Path::new(""));
        ensure!(data.is_dir(), "{}: no such folder; --data expects a folder of cells", data.display());
        let python = environment(root)?;
        let folder = root.join("target/peers");
        fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let onnx = folder.join("model.onnx");
        let mut export = cargo(root, own_libtorch);
        export.args(["run", "--quiet", "--release", "-p", "malaria-cli", "--bin", "malaria", "--", "export"]);
        succeed(export.arg("--run").arg(absolute(&self.run)?).arg("--out").arg(&onnx))?;
        let mut build = cargo(root, own_libtorch);
        succeed(build.args(["bench", "--no-run", "-p", "malaria-resnet", "--bench", "peer"]))?;

        let mut measure = Command::new(python);
        measure.current_dir(root).arg("tools/peers/run.py").arg("--weights").arg(absolute(&weights)?);
        measure.arg("--onnx").arg(&onnx).arg("--data").arg(absolute(data)?);
        measure.arg("--json").arg(absolute(&self.json)?).args(["--rounds", &self.rounds.to_string()]);
        if !own_libtorch {
            measure.env_remove("LIBTORCH");
        }
        succeed(&mut measure)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Makes a virtual environment with the pinned libraries and returns its Python.
fn environment(root: &Path) -> Result<PathBuf> {
    let folder = root.join(".peers");
    let python = folder.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
    let pinned = root.join("tools/peers/requirements.txt");
    let wanted = fs::read_to_string(&pinned).with_context(|| format!("cannot read {}", pinned.display()))?;
    let installed = folder.join("installed.txt");
    if fs::read_to_string(&installed).is_ok_and(|found| found == wanted) {
        return Ok(python);
    }
    println!("installing the other libraries into {}: 4 GB to fetch, 9 GB on disk", folder.display());
    succeed(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    let pip = ["-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--requirement"];
    succeed(Command::new(&python).args(pip).arg(&pinned))?;
    // Written last, so that an interrupted installation is repeated.
    fs::write(&installed, wanted).with_context(|| format!("cannot write {}", installed.display()))?;
    Ok(python)
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("{}: not a path", path.display()))
}

fn succeed(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.status().with_context(|| format!("cannot start {program}"))?;
    if status.success() { Ok(()) } else { bail!("{program} failed: {status}") }
}
