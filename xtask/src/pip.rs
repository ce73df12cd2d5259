//! Fetches wheels with the user's pip, of any age, from the index that it is configured for.

use std::io::{BufRead, BufReader, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, anyhow, bail, ensure};

use crate::plan::Wheel;

/// A Python that has pip.
#[derive(Clone, Debug)]
pub(crate) struct Pip {
    interpreter: &'static str,
    /// Major version: 24 for 24.2.
    major: u32,
}

impl Pip {
    /// Finds a Python on the `PATH` and checks that it has pip.
    pub(crate) fn find() -> Result<Self> {
        for interpreter in ["python3", "python"] {
            let Ok(output) = Command::new(interpreter).args(["-m", "pip", "--version"]).output() else {
                continue;
            };
            ensure!(
                output.status.success(),
                "`{interpreter} -m pip` does not work: {}. Install pip (`{interpreter} -m ensurepip`, or your \
                 system's package, such as python3-pip), or set LIBTORCH to the folder of your own libtorch",
                String::from_utf8_lossy(&output.stderr).trim().lines().last().unwrap_or("no reason given")
            );
            // `pip 24.2 from /usr/lib/…`
            let stdout = String::from_utf8_lossy(&output.stdout);
            let version = stdout.split_whitespace().nth(1).and_then(|version| version.split('.').next());
            let major = version.and_then(|major| major.parse().ok()).unwrap_or(u32::MAX);
            return Ok(Self { interpreter, major });
        }
        bail!(
            "libtorch is fetched with pip, and there is no `python3` on the PATH: install Python 3 with pip, or set \
             LIBTORCH to the folder of your own libtorch"
        )
    }

    /// Fetches one wheel into `folder`, with pip's own progress bar in a terminal, and returns its path.
    pub(crate) fn download(&self, wheel: &Wheel, folder: &Path) -> Result<PathBuf> {
        let mut command = Command::new(self.interpreter);
        command
            .args(
                "-m pip download --disable-pip-version-check --no-input --no-deps --only-binary=:all:"
                    .split(' '),
            )
            // Every tag is stated, so that any Python will do. One platform, since pip before 21 takes only one.
            .args("--python-version 311 --implementation cp --abi cp311".split(' '))
            .args(["--platform", wheel.platform(), "--dest"])
            .arg(folder)
            .arg(format!("{}=={}", wheel.project(), wheel.version()))
            // pip keeps half a wheel here, and /tmp may be too small for it.
            .env("TMPDIR", folder)
            // This guards against installing outside a virtual environment; nothing is installed.
            .env("PIP_REQUIRE_VIRTUALENV", "0")
            .stdin(Stdio::null())
            .stderr(Stdio::piped());
        if !std::io::stdout().is_terminal() {
            command.args(["--progress-bar", "off"]);
        }
        let mut child = command.spawn().with_context(|| format!("cannot start {}", self.interpreter))?;
        let mut lines = Vec::new();
        // Warnings, such as those of a retry, are shown as they come.
        for line in child.stderr.take().into_iter().flat_map(|stderr| BufReader::new(stderr).split(b'\n')) {
            let line = line.context("cannot read from pip")?;
            let line = String::from_utf8_lossy(line.trim_ascii_end()).into_owned();
            eprintln!("{line}");
            lines.push(line);
        }
        if !child.wait().context("cannot wait for pip")?.success() {
            return Err(explain(wheel, self.major, &lines));
        }
        let path = folder.join(&wheel.file);
        ensure!(
            path.is_file(),
            "pip succeeded without writing {}: check which index it uses (`pip config list`)",
            path.display()
        );
        Ok(path)
    }
}

/// One message for a pip that has failed, from its lines on standard error.
fn explain(wheel: &Wheel, pip_major: u32, lines: &[String]) -> anyhow::Error {
    // Before version 19, pip checked a wheel's tags against the Python it ran in.
    let hint = if pip_major < 19 || lines.iter().any(|line| line.contains("no such option")) {
        "This pip is too old: `python3 -m pip install --upgrade pip`"
    } else {
        // With no index in reach, pip says that it finds no version at all.
        "Check that this machine reaches the Python package index (behind a proxy, set HTTPS_PROXY, and PIP_CERT for \
         its certificate; with a mirror, PIP_INDEX_URL), then run the same command again"
    };
    let error = lines.iter().rev().find(|line| line.starts_with("ERROR") || line.contains("rror:"));
    let reason = error.or(lines.last()).map_or("no reason given", String::as_str);
    anyhow!("pip could not fetch {} {}: {reason}\n{hint}", wheel.project(), wheel.version())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Plan, Variant};

    #[test]
    fn a_failure_names_the_wheel_the_reason_and_a_remedy() {
        let plan = Plan::new("linux", "x86_64", Variant::Cpu).unwrap();
        let explain = |major, lines: &[&str]| {
            let lines: Vec<String> = lines.iter().map(|&line| line.to_owned()).collect();
            explain(&plan.wheels[0], major, &lines).to_string()
        };
        let message = explain(24, &["first", "ERROR: No matching distribution found"]);
        assert!(message.contains("torch 2.13.0: ERROR: No matching distribution found\n"), "{message}");
        assert!(message.contains("HTTPS_PROXY"), "{message}");
        assert!(explain(24, &["no such option: --abi"]).contains("too old"));
        assert!(explain(18, &[]).contains("no reason given\nThis pip is too old"));
    }
}
