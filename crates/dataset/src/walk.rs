//! Lists folders: follows links, refuses link cycles, ignores hidden folders.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use crate::error::{Error, Result};
use crate::file_names::{is_ignored_name, is_image};

/// A file found below a folder.
pub(crate) struct FoundFile {
    /// Its path from that folder, with `/` between the parts.
    pub(crate) below: String,
    /// Whether it is an image: a visible regular file with an image's extension. A broken link with such a name also counts;
    /// reading it fails.
    pub(crate) is_image: bool,
}

impl FoundFile {
    fn new(folder: &Path, path: &Path, is_image: bool) -> Result<Self> {
        let mut below = Vec::new();
        for part in path.strip_prefix(folder).unwrap_or(path).components() {
            below.push(part.as_os_str().to_str().ok_or_else(|| not_utf8(path))?);
        }
        Ok(Self { below: below.join("/"), is_image })
    }
}

/// Names of the folders directly in `folder`, sorted by their bytes, and of the files beside them.
pub(crate) fn folders_in(folder: &Path) -> Result<(Vec<String>, Vec<String>)> {
    let mut folders = Vec::new();
    let mut files = Vec::new();
    for entry in WalkDir::new(folder).follow_links(true).min_depth(1).max_depth(1) {
        let WalkEntry { path, is_dir, .. } = WalkEntry::of(folder, entry)?;
        let name = utf8_name(&path)?;
        if !is_dir {
            files.push(name.to_owned());
        } else if !is_ignored_name(name) {
            folders.push(name.to_owned());
        }
    }
    folders.sort();
    Ok((folders, files))
}

/// All files below `folder`, in no particular order, including hidden files but not the contents of hidden folders. Refuses names
/// that are not UTF-8.
pub(crate) fn files_below(folder: &Path) -> Result<Vec<FoundFile>> {
    let paths = paths_below(folder)?;
    paths.iter().map(|(path, is_image)| FoundFile::new(folder, path, *is_image)).collect()
}

/// Paths of the same files with names of any encoding, each with [`FoundFile::is_image`].
pub(crate) fn paths_below(folder: &Path) -> Result<Vec<(PathBuf, bool)>> {
    let visible =
        |entry: &DirEntry| entry.depth() == 0 || !entry.file_type().is_dir() || !is_hidden_path(entry.path());
    let mut files = Vec::new();
    for entry in WalkDir::new(folder).follow_links(true).min_depth(1).into_iter().filter_entry(visible) {
        let WalkEntry { path, is_dir, is_file } = WalkEntry::of(folder, entry)?;
        if is_dir {
            continue;
        }
        let is_image = is_file && is_image(&path) && !is_hidden_path(&path);
        files.push((path, is_image));
    }
    Ok(files)
}

fn is_hidden_path(path: &Path) -> bool {
    path.file_name().is_some_and(|name| is_ignored_name(&name.to_string_lossy()))
}

/// Whether any image lies below `folder`; folders that cannot be listed count as empty.
pub(crate) fn holds_image(folder: &Path) -> bool {
    WalkDir::new(folder)
        .follow_links(true)
        .into_iter()
        .filter_map(std::result::Result::ok)
        .any(|entry| entry.file_type().is_file() && is_image(entry.path()))
}

/// An entry of a folder: a folder, a regular file, or neither. A broken link counts as a file.
struct WalkEntry {
    path: PathBuf,
    is_dir: bool,
    is_file: bool,
}

impl WalkEntry {
    fn of(folder: &Path, entry: walkdir::Result<DirEntry>) -> Result<Self> {
        let missing =
            |error: &walkdir::Error| error.io_error().is_some_and(|e| e.kind() == ErrorKind::NotFound);
        match entry {
            Ok(entry) => {
                let kind = entry.file_type();
                Ok(Self { is_dir: kind.is_dir(), is_file: kind.is_file(), path: entry.into_path() })
            }
            Err(error) => match error.path().filter(|path| missing(&error) && path.is_symlink()) {
                Some(path) => Ok(Self { path: path.to_path_buf(), is_dir: false, is_file: true }),
                None => Err(walk_error(folder, error)),
            },
        }
    }
}

fn utf8_name(path: &Path) -> Result<&str> {
    path.file_name().and_then(|name| name.to_str()).ok_or_else(|| not_utf8(path))
}

fn not_utf8(path: &Path) -> Error {
    Error::path(path, "has a name that is not UTF-8; rename it")
}

fn walk_error(folder: &Path, error: walkdir::Error) -> Error {
    let path = error.path().map_or_else(|| folder.to_path_buf(), Path::to_path_buf);
    match error.loop_ancestor() {
        Some(ancestor) => {
            let reason = format!(
                "links back to `{}`, the folder that contains it; remove the link",
                ancestor.display()
            );
            Error::path(&path, reason)
        }
        None => Error::io("list", &path)(error.into()),
    }
}
