//! The program `malaria-edge`: reports of smears, and verify.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use malaria_dataset::{SmearConfig, synthetic_smear};
use malaria_edge::{Model, replace_description};
use serde_json::{Value, json};

fn edge(arguments: &[&str], paths: &[&Path]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_malaria-edge")).args(arguments).args(paths).output().unwrap()
}

/// A folder with photographs of one patient, two of them without cells, and their report.
fn reported(folder: &Path) -> (PathBuf, PathBuf) {
    let photos = folder.join("photos");
    fs::create_dir(&photos).unwrap();
    for (seed, name) in [(1, "a.png"), (2, "b.png")] {
        let base =
            SmearConfig { width: 480, height: 360, cell_diameter: 48.0, cells: 20, ..SmearConfig::default() };
        synthetic_smear(&SmearConfig { seed, ..base }).unwrap().image.save(photos.join(name)).unwrap();
    }
    fs::copy(photos.join("a.png"), photos.join("copy of a.png")).unwrap();
    for (name, shade) in [("blank.png", 230), ("dark.png", 0)] {
        image::RgbImage::from_pixel(480, 360, image::Rgb([shade; 3])).save(photos.join(name)).unwrap();
    }
    let report = folder.join("report.html");
    let written = edge(
        &[
            "smear",
            "--patient",
            "</script><b>ann",
            "--haematocrit",
            "0.45",
            "--report",
            report.to_str().unwrap(),
        ],
        &[&photos],
    );
    // One is refused.
    assert!(!written.status.success() && report.is_file(), "{written:?}");
    (photos, report)
}

fn record(page: &str) -> Value {
    let (_, rest) = page.split_once("<script id=\"reading\" type=\"application/json\">").unwrap();
    serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap()
}

#[test]
fn a_report_is_verified_by_its_photographs() {
    let folder = tempfile::tempdir().unwrap();
    let (photos, report) = reported(folder.path());
    let page = fs::read_to_string(&report).unwrap();
    // Typed text is shown as text, and nothing is fetched.
    assert!(page.contains("&lt;/script&gt;&lt;b&gt;ann") && !page.contains("<b>ann"));
    assert!(!page.contains("src=\"http") && page.contains("not a medical device"));
    let reading = record(&page);
    assert_eq!(reading["fields"].as_array().unwrap().len(), 4, "copies count once");
    assert_eq!(page.matches("data:image/jpeg;base64,").count(), 4);
    assert!(page.contains("The picture is too dark") && page.contains("blank: no cell-sized object"));
    // No person has reviewed it.
    assert!(page.contains("corrected result appears once every suspect has been reviewed"));

    // Under other names.
    let moved = folder.path().join("moved");
    fs::rename(&photos, &moved).unwrap();
    fs::rename(moved.join("a.png"), moved.join("z.png")).unwrap();
    let verified = edge(&["verify"], &[&report, &moved]);
    assert!(verified.status.success(), "{verified:?}");
    assert!(String::from_utf8_lossy(&verified.stdout).contains("nothing differs (4 photographs)"));
    // Its record alone, too.
    let bare = folder.path().join("reading.json");
    fs::write(&bare, reading.to_string()).unwrap();
    assert!(edge(&["verify"], &[&bare, &moved]).status.success());
}

