//! Ctrl-C and its kin: set-up stops where it is and leaves nothing behind.

use std::process::{Child, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, bail};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// From here on a signal that would end the program makes [`check`] and [`wait`] fail instead.
///
/// # Errors
/// Where the system lets no handler be set.
pub(crate) fn watch() -> Result<()> {
    match ctrlc::set_handler(|| INTERRUPTED.store(true, Ordering::Relaxed)) {
        Ok(()) | Err(ctrlc::Error::MultipleHandlers) => Ok(()),
        Err(error) => Err(error).context("cannot listen for Ctrl-C"),
    }
}

/// Fails once a signal has come.
pub(crate) fn check() -> Result<()> {
    if INTERRUPTED.load(Ordering::Relaxed) {
        bail!("interrupted. Nothing half-made will be used: run the same command again");
    }
    Ok(())
}

/// Waits for `child`, the head of a process group of its own, to end; ends it once a signal has come.
pub(crate) fn wait(child: &mut Child) -> Result<ExitStatus> {
    loop {
        if let Some(status) = child.try_wait().context("cannot wait for pip")? {
            return Ok(status);
        }
        if let Err(interrupted) = check() {
            end(child);
            child.wait().context("cannot wait for pip")?;
            return Err(interrupted);
        }
        sleep(Duration::from_millis(20));
    }
}

/// Ends `child`, and what it has started: Python may be a script that starts the real one.
fn end(child: &mut Child) {
    // It may have ended by itself, which is as good.
    #[cfg(unix)]
    let _ = rustix::process::kill_process_group(
        rustix::process::Pid::from_child(child),
        rustix::process::Signal::TERM,
    );
    #[cfg(not(unix))]
    let _ = child.kill();
}
