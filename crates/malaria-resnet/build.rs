//! Sets the rpath of this crate's examples, benchmarks and tests to libtorch, so that they run from any folder, and passes
//! libtorch's path to the build scripts of dependent crates.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=crates/malaria-resnet/build.rs");
    // Only set on Linux and macOS.
    let Ok(lib) = env::var("DEP_MALARIA_LIBTORCH_LIB") else { return };
    println!("cargo::rustc-link-arg=-Wl,-rpath,{lib}");
    println!("cargo::metadata=libtorch_lib={lib}");
}
