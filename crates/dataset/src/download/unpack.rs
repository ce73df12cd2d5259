//! An archive that is not to be trusted => the two class folders.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::Path;

use rayon::prelude::*;
use zip::ZipArchive;
use zip::result::ZipError;

use super::caller::{Caller, DownloadProgress, FOLDER, Failure};
use super::config::DownloadConfig;
use super::problem::DownloadProblem;
use crate::error::{Error, Result};
use crate::names::{is_image, is_set_aside};
use crate::new_folder::create_folder;

/// The class folders of the archive.
const CLASSES: [&str; 2] = ["Parasitized", "Uninfected"];
/// What every PNG begins with.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

/// An image in the archive that has a place in the folder.
struct Image {
    /// Its number in the archive.
    entry: usize,
    class: &'static str,
    file_name: String,
}

/// Unpacks the images into `folder/Parasitized` and `folder/Uninfected`; other files are passed over.
///
/// All names are looked at before anything is written. CRCs are checked, and the bytes are counted as they come, since
/// what the archive says of their number need not be true.
pub(super) fn unpack(
    archive: &File,
    config: &DownloadConfig,
    folder: &Path,
    caller: &mut Caller<'_>,
) -> Result<(), Failure> {
    let mut archive = ZipArchive::new(BufReader::new(archive)).map_err(damaged("its directory"))?;
    if archive.len() > config.max_entries {
        let what = "the number of files in the archive";
        return Err(DownloadProblem::TooMuch { what, most: config.max_entries as u64 }.into());
    }
    let images = plan(&mut archive)?;
    for class in CLASSES {
        let found = images.iter().filter(|image| image.class == class).count();
        let expected = config.images_per_class;
        if found != expected {
            return Err(DownloadProblem::WrongCount { class, expected, found }.into());
        }
        create_folder(&folder.join(class))?;
    }
    let mut left = config.max_bytes;
    let mut bytes = Vec::new();
    for (done, image) in images.iter().enumerate() {
        bytes.clear();
        let mut entry = archive.by_index(image.entry).map_err(damaged(&image.file_name))?;
        // One byte more, to see whether there is more.
        let read = entry.by_ref().take(left.saturating_add(1)).read_to_end(&mut bytes);
        let read = read.map_err(|error| damaged(&image.file_name)(ZipError::Io(error)))? as u64;
        if read > left {
            let what = "the size of what the archive unpacks to in bytes";
            return Err(DownloadProblem::TooMuch { what, most: config.max_bytes }.into());
        }
        left -= read;
        if !bytes.starts_with(PNG) {
            let name = image.file_name.clone();
            return Err(DownloadProblem::Unexpected { name, reason: "which is not a PNG image" }.into());
        }
        let path = folder.join(image.class).join(&image.file_name);
        fs::write(&path, &bytes).map_err(Error::io("write", &path))?;
        caller.tell(DownloadProgress::Unpacking { done: done + 1, total: images.len() })?;
    }
    // All together at the end: by then most are on the disk already.
    images.par_iter().try_for_each(|image| {
        let path = folder.join(image.class).join(&image.file_name);
        let synced = File::options().write(true).open(&path).and_then(|file| file.sync_all());
        synced.map_err(Error::io("write", &path))
    })?;
    Ok(())
}

/// Looks at the name of every entry and gives the images their places.
fn plan(archive: &mut ZipArchive<BufReader<&File>>) -> Result<Vec<Image>, DownloadProblem> {
    let mut images = Vec::new();
    let mut seen = HashSet::new();
    for entry in 0..archive.len() {
        let file = archive.by_index_raw(entry).map_err(damaged("its directory"))?;
        let name = file.name().map_err(damaged("a name in its directory"))?.into_owned();
        let unsafe_entry = |reason| Err(DownloadProblem::UnsafeEntry { name: name.clone(), reason });
        if let Some(reason) = escape(&name) {
            return unsafe_entry(reason);
        }
        if file.is_symlink() {
            return unsafe_entry("which is a symbolic link");
        }
        if file.is_dir() || !is_image(Path::new(&name)) || name.split('/').any(is_set_aside) {
            continue;
        }
        let Some((class, file_name)) = place(&name) else {
            return Err(DownloadProblem::Unexpected { name, reason: "which lies elsewhere" });
        };
        // Some systems take names for the same that differ in case.
        if !seen.insert((class, file_name.to_ascii_lowercase())) {
            return Err(DownloadProblem::Unexpected { name, reason: "twice" });
        }
        images.push(Image { entry, class, file_name: file_name.to_owned() });
    }
    Ok(images)
}

/// Why a name may lead out of the folder that it is unpacked to, on any system; `None` where it cannot.
fn escape(name: &str) -> Option<&'static str> {
    if name.starts_with('/') {
        return Some("which is an absolute path");
    }
    if name.split('/').any(|part| part == "..") {
        return Some("which leads out of its folder");
    }
    // Separators, drives, streams and ends of names elsewhere.
    let forbidden = |c: char| matches!(c, '\\' | ':') || c.is_control();
    name.contains(forbidden).then_some("which has characters that paths may not have")
}

/// Class and file name of `cell_images/Parasitized/….png`; the outer folder may be missing.
fn place(name: &str) -> Option<(&'static str, &str)> {
    let below = name.strip_prefix(FOLDER).and_then(|rest| rest.strip_prefix('/')).unwrap_or(name);
    let (folder, file_name) = below.split_once('/')?;
    let class = CLASSES.into_iter().find(|class| *class == folder)?;
    (!file_name.contains('/')).then_some((class, file_name))
}

fn damaged(place: &str) -> impl FnOnce(ZipError) -> DownloadProblem {
    move |error| DownloadProblem::Damaged { reason: format!("{place}: {error}") }
}

/// Whether the folder of an earlier download holds what it should.
pub(super) fn check_complete(folder: &Path, config: &DownloadConfig) -> Result<()> {
    for class in CLASSES {
        let path = folder.join(class);
        let mut found = 0;
        match fs::read_dir(&path) {
            Ok(entries) => {
                for entry in entries {
                    let entry = entry.map_err(Error::io("list", &path))?;
                    found += usize::from(is_image(Path::new(&entry.file_name())));
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::io("list", &path)(error)),
        }
        if found != config.images_per_class {
            return Err(Error::DownloadIncomplete { path, expected: config.images_per_class, found });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_elsewhere_are_seen() {
        for name in [
            "/etc/a.png",
            "../a.png",
            "cell_images/../../a.png",
            "a/..",
            "C:/a.png",
            "a\\..\\b.png",
            "a\0.png",
            "\\\\server\\a.png",
            "//a.png",
        ] {
            assert!(escape(name).is_some(), "{name:?}");
        }
        for name in ["cell_images/Parasitized/a.png", "a..b.png", "...png", "Thumbs.db", "a b/ü.png"] {
            assert_eq!(escape(name), None, "{name:?}");
        }
    }

    #[test]
    fn images_have_their_place_in_the_class_folders_only() {
        assert_eq!(place("cell_images/Parasitized/a.png"), Some(("Parasitized", "a.png")));
        assert_eq!(place("Uninfected/b.png"), Some(("Uninfected", "b.png")));
        for name in ["a.png", "cell_images/a.png", "cell_images/Other/a.png", "Uninfected/x/a.png"] {
            assert_eq!(place(name), None, "{name}");
        }
        assert_eq!(place("cell_images/cell_images/Uninfected/a.png"), None);
    }
}
