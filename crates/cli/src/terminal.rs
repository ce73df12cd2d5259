//! Standard streams, signals and the command line.

use std::{
    ffi::OsStr,
    fmt::Display,
    io::{self, Write},
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

/// True once Ctrl-C or SIGTERM has asked the program to stop; a second one ends it at once.
pub(crate) static STOP: AtomicBool = AtomicBool::new(false);

/// A line on standard output. A reader that has gone away has seen enough, and no program ends for it; a full disk is an error.
pub(crate) fn print(line: impl Display) -> io::Result<()> {
    match writeln!(io::stdout(), "{line}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}

/// A line on standard error, which nobody may be reading.
pub(crate) fn note(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Lets Ctrl-C and SIGTERM finish the batch under way instead of killing the program.
pub(crate) fn stop_on_signal() -> anyhow::Result<()> {
    ctrlc::set_handler(|| {
        if STOP.swap(true, Ordering::Relaxed) {
            // SAFETY: it ends the process, and does nothing before. `exit` would first take CUDA down under the batch that another
            // thread is computing, which ended in a C++ stack trace.
            #[allow(unsafe_code, reason = "seen on a GPU; the standard library has no such call")]
            unsafe {
                libc::_exit(130)
            }
        }
        note("\nstopping as soon as what is done is saved; once more to stop at once");
    })?;
    Ok(())
}

/// Refuses a path to be written to later that is a folder, or whose folder is not there, before hours of work.
pub(crate) fn check_file(path: &Path) -> anyhow::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        anyhow::bail!(
            "{}: there is no folder {} to write it to: make it first",
            path.display(),
            folder.display()
        );
    }
    if path.is_dir() {
        anyhow::bail!("{}: this is a folder, and the name of a file to write is expected", path.display());
    }
    Ok(())
}

/// The command line as it was given, quoted so that a shell reads it back.
pub(crate) fn command() -> String {
    std::env::args_os().map(|word| quoted(&word)).collect::<Vec<_>>().join(" ")
}

/// The command that goes on with the run in `run`.
pub(crate) fn resume_command(run: &Path) -> String {
    let program = std::env::args_os().next().unwrap_or_else(|| "malaria".into());
    format!("{} train --resume {}", quoted(&program), quoted(run.as_os_str()))
}

/// A word as a shell reads it back.
fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_alphanumeric() || "-_./:=,+@%".contains(c);
    if word.chars().all(plain) && !word.is_empty() {
        return word.into_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}
