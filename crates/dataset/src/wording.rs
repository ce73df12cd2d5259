//! Lists and hints in error messages.

use std::path::{Path, PathBuf};

use crate::file_names::{is_archive, is_ignored_name, is_image, is_unreadable_picture};

/// Maximum number of items that a message lists; further items are counted.
const LISTED: usize = 10;

/// A list for a message: the first few items in back quotes, then the number of the others.
pub(crate) fn listing<T: AsRef<str>>(items: &[T]) -> String {
    let mut text: Vec<String> =
        items.iter().take(LISTED).map(|item| format!("`{}`", item.as_ref())).collect();
    if items.len() > LISTED {
        text.push(format!("and {} more", items.len() - LISTED));
    }
    text.join(", ")
}

/// Describes the skipped files of a folder; `None` if there are none.
#[must_use]
pub fn ignored_note(ignored: &[String]) -> Option<String> {
    let group = |file: &String| -> usize {
        let path = Path::new(file);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        match path {
            _ if is_ignored_name(&name) => 2,
            path if is_unreadable_picture(path) => 0,
            path if is_archive(path) => 1,
            path if is_image(path) => 3,
            _ => 2,
        }
    };
    let groups = [
        ("pictures in formats that cannot be read", ": save them as JPEG or PNG"),
        ("archives", ": unpack them"),
        ("not images", ""),
        ("outside the class folders or not regular files", ""),
    ];
    let words = groups.iter().enumerate().filter_map(|(number, (reason, remedy))| {
        let files: Vec<&String> = ignored.iter().filter(|file| group(file) == number).collect();
        let words =
            || format!("skipped because they are {reason}: {} ({}){remedy}", files.len(), listing(&files));
        (!files.is_empty()).then(words)
    });
    let words: Vec<String> = words.collect();
    (!words.is_empty()).then(|| words.join("; "))
}

/// The end of a message that a folder holds no image: the files in it, if there are any.
pub(crate) fn found_instead(ignored: &[String]) -> String {
    ignored_note(ignored).map_or_else(String::new, |words| format!("; {words}"))
}

/// The end of a message that names the folders, if any, one of which was probably meant.
pub(crate) fn did_you_mean(folders: &[PathBuf]) -> String {
    let names: Vec<String> = folders.iter().map(|path| format!("`{}`", path.display())).collect();
    if names.is_empty() { String::new() } else { format!("; did you mean {}?", names.join(" or ")) }
}
