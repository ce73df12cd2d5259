//! The dependencies of the facade with and without its features.

use std::process::Command;

/// The packages that the facade depends on under these flags of `cargo tree`.
fn packages(flags: &[&str]) -> String {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["tree", "--offline", "--package", "malaria-resnet", "--edges", "normal", "--prefix", "none"]);
    let output = cargo.args(flags).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn without_the_export_feature_no_other_runtime_is_built() {
    let names = ["rten v", "prost v", "axum v", "malaria-edge v"];
    let with = packages(&[]);
    assert!(with.contains("rten v") && with.contains("prost v") && with.contains("malaria-edge v"), "{with}");
    let without = packages(&["--no-default-features"]);
    assert!(without.contains("malaria-train v"), "{without}");
    assert!(names.iter().all(|name| !without.contains(name)), "{without}");
}
