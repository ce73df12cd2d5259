//! The program `malaria-edge`: classify, info, bench and errors.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use malaria_dataset::{SmearConfig, SyntheticConfig, synthetic_cell, synthetic_smear};
use serde_json::Value;

fn model(format: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/tiny-{format}.onnx"))
}

fn edge(arguments: &[&str], paths: &[&Path]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_malaria-edge"));
    command.args(arguments).args(paths).output().unwrap()
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Writes 48 synthetic cells of 4 patients to `folder`.
fn write_cells(folder: &Path) {
    let config = SyntheticConfig { seed: 9, patients: 4, ..SyntheticConfig::default() };
    for cell in 0..48 {
        let cell = synthetic_cell(&config, cell).unwrap();
        let class = folder.join(if cell.parasitized { "Parasitized" } else { "Uninfected" });
        fs::create_dir_all(&class).unwrap();
        cell.image.save(class.join(cell.file_name)).unwrap();
    }
}

#[test]
fn cells_and_patients_are_classified() {
    let folder = tempfile::tempdir().unwrap();
    write_cells(folder.path());
    for format in ["f32", "f16", "int8"] {
        let output = edge(&["classify", "--json"], &[&model(format), folder.path()]);
        let answer: Value = serde_json::from_str(&stdout(&output)).unwrap();
        let cells = answer["cells"].as_array().unwrap();
        assert_eq!(cells.len(), 48);
        // Synthetic cells are easy: most are called correctly.
        let right = |cell: &&Value| cell["path"].as_str().unwrap().contains(cell["class"].as_str().unwrap());
        assert!(cells.iter().filter(right).count() > 36, "{answer}");
        let patients = answer["patients"].as_array().unwrap();
        assert_eq!(patients.len(), 4, "{answer}");
        let counted: u64 = patients.iter().map(|patient| patient["called"]["cells"].as_u64().unwrap()).sum();
        let unwarned = cells.iter().filter(|cell| cell["warning"].is_null()).count();
        assert_eq!(counted, unwarned as u64);
        assert_eq!(answer["not_counted"].as_u64(), Some((cells.len() - unwarned) as u64));
    }
    let table = stdout(&edge(&["classify"], &[&model("f32"), folder.path()]));
    assert!(table.contains("patient") && table.contains("not a medical device"), "{table}");
    let csv = stdout(&edge(&["classify", "--csv"], &[&model("f32"), folder.path()]));
    assert_eq!(csv.lines().count(), 49);
    assert!(
        csv.starts_with("path,patient,class,probability,warning,error,pixels_sha256,seen_in_training\n"),
        "{csv}"
    );
}

#[test]
fn patients_are_identified_by_a_pattern_or_a_table() {
    let folder = tempfile::tempdir().unwrap();
    write_cells(folder.path());
    // Names of another form, in which NLM's rule finds wrong patients or none.
    let mut rows = String::from("file,patient\n");
    for class in ["Parasitized", "Uninfected"] {
        for (number, cell) in fs::read_dir(folder.path().join(class)).unwrap().enumerate() {
            let cell = cell.unwrap().path();
            let name = cell.file_name().unwrap().to_str().unwrap();
            let patient = &name[1..=1];
            let renamed = format!("case-{patient}_{class}_{number}.png");
            rows += &format!("{class}/{renamed},{patient} of the table\n");
            fs::rename(&cell, cell.with_file_name(renamed)).unwrap();
        }
    }
    synthetic_cell(&SyntheticConfig::default(), 0)
        .unwrap()
        .image
        .save(folder.path().join("nobody.png"))
        .unwrap();
    let table = folder.path().join("patients.csv");
    fs::write(&table, &rows).unwrap();
    let answer = |flags: &[&str]| -> Value {
        let output = edge(&[&["classify", "--json"], flags].concat(), &[&model("f32"), folder.path()]);
        serde_json::from_str(&stdout(&output)).unwrap()
    };
    let names = |answer: &Value| -> Vec<String> {
        let patients = answer["patients"].as_array().unwrap().iter();
        patients.map(|patient| patient["patient"].as_str().unwrap().to_owned()).collect()
    };
    let plain = answer(&[]);
    assert_eq!((names(&plain), plain["unknown_patients"]["cells"].as_u64()), (vec![], Some(49)));
    let by_pattern = answer(&["--patient-pattern", "(case-[0-9])_"]);
    assert_eq!(names(&by_pattern), ["case-1", "case-2", "case-3", "case-4"]);
    let by_table = answer(&["--patients", table.to_str().unwrap()]);
    assert_eq!(names(&by_table), ["1", "2", "3", "4"].map(|number| format!("{number} of the table")));
    for output in [&by_pattern, &by_table] {
        let unknown = &output["unknown_patients"];
        assert_eq!((unknown["cells"].as_u64(), unknown["of"].as_u64()), (Some(1), Some(49)), "{unknown}");
        assert!(unknown["first"].as_str().unwrap().ends_with("nobody.png"), "{unknown}");
        for (cell, plain) in
            output["cells"].as_array().unwrap().iter().zip(plain["cells"].as_array().unwrap())
        {
            assert_eq!(cell["probability"], plain["probability"]);
            assert_eq!(cell["patient"].is_null(), cell["path"].as_str().unwrap().ends_with("nobody.png"));
        }
        let called = |answer: &Value, i: usize| answer["patients"][i]["called"].clone();
        assert!((0..4).all(|i| called(output, i) == called(&by_table, i) && called(output, i)["cells"] != 0));
    }
    let text =
        stdout(&edge(&["classify", "--patient-pattern", "(case-[0-9])_"], &[&model("f32"), folder.path()]));
    assert!(text.contains("pictures of unknown patients: 1 of 49, first `"), "{text}");

    fs::write(&table, rows.replace("case-2", "case-5")).unwrap();
    let cases: [(&[&str], &[&str]); 5] = [
        (&["--patients", folder.path().to_str().unwrap()], &["is a folder; expected a CSV file"]),
        (&["--patient-pattern", "case"], &["--patient-pattern", "with 0 groups"]),
        (
            &["--patient-pattern", "(nobody-[0-9])"],
            &["--patient-pattern", "finds no patient in any of the 49"],
        ),
        (&["--patients", table.to_str().unwrap()], &["--patients", "patients.csv`, line ", "case-5"]),
        (&["--patients", "a.csv", "--patient-pattern", "(a)"], &["--patients", "cannot be used with"]),
    ];
    for (flags, words) in cases {
        let output = edge(&[&["classify"], flags].concat(), &[&model("f32"), folder.path()]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && words.iter().all(|word| said.contains(word)), "{said}");
    }
}

#[test]
fn unreadable_pictures_are_reported_and_the_others_classified() {
    let folder = tempfile::tempdir().unwrap();
    write_cells(folder.path());
    fs::write(folder.path().join("broken.png"), b"no picture").unwrap();
    fs::write(folder.path().join("notes.txt"), b"no picture either").unwrap();
    let output = edge(&["classify", "--json"], &[&model("int8"), folder.path()]);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("skipped because they are not images: 1 (`"));
    assert!(String::from_utf8_lossy(&output.stderr).contains("1 of 49 pictures have no class"));
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let cells = answer["cells"].as_array().unwrap();
    let unreadable: Vec<&Value> = cells.iter().filter(|cell| !cell["error"].is_null()).collect();
    assert!(
        unreadable.len() == 1 && unreadable[0]["path"].as_str().unwrap().ends_with("broken.png"),
        "{answer}"
    );
    assert_eq!(cells.iter().filter(|cell| cell["class"].is_string()).count(), 48);
}

