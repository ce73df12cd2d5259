//! Makes programs find libtorch when they run, and keeps its CUDA half when they are linked.

use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(libtorch_cuda)");
    // torch-sys passes it on from Linux and macOS only.
    let Some(lib) = env::var_os("DEP_TCH_LIBTORCH_LIB").map(PathBuf::from) else { return Ok(()) };
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    println!("cargo::metadata=lib={}", lib.display());
    search_at_run_time(&lib, &out)?;
    if lib.join("libtorch_cuda.so").exists() {
        keep_cuda(&lib);
    }
    // Set-up rewrites this file whenever it puts another libtorch in the place.
    if let Some(marker) = lib.parent().map(|root| root.join("malaria-setup.txt")).filter(|path| path.exists())
    {
        println!("cargo::rerun-if-changed={}", marker.display());
    }
    Ok(())
}

/// Puts libtorch on the library path of everything that cargo starts: programs, tests, benchmarks, doctests.
///
/// Cargo adds each link-search folder that a build script names to that path, but only where it lies inside the target
/// folder; hence the symlink. It works for every crate above this one, in other workspaces too.
fn search_at_run_time(lib: &Path, out: &Path) -> Result<(), Box<dyn Error>> {
    let link = out.join("libtorch");
    if link.symlink_metadata().is_ok() {
        std::fs::remove_file(&link)?;
    }
    #[cfg(unix)]
    std::os::unix::fs::symlink(lib, &link)?;
    println!("cargo::rustc-link-search=native={}", link.display());
    Ok(())
}

/// Links an object that refers to libtorch_cuda into every program, as nothing else does.
///
/// Linkers leave out libraries that nothing refers to (`--as-needed`), and libtorch without libtorch_cuda reports, with
/// no error, that there is no GPU.
fn keep_cuda(lib: &Path) {
    println!("cargo::rustc-cfg=libtorch_cuda");
    println!("cargo::rerun-if-changed=src/keep_cuda.cpp");
    cc::Build::new()
        .cpp(true)
        .file("src/keep_cuda.cpp")
        .link_lib_modifier("+whole-archive")
        .compile("malaria_keep_cuda");
    println!("cargo::rustc-link-search=native={}", lib.display());
    println!("cargo::rustc-link-lib=torch_cuda");
}
