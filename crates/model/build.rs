//! Writes the place of libtorch into this crate's tests, so that they run from any folder.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Absent where torch-sys does not say: neither Linux nor macOS.
    if let Ok(lib) = std::env::var("DEP_MALARIA_LIBTORCH_LIB") {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{lib}");
    }
}
