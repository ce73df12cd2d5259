//! Lists and hints in error messages.

use std::path::{Path, PathBuf};

use crate::names::{is_ignored_name, is_image};

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
pub fn ignored_words(ignored: &[String]) -> Option<String> {
    let visible = |file: &&String| !file.split('/').any(is_ignored_name);
    let (images, others): (Vec<&String>, Vec<_>) =
        ignored.iter().partition(|file| is_image(Path::new(file)) && visible(file));
    let words = |reason: &str, files: &[&String]| {
        (!files.is_empty())
            .then(|| format!("skipped because they are {reason}: {} ({})", files.len(), listing(files)))
    };
    let words =
        [words("not images", &others), words("outside the class folders or not regular files", &images)];
    let words: Vec<String> = words.into_iter().flatten().collect();
    (!words.is_empty()).then(|| words.join("; "))
}

/// The end of a message that names the folders, if any, one of which was probably meant.
pub(crate) fn meant(folders: &[PathBuf]) -> String {
    let names: Vec<String> = folders.iter().map(|path| format!("`{}`", path.display())).collect();
    if names.is_empty() { String::new() } else { format!("; did you mean {}?", names.join(" or ")) }
}
