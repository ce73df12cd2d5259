//! Creates a folder that is complete or does not exist.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    thread,
};

use crate::{
    error::{Error, Result},
    hidden_prefix, sync_folder,
};

/// Number of threads that sync files, which the system writes in batches.
const THREADS: usize = 8;

/// Lets `fill` write into a temporary folder beside `path`, syncs its files and renames it to `path`.
///
/// `path` must not exist or be an empty folder. If `fill` fails, the temporary folder is removed. Temporary folders of
/// `path` left by killed processes are removed too; those of running processes are locked and stay.
///
/// # Errors
/// [`Error::Occupied`] if `path` is a file or a folder with contents; [`Error::Io`]; any error of `fill`.
pub fn create_folder<T, E: From<Error>>(
    path: &Path,
    fill: impl FnOnce(&Path) -> Result<T, E>,
) -> Result<T, E> {
    let occupied = || Error::Occupied { path: path.to_owned() };
    if is_occupied(path)? {
        return Err(occupied().into());
    }
    // An absolute path has a parent: `.` alone has none.
    let absolute = std::path::absolute(path).map_err(Error::io("create the folder", path))?;
    let parent = absolute.parent().ok_or_else(occupied)?;
    fs::create_dir_all(parent).map_err(Error::io("create the folder", parent))?;
    let prefix = hidden_prefix(&absolute);
    remove_abandoned(parent, &prefix);
    let mut builder = tempfile::Builder::new();
    // The umask applies, as to every new folder; tempfile's default excludes other users.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777));
    let temporary =
        builder.prefix(&prefix).tempdir_in(parent).map_err(Error::io("write in the folder", parent))?;
    // The lock is held to the end and shows other processes that this folder is in use.
    let handle = File::open(temporary.path());
    let _ = handle.as_ref().map(File::lock);
    let filled = fill(temporary.path())?;
    sync(temporary.path()).map_err(Error::io("sync the folder", path))?;
    // If another process was faster, the folder is no longer empty, and removing or renaming fails.
    if absolute.exists() {
        fs::remove_dir(&absolute).map_err(|_| occupied())?;
    }
    fs::rename(temporary.path(), &absolute).map_err(|error| {
        if absolute.exists() { occupied() } else { Error::io("create the folder", path)(error) }
    })?;
    let _ = temporary.keep();
    sync_folder(parent).map_err(Error::io("sync the folder", parent))?;
    Ok(filled)
}

fn is_occupied(path: &Path) -> Result<bool> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::io("read", path)(error)),
        Ok(found) if found.is_dir() => {
            Ok(fs::read_dir(path).map_err(Error::io("list", path))?.next().is_some())
        }
        Ok(_) => Ok(true),
    }
}

/// Removes the temporary folders that no process has locked. Failures are ignored, since such a folder only takes space.
fn remove_abandoned(parent: &Path, prefix: &str) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let is_temporary = entry.file_name().to_string_lossy().starts_with(prefix)
            // Links are not followed.
            && entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_temporary && File::open(entry.path()).is_ok_and(|folder| folder.try_lock().is_ok()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Syncs all files and folders in `folder`.
fn sync(folder: &Path) -> io::Result<()> {
    let (mut files, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    let mut next = 0;
    while let Some(folder) = folders.get(next).cloned() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() { folders.push(entry.path()) } else { files.push(entry.path()) }
        }
        next += 1;
    }
    let sync_files = |files: &[PathBuf]| {
        files.iter().try_for_each(|path| File::options().write(true).open(path)?.sync_all())
    };
    thread::scope(|scope| {
        let chunks = files.chunks(files.len().div_ceil(THREADS).max(1));
        let workers: Vec<_> = chunks.map(|chunk| scope.spawn(move || sync_files(chunk))).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("syncing does not panic"))
    })?;
    folders.iter().try_for_each(|folder| sync_folder(folder))
}
