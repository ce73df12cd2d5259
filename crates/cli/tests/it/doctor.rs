//! `malaria doctor`: the checks, and its exit status.

use std::{fs, process::Command};

use serde_json::Value;

use crate::support::{Workbench, errors, malaria};

/// Whether training can start, the words, and the checks by name.
fn doctor(command: &mut Command) -> (bool, String, Value) {
    let output = command.arg("--json").output().unwrap();
    let said = errors(&output);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["can_train"], output.status.success(), "{said}");
    let checks = document["checks"].as_array().unwrap();
    let checks = checks.iter().map(|check| (check["name"].as_str().unwrap().to_owned(), check.clone()));
    (output.status.success(), said, Value::Object(checks.collect()))
}

#[test]
fn doctor_lists_what_is_installed() {
    let bench = Workbench::new();
    let (ok, said, checks) = doctor(&mut bench.malaria("doctor"));
    assert!(ok && said.contains("Training can start: malaria train"), "{said}");
    let version = malaria_resnet::libtorch::LIBTORCH_VERSION;
    assert_eq!(checks["libtorch"]["facts"]["version"], version);
    let folder = checks["libtorch"]["facts"]["folder"].as_str().unwrap();
    assert!(fs::read_dir(folder).unwrap().count() > 0 && said.contains(folder), "{said}");
    assert!(checks["processor"]["facts"]["threads"].as_u64() >= Some(1), "{checks}");
    assert!(
        ["float32", "bfloat16"].contains(&checks["processor"]["facts"]["auto_precision"].as_str().unwrap())
    );
    assert!(checks["memory"]["facts"]["total_gb"].as_f64() > Some(0.1), "{checks}");
    assert_eq!(checks["data"]["state"], "advice");
    assert!(checks["data"]["help"].as_str().unwrap().contains("malaria download"), "{checks}");
    assert_eq!(
        (&checks["model"]["state"], &checks["model"]["facts"]["recipe"]),
        (&"ok".into(), &"fast".into())
    );
    assert_eq!(checks["variables"]["state"], "ok");
}

#[test]
fn doctor_checks_the_folder_of_cells_and_the_variables() {
    let bench = Workbench::new();
    // Cells in this folder, and in a variable; the misspelt variable is not used.
    fs::rename(bench.path("cells"), bench.path("cell_images")).unwrap();
    let (_, said, _) = doctor(&mut bench.malaria("doctor"));
    assert!(said.contains("cell_images: 48 Parasitized, 48 Uninfected"), "{said}");
    let (ok, said, checks) =
        doctor(malaria("doctor").env("MALARIA_DATA", bench.path("cell_images")).env("MALARIA_DAT", "x"));
    assert!(ok && said.contains("not used: MALARIA_DAT;"), "{said}");
    assert_eq!(checks["data"]["facts"]["cells"]["Parasitized"], 48);

    // Missing cells prevent training; a missing model does not.
    let (ok, said, checks) = doctor(bench.malaria("doctor").env("MALARIA_DATA", "nowhere"));
    assert!(!ok && said.contains("Training cannot start") && said.contains("nowhere"), "{said}");
    assert_eq!(checks["data"]["state"], "missing");
    let (ok, said, checks) = doctor(bench.malaria("doctor").env("MALARIA_RUN", "nowhere"));
    assert!(ok && said.contains("missing  model"), "{said}");
    assert_eq!(checks["model"]["state"], "missing");
}
