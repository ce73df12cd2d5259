//! Folders that are either whole or not there.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use crate::error::{Error, Result};

/// Has `fill` write a temporary folder beside `path`, and gives it the name `path` when that is done.
///
/// At `path` there may be nothing, or an empty folder. What `fill` returns an error for is removed again, and so is what
/// processes that were killed here have left. `fill` has to sync the files it writes, as [`write_new`] does; the folders are
/// synced here.
pub(crate) fn create_folder_whole<T, E: From<Error>>(
    path: &Path,
    fill: impl FnOnce(&Path) -> Result<T, E>,
) -> Result<T, E> {
    refuse_occupied(path)?;
    // So that `data` and `data/` have the same parent, and `.` has one.
    let absolute = std::path::absolute(path).map_err(Error::io("create the folder", path))?;
    let Some(parent) = absolute.parent() else {
        return Err(Error::Occupied { path: path.to_path_buf() }.into());
    };
    fs::create_dir_all(parent).map_err(Error::io("create the folder", parent))?;
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // The process's mask takes away from these, as from any new folder's; alone, tempfile gives none to others.
        builder.permissions(fs::Permissions::from_mode(0o777));
    }
    let prefix = temporary_prefix(&absolute);
    remove_left(parent, &prefix);
    let temporary =
        builder.prefix(&prefix).tempdir_in(parent).map_err(Error::io("write in the folder", parent))?;
    let handle = File::open(temporary.path());
    if let Ok(handle) = &handle {
        // Held until the end, so that nobody takes the folder for one that is left. Where folders cannot be locked, nothing is
        // ever taken for that.
        let _ = handle.lock();
    }
    let filled = fill(temporary.path())?;
    sync_folders(temporary.path())?;
    // Where another process was faster, the folder is no longer empty, and this and the renaming fail.
    if absolute.exists() {
        fs::remove_dir(&absolute).map_err(|_| Error::Occupied { path: path.to_path_buf() })?;
    }
    fs::rename(temporary.path(), &absolute).map_err(|error| {
        if absolute.exists() {
            return Error::Occupied { path: path.to_path_buf() };
        }
        Error::io("create the folder", path)(error)
    })?;
    // It has gone to its place: nothing is left to remove.
    let _ = temporary.keep();
    sync_folder(parent)?;
    Ok(filled)
}

/// How the names of the temporary folders of `path` begin.
fn temporary_prefix(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // A part of the name: the whole of a long one would leave no room for the random end.
    format!(".{}.writing-", name.chars().take(50).collect::<String>())
}

/// Removes the temporary folders that nobody fills any more: the lock on them went with the process. What cannot be
/// removed stands in nobody's way.
fn remove_left(parent: &Path, prefix: &str) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let is_temporary = entry.file_name().to_string_lossy().starts_with(prefix);
        // A link is not followed.
        if !is_temporary || !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        if let Ok(left) = File::open(entry.path())
            && left.try_lock().is_ok()
        {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn refuse_occupied(path: &Path) -> Result<()> {
    let occupied = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
        Err(error) => return Err(Error::io("read", path)(error)),
        Ok(found) if found.is_dir() => fs::read_dir(path).map_err(Error::io("list", path))?.next().is_some(),
        Ok(_) => true,
    };
    if occupied { Err(Error::Occupied { path: path.to_path_buf() }) } else { Ok(()) }
}

pub(crate) fn create_folder(path: &Path) -> Result<()> {
    fs::create_dir(path).map_err(Error::io("create the folder", path))
}

/// Writes and syncs a file that is not there yet.
pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = File::create_new(path).map_err(Error::io("create", path))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(Error::io("write", path))
}

/// Makes the names in a folder and in the folders directly below it last.
fn sync_folders(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(Error::io("list", folder))? {
        let path = entry.map_err(Error::io("list", folder))?.path();
        if path.is_dir() {
            sync_folder(&path)?;
        }
    }
    sync_folder(folder)
}

/// Makes the names in a folder last, where the system lets folders be opened.
fn sync_folder(folder: &Path) -> Result<()> {
    if cfg!(unix) {
        let synced = File::open(folder).and_then(|handle| handle.sync_all());
        synced.map_err(Error::io("sync the folder", folder))?;
    }
    Ok(())
}
