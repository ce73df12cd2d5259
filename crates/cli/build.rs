//! Sets the rpath of the program and its tests to libtorch, so that they run from any folder.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Only set on Linux and macOS.
    if let Ok(lib) = env::var("DEP_MALARIA_RESNET_LIBTORCH_LIB") {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{lib}");
        println!("cargo::rustc-env=BUILT_WITH_LIBTORCH={lib}");
    }
}
