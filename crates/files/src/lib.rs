//! Files that are whole or not there: what is written goes to a temporary sibling, is synced, and renamed.
//!
//! Stands on the ground of the workspace. [`write()`] and what it is made of give the system's errors: the caller knows what the
//! file was for. [`read_json`], [`write_json`], [`read_csv`] and [`write_csv`] give an [`Error`] that names the file.
//!
//! ```
//! # let folder = tempfile::tempdir()?;
//! let path = folder.path().join("figures.json");
//! malaria_files::write(&path, b"{}")?;
//! assert_eq!(std::fs::read(&path)?, b"{}");
//! # Ok::<(), std::io::Error>(())
//! ```

mod error;
mod tables;

use std::{
    ffi::OsString,
    fs,
    io::{self, Write},
    path::Path,
};

pub use error::{Error, Result};
pub use tables::{read_csv, read_json, remove, write_csv, write_json};
pub use tempfile::NamedTempFile;

/// What stands between a file's name and the random end of its temporary sibling's.
const MARK: &str = ".writing-";

/// Makes `bytes` the contents of `path`. Whoever reads meanwhile, and whatever goes wrong, finds the old contents or the
/// new ones.
///
/// What is there and is not a regular file, such as `/dev/stdout`, is written to as it is. A link to an
/// existing file stays a link: what it points to is replaced.
///
/// # Errors
/// The system's; an older file of that name then stays as it is.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir()) {
        return fs::File::options().write(true).open(path)?.write_all(bytes);
    }
    let mut file = beside(path)?;
    // On the file itself: tempfile's own errors speak of the temporary name, which tells nobody anything.
    file.as_file_mut().write_all(bytes)?;
    put(file, path)
}

/// An empty temporary file in the folder of `path`, hidden, named after it, and removed unless it is [`put`] somewhere.
///
/// # Errors
/// The system's, as when there is no such folder.
pub fn beside(path: &Path) -> io::Result<NamedTempFile> {
    let mut prefix = OsString::from(".");
    // A part of the name: the whole of a long one would leave no room for the mark.
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    prefix.push(name.chars().take(50).collect::<String>());
    prefix.push(MARK);
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix);
    // A temporary file is its owner's alone; what it becomes should follow the umask, as any new file does.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder_of(path))
}

/// Syncs `file` and gives it the name `path`, replacing what was there.
///
/// # Errors
/// The system's; `file` is then removed.
pub fn put(file: NamedTempFile, path: &Path) -> io::Result<()> {
    file.as_file().sync_all()?;
    file.persist(path).map_err(|failed| failed.error)?;
    // The name itself lasts when the folder is synced too, which not every system allows. The file is in its place and
    // whole either way.
    if cfg!(unix) {
        let _ = fs::File::open(folder_of(path)).and_then(|folder| folder.sync_all());
    }
    Ok(())
}

/// Removes from `folder` the temporary files of processes that were killed while they wrote. Those of one that is still
/// at work are not told from them: the caller has to know that there is none.
///
/// # Errors
/// The system's, as when the folder cannot be listed.
pub fn sweep(folder: &Path) -> io::Result<()> {
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

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