#[test]
fn every_difference_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (photos, report) = reported(folder.path());
    let page = fs::read_to_string(&report).unwrap();
    let reading = record(&page);
    let changed = folder.path().join("changed.json");
    let answer = |reading: &Value, photos: &Path| {
        fs::write(&changed, reading.to_string()).unwrap();
        let output = edge(&["verify"], &[&changed, photos]);
        assert!(!output.status.success(), "{output:?}");
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    };
    let red = reading["fields"][0]["objects"].as_array().unwrap();
    let red = red.iter().position(|object| object["probability"].is_number()).unwrap();
    let with = |pointer: &str, value: Value| {
        let mut reading = reading.clone();
        *reading.pointer_mut(pointer).unwrap() = value;
        reading
    };
    let probability = reading["fields"][0]["objects"][red]["probability"].as_f64().unwrap();
    let of = |member: &str| format!("/fields/0/objects/{red}/{member}");
    // Processors round differently.
    fs::write(&changed, with(&of("probability"), json!(probability + 5e-5)).to_string()).unwrap();
    assert!(edge(&["verify"], &[&changed, &photos]).status.success());
    let mut earlier = with("/format_version", json!(1));
    let made_by = earlier["made_by"].as_object_mut().unwrap();
    let hash = made_by.remove("model_sha256").unwrap();
    made_by.insert("weights_sha256".to_owned(), hash);
    let cases = [
        (with(&of("probability"), json!(probability + 2e-4)), "probability"),
        (
            with(
                &of("infected"),
                json!(!reading["fields"][0]["objects"][red]["infected"].as_bool().unwrap()),
            ),
            "the call differs",
        ),
        (with(&of("kind"), json!("clump")), "in other places"),
        (with(&of("outline"), json!([[0, 0], [1, 0], [1, 1]])), "in other places"),
        (
            with(&of("warned"), json!(!reading["fields"][0]["objects"][red]["warned"].as_bool().unwrap())),
            "the warning differs",
        ),
        (with("/fields/0/width", json!(481)), "size or pixels differ"),
        (with("/fields/0/count/pixels_sha256", json!("00")), "size or pixels differ"),
        (with("/fields/0/count/infected", json!(999)), "the recorded counts"),
        (
            with(
                "/fields/0/count/unfamiliar",
                json!(!reading["fields"][0]["count"]["unfamiliar"].as_bool().unwrap()),
            ),
            "the recorded counts",
        ),
        (with("/fields/0/count/caveats", json!(["grey"])), "the quality differs"),
        (with(&of("probability"), Value::Null), "an invalid probability"),
        (with("/made_by/model_sha256", json!("00")), "the report is from a model with the SHA-256 00"),
        (with("/fields/0/sha256", json!("00")), "a.png: the photograph is not among those given"),
        (with("/format_version", json!(3)), "expected format version 2, found 3"),
        (earlier, "expected format version 2, found 1"),
        (with("/red_cells_per_microlitre", json!(4.5)), "found 4.5"),
        (with(&of("x"), json!(4_000_000_000_u32)), "outside of the picture"),
        (
            with("/fields/1/count/pixels_sha256", reading["fields"][0]["count"]["pixels_sha256"].clone()),
            "occurs twice",
        ),
    ];
    for (reading, words) in cases {
        let answer = answer(&reading, &photos);
        assert!(answer.contains(words), "{words}: {answer}");
    }
    // The pictures of two photographs are exchanged.
    let picture = |i: usize| {
        let encoded = page.split("data:image/jpeg;base64,").nth(i).unwrap();
        encoded.split_once('"').unwrap().0.to_owned()
    };
    let [first, last] = [picture(1), picture(2)];
    let exchanged = page.replace(&first, "FIRST").replace(&last, &first).replace("FIRST", &last);
    for (page, words) in [
        (exchanged, "a.png: the picture in the report does not show the photograph"),
        (page.replacen("<h1>", "<h1>Negative. ", 1), "does not match its record"),
        (page.replacen("malaria-edge 0", "malaria-edge 9", 1), "does not match its record"),
        ("<html>".to_owned(), "contains no record"),
        ("{".to_owned(), "expected a report of this program, or its record (JSON)"),
    ] {
        fs::write(&report, page).unwrap();
        let output = edge(&["verify"], &[&report, &photos]);
        let answer = format!("{output:?}");
        assert!(!output.status.success() && answer.contains(words), "{words}: {answer}");
    }
}

