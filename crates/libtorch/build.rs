//! Compiles the C++ shim, lets programs find libtorch at run time, and keeps libtorch_cuda when they are linked.

use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(libtorch_cuda)");
    // torch-sys passes it on only on Linux and macOS.
    let Some(lib) = env::var_os("DEP_TCH_LIBTORCH_LIB").map(PathBuf::from) else { return Ok(()) };
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    println!("cargo::metadata=lib={}", lib.display());
    search_at_run_time(&lib, &out)?;
    compile_shim(&lib);
    if lib.join("libtorch_cuda.so").exists() {
        keep_cuda(&lib);
    }
    // Set-up rewrites this file whenever it replaces libtorch.
    if let Some(marker) = lib.parent().map(|root| root.join("malaria-setup.txt")).filter(|path| path.exists())
    {
        println!("cargo::rerun-if-changed={}", marker.display());
    }
    Ok(())
}

/// Puts libtorch on the library path of every program, test, benchmark and doctest that cargo starts.
///
/// Cargo adds the link-search folders of build scripts to that path, but only those inside the target folder; hence the
/// symlink. It works for every dependent crate, in other workspaces too.
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

/// Compiles the functions of libtorch that tch lacks, with the headers and the ABI that torch-sys uses.
fn compile_shim(lib: &Path) {
    for file in ["caught.h", "shim.cpp", "graph.cpp", "norm_relu.cpp", "packed_conv.cpp", "waiting.cpp"] {
        println!("cargo::rerun-if-changed=src/{file}");
    }
    for variable in ["LIBTORCH_INCLUDE", "LIBTORCH_CXX11_ABI", "CUDA_HOME"] {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    let root = env::var_os("LIBTORCH_INCLUDE").map(PathBuf::from);
    let include = root.or_else(|| lib.parent().map(PathBuf::from)).unwrap_or_default().join("include");
    let abi = env::var("LIBTORCH_CXX11_ABI").unwrap_or_else(|_| "1".to_owned());
    let mut build = cc::Build::new();
    build
        .cpp(true)
        .std("c++17")
        .include(&include)
        .include(include.join("torch/csrc/api/include"))
        .define("_GLIBCXX_USE_CXX11_ABI", abi.as_str());
    // Most warnings would come from libtorch's headers.
    // torch-sys links the library of OpenMP on Linux only.
    if env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        build.flag("-fopenmp");
    }
    build.warnings(false).opt_level(3).files([
        "src/shim.cpp",
        "src/graph.cpp",
        "src/norm_relu.cpp",
        "src/packed_conv.cpp",
        "src/waiting.cpp",
    ]);
    let has_cuda = lib.join("libtorch_cuda.so").exists();
    match cuda_headers(lib, include).filter(|_| has_cuda) {
        Some(headers) => {
            build.include(headers).define("MALARIA_CUDA_GRAPHS", None);
        }
        None if has_cuda => println!(
            "cargo::warning=no cuda_runtime_api.h beside libtorch or in CUDA_HOME: on a GPU, training with small batches will take \
             about three times as long as after `cargo xtask setup --cuda`"
        ),
        None => {}
    }
    build.compile("malaria_shim");
    if has_cuda {
        println!("cargo::rustc-link-search=native={}", lib.display());
        println!("cargo::rustc-link-lib=c10_cuda");
    }
}

/// The folder of CUDA's headers: that of `cargo xtask setup --cuda`, of pip, or of an installed CUDA.
fn cuda_headers(lib: &Path, include: PathBuf) -> Option<PathBuf> {
    let pip = lib.ancestors().nth(2).map(|packages| packages.join("nvidia/cu13/include"));
    let installed = env::var_os("CUDA_HOME").map_or_else(|| "/usr/local/cuda".into(), PathBuf::from);
    let folders = [Some(include), pip, Some(installed.join("include"))];
    let complete = |folder: &PathBuf| {
        ["cuda_runtime_api.h", "crt/host_config.h"].iter().all(|header| folder.join(header).is_file())
    };
    folders.into_iter().flatten().find(complete)
}

/// Links an object that refers to libtorch_cuda into every program.
///
/// Nothing else refers to it, so linkers omit it (`--as-needed`), and libtorch then reports without an error that there is
/// no GPU.
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
