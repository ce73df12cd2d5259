//! Calls to the cargo that started this program.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};

/// A call of cargo in the workspace at `root`; `own_libtorch` means that the user has set `LIBTORCH`.
pub(crate) fn cargo(root: &Path, own_libtorch: bool) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(program);
    command.current_dir(root);
    // Cargo set these variables when it started this program. If they were passed on, the environment of build scripts would
    // differ from that under plain cargo, and they would run again at every change between the two.
    for (name, _) in std::env::vars_os() {
        let is_set_by_cargo =
            |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
        if name.to_str().is_some_and(is_set_by_cargo) {
            command.env_remove(name);
        }
    }
    if !own_libtorch {
        // Set by .cargo/config.toml, which cargo reads again.
        command.env_remove("LIBTORCH");
    }
    command
}

/// Removes everything built with the old libtorch: the path is the same, so cargo does not notice the change.
///
/// # Errors
/// If cargo fails.
pub fn forget_builds(root: &Path) -> Result<()> {
    for profile in ["dev", "release"] {
        let status = cargo(root, false)
            .args(["clean", "--quiet", "--profile", profile])
            .args(["-p", "torch-sys", "-p", "malaria-libtorch-locate", "-p", "malaria-libtorch"])
            .status()
            .context("cannot start cargo")?;
        ensure!(
            status.success(),
            "`cargo clean` failed for some packages, so programs built with the old libtorch may be left: run `cargo \
             clean`"
        );
    }
    Ok(())
}

/// Replaces this process by cargo with these arguments; on Windows, runs cargo and returns its exit code.
///
/// Since cargo is then the same process, it receives the terminal's signals, so that Ctrl-C ends a training cleanly.
///
/// # Errors
/// If cargo cannot be started.
pub fn become_cargo(root: &Path, own_libtorch: bool, arguments: Vec<OsString>) -> Result<ExitCode> {
    let mut command = cargo(root, own_libtorch);
    command.args(arguments);
    // Relative paths among the arguments are relative to the caller's folder.
    if let Ok(here) = std::env::current_dir()
        && here.starts_with(root)
    {
        command.current_dir(here);
    }
    #[cfg(unix)]
    {
        use std::os::unix::process::CommandExt;
        Err(command.exec()).context("cannot start cargo")
    }
    #[cfg(not(unix))]
    {
        let status = command.status().context("cannot start cargo")?;
        // A code that does not fit in a byte must not become 0.
        Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
    }
}