#[test]
#[cfg(target_os = "linux")]
fn names_that_are_not_utf8_are_printed() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
    let folder = tempfile::tempdir().unwrap();
    let cell = synthetic_cell(&SyntheticConfig::default(), 0).unwrap();
    cell.image.save(folder.path().join(OsStr::from_bytes(b"C1_\xff.png"))).unwrap();
    fs::write(folder.path().join(OsStr::from_bytes(b"\xff.txt")), b"no picture").unwrap();
    for format in ["--json", "--csv"] {
        let printed = stdout(&edge(&["classify", format], &[&model("f32"), folder.path()]));
        assert!(printed.contains("C1_\u{fffd}.png"), "{printed}");
    }
}

#[test]
fn info_describes_a_model_and_bench_measures_it() {
    let info = stdout(&edge(&["info"], &[&model("int8")]));
    assert!(
        info.contains("\"int8\"") && info.contains("Parasitized") && info.contains("threshold"),
        "{info}"
    );
    let bench = stdout(&edge(&["bench", "--seconds", "0.1"], &[&model("f32")]));
    assert_eq!(bench.matches("cells/s").count(), 3, "{bench}");
    for seconds in ["nan", "inf", "0"] {
        let output = edge(&["bench", "--seconds", seconds], &[&model("f32")]);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && errors.contains("expected a number above 0"), "{errors}");
    }
}

