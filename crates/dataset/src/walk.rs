//! Listing of folders: links followed, circles refused, hidden folders passed over.

use std::path::Path;

use walkdir::{DirEntry, WalkDir};

use crate::error::{Error, Result};
use crate::names::{is_image, is_set_aside};

/// A file found below a folder.
pub(crate) struct Found {
    /// Its path from that folder, with `/` between the parts.
    pub(crate) below: String,
    /// Whether it is an image by its extension: a regular file, and not a hidden one.
    pub(crate) is_image: bool,
}

/// Names of the folders directly in `folder`, sorted by their bytes, and how many files lie beside them.
pub(crate) fn folders_in(folder: &Path) -> Result<(Vec<String>, usize)> {
    let mut folders = Vec::new();
    let mut files = 0;
    for entry in WalkDir::new(folder).follow_links(true).min_depth(1).max_depth(1) {
        let Some(entry) = found(folder, entry)? else { continue };
        let name = utf8_name(&entry)?;
        if !entry.file_type().is_dir() {
            files += 1;
        } else if !is_set_aside(&name) {
            folders.push(name);
        }
    }
    folders.sort();
    Ok((folders, files))
}

/// All files below `folder`, hidden ones too but not what lies in hidden folders; in no particular order.
pub(crate) fn files_below(folder: &Path) -> Result<Vec<Found>> {
    let visible =
        |entry: &DirEntry| entry.depth() == 0 || !entry.file_type().is_dir() || !is_hidden_path(entry.path());
    let mut files = Vec::new();
    for entry in WalkDir::new(folder).follow_links(true).min_depth(1).into_iter().filter_entry(visible) {
        let Some(entry) = found(folder, entry)? else { continue };
        if entry.file_type().is_dir() {
            continue;
        }
        let mut below = Vec::with_capacity(entry.depth());
        for part in entry.path().components().rev().take(entry.depth()) {
            below.push(part.as_os_str().to_str().ok_or_else(|| not_utf8(entry.path()))?);
        }
        below.reverse();
        let is_image = entry.file_type().is_file() && is_image(entry.path()) && !is_hidden_path(entry.path());
        files.push(Found { below: below.join("/"), is_image });
    }
    Ok(files)
}

fn is_hidden_path(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(is_set_aside)
}

/// Whether any image lies below `folder`; an error while looking counts as no.
pub(crate) fn holds_image(folder: &Path) -> bool {
    WalkDir::new(folder)
        .follow_links(true)
        .into_iter()
        .filter_map(std::result::Result::ok)
        .any(|entry| entry.file_type().is_file() && is_image(entry.path()))
}

/// What the walk met below `folder`; `None` for a hidden link that leads nowhere, such as an editor's lock.
fn found(folder: &Path, entry: walkdir::Result<DirEntry>) -> Result<Option<DirEntry>> {
    match entry {
        Ok(entry) => Ok(Some(entry)),
        Err(error) if error.path().is_some_and(is_hidden_path) => Ok(None),
        Err(error) => Err(walk_error(folder, error)),
    }
}

fn utf8_name(entry: &DirEntry) -> Result<String> {
    entry.file_name().to_str().map(str::to_owned).ok_or_else(|| not_utf8(entry.path()))
}

fn not_utf8(path: &Path) -> Error {
    Error::NotUtf8 { path: path.to_path_buf() }
}

fn walk_error(folder: &Path, error: walkdir::Error) -> Error {
    let path = error.path().map_or_else(|| folder.to_path_buf(), Path::to_path_buf);
    match error.loop_ancestor().map(Path::to_path_buf) {
        Some(ancestor) => Error::LinkLoop { path, ancestor },
        None => Error::Io { action: "list", path, source: error.into() },
    }
}
