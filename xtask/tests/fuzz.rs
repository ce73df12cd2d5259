//! `cargo xtask fuzz` with a fake cargo.
//!
//! It runs in a child process, which is this test program started again, so that the environment can name the fake cargo.

#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, ExitCode};

use tempfile::TempDir;

/// Lists a target and a plain test for each crate, and counts three inputs for a target, unless `FAKE_MODE` says otherwise.
const CARGO: &str = r#"#!/bin/sh
case "$FAKE_MODE $*" in
no-target*--list*) echo "a_small_file_that_claims_to_be_large_takes_no_memory: test" ;;
*--list*) printf '%s: test\n' reader a_small_file_that_claims_to_be_large_takes_no_memory ;;
no-tally*) ;;
failing*) echo "reader: took too much"; exit 101 ;;
*) printf '%s\n' "first part 1" "second part 2" >"$MALARIA_FUZZ_TALLY" ;;
esac
"#;

/// Whether `fuzz` succeeds in `mode`, and its output.
fn fuzz(mode: &str, seconds: &str) -> (bool, String) {
    let root = TempDir::new().unwrap();
    fs::create_dir(root.path().join("target")).unwrap();
    let cargo = root.path().join("cargo");
    fs::write(&cargo, CARGO).unwrap();
    fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env("CARGO", &cargo)
        .env("XTASK_CHILD", root.path())
        .env("FAKE_MODE", mode)
        .env("FAKE_SECONDS", seconds)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].map(|stream| String::from_utf8(stream).unwrap()).concat();
    (output.status.success(), text)
}

#[test]
fn every_target_is_run_and_its_inputs_are_counted() {
    let (ok, text) = fuzz("", "0");
    assert!(ok && text.contains("malaria-edge reader: 3 inputs in 0 s"), "{text}");
    assert!(text.contains("0 of 6 targets failed"), "{text}");
}

#[test]
fn a_target_without_inputs_or_one_that_ends_too_early_fails() {
    for (mode, seconds, says) in [
        ("failing", "0", "malaria-edge reader: FAILED\nreader: took too much"),
        ("no-tally", "0", "malaria-edge reader: FAILED: 0 inputs"),
        ("", "3000", "malaria-edge reader: FAILED: 3 inputs"),
    ] {
        let (ok, text) = fuzz(mode, seconds);
        assert!(!ok && text.contains(says) && text.contains("6 of 6 targets failed"), "{text}");
    }
    let (ok, text) = fuzz("no-target", "0");
    assert!(!ok && text.contains("malaria-dataset: its test program `fuzz` has no target"), "{text}");
}

/// Not a test: the child process of the tests above.
#[test]
fn child() -> ExitCode {
    let Some(root) = std::env::var_os("XTASK_CHILD") else { return ExitCode::SUCCESS };
    let seconds = std::env::var("FAKE_SECONDS").unwrap().parse().unwrap();
    xtask::fuzz(Path::new(&root), true, seconds).unwrap()
}