#[test]
fn the_pretrained_model_is_small_and_classifies_cells() {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/pretrained/field-int8.onnx");
    let info: Value = serde_json::from_str(&stdout(&edge(&["info"], &[&shipped]))).unwrap();
    assert!(info["bytes"].as_u64().unwrap() < 1_500_000, "{info}");
    assert_eq!(info["origin"]["weights"], "int8");
    // The limit of `export` is half a percentage point.
    assert!(
        info["origin"]["quantization_loss"]["sensitivity_loss"]["estimate"].as_f64().unwrap() < 0.005,
        "{info}"
    );
    assert_eq!(info["description"]["threshold"]["chosen_on"], "out-of-fold");

    let folder = tempfile::tempdir().unwrap();
    write_cells(folder.path());
    let answer: Value =
        serde_json::from_str(&stdout(&edge(&["classify", "--json"], &[&shipped, folder.path()]))).unwrap();
    let cells = answer["cells"].as_array().unwrap();
    assert!(cells.len() == 48 && cells.iter().all(|cell| cell["probability"].is_f64()), "{answer}");
}

#[test]
fn errors_name_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = folder.path().join("nowhere.onnx");
    let foreign = folder.path().join("foreign.onnx");
    fs::write(&foreign, b"something else").unwrap();
    for (model, picture) in
        [(&nowhere, folder.path()), (&foreign, folder.path()), (&model("f32"), nowhere.as_path())]
    {
        let output = edge(&["classify"], &[model, picture]);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && errors.starts_with("error: "), "{errors}");
        assert!(errors.contains("nowhere.onnx") || errors.contains("foreign.onnx"), "{errors}");
        assert!(!errors.contains("panicked"), "{errors}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error_and_a_closed_pipe_is_not() {
    let folder = tempfile::tempdir().unwrap();
    write_cells(folder.path());
    let run = |out: std::process::Stdio| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_malaria-edge"));
        command.args(["classify", "--csv"]).arg(model("f32")).arg(folder.path()).stdout(out);
        command.output().unwrap()
    };
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = run(full.into());
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains("No space left"));
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    assert!(run(writer.into()).status.success());
}

#[test]
fn copies_count_once_and_photographs_get_no_class() {
    let folder = tempfile::tempdir().unwrap();
    write_cells(folder.path());
    let classify = || -> Value {
        let output = edge(&["classify", "--json"], &[&model("f32"), folder.path()]);
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let once = classify();
    // The archive of the data set contains a second copy of the set in a subfolder.
    for class in ["Parasitized", "Uninfected"] {
        let again = folder.path().join("cell_images").join(class);
        fs::create_dir_all(&again).unwrap();
        for cell in fs::read_dir(folder.path().join(class)).unwrap() {
            let cell = cell.unwrap();
            fs::copy(cell.path(), again.join(cell.file_name())).unwrap();
        }
    }
    let twice = classify();
    assert_eq!((&once["n_copies"], &twice["n_copies"]), (&Value::from(0), &Value::from(48)));
    assert_eq!(
        (&once["patients"], &once["uncertain_share"]),
        (&twice["patients"], &twice["uncertain_share"])
    );

    // A picture of two patients counts for neither.
    let cell = fs::read_dir(folder.path().join("Uninfected")).unwrap().next().unwrap().unwrap();
    fs::copy(cell.path(), folder.path().join("C99P1_cell_1.png")).unwrap();
    let shared = classify();
    let cells = |answer: &Value| -> u64 {
        answer["patients"]
            .as_array()
            .unwrap()
            .iter()
            .map(|patient| patient["called"]["cells"].as_u64().unwrap())
            .sum()
    };
    assert_eq!((&shared["n_shared"], cells(&shared)), (&Value::from(3), cells(&twice) - 1));

    let smear = synthetic_smear(&SmearConfig::default()).unwrap().image;
    let photo = folder.path().join("photo.png");
    let part = image::imageops::crop_imm(&smear, 100, 100, 640, 480).to_image();
    let mut round = image::imageops::crop_imm(&smear, 300, 100, 1000, 1000).to_image();
    for (x, y, pixel) in round.enumerate_pixels_mut() {
        if x.abs_diff(500).pow(2) + y.abs_diff(500).pow(2) > 500 * 500 {
            *pixel = image::Rgb([0; 3]);
        }
    }
    // The whole photograph, too large for a cell; a part of it; and the round field of an eyepiece on black.
    for part in [smear, part, round] {
        part.save(&photo).unwrap();
        let output = edge(&["classify", "--json"], &[&model("f32"), &photo]);
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        let cell = &answer["cells"][0];
        assert_eq!((&cell["class"], output.status.code()), (&Value::Null, Some(1)), "{answer}");
        assert!(cell["error"].as_str().unwrap().contains("malaria-edge smear"), "{answer}");
    }
}

#[test]
fn exchanged_models_and_pictures_are_reported() {
    let folder = tempfile::tempdir().unwrap();
    write_cells(folder.path());
    let cell = fs::read_dir(folder.path().join("Uninfected")).unwrap().next().unwrap().unwrap().path();
    let renamed = folder.path().join("model.ONNX");
    fs::copy(model("f32"), &renamed).unwrap();
    let uniform = folder.path().join("uniform.png");
    image::RgbImage::from_pixel(60, 60, image::Rgb([230, 180, 190])).save(&uniform).unwrap();
    for (command, paths, words) in [
        ("classify", [&cell, &renamed], "expected a model, FILE.onnx, before the pictures"),
        ("classify", [&folder.path().to_path_buf(), &cell], "malaria export --run"),
        ("classify", [&renamed, &model("int8")], "is a model, not a picture"),
        ("smear", [&cell, &renamed], "is a model, not a picture"),
        ("verify", [&cell, &uniform], "as a report, which precedes the photographs"),
        ("verify", [&folder.path().to_path_buf(), &cell], "as a report, which precedes the photographs"),
    ] {
        let output = edge(&[command], &paths.map(PathBuf::as_path));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(words), "{command} {paths:?}: {said}");
    }
    let output = edge(&["classify", "--json"], &[&renamed, &uniform]);
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(answer["cells"][0]["error"].as_str().unwrap().contains("shows nothing"), "{answer}");
    assert_eq!(answer["made_by"]["model"], renamed.to_str().unwrap());
    assert_eq!(answer["made_by"]["model_sha256"].as_str().unwrap().len(), 64);
}

