//! The cargo that started a test: its target folder, its profile, and the variables that it sets.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

/// The target folder and the profile, from the path of this test: `target/debug/deps/it-…`.
pub(crate) fn target_and_profile() -> (PathBuf, String) {
    let test = env::current_exe().unwrap();
    let folder = test.ancestors().nth(2).unwrap();
    let profile = match folder.file_name().unwrap().to_str().unwrap() {
        "debug" => "dev",
        other => other,
    };
    (folder.parent().unwrap().to_owned(), profile.to_owned())
}

/// Removes the variables that the cargo of this test has set.
pub(crate) fn forget(command: &mut Command, root: &Path) {
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy();
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"]
            .iter()
            .any(|of| name.starts_with(of))
        {
            command.env_remove(&*name);
        }
    }
    command.env_remove("LD_LIBRARY_PATH").env_remove("DYLD_FALLBACK_LIBRARY_PATH");
    // The user's own libtorch stays, as it would outside of cargo.
    if env::var_os("LIBTORCH").is_some_and(|libtorch| Path::new(&libtorch) == root.join(".libtorch")) {
        command.env_remove("LIBTORCH");
    }
}
