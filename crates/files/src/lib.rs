//! Files and folders that are complete or do not exist: they are written under a temporary name beside the final one, synced,
//! and renamed.
//!
//! The lowest crate of the workspace. [`write()`], [`temporary_file`], [`persist`] and [`remove_temporary_files`] return the system's errors, since the
//! caller knows the purpose of the file. [`create_folder`], [`read_json`], [`write_json`], [`read_csv`] and [`write_csv`]
//! return an [`Error`] that names the path.
//!
//! ```
//! # let folder = tempfile::tempdir()?;
//! let path = folder.path().join("metrics.json");
//! malaria_files::write(&path, b"{}")?;
//! assert_eq!(std::fs::read(&path)?, b"{}");
//! # Ok::<(), std::io::Error>(())
//! ```

mod error;
mod folder;
mod tables;

use std::{
    fs,
    io::{self, Write},
    path::Path,
};

pub use error::{Error, Result, with_causes};
pub use folder::create_folder;
pub use tables::{csv_reader, one_line, printable, read_csv, read_json, remove, write_csv, write_json};
pub use tempfile::NamedTempFile;

/// Between the name and the random end of a temporary name.
const MARK: &str = ".writing-";

/// Replaces the contents of `path` by `bytes`. Readers, and a crash at any moment, find the old contents or the new ones.
///
/// An existing path that is not a regular file, such as `/dev/stdout`, is written to directly. A link to an existing file stays
/// a link: its target is replaced.
///
/// # Errors
/// The system's; an existing file is then unchanged.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir()) {
        return fs::File::options().write(true).open(path)?.write_all(bytes);
    }
    let mut file = temporary_file(path)?;
    // Written through the file itself, since tempfile's errors name the temporary file, which means nothing to users.
    file.as_file_mut().write_all(bytes)?;
    persist(file, path)
}

/// Creates an empty, hidden temporary file in the folder of `path`, named after it. It is removed unless it is given to [`persist`].
///
/// # Errors
/// The system's, for example if there is no such folder.
pub fn temporary_file(path: &Path) -> io::Result<NamedTempFile> {
    let prefix = hidden_prefix(path);
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix);
    // The umask applies, as to any new file; tempfile's default excludes other users.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder_of(path))
}

/// Syncs `file` and renames it to `path`, replacing an existing file.
///
/// # Errors
/// The system's; `file` is then removed.
pub fn persist(file: NamedTempFile, path: &Path) -> io::Result<()> {
    file.as_file().sync_all()?;
    file.persist(path).map_err(|failed| failed.error)?;
    // Some systems cannot sync a folder. The file is complete and in place either way.
    let _ = sync_folder(folder_of(path));
    Ok(())
}

/// Removes the temporary files that killed processes left in `folder`. The caller must know that no other process is writing
/// there.
///
/// # Errors
/// The system's, for example if the folder cannot be listed.
pub fn remove_temporary_files(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with('.') && name.contains(MARK) && entry.file_type()?.is_file() {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Start of the names of the temporary siblings of `path`. It contains only the first 50 characters of the name, since a
/// long name would leave no room for the mark.
fn hidden_prefix(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    format!(".{}{MARK}", name.chars().take(50).collect::<String>())
}

/// Makes the names in `folder` durable if the system can open folders.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { fs::File::open(folder)?.sync_all() } else { Ok(()) }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
