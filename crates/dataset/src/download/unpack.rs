//! Unpacks the archive into the two class folders.

use std::fs;
use std::io::{self, BufReader, Read};
use std::path::Path;

use zip::ZipArchive;

use super::{Download, DownloadConfig, DownloadProgress, FOLDER, Failure, give_up};
use crate::error::{Error, Result};
use crate::names::{is_image, is_set_aside};

/// The class folders of the archive.
const CLASSES: [&str; 2] = ["Parasitized", "Uninfected"];

impl Download<'_> {
    /// Unpacks the images to `folder/Parasitized` and `folder/Uninfected`; other files are ignored.
    pub(super) fn unpack(&mut self, folder: &Path) -> Result<(), Failure> {
        let config = self.config;
        let file = self.part.file.try_clone().map_err(Error::io("read", &self.part.path))?;
        let archive = ZipArchive::new(BufReader::new(file));
        let mut archive = archive.or_else(|error| damaged("directory", &error))?;
        if archive.len() > config.max_entries {
            return give_up(format!("the archive holds more than {} files", config.max_entries));
        }
        let total = CLASSES.len() * config.images_per_class;
        let (mut done, mut left) = (0, config.max_bytes);
        for entry in 0..archive.len() {
            let file = archive.by_index(entry).or_else(|error| damaged("directory", &error))?;
            let name = String::from_utf8_lossy(file.name_raw()).into_owned();
            let Some(path) = file.enclosed_name().filter(|_| !file.is_symlink()) else {
                return give_up(format!(
                    "the archive holds `{name}`, which is a link or leads out of its folder"
                ));
            };
            if file.is_dir() || !is_image(&path) || name.split('/').any(is_set_aside) {
                continue;
            }
            let below = path.strip_prefix(FOLDER).unwrap_or(&path);
            if below.components().count() != 2 || !CLASSES.iter().any(|class| below.starts_with(class)) {
                let expected = "expected images in Parasitized and Uninfected only";
                return give_up(format!("the archive holds the image `{name}`; {expected}"));
            }
            // The size in the directory may be wrong. One byte more shows whether the limit is exceeded.
            let mut bytes = Vec::new();
            let read = file.take(left.saturating_add(1)).read_to_end(&mut bytes);
            let read = read.or_else(|error| damaged(&name, &error))? as u64;
            left = match left.checked_sub(read) {
                Some(left) => left,
                None => {
                    return give_up(format!("the archive unpacks to more than {} bytes", config.max_bytes));
                }
            };
            let path = folder.join(below);
            let class = path.parent().unwrap_or(folder);
            fs::create_dir_all(class).map_err(Error::io("create the folder", class))?;
            fs::write(&path, &bytes).map_err(Error::io("write", &path))?;
            done += 1;
            self.report(DownloadProgress::Unpacking { done, total })?;
        }
        match wrong_count(folder, config)? {
            Some(count) => give_up(format!("the archive {count}")),
            None => Ok(()),
        }
    }
}

fn damaged<T>(place: &str, error: &dyn std::error::Error) -> Result<T, Failure> {
    give_up(format!("the archive is damaged: {place}: {error}"))
}

/// What is wrong with the number of images in the class folders, if anything.
pub(super) fn wrong_count(folder: &Path, config: &DownloadConfig) -> Result<Option<String>> {
    for class in CLASSES {
        let path = folder.join(class);
        let found = match fs::read_dir(&path) {
            Ok(entries) => entries.flatten().filter(|entry| is_image(Path::new(&entry.file_name()))).count(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(Error::io("list", &path)(error)),
        };
        let expected = config.images_per_class;
        if found != expected {
            return Ok(Some(format!("holds {found} images in {class}; expected {expected}")));
        }
    }
    Ok(None)
}
