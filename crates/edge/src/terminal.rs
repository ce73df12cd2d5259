//! Prints lines on standard output and standard error.

use std::{
    fmt::Display,
    io::{self, IsTerminal, Write},
};

use malaria_files::printable;

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
