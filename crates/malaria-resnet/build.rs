//! Writes the place of libtorch into this crate's examples, benchmarks and tests, so that they run from any folder, and
//! hands it on to the build scripts of crates that depend on this one.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Absent where torch-sys does not say: neither Linux nor macOS.
    let Ok(lib) = env::var("DEP_MALARIA_LIBTORCH_LIB") else { return };
    println!("cargo::rustc-link-arg=-Wl,-rpath,{lib}");
    println!("cargo::metadata=libtorch_lib={lib}");
}
