//! The program `malaria-edge`: smear.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use malaria_dataset::{SmearConfig, synthetic_smear};
use serde_json::Value;

fn smear(arguments: &[&str], paths: &[&Path]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_malaria-edge"));
    command.arg("smear").args(arguments).args(paths).output().unwrap()
}

fn tiny() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-int8.onnx")
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn write_photograph(path: &Path, seed: u64) {
    let config = SmearConfig {
        width: 480,
        height: 360,
        cell_diameter: 48.0,
        cells: 20,
        white_cells: 0,
        seed,
        ..SmearConfig::default()
    };
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    synthetic_smear(&config).unwrap().image.save(path).unwrap();
}

#[test]
fn photographs_are_counted_by_patient_with_a_given_and_with_the_pretrained_model() {
    let folder = tempfile::tempdir().unwrap();
    let photos = folder.path().join("photos");
    for (seed, name) in [(1, "ann/a.png"), (2, "ann/b.png"), (3, "ben/a.png")] {
        write_photograph(&photos.join(name), seed);
    }
    let out = folder.path().join("results");
    let flags =
        ["--json", "--patient-pattern", "([^/]+)/", "--haematocrit", "0.45", "--out", out.to_str().unwrap()];
    let answer: Value = serde_json::from_str(&stdout(&smear(&flags, &[&tiny(), &photos]))).unwrap();
    let patients = answer["patients"].as_array().unwrap();
    assert_eq!(patients.iter().map(|patient| &patient["patient"]).collect::<Vec<_>>(), ["ann", "ben"]);
    let cells = |list: &Value| -> u64 {
        list.as_array().unwrap().iter().map(|one| one["red_cells"].as_u64().unwrap()).sum()
    };
    assert!((55..=60).contains(&cells(&answer["patients"])), "{answer}");
    assert_eq!(cells(&answer["patients"]), cells(&answer["photographs"]));
    for patient in patients {
        let called = patient["verdict"]["call"] != "not-called";
        assert_eq!(patient["infected_per_microlitre"].is_object(), called, "{answer}");
        assert_eq!(patient["verdict"]["infected_share"].is_number(), called, "{answer}");
    }
    let written: Value = serde_json::from_slice(&fs::read(out.join("smear.json")).unwrap()).unwrap();
    assert_eq!(written, answer);
    assert!(out.join("annotated/a-2.jpg").is_file() && out.join("cells.csv").is_file());

    // With the pretrained model; all photographs are of one patient.
    let table = stdout(&smear(&["--patient", "carl"], &[&photos]));
    for part in ["photograph", "a.png", "carl ", "not of parasites", "not a medical device"] {
        assert!(table.contains(part), "{part}: {table}");
    }
    let csv = stdout(&smear(&["--csv"], &[&photos]));
    assert!(csv.starts_with("image,number,x,y,w,h,probability,called,"), "{csv}");
    assert!(csv.lines().count() > 55, "{csv}");
}

#[test]
fn photographs_that_cannot_be_counted_are_reported_and_fail_the_program() {
    let folder = tempfile::tempdir().unwrap();
    write_photograph(&folder.path().join("good.png"), 1);
    fs::write(folder.path().join("bad.jpg"), "no picture").unwrap();
    let output = smear(&["--json"], &[&tiny(), folder.path()]);
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("1 of 2 photographs could not be counted"));
    assert!(answer["photographs"][0]["error"].as_str().unwrap().contains("bad.jpg"), "{answer}");
    assert!(answer["photographs"][1]["red_cells"].as_u64().unwrap() > 15, "{answer}");

    let tiny = tiny();
    let cases: [(&[&str], &[&Path], &str); 6] = [
        (&["--patient", " "], &[folder.path()], "expected a name"),
        (&[], &[&tiny], "expected photographs"),
        (&["--haematocrit", "45"], &[folder.path()], "did you mean 0.45?"),
        (&["--red-cells", "0"], &[folder.path()], "from 500000 to 10000000"),
        (&["--patient", "a", "--patient-pattern", "(a)"], &[folder.path()], "cannot be used with"),
        (&["--out", folder.path().to_str().unwrap()], &[&tiny, folder.path()], "whose pictures are counted"),
    ];
    for (flags, paths, words) in cases {
        let output = smear(flags, paths);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(words), "{flags:?}: {said}");
    }
    assert!(folder.path().join("good.png").is_file());
}

