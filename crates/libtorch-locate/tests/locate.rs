//! `locate` on fake libtorch folders, complete and with one fault each.

#![cfg(target_os = "linux")]

use std::fs;
use std::path::{Path, PathBuf};

use malaria_libtorch_locate::{Error, MARKER_FILE, Marker, Settings, locate};
use tempfile::TempDir;

const HEADER: &str = "include/torch/csrc/api/include/torch/torch.h";

fn write(root: &Path, name: &str, text: &str) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// A folder with the files of every libtorch, and no version.
fn folder() -> (TempDir, Settings) {
    let folder = TempDir::new().unwrap();
    for name in [HEADER, "lib/libtorch.so", "lib/libtorch_cpu.so", "lib/libc10.so"] {
        write(folder.path(), name, "");
    }
    let settings = Settings { libtorch: Some(folder.path().to_owned()), ..Settings::default() };
    (folder, settings)
}

#[test]
fn the_version_comes_from_build_version_or_else_from_the_headers() {
    let (folder, settings) = folder();
    assert!(matches!(locate(&settings), Err(Error::WrongVersion { found, .. }) if found == "unknown"));

    // In torch 2.8 the macros were in this header.
    let header = "#pragma once\n#define TORCH_VERSION_MAJOR 2\n#define TORCH_VERSION_MINOR 8\n\
                  #define TORCH_VERSION_PATCH 1\n";
    write(folder.path(), "include/torch/csrc/api/include/torch/version.h", header);
    assert!(matches!(locate(&settings), Err(Error::WrongVersion { found, .. }) if found == "2.8.1"));

    let header = header.replace("MINOR 8", "MINOR 13").replace("PATCH 1", "PATCH 0");
    write(folder.path(), "include/torch/headeronly/version.h", &header);
    assert_eq!(locate(&settings).unwrap().version, "2.13.0");

    write(folder.path(), "build-version", "2.5.1+cu124\n");
    let error = locate(&settings).unwrap_err();
    assert!(matches!(&error, Error::WrongVersion { found, .. } if found == "2.5.1"));
    let message = error.to_string();
    assert!(
        message.contains("2.13.0 is needed") && message.contains(folder.path().to_str().unwrap()),
        "{message}"
    );

    let settings = Settings { bypass_version_check: true, ..settings };
    assert_eq!(locate(&settings).unwrap().version, "2.5.1");
}

#[test]
fn a_missing_file_is_named() {
    for name in [HEADER, "lib/libtorch.so", "lib/libtorch_cpu.so", "lib/libc10.so"] {
        let (folder, settings) = folder();
        write(folder.path(), "build-version", "2.13.0+cpu");
        assert!(!locate(&settings).unwrap().has_cuda);
        fs::remove_file(folder.path().join(name)).unwrap();
        let error = locate(&settings).unwrap_err();
        assert!(
            matches!(&error, Error::MissingFile { path } if *path == folder.path().join(name)),
            "{error}"
        );
        let archives = Settings { link_statically: true, ..settings };
        assert_eq!(locate(&archives).is_ok(), name != HEADER, "{name}");
    }
}

#[test]
fn cuda_is_detected_by_its_library() {
    let (folder, settings) = folder();
    write(folder.path(), "build-version", "2.13.0");
    write(folder.path(), "lib/libtorch_cuda.so", "");
    assert!(locate(&settings).unwrap().has_cuda);
}

#[test]
fn headers_and_libraries_may_be_in_another_folder() {
    let (folder, settings) = folder();
    let empty = TempDir::new().unwrap();
    write(empty.path(), "build-version", "2.13.0");
    let elsewhere = Some(folder.path().to_owned());
    let apart = Settings {
        libtorch: Some(empty.path().to_owned()),
        include: elsewhere.clone(),
        lib: elsewhere,
        ..settings
    };
    assert_eq!(locate(&apart).unwrap().lib, folder.path().join("lib"));
    assert!(locate(&Settings { lib: None, ..apart }).is_err());
}

#[test]
fn a_missing_folder_and_a_relative_path_are_refused() {
    let settings = |path: &str| Settings { libtorch: Some(PathBuf::from(path)), ..Settings::default() };
    assert!(matches!(locate(&settings("/no/such/folder")), Err(Error::NoFolder { .. })));
    assert!(matches!(locate(&settings("libtorch")), Err(Error::Relative { .. })));
}

#[test]
fn libraries_are_compared_with_the_list_of_set_up() {
    let (folder, settings) = folder();
    write(folder.path(), "build-version", "2.13.0+cpu");
    write(folder.path(), "lib/libcudart.so.13", "four");
    let marker = Marker {
        variant: "cpu".to_owned(),
        wheels: vec![("0f".repeat(32), "torch.whl".to_owned())],
        files: vec![(4, "lib/libcudart.so.13".to_owned())],
    };
    write(folder.path(), MARKER_FILE, &marker.to_string());
    assert_eq!(Marker::read(folder.path()).unwrap(), Some(marker));
    assert!(locate(&settings).unwrap().watched.contains(&folder.path().join(MARKER_FILE)));

    write(folder.path(), "lib/libcudart.so.13", "cut");
    assert!(matches!(locate(&settings), Err(Error::WrongSize { expected: 4, found: 3, .. })));
    fs::remove_file(folder.path().join("lib/libcudart.so.13")).unwrap();
    assert!(matches!(locate(&settings), Err(Error::MissingFile { .. })));
    for damaged in ["file many lib/libc10.so", "variant", "wheel only", "nonsense 1"] {
        write(folder.path(), MARKER_FILE, damaged);
        assert!(matches!(locate(&settings), Err(Error::Marker { .. })), "{damaged}");
    }
}

#[test]
fn variables_are_read_as_torch_sys_reads_them() {
    let read = |name: &'static str, value: &'static str| {
        Settings::from_variables(|asked| (asked == name).then(|| value.into()))
    };
    assert!(read("LIBTORCH_USE_PYTORCH", "0").use_pytorch, "any value counts");
    assert!(read("LIBTORCH_BYPASS_VERSION_CHECK", "0").bypass_version_check, "any value counts");
    assert!(read("LIBTORCH_STATIC", "1").link_statically);
    assert!(!read("LIBTORCH_STATIC", "false").link_statically);
    assert_eq!(read("LIBTORCH", "/opt/libtorch").libtorch.as_deref(), Some(Path::new("/opt/libtorch")));
    assert_eq!(read("LIBTORCH_LIB", "/opt/a").lib.as_deref(), Some(Path::new("/opt/a")));
    assert_eq!(read("LIBTORCH_INCLUDE", "/opt/b").include.as_deref(), Some(Path::new("/opt/b")));
}
