//! A crate outside the workspace that follows docs/library.md builds and runs. Its program also runs from another folder
//! with an empty environment and contains the model of `data/pretrained`.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use malaria_resnet::{
    Classifier, Prediction,
    dataset::{PatientNames, SyntheticConfig, write_synthetic},
    predict,
};
use tch::Device;

use crate::outer_cargo::{forget, target_and_profile};

/// The crate is kept in `tests/outside_user`; docs/library.md shows the same files.
const FILES: [&str; 4] = ["Cargo.toml", ".cargo/config.toml", "build.rs", "src/main.rs"];

/// The placeholder for the clone in docs/library.md.
const PLACEHOLDER: &str = "/path/to/malaria-resnet";

#[test]
fn a_crate_that_follows_the_documents_runs_anywhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let chapter = fs::read_to_string(root.join("docs/library.md")).unwrap();
    let outside = tempfile::tempdir().unwrap();
    for name in FILES {
        let text = fs::read_to_string(root.join("tests/outside_user").join(name)).unwrap();
        assert!(
            chapter.contains(&format!("\n{text}```")),
            "docs/library.md does not show tests/outside_user/{name}:\n{text}"
        );
        let path = outside.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text.replace(PLACEHOLDER, root.to_str().unwrap())).unwrap();
    }

    // Unlike in docs/library.md, with the versions and profiles of this workspace, to reuse its build.
    fs::copy(root.join("Cargo.lock"), outside.path().join("Cargo.lock")).unwrap();
    let profiles = outside.path().join("profiles.toml");
    fs::write(&profiles, profiles_of(&fs::read_to_string(root.join("Cargo.toml")).unwrap())).unwrap();
    let (target, profile) = target_and_profile();

    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["run", "--offline", "--profile", &profile, "--config"]).arg(&profiles);
    forget(&mut cargo, root);
    cargo.env("CARGO_TARGET_DIR", &target).current_dir(outside.path());
    let cells = outside.path().join("cells");
    write_synthetic(&cells, &SyntheticConfig { cells: 2, ..SyntheticConfig::default() }, &|_| {}).unwrap();
    cargo.arg("--").arg(&cells);
    let under_cargo = succeed(&mut cargo);
    assert!(under_cargo.starts_with("2150472 parameters on the "), "{under_cargo}");
    let classifier = Classifier::load(&root.join("data/pretrained"), Device::Cpu).unwrap();
    let said = predict(&classifier, std::slice::from_ref(&cells), &PatientNames::Nlm, &|_| {}).unwrap();
    assert_eq!(said.len(), 2);
    for Prediction { path, class, probability, warning, .. } in said {
        let start = format!("{}: {class:?}, Some(", path.display());
        let line = under_cargo.lines().find_map(|line| line.strip_prefix(&start));
        let (printed, end) = line
            .and_then(|line| line.split_once(')'))
            .unwrap_or_else(|| panic!("{start} is not in {under_cargo}"));
        // The last digits depend on the number of threads, which here depends on the other running tests.
        let difference = printed.parse::<f64>().unwrap() - probability.unwrap();
        assert!(difference.abs() < 1e-6, "{difference:e}");
        assert_eq!(end, format!(", {warning:?}"));
    }

    let folder = if profile == "dev" { "debug" } else { &profile };
    let program = target.join(folder).join("outside-user");
    let alone = succeed(Command::new(program).arg(&cells).env_clear().current_dir("/"));
    assert_eq!(alone, under_cargo);
}

/// The `[profile…]` tables of a manifest, for a cargo configuration file.
fn profiles_of(manifest: &str) -> String {
    let mut inside = false;
    let mut tables = String::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line.starts_with("[profile");
        }
        if inside {
            tables.push_str(line);
            tables.push('\n');
        }
    }
    tables
}

fn succeed(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert!(status.success(), "{command:?}\n{}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}
