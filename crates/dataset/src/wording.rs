//! Lists and hints in error messages.

use std::path::Path;

/// Number of items that a message lists before it only counts.
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

/// The end of a message that names the folder that was probably meant.
pub(crate) fn meant(hint: Option<&Path>) -> String {
    hint.map_or_else(String::new, |path| format!("; did you mean `{}`?", path.display()))
}
