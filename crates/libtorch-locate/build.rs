//! Stops the build with one message if libtorch is missing, incomplete or of another version.
//!
//! Only with the feature `check`, which `malaria-libtorch` turns on; `xtask`, which fetches libtorch, is built without it.
//! Not if the variable `DOCS_RS` is set, since docs.rs has no libtorch and documentation needs none.

#![allow(dead_code, unreachable_pub, reason = "the library's modules, compiled into its build script")]

#[path = "src/error.rs"]
mod error;
#[path = "src/found.rs"]
mod found;
#[path = "src/marker.rs"]
mod marker;
#[path = "src/python.rs"]
mod python;
#[path = "src/version.rs"]
mod version;

fn main() {
    println!("cargo::rerun-if-changed=src");
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var_os("CARGO_FEATURE_CHECK").is_none() {
        return;
    }
    println!("cargo::rerun-if-env-changed=DOCS_RS");
    if std::env::var_os("DOCS_RS").is_some() {
        return;
    }
    for variable in found::VARIABLES {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    match found::locate(&found::Settings::from_env()) {
        Ok(libtorch) => {
            for path in libtorch.watched {
                println!("cargo::rerun-if-changed={}", path.display());
            }
        }
        // cargo prints each such line as `error: …`, and stops when the script ends.
        Err(error) => {
            for line in error.to_string().lines() {
                println!("cargo::error={line}");
            }
        }
    }
}
