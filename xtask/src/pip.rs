//! Fetches wheels with the user's pip from the index that it is configured for.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::plan::Wheel;

/// Finds a Python on the `PATH` and checks that it has pip.
pub(crate) fn find() -> Result<&'static str> {
    for python in ["python3", "python"] {
        let Ok(output) = Command::new(python).args(["-m", "pip", "--version"]).output() else { continue };
        ensure!(
            output.status.success(),
            "`{python} -m pip` does not work: {}. Install pip (`{python} -m ensurepip`, or your system's package, \
             such as python3-pip), or set LIBTORCH to the folder of your own libtorch",
            String::from_utf8_lossy(&output.stderr).trim().lines().last().unwrap_or("no reason given")
        );
        return Ok(python);
    }
    bail!(
        "libtorch is fetched with pip, and there is no `python3` on the PATH: install Python 3 with pip, or set \
         LIBTORCH to the folder of your own libtorch"
    )
}

/// Fetches one wheel into `folder` and returns its path. pip compares the SHA-256 with the pinned one, and prints its
/// progress and its errors itself.
pub(crate) fn download(python: &str, wheel: &Wheel, folder: &Path) -> Result<PathBuf> {
    let (project, version) = (wheel.project(), wheel.version());
    // Hashes can only be given in a file.
    let requirements = folder.join("requirements.txt");
    fs::write(&requirements, format!("{project}=={version} --hash=sha256:{}\n", wheel.sha256))?;
    let status = Command::new(python)
        .args(
            "-m pip download --disable-pip-version-check --no-input --no-deps --only-binary=:all:".split(' '),
        )
        // All tags are given, so that any Python works. Only one platform, since pip before 21 accepts only one.
        .args("--python-version 311 --implementation cp --abi cp311".split(' '))
        .args(["--platform", wheel.platform(), "--require-hashes", "--requirement"])
        .args([requirements.as_path(), Path::new("--dest"), folder])
        // pip stores partial wheels here, and /tmp may be too small for them.
        .env("TMPDIR", folder)
        // This setting forbids installing outside a virtual environment; nothing is installed here.
        .env("PIP_REQUIRE_VIRTUALENV", "0")
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("cannot start {python}"))?;
    ensure!(
        status.success(),
        "pip could not fetch {project} {version}, for the reason above. Check that this machine reaches the \
         Python package index (behind a proxy, set HTTPS_PROXY, and PIP_CERT for its certificate; with a mirror, \
         PIP_INDEX_URL) and that pip is not older than version 19 (`{python} -m pip install --upgrade pip`), then run \
         the same command again"
    );
    Ok(folder.join(&wheel.file))
}
