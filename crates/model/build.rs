//! Sets the rpath of this crate's tests to libtorch, so that they run from any folder.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Only set on Linux and macOS.
    if let Ok(lib) = std::env::var("DEP_MALARIA_LIBTORCH_LIB") {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{lib}");
    }
}