#[test]
fn a_model_with_new_thresholds_is_another_model() {
    let folder = tempfile::tempdir().unwrap();
    let (photos, report) = reported(folder.path());
    let model = folder.path().join("model.onnx");
    let built_in = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("field-int8.onnx")).unwrap();
    fs::write(&model, &built_in).unwrap();
    let verified = || edge(&["verify", "--model", model.to_str().unwrap()], &[&report, &photos]);
    assert!(verified().status.success(), "the built-in model under another name");
    // As `calibrate` writes it without a weights file: with the hash of the same weights.
    let mut description = Model::load(&built_in).unwrap().description().clone();
    description.threshold.as_mut().unwrap().point.threshold = 0.9;
    fs::write(&model, replace_description(&built_in, description, None).unwrap()).unwrap();
    let refused = format!("{:?}", verified());
    assert!(refused.contains("the model: the report is from a model with the SHA-256 "), "{refused}");
    assert!(refused.contains(": 1 differences"), "{refused}");
}

#[test]
fn a_report_has_one_patient_and_only_judged_cells_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let (photos, report) = reported(folder.path());
    let cells = folder.path().join("cells");
    let none = edge(&["verify", "--cells", cells.to_str().unwrap()], &[&report, &photos]);
    assert!(
        !none.status.success()
            && format!("{none:?}").contains(
                "no cell in these photographs was \
        judged"
            ),
        "{none:?}"
    );
    assert!(!cells.exists());

    let mut reading = record(&fs::read_to_string(&report).unwrap());
    let objects = reading["fields"][1]["objects"].as_array_mut().unwrap();
    let red: Vec<usize> = (0..objects.len()).filter(|&i| objects[i]["probability"].is_number()).collect();
    for (&i, judgement) in red.iter().zip(["infected", "uninfected", "uninfected", "no-red-cell"]) {
        objects[i]["judgement"] = judgement.into();
    }
    // One without an outline, at the border, and one in the photograph without cells.
    reading["fields"][1]["added"] = json!([{ "x": 479, "y": 0, "infected": true }]);
    reading["fields"][2]["added"] = json!([{ "x": 100, "y": 100, "infected": true }]);
    fs::write(&report, reading.to_string()).unwrap();
    let written = edge(&["verify", "--cells", cells.to_str().unwrap()], &[&report, &photos]);
    assert!(
        written.status.success() && format!("{written:?}").contains("not written: 1 cells"),
        "{written:?}"
    );
    // Other commands read their patient from the table.
    let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-f32.onnx");
    let patients = cells.join("patients.csv");
    let classified =
        edge(&["classify", "--json", "--patients", patients.to_str().unwrap()], &[&tiny, &cells]);
    let classified: Value = serde_json::from_slice(&classified.stdout).unwrap();
    assert_eq!(classified["patients"][0]["patient"], "</script><b>ann", "{classified}");
    let number = |class: &str| fs::read_dir(cells.join(class)).unwrap().count();
    assert_eq!([number("Parasitized"), number("Uninfected")], [2, 2]);
    let table = fs::read_to_string(cells.join("patients.csv")).unwrap();
    assert_eq!(table.lines().count(), 5, "{table}");

    let two = folder.path().join("two.html");
    fs::create_dir(photos.join("ben")).unwrap();
    fs::rename(photos.join("b.png"), photos.join("ben/b.png")).unwrap();
    fs::create_dir(photos.join("ann")).unwrap();
    fs::rename(photos.join("a.png"), photos.join("ann/a.png")).unwrap();
    let by_folder = ["smear", "--patient-pattern", "([^/]+)/", "--report", two.to_str().unwrap()];
    let refused = edge(&by_folder, &[&photos]);
    assert!(!refused.status.success() && format!("{refused:?}").contains("one patient"), "{refused:?}");
    fs::remove_dir_all(photos.join("ben")).unwrap();
    let refused = edge(&by_folder, &[&photos]);
    assert!(format!("{refused:?}").contains("the patient of 3 photographs is unknown"), "{refused:?}");
    assert!(!two.exists());
    let refused = edge(&["smear", "--haematocrit", "0.04"], &[&photos]);
    assert!(format!("{refused:?}").contains("from 0.045 to 0.9"), "{refused:?}");
    let refused = edge(&["smear", "--report", "report.pdf"], &[&photos]);
    assert!(format!("{refused:?}").contains("ends in .html"), "{refused:?}");
}
