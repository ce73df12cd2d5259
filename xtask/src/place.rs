//! The folder `.libtorch`: locked, checked, and replaced as a whole.

use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use malaria_libtorch_locate::Marker;

use crate::plan::Plan;

/// Beginning of the names of temporary folders beside `.libtorch`.
const TEMPORARY: &str = ".libtorch.tmp-";

/// The folder `.libtorch` of a workspace, with its lock and its temporary folders beside it.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    root: PathBuf,
    /// The folder itself, whole or absent.
    pub(crate) folder: PathBuf,
}

impl Place {
    /// The place in the workspace at `root`.
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), folder: root.join(".libtorch") }
    }

    /// What set-up put into the folder, if all of it is still there.
    pub(crate) fn content(&self) -> Option<Marker> {
        // Whatever is wrong with it, set-up replaces it.
        Marker::read(&self.folder).ok().flatten().filter(|marker| marker.verify(&self.folder).is_ok())
    }

    /// Waits until no other set-up is running, then removes what killed ones have left. Unlocks when dropped.
    pub(crate) fn lock(&self) -> Result<File> {
        let path = self.root.join(".libtorch.lock");
        let cannot = || format!("cannot lock {}", path.display());
        let file = File::options().create(true).append(true).open(&path).with_context(cannot)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::Error(error)) => return Err(error).with_context(cannot),
            Err(TryLockError::WouldBlock) => {
                println!("Another set-up is running in this folder; waiting for it to end.");
                file.lock().with_context(cannot)?;
            }
        }
        let cannot = || format!("cannot list {}", self.root.display());
        for entry in fs::read_dir(&self.root).with_context(cannot)? {
            let entry = entry.with_context(cannot)?;
            if entry.file_name().as_encoded_bytes().starts_with(TEMPORARY.as_bytes()) {
                remove(&entry.path())?;
            }
        }
        Ok(file)
    }

    /// Path of a folder to fill and then to hand to [`Place::replace`].
    pub(crate) fn temporary(&self) -> PathBuf {
        // Not the same name every time: a pip that outlived its set-up may still be writing to the old one.
        self.root.join(format!("{TEMPORARY}{}", std::process::id()))
    }

    /// Puts the folder `filled` in the place of what was there.
    pub(crate) fn replace(&self, filled: &Path) -> Result<()> {
        // One call for the whole disk instead of one for each of ten thousand headers.
        #[cfg(unix)]
        rustix::fs::sync();
        let old = self.root.join(format!("{TEMPORARY}old"));
        if self.folder.symlink_metadata().is_ok() {
            rename(&self.folder, &old)?;
        }
        rename(filled, &self.folder)?;
        remove(&old)
    }

    /// Refuses to begin if the disk would be full before the end.
    pub(crate) fn ensure_space(&self, plan: &Plan) -> Result<()> {
        #[cfg(unix)]
        {
            let disk = rustix::fs::statvfs(&self.root)
                .with_context(|| format!("cannot read the free space of {}", self.root.display()))?;
            let (free, needed) = (disk.f_bavail.saturating_mul(disk.f_frsize), plan.working_bytes());
            ensure!(
                free >= needed,
                "set-up needs {} of free disk space, and {} has {}: make room and run the same command again",
                megabytes(needed),
                self.root.display(),
                megabytes(free)
            );
        }
        Ok(())
    }
}

/// Size for people, `527 MB`.
pub(crate) fn megabytes(bytes: u64) -> String {
    format!("{} MB", bytes.div_ceil(1_000_000))
}

/// Removes a file or a folder with its contents, if it exists.
pub(crate) fn remove(path: &Path) -> Result<()> {
    let result = match path.symlink_metadata() {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match result {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).with_context(|| format!("cannot rename {} to {}", from.display(), to.display()))
}
