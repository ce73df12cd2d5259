//! Calls to the cargo that started this program.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};

/// A call of cargo in the workspace at `root`.
pub(crate) fn cargo(root: &Path, own_libtorch: bool) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(program);
    command.current_dir(root);
    if !own_libtorch {
        // Cargo set it from .cargo/config.toml to start this program, and will again. Passed on, it would look like a
        // change of the environment to build scripts, which would all run again at the next plain `cargo build`.
        command.env_remove("LIBTORCH");
    }
    command
}

/// Makes cargo build again what was built for another libtorch: the place stays the same, so it cannot tell.
///
/// # Errors
/// Where cargo fails.
pub fn forget_builds(root: &Path) -> Result<()> {
    for profile in ["dev", "release"] {
        let status = cargo(root, false)
            .args(["clean", "--quiet", "--profile", profile])
            .args(["-p", "torch-sys", "-p", "malaria-libtorch-locate", "-p", "malaria-libtorch"])
            .status()
            .context("cannot start cargo")?;
        ensure!(
            status.success(),
            "`cargo clean` failed, so programs built with the old libtorch may be left: run `cargo clean`, which \
             removes everything built"
        );
    }
    Ok(())
}

/// Becomes cargo with these arguments; where the system has no such thing, runs it and returns its exit code.
///
/// As the same process it gets the terminal's signals: a Ctrl-C ends training in an orderly way.
///
/// # Errors
/// Where cargo cannot be started.
pub fn become_cargo<I>(root: &Path, own_libtorch: bool, arguments: I) -> Result<ExitCode>
where
    I: IntoIterator,
    I::Item: AsRef<OsStr>,
{
    let mut command = cargo(root, own_libtorch);
    command.args(arguments);
    // Relative paths among the arguments are meant from where the caller stands.
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
        // A code that does not fit must not become that of a success.
        Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
    }
}
