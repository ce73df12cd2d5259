//! The program installed by `cargo install` finds libtorch and the pretrained model from any folder and with an empty environment.

use std::{path::Path, process::Command};

use malaria_resnet::dataset::{SyntheticConfig, write_synthetic};
use serde_json::Value;

use crate::{
    outer_cargo::{forget, target_and_profile},
    support::succeed,
};

#[test]
fn an_installed_program_runs_anywhere() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let place = tempfile::tempdir().unwrap();
    let (target, profile) = target_and_profile();
    let mut install = Command::new(env!("CARGO"));
    install.args(["install", "--offline", "--locked", "--profile", &profile, "--path"]).arg(package);
    install.arg("--root").arg(place.path()).env("CARGO_TARGET_DIR", &target).current_dir(package);
    forget(&mut install, package.ancestors().nth(2).unwrap());
    succeed(&mut install);

    let malaria = |words: &[&str]| {
        let mut command = Command::new(place.path().join("bin/malaria"));
        command.args(words).env_clear().current_dir("/");
        succeed(&mut command)
    };
    assert!(malaria(&["doctor"]).contains("\nTraining can start"));
    let cells = place.path().join("cells");
    write_synthetic(&cells, &SyntheticConfig { cells: 2, ..SyntheticConfig::default() }, &|_| {}).unwrap();
    let said: Value =
        serde_json::from_str(&malaria(&["predict", cells.to_str().unwrap(), "--json"])).unwrap();
    let called = said["cells"].as_array().unwrap();
    assert!(called.len() == 2 && called.iter().all(|cell| cell["probability"].is_f64()), "{said}");
}
