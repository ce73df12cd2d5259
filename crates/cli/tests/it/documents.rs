//! Checks the commands in the documents. `malaria-edge`'s tests share it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Checks that every command of the program called `name` exists with the flags that the documents give it, also where
/// cargo `runs` it. `help_of` returns the help of a subcommand. Returns the number of commands.
pub(crate) fn check(help_of: impl Fn(&str) -> String, name: &str, runs: &str) -> usize {
    let mut help: BTreeMap<String, String> = BTreeMap::new();
    let mut shown = 0;
    for path in documents() {
        let text = fs::read_to_string(&path).unwrap().replace("\\\n", " ").replace(runs, &format!("{name} "));
        // Lines of code, and code in sentences.
        let inline = text.split('`').skip(1).step_by(2);
        for command in text.lines().chain(inline).filter_map(|code| code.strip_prefix(&format!("{name} "))) {
            let command = command.split(" #").next().unwrap_or_default();
            let Some(subcommand) = command.split_whitespace().next() else { continue };
            if !subcommand.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-') {
                continue;
            }
            let help = help.entry(subcommand.to_owned()).or_insert_with(|| help_of(subcommand));
            for flag in command.split_whitespace().filter(|word| word.starts_with("--") && word.len() > 2) {
                let flag = flag.split(['=', ',', '.', ')']).next().unwrap_or_default();
                let words = help.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
                assert!(words.clone().any(|word| word == flag), "{}: `{name} {command}`", path.display());
            }
            shown += 1;
        }
    }
    shown
}

/// The Markdown files of the repository.
pub(crate) fn documents() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let crates = fs::read_dir(root.join("crates")).unwrap().map(|entry| entry.unwrap().path());
    let folders = crates.chain(["", "docs", "data", "data/pretrained"].map(|folder| root.join(folder)));
    let files = folders.flat_map(|folder| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()));
    files.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect()
}
