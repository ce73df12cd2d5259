//! Counts that are stopped, and results that cannot be written: what has been counted is not lost.

mod support;

use std::error::Error;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use malaria_dataset::{Cells, ListedImage, PatientNames, SmearConfig, list_images, synthetic_smear};
use malaria_smear::{CountOptions, SmearReport, count_smears, outcome};

use support::description;

/// Photographs of `number` smears in `folder`.
fn photos(folder: &Path, number: u64) -> Vec<ListedImage> {
    for seed in 1..=number {
        let config =
            SmearConfig { width: 800, height: 600, cell_diameter: 50.0, seed, ..SmearConfig::default() };
        synthetic_smear(&config).unwrap().image.save(folder.join(format!("{seed}.png"))).unwrap();
    }
    list_images(&[folder.to_owned()], &PatientNames::Nlm).unwrap().images
}

/// Counts with a network that calls no cell infected; `meanwhile` is called while it does so.
fn count(
    photos: &[ListedImage],
    options: &CountOptions,
    meanwhile: impl Fn(),
) -> Result<SmearReport, Box<dyn Error>> {
    let network = |cells: &Cells| {
        meanwhile();
        Ok([0.01, 0.99].repeat(cells.len()))
    };
    count_smears(&description(), 0, photos, options, network, &mut |_, _| {})
}

#[test]
fn counts_are_not_lost_with_pictures_that_cannot_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let photos = photos(folder.path(), 1);
    let out = folder.path().join("results");
    let options = CountOptions { out: Some(out.clone()), ..CountOptions::default() };
    // A file takes the place of the folder of annotated photographs, which is still in a temporary folder.
    let sabotage = || {
        for entry in fs::read_dir(folder.path()).unwrap() {
            let annotated = entry.unwrap().path().join("annotated");
            if annotated.is_dir() {
                fs::remove_dir(&annotated).unwrap();
                fs::write(&annotated, "").unwrap();
            }
        }
    };
    let report = count(&photos, &options, sabotage).unwrap();
    assert!(report.photographs[0].red_cells > 0);
    let [reason] = report.unwritten.as_slice() else { panic!("{:?}", report.unwritten) };
    let picture = out.join("annotated/1.jpg");
    assert!(reason.starts_with(&format!("cannot write {}: ", picture.display())), "{reason}");
    let json: serde_json::Value = serde_json::from_slice(&fs::read(out.join("smear.json")).unwrap()).unwrap();
    assert!(json["unwritten"][0] == *reason && out.join("cells.csv").is_file(), "{json}");
}

#[test]
fn each_table_is_written_even_if_the_other_cannot_be() {
    let cases: [&[&str]; 2] = [&["cells.csv"], &["cells.csv", "smear.json"]];
    for unwritable in cases {
        let folder = tempfile::tempdir().unwrap();
        let photos = photos(folder.path(), 1);
        let out = folder.path().join("results");
        let options = CountOptions { out: Some(out.clone()), ..CountOptions::default() };
        // Folders take the places of the tables.
        let sabotage = || {
            for entry in fs::read_dir(folder.path()).unwrap() {
                let results = entry.unwrap().path();
                if results.is_dir() {
                    unwritable.iter().for_each(|table| fs::create_dir_all(results.join(table)).unwrap());
                }
            }
        };
        let report = count(&photos, &options, sabotage).unwrap();
        assert_eq!(report.unwritten.len(), unwritable.len(), "{:?}", report.unwritten);
        for (reason, table) in report.unwritten.iter().zip(unwritable) {
            let start = format!("cannot write {}: ", out.join(table).display());
            assert!(reason.starts_with(&start), "{reason}");
        }
        if let [csv] = report.unwritten.as_slice() {
            let json = fs::read_to_string(out.join("smear.json")).unwrap();
            let json: serde_json::Value = serde_json::from_str(&json).unwrap();
            assert_eq!(json["unwritten"][0], *csv);
        }
        let (lines, code) = outcome(&report, &options);
        assert_eq!((lines.len(), code), (1 + unwritable.len(), 1), "{lines:?}");
        assert_eq!(lines[0], format!("written, but incomplete: {}", out.display()));
        assert_eq!(lines[1], format!("error: {}", report.unwritten[0]));
    }
}

#[test]
fn a_folder_for_pictures_of_the_steps_is_tried_before_the_count() {
    let folder = tempfile::tempdir().unwrap();
    let photos = photos(folder.path(), 1);
    let steps = folder.path().join("1.png/steps");
    let options = CountOptions { steps: Some(steps.clone()), ..CountOptions::default() };
    let refused = count(&photos, &options, || panic!("cells were called")).unwrap_err().to_string();
    assert!(refused.starts_with(&format!("cannot write {}: ", steps.display())), "{refused}");
}

#[test]
fn a_picture_of_a_step_that_cannot_be_written_does_not_stop_the_count() {
    let folder = tempfile::tempdir().unwrap();
    let photos = photos(folder.path(), 3);
    let [out, steps] = ["results", "steps"].map(|name| folder.path().join(name));
    // A file takes the place of a folder, and a folder that of a picture.
    fs::create_dir_all(steps.join("3/3-darkness.png")).unwrap();
    fs::write(steps.join("2"), "").unwrap();
    let options =
        CountOptions { out: Some(out.clone()), steps: Some(steps.clone()), ..CountOptions::default() };
    let report = count(&photos, &options, || {}).unwrap();
    assert!(report.photographs.iter().all(|photo| photo.red_cells > 0), "{:?}", report.photographs);
    let places = ["2", "3/3-darkness.png"].map(|name| steps.join(name));
    assert_eq!(report.unwritten.len(), places.len(), "{:?}", report.unwritten);
    for (reason, place) in report.unwritten.iter().zip(&places) {
        assert!(reason.starts_with(&format!("cannot write {}: ", place.display())), "{reason}");
    }
    assert!(steps.join("1/5-objects.png").is_file() && steps.join("3/2-field.png").is_file());
    let json: serde_json::Value = serde_json::from_slice(&fs::read(out.join("smear.json")).unwrap()).unwrap();
    assert_eq!(json["unwritten"][0], report.unwritten[0]);
    let (lines, code) = outcome(&report, &options);
    assert_eq!((lines.len(), code), (3, 1), "{lines:?}");
    assert_eq!(lines[0], format!("written: {}", out.display()));
    assert_eq!(lines[1], format!("error: {}", report.unwritten[0]));
}

#[test]
fn a_stopped_count_keeps_the_finished_photographs() {
    static STOP: AtomicBool = AtomicBool::new(false);
    let folder = tempfile::tempdir().unwrap();
    // More than are searched at once.
    let mut photos = photos(folder.path(), 5);
    let unreadable = folder.path().join("0.png");
    fs::write(&unreadable, "no picture").unwrap();
    photos.insert(0, ListedImage { path: unreadable, patient: None });
    let options = CountOptions { stop: Some(&STOP), ..CountOptions::default() };
    let report = count(&photos, &options, || STOP.store(true, Ordering::Relaxed)).unwrap();
    assert!((1..5).contains(&report.not_reached), "{}", report.not_reached);
    assert_eq!(report.photographs.len() + report.not_reached, 6);
    assert!(report.patients[0].red_cells > 0);
    let words = format!("photographs not counted, because the count was stopped: {}", report.not_reached);
    assert!(report.table().contains(&words), "{}", report.table());
    let (lines, code) = outcome(&report, &options);
    let stopped = format!("stopped: {} of 6 photographs are not counted", report.not_reached);
    assert_eq!((lines, code), (vec!["1 of 6 photographs could not be counted".to_owned(), stopped], 130));
}
