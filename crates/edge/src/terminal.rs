//! Prints lines on the terminal, and handles Ctrl-C.

use std::{
    fmt::Display,
    io::{self, IsTerminal, Write},
    sync::atomic::{AtomicBool, Ordering},
};

use malaria_files::printable;

/// True after Ctrl-C or SIGTERM; a second one ends the program at once.
pub(crate) static STOP: AtomicBool = AtomicBool::new(false);

/// Prints a line on standard output. A closed pipe is not an error, a full disk is.
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

/// Prints a line on standard error, ignoring errors.
pub(crate) fn note(line: impl Display) {
    let _ = writeln!(io::stderr(), "{}", printable(&line.to_string()));
}

/// Lets Ctrl-C and SIGTERM finish the work in progress instead of killing the program. `work` says what is finished.
pub(crate) fn stop_on_signal(work: &'static str) -> anyhow::Result<()> {
    ctrlc::set_handler(move || {
        if STOP.swap(true, Ordering::Relaxed) {
            #[expect(
                clippy::exit,
                reason = "the work is not asked again; nothing is being written in place"
            )]
            std::process::exit(130);
        }
        note(format_args!("\n{work}, then stopping; repeat to stop at once"));
    })?;
    Ok(())
}