#[test]
fn red_cells_in_millions_are_refused_with_a_suggestion() {
    let output = edge(&["smear", "--red-cells", "4.5"], &[Path::new("photo.png")]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("did you mean 4500000?"), "{output:?}");
}

#[test]
fn completions_and_manual_pages_name_every_subcommand() {
    let script = stdout(&edge(&["completions", "bash"], &[]));
    assert!(script.contains("calibrate") && script.contains("--red-cells"), "{script}");
    let folder = tempfile::tempdir().unwrap();
    stdout(&edge(&["man"], &[&folder.path().join("man1")]));
    let page = fs::read_to_string(folder.path().join("man1/malaria-edge-smear.1")).unwrap();
    assert!(page.contains("\\-\\-red\\-cells"), "{page}");
}

#[test]
fn every_subcommand_shows_an_example_and_the_notice() {
    let overview = stdout(&edge(&["--help"], &[]));
    let commands = overview.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    // Longer descriptions continue on lines that are indented further.
    let tasks = commands.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let tasks: Vec<&str> = tasks.filter_map(|line| line.split_whitespace().next()).collect();
    assert!(tasks.len() > 8 && tasks.contains(&"verify") && tasks.contains(&"calibrate"), "{tasks:?}");
    for task in tasks.into_iter().filter(|task| *task != "help") {
        let said = stdout(&edge(&[task, "--help"], &[]));
        let usage = said.find("Usage: ").unwrap();
        assert!(said.find(&format!("Examples:\n  malaria-edge {task}")).unwrap() < usage, "{said}");
        assert!(said.ends_with("Research software, not a medical device.\n"), "{said}");
    }
    // Every key of the document is explained.
    let folder = tempfile::tempdir().unwrap();
    let cell = folder.path().join("cell.png");
    synthetic_cell(&SyntheticConfig::default(), 0).unwrap().image.save(&cell).unwrap();
    let answer: Value =
        serde_json::from_str(&stdout(&edge(&["classify", "--json"], &[&model("f32"), &cell]))).unwrap();
    let help = stdout(&edge(&["classify", "--help"], &[]));
    for key in answer.as_object().unwrap().keys() {
        assert!(help.contains(&format!("`{key}`")), "{key}: {help}");
    }
}

#[cfg(feature = "serve")]
#[test]
fn commands_in_the_documents_exist() {
    let help_of = |subcommand: &str| stdout(&edge(&[subcommand, "--help"], &[]));
    let shown = crate::documents::check(help_of, "malaria-edge", "cargo run --release -p malaria-edge -- ");
    assert!(shown > 15, "{shown}");
}
