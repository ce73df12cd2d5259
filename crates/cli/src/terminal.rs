//! Standard streams, signals and the command line.

use std::{
    ffi::OsStr,
    fmt::Display,
    io::{self, IsTerminal, Write},
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use anyhow::Context;
use malaria_files::printable;

/// True after Ctrl-C or SIGTERM; a second one ends the program at once.
pub(crate) static STOP: AtomicBool = AtomicBool::new(false);

/// Prints a line on standard output. A closed pipe is not an error; a full disk is.
pub(crate) fn print(line: impl Display) -> io::Result<()> {
    let mut line = line.to_string();
    if io::stdout().is_terminal() {
        line = printable(&line);
    }
    match writeln!(io::stdout(), "{line}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(io::Error::new(error.kind(), format!("cannot write standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Prints a line on standard error; errors are ignored.
pub(crate) fn note(line: impl Display) {
    let _ = writeln!(io::stderr(), "{}", printable(&line.to_string()));
}

/// Lets Ctrl-C and SIGTERM finish the work in progress instead of killing the program. `work` names it, as in `saving`.
pub(crate) fn stop_on_signal(work: &'static str) -> anyhow::Result<()> {
    ctrlc::set_handler(move || {
        if STOP.swap(true, Ordering::Relaxed) {
            // SAFETY: it only ends the process. `exit` would first shut CUDA down while another thread computes a batch,
            // which ended in a C++ stack trace.
            #[allow(unsafe_code, reason = "seen on a GPU; the standard library has no such call")]
            unsafe {
                libc::_exit(130)
            }
        }
        note(format_args!("\n{work}, then stopping; repeat to stop at once"));
    })?;
    Ok(())
}

/// Refuses, before hours of work, an output path that is a folder, has none of the `endings`, or cannot be written.
pub(crate) fn check_file(path: &Path, endings: &[&str]) -> anyhow::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        anyhow::bail!("{}: there is no folder {}: create it first", path.display(), folder.display());
    }
    if path.is_dir() {
        anyhow::bail!("{}: this is a folder; expected the name of a file to write", path.display());
    }
    // Devices and pipes may have any name.
    let other = std::fs::metadata(path).is_ok_and(|found| !found.is_file());
    if !other {
        let has = |ending: &&str| path.extension().is_some_and(|found| found.eq_ignore_ascii_case(ending));
        if !endings.iter().any(has) {
            anyhow::bail!("{}: expected a name that ends in .{}", path.display(), endings.join(" or ."));
        }
        malaria_files::temporary_file(path).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// The command line, quoted for a shell.
pub(crate) fn command() -> String {
    std::env::args_os().map(|word| quoted(&word)).collect::<Vec<_>>().join(" ")
}

/// The command that resumes `run`.
pub(crate) fn resume_command(run: &Path) -> String {
    let program = std::env::args_os().next().unwrap_or_else(|| "malaria".into());
    format!("{} train --resume {}", quoted(&program), quoted(run.as_os_str()))
}

/// A word quoted for a shell.
fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_alphanumeric() || "-_./:=,+@%".contains(c);
    if word.chars().all(plain) && !word.is_empty() {
        return word.into_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}