#[test]
fn no_cells_are_an_answer() {
    let folder = tempfile::tempdir().unwrap();
    let blank = image::RgbImage::from_pixel(400, 300, image::Rgb([230; 3]));
    blank.save(folder.path().join("blank.png")).unwrap();
    let answer: Value =
        serde_json::from_str(&stdout(&smear(&["--json"], &[&tiny(), folder.path()]))).unwrap();
    let patient = &answer["patients"][0];
    assert_eq!((&patient["red_cells"], &patient["failed"]), (&Value::from(0), &Value::from(0)), "{answer}");
    assert!(patient["verdict"].is_null() && answer["photographs"][0]["caveats"][0] == "blank", "{answer}");
}

#[test]
fn notes_are_printed_once() {
    let folder = tempfile::tempdir().unwrap();
    write_photograph(&folder.path().join("a.png"), 1);
    fs::write(folder.path().join("words.txt"), "no picture").unwrap();
    let cases: [(&[&str], usize, usize); 3] = [(&[], 1, 0), (&["--csv"], 0, 1), (&["--json"], 1, 1)];
    for (flags, on_stdout, on_stderr) in cases {
        let output = smear(flags, &[&tiny(), folder.path()]);
        let count = |text: &[u8]| String::from_utf8_lossy(text).matches("they are not images: 1").count();
        assert_eq!((count(&output.stdout), count(&output.stderr)), (on_stdout, on_stderr), "{flags:?}");
    }
}

#[test]
#[cfg(unix)]
fn ctrl_c_keeps_the_finished_counts() {
    use std::{
        process::Stdio,
        thread,
        time::{Duration, Instant},
    };
    const PHOTOGRAPHS: u64 = 24;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    (1..=PHOTOGRAPHS).for_each(|seed| write_photograph(&path(&format!("photos/{seed:02}.png")), seed));
    let mut command = Command::new(env!("CARGO_BIN_EXE_malaria-edge"));
    command.args(["smear", "--json", "--patient", "ann"]).arg(tiny()).arg(path("photos"));
    command.arg("--out").arg(path("out")).arg("--report").arg(path("report.html"));
    // One photograph at a time; the pictures of its steps show that the count has begun.
    command.env("RAYON_NUM_THREADS", "1").arg("--debug").arg(path("steps"));
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let start = Instant::now();
    while !path("steps/01").exists() {
        assert!(start.elapsed() < Duration::from_secs(60), "no photograph was searched");
        thread::sleep(Duration::from_millis(5));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{said}");
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let not_reached = answer["not_reached"].as_u64().unwrap();
    assert!((1..PHOTOGRAPHS).contains(&not_reached), "{not_reached}");
    assert!(answer["photographs"][0]["red_cells"].as_u64().unwrap() > 15, "{answer}");
    let written: Value = serde_json::from_slice(&fs::read(path("out/smear.json")).unwrap()).unwrap();
    assert_eq!(written, answer);
    assert!(path("out/annotated/01.jpg").is_file() && !path("report.html").exists());
    for words in [
        "finishing the photographs in progress",
        &format!("stopped: {not_reached} of {PHOTOGRAPHS} photographs are not counted"),
        "the report was not written, because the count was stopped",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[test]
fn counts_are_not_lost_with_a_report_that_cannot_be_written() {
    let folder = tempfile::tempdir().unwrap();
    for (seed, name) in [(1, "ann/a.png"), (2, "ben/a.png")] {
        write_photograph(&folder.path().join(name), seed);
    }
    fs::write(folder.path().join("ben/bad.png"), "no picture").unwrap();
    let report = folder.path().join("report.html");
    let flags = ["--patient-pattern", "([^/]+)/", "--report", report.to_str().unwrap()];
    let output = smear(&flags, &[&tiny(), folder.path()]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), report.exists()), (Some(1), false), "{said}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("not a medical device"), "{output:?}");
    for words in ["1 of 3 photographs could not be counted", "expected the photographs of one patient"] {
        assert!(said.contains(words), "{words}: {said}");
    }
}
