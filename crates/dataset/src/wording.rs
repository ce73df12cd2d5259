//! Pieces of messages.

use std::path::{Path, PathBuf};

#[cfg(feature = "download")]
use crate::download::problem::DownloadProblem;

/// How many paths a message lists before it only counts.
const LISTED: usize = 10;

/// A list for a message: the first few in back quotes, then how many more there are.
pub(crate) fn listing<T: AsRef<str>>(items: &[T]) -> String {
    let mut text: Vec<String> =
        items.iter().take(LISTED).map(|item| format!("`{}`", item.as_ref())).collect();
    if items.len() > LISTED {
        text.push(format!("and {} more", items.len() - LISTED));
    }
    text.join(", ")
}

#[cfg(feature = "download")]
pub(crate) fn addresses(failures: &[(String, DownloadProblem)]) -> String {
    let text: Vec<String> = failures.iter().map(|(url, problem)| format!("{url}: {problem}")).collect();
    text.join("; ")
}

pub(crate) fn displayed(paths: &[PathBuf]) -> Vec<String> {
    paths.iter().map(|path| path.display().to_string()).collect()
}

/// The end of a message that names the folder that was probably meant.
pub(crate) fn meant(hint: Option<&Path>) -> String {
    hint.map_or_else(String::new, |path| format!("; did you mean `{}`?", path.display()))
}
