//! Fetches wheels with the pip that the user has, whatever its age, from the index that it is set to use.

use std::io::{BufRead, BufReader, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, anyhow, bail, ensure};

use crate::interrupt;
use crate::plan::Wheel;

/// A Python that has pip.
#[derive(Clone, Debug)]
pub struct Pip {
    interpreter: &'static str,
    /// The first number of its release: 24 for 24.2.
    major: u32,
}

impl Pip {
    /// Finds Python on the `PATH` and asks whether it has pip.
    ///
    /// # Errors
    /// Where there is no Python, or it has no pip; the message says how to get it.
    pub fn find() -> Result<Self> {
        for interpreter in ["python3", "python"] {
            let Ok(output) = Command::new(interpreter).args(["-m", "pip", "--version"]).output() else {
                continue;
            };
            ensure!(
                output.status.success(),
                "`{interpreter} -m pip` does not work: {}. Install pip (`{interpreter} -m ensurepip`, or your \
                 system's package, such as python3-pip), or set LIBTORCH to a libtorch of your own",
                last_line(&String::from_utf8_lossy(&output.stderr)).unwrap_or("it gives no reason")
            );
            // `pip 24.2 from /usr/lib/…`
            let stdout = String::from_utf8_lossy(&output.stdout);
            let release = stdout.split_whitespace().nth(1).and_then(|release| release.split('.').next());
            let major = release.and_then(|major| major.parse().ok()).unwrap_or(u32::MAX);
            return Ok(Self { interpreter, major });
        }
        bail!(
            "libtorch is fetched with pip, and there is no `python3` on the PATH: install Python 3 with pip, or set \
             LIBTORCH to a libtorch of your own"
        )
    }

    /// Fetches one wheel into `folder`, with pip's own progress bar in a terminal, and returns its path.
    ///
    /// `temporary` is where pip keeps what has not arrived in whole; it has to have room for the wheel.
    ///
    /// # Errors
    /// Where pip fails; the message has its last word, and what usually helps.
    pub fn download(&self, wheel: &Wheel, folder: &Path, temporary: &Path) -> Result<PathBuf> {
        let mut command = Command::new(self.interpreter);
        command
            .args(["-m", "pip", "download", "--disable-pip-version-check", "--no-input", "--no-deps"])
            // Every tag is stated, so that it makes no difference which Python runs pip. One platform, since
            // releases of pip before 21 take only one.
            .args([
                "--only-binary=:all:",
                "--python-version",
                "311",
                "--implementation",
                "cp",
                "--abi",
                "cp311",
            ])
            .args(["--platform", wheel.platform()])
            .arg("--dest")
            .arg(folder)
            .arg(format!("{}=={}", wheel.project(), wheel.version()))
            .env("TMPDIR", temporary)
            // A user's guard against installing outside an environment; nothing is installed.
            .env("PIP_REQUIRE_VIRTUALENV", "0")
            .stdin(Stdio::null())
            .stderr(Stdio::piped());
        if !std::io::stdout().is_terminal() {
            command.args(["--progress-bar", "off"]);
        }
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn().with_context(|| format!("cannot start {}", self.interpreter))?;
        let stderr = child.stderr.take().context("pip's standard error is a pipe")?;
        // Warnings, as of a network that fails and is tried again, are shown as they come.
        let reader = std::thread::spawn(move || {
            let mut lines = Vec::new();
            // To its end, whatever the bytes: a pipe that nobody reads any more would end pip.
            for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(line.trim_ascii_end()).into_owned();
                eprintln!("{line}");
                lines.push(line);
            }
            lines
        });
        let status = interrupt::wait(&mut child)?;
        let lines = reader.join().unwrap_or_default();
        if !status.success() {
            return Err(explain(wheel, self.major, &lines));
        }
        let path = folder.join(&wheel.file);
        ensure!(
            path.is_file(),
            "pip reports success but has not written {}: see whether `pip config list` sends it to another index",
            path.display()
        );
        Ok(path)
    }
}

/// One message for a pip that has failed, from what it wrote.
fn explain(wheel: &Wheel, pip_major: u32, lines: &[String]) -> anyhow::Error {
    let said = |needles: &[&str]| lines.iter().any(|line| needles.iter().any(|needle| line.contains(needle)));
    // Before release 19, pip measured a wheel's demands by the Python it ran in.
    let hint = if pip_major < 19 || said(&["no such option", "unknown option", "unrecognized arguments"]) {
        "this pip is too old: `python3 -m pip install --upgrade pip`"
    } else if said(&["No space left", "Errno 28"]) {
        "the disk is full"
    } else if said(&["CERTIFICATE_VERIFY_FAILED", "SSLError"]) {
        "the index's certificate is not trusted here: behind a proxy, tell pip of its certificate with PIP_CERT"
    } else {
        // With no index in reach, pip says that there are no versions at all.
        "see that this machine reaches the Python package index (behind a proxy, set HTTPS_PROXY; with a mirror, \
         PIP_INDEX_URL), then run the same command again"
    };
    let reason = lines
        .iter()
        .rev()
        .find(|line| line.starts_with("ERROR") || line.contains("rror:"))
        .or(lines.last())
        .map_or("it gives no reason", String::as_str);
    anyhow!("pip could not fetch {} {}: {reason}\n{hint}", wheel.project(), wheel.version())
}

fn last_line(text: &str) -> Option<&str> {
    text.trim().lines().last()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Plan, Variant};

    #[test]
    fn the_message_names_the_wheel_the_reason_and_what_helps() {
        let plan = Plan::new("linux", "x86_64", Variant::Cpu).unwrap();
        for (line, helps) in [
            (
                "ERROR: Could not find a version that satisfies torch==2.13.0 (from versions: none)",
                "HTTPS_PROXY",
            ),
            ("no such option: --abi", "too old"),
            (
                "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",
                "disk is full",
            ),
            ("WARNING: Retrying after SSLError(CERTIFICATE_VERIFY_FAILED)", "PIP_CERT"),
        ] {
            let message = explain(&plan.wheels[0], 24, &["first".to_owned(), line.to_owned()]).to_string();
            assert!(
                message.contains("torch 2.13.0") && message.contains(line) && message.contains(helps),
                "{message}"
            );
        }
        assert!(explain(&plan.wheels[0], 24, &[]).to_string().contains("gives no reason"));
        assert!(explain(&plan.wheels[0], 18, &[]).to_string().contains("too old"));
    }
}
