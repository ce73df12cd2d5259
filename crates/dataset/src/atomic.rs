//! Files that are either whole or not there.

use std::fs::File;
use std::path::Path;

use crate::error::{Error, Result};

/// Has `write` fill a temporary file beside `path`, syncs it and gives it the name `path`, replacing what was there.
pub(crate) fn write_atomically(path: &Path, write: impl FnOnce(&mut File) -> Result<()>) -> Result<()> {
    let mut file = temporary_beside(path)?;
    write(file.as_file_mut())?;
    file.as_file().sync_all().map_err(Error::io("write", path))?;
    file.persist(path).map_err(|error| Error::io("write", path)(error.error))?;
    Ok(())
}

/// A temporary file in the folder of `path`, hidden, and readable to those that new files are readable to.
pub(crate) fn temporary_beside(path: &Path) -> Result<tempfile::NamedTempFile> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // The process's mask takes away from these, as from any new file's; alone, tempfile gives none to others.
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    builder.prefix(".tmp-").tempfile_in(folder).map_err(Error::io("write in the folder", folder))
}
