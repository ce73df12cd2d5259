//! The folder that libtorch ends up in, and how it changes from one whole state to the next.

use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use malaria_libtorch_locate::Marker;

use crate::interrupt;
use crate::plan::Plan;

/// How often a set-up that waits for another one looks whether that has ended, or a signal has come.
const LOOK: Duration = Duration::from_millis(50);

/// The folder `.libtorch`, with its siblings: `.libtorch.partial-` and a process id being filled, `.libtorch.old` being
/// replaced, and `.libtorch.lock`, which whoever touches the others holds.
#[derive(Clone, Debug)]
pub struct Place {
    folder: PathBuf,
}

/// The right to change a [`Place`], until it is dropped.
#[derive(Debug)]
pub struct Held<'a> {
    place: &'a Place,
    _lock: File,
}

impl Place {
    /// The place in the workspace at `root`.
    pub fn new(root: &Path) -> Self {
        Self { folder: root.join(".libtorch") }
    }

    /// The folder itself, whole or absent.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What is there, if it is whole.
    pub fn content(&self) -> Option<Marker> {
        // Whatever is wrong with it, the answer is to set it up anew.
        Marker::read(&self.folder).ok().flatten().filter(|marker| marker.verify(&self.folder).is_ok())
    }

    /// Waits for any other set-up to end, then clears away what one that was cut off has left.
    ///
    /// # Errors
    /// Where the folder cannot be written to, or a signal comes while it waits.
    pub fn hold(&self) -> Result<Held<'_>> {
        let lock = lock(&self.sibling("lock"))?;
        self.remove_partials()?;
        // Cut off between the two renames of `Held::replace`: what was there before is still whole.
        let old = self.sibling("old");
        if old.exists() && !self.folder.exists() {
            rename(&old, &self.folder)?;
        }
        remove(&old)?;
        Ok(Held { place: self, _lock: lock })
    }

    /// Whoever holds the lock is alone, so any that there are were left behind.
    fn remove_partials(&self) -> Result<()> {
        let parent = self.folder.parent().unwrap_or(Path::new("."));
        let prefix = self.sibling("partial-");
        let prefix = prefix.file_name().unwrap_or_default().as_encoded_bytes();
        for entry in fs::read_dir(parent).with_context(|| format!("cannot list {}", parent.display()))? {
            let entry = entry.with_context(|| format!("cannot list {}", parent.display()))?;
            if entry.file_name().as_encoded_bytes().starts_with(prefix) {
                remove(&entry.path())?;
            }
        }
        Ok(())
    }

    fn sibling(&self, ending: &str) -> PathBuf {
        let mut name = self.folder.file_name().map(OsString::from).unwrap_or_default();
        name.push(".");
        name.push(ending);
        self.folder.with_file_name(name)
    }
}

impl Held<'_> {
    /// Refuses to begin where the disk would be full before the end.
    ///
    /// # Errors
    /// Names the space that is needed and that is free.
    pub fn ensure_space(&self, plan: &Plan) -> Result<()> {
        let parent = self.place.folder.parent().unwrap_or(Path::new("/"));
        let Some(free) = free_bytes(parent)? else { return Ok(()) };
        let needed = plan.working_bytes();
        ensure!(
            free >= needed,
            "set-up needs {} of free disk space while it works, and {} has {}: make room and run the same command \
             again",
            megabytes(needed),
            parent.display(),
            megabytes(free)
        );
        Ok(())
    }

    /// An empty folder to fill, which is removed again unless [`Held::replace`] takes it.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub fn begin(&self) -> Result<Partial> {
        // Not the same name every time: a pip that outlived its set-up may still be writing to the old one.
        let path = self.place.sibling(&format!("partial-{}", std::process::id()));
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Partial { path: Some(path) })
    }

    /// Puts a filled folder in the place of what was there.
    ///
    /// # Errors
    /// Where a rename fails; what was there before is there again, then or at the next set-up.
    pub fn replace(&self, mut partial: Partial) -> Result<()> {
        let Some(filled) = partial.path.take() else { return Ok(()) };
        sync();
        let (folder, old) = (&self.place.folder, self.place.sibling("old"));
        if folder.symlink_metadata().is_ok() {
            rename(folder, &old)?;
        }
        rename(&filled, folder)?;
        remove(&old)
    }
}

/// A folder that is being filled.
#[derive(Debug)]
pub struct Partial {
    path: Option<PathBuf>,
}

impl Partial {
    /// Where it is.
    pub fn path(&self) -> &Path {
        self.path.as_deref().unwrap_or(Path::new(""))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // The next set-up tries again.
            let _ = remove(path);
        }
    }
}

/// The file at `path`, locked as soon as nobody else holds it.
fn lock(path: &Path) -> Result<File> {
    let cannot = || format!("cannot lock {}", path.display());
    let file = File::options().create(true).append(true).open(path).with_context(cannot)?;
    let mut told = false;
    // `File::lock` would wait through every Ctrl-C, since signals no longer end the program.
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(error).with_context(cannot),
            Err(TryLockError::WouldBlock) if told => sleep(LOOK),
            Err(TryLockError::WouldBlock) => {
                println!("Another set-up is running in this folder; waiting for it to end.");
                told = true;
            }
        }
        interrupt::check()?;
    }
}

/// Size for people, `527 MB`.
pub fn megabytes(bytes: u64) -> String {
    format!("{} MB", bytes.div_ceil(1_000_000))
}

/// Removes a file, or a folder with all that is in it, if it is there.
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

#[cfg(unix)]
fn free_bytes(folder: &Path) -> Result<Option<u64>> {
    let disk = rustix::fs::statvfs(folder)
        .with_context(|| format!("cannot ask for the free space of {}", folder.display()))?;
    Ok(Some(disk.f_bavail.saturating_mul(disk.f_frsize)))
}

#[cfg(not(unix))]
fn free_bytes(_: &Path) -> Result<Option<u64>> {
    Ok(None)
}

/// Ten thousand headers: one call for the whole disk instead of one for each.
fn sync() {
    #[cfg(unix)]
    rustix::fs::sync();
}
