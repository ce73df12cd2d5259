//! Finds the PyTorch of a Python without importing it, which takes seconds.

use std::path::PathBuf;
use std::process::Command;

use crate::error::Error;

const SCRIPT: &str = "
import importlib.metadata, importlib.util
print(importlib.metadata.version('torch'))
print(importlib.util.find_spec('torch').submodule_search_locations[0])
";

/// Version and folder of the PyTorch that `interpreter` would import.
pub(crate) fn installed_torch(interpreter: &str) -> Result<(String, PathBuf), Error> {
    let fail = |reason: String| Error::Python { interpreter: interpreter.to_owned(), reason };
    let output = Command::new(interpreter)
        .args(["-c", SCRIPT])
        .output()
        .map_err(|error| fail(format!("it cannot be started ({error})")))?;
    let stdout = String::from_utf8_lossy(&output.stdout);
    let mut lines = stdout.lines();
    match (output.status.success(), lines.next(), lines.next()) {
        (true, Some(version), Some(folder)) => Ok((version.to_owned(), folder.into())),
        _ => {
            let stderr = String::from_utf8_lossy(&output.stderr);
            Err(fail(stderr.trim().lines().last().unwrap_or("no reason given").to_owned()))
        }
    }
}
