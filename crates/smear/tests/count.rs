//! Counting on synthetic smears, with a network that calls cells by a blue spot.

mod support;

use std::fs;
use std::path::Path;

use image::{Rgb, RgbImage};
use malaria_dataset::{
    Cells, ListedImage, PatientNames, SmearConfig, SmearKind, SyntheticSmear, list_images, synthetic_smear,
};
use malaria_metrics::{PatientCall, exact_interval};
use malaria_smear::{
    AddedCell, Caveat, CountOptions, FieldCount, Judgement, PatientCount, REVIEW_FORMAT, ReviewedField,
    ReviewedSmear, SmearReport, analyse_field, check_outside, count_smears, red_cells_of_haematocrit,
};

use support::description;

/// An error type like that of a program.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Smear(#[from] malaria_smear::Error),
    #[error(transparent)]
    Files(#[from] malaria_files::Error),
    #[error(transparent)]
    Dataset(#[from] malaria_dataset::Error),
    #[error("the network failed")]
    Network,
}

/// Infected where a cell has the blue spot of [`draw`].
fn network(cells: &Cells) -> Result<Vec<f64>, Error> {
    let row = |i: usize| {
        let pixels = cells.cell(i).chunks_exact(3);
        let blue = pixels.filter(|pixel| pixel[2] > 180 && pixel[0] < 90);
        let infected = if blue.count() >= 4 { 0.99 } else { 0.01 };
        [infected, 1.0 - infected]
    };
    Ok((0..cells.len()).flat_map(row).collect())
}

fn count(folder: &Path, names: &PatientNames, options: &CountOptions) -> Result<SmearReport, Error> {
    let photos = list_images(&[folder.to_owned()], names)?.images;
    count_smears(&description(), 0, &photos, options, network, &mut |_, _| {})
}

/// A smear whose infected cells have a blue spot in their middle: synthetic parasites differ from other marks only by their
/// shape, which takes a trained network.
fn draw(seed: u64) -> SyntheticSmear {
    let base = SmearConfig { width: 800, height: 600, cell_diameter: 50.0, seed, ..SmearConfig::default() };
    let mut smear = synthetic_smear(&SmearConfig { parasitaemia: 0.1, ..base }).unwrap();
    for object in smear.objects.iter().filter(|object| object.kind == SmearKind::Infected) {
        let [left, top, right, bottom] = object.bounds;
        let [x, y] = [(left + right) / 2.0, (top + bottom) / 2.0].map(|at| at as u32);
        for (x, y) in (y - 4..y + 4).flat_map(|y| (x - 4..x + 4).map(move |x| (x, y))) {
            if let Some(pixel) = smear.image.get_pixel_mut_checked(x, y) {
                *pixel = Rgb([40, 60, 250]);
            }
        }
    }
    smear
}

fn by_name<'a>(report: &'a SmearReport, name: &str) -> &'a FieldCount {
    report.photographs.iter().find(|field| field.image.ends_with(name)).unwrap()
}

#[test]
fn synthetic_infected_cells_are_counted_by_photograph_and_patient() {
    let folder = tempfile::tempdir().unwrap();
    let mut drawn = [0; 2];
    for (seed, patient) in [(1, "ann"), (2, "ann"), (3, "ben")] {
        let smear = draw(seed);
        fs::create_dir_all(folder.path().join(patient)).unwrap();
        smear.image.save(folder.path().join(format!("{patient}/{seed}.png"))).unwrap();
        drawn[0] += smear.objects.iter().filter(|object| object.kind.is_red_cell()).count();
        drawn[1] += smear.objects.iter().filter(|object| object.kind == SmearKind::Infected).count();
    }
    let pattern = PatientNames::Pattern("([^/]+)/".parse().unwrap());
    let options = CountOptions {
        red_cells_per_microlitre: Some(red_cells_of_haematocrit(0.45)),
        ..CountOptions::default()
    };
    let report = count(folder.path(), &pattern, &options).unwrap();
    let sum = |of: fn(&FieldCount) -> u64| report.photographs.iter().map(of).sum::<u64>();
    let (red, infected) = (sum(|field| field.red_cells), sum(|field| field.infected));
    assert!(red.abs_diff(drawn[0] as u64) <= 6, "{red} of {}", drawn[0]);
    assert!(infected.abs_diff(drawn[1] as u64) <= 3, "{infected} of {}", drawn[1]);

    // A picture that two patients share counts for neither.
    fs::create_dir(folder.path().join("carl")).unwrap();
    fs::copy(folder.path().join("ben/3.png"), folder.path().join("carl/3.png")).unwrap();
    let results = tempfile::tempdir().unwrap();
    let out = results.path().join("out");
    let with_pictures = CountOptions { out: Some(out.clone()), ..options.clone() };
    let stolen = count(folder.path(), &pattern, &with_pictures).unwrap();
    for (name, other) in [("ben", "carl"), ("carl", "ben")] {
        let of_name = |count: &&PatientCount| count.patient.as_deref() == Some(name);
        let count = stolen.patients.iter().find(of_name).unwrap();
        assert_eq!((count.red_cells, count.failed, stolen.failed()), (0, 1, 2), "{name}");
        let error = by_name(&stolen, &format!("{name}/3.png")).error.as_ref().unwrap();
        assert!(error.contains(other) && error.contains("another patient"), "{error}");
    }
    assert!(stolen.cells.iter().all(|row| row.patient.as_deref() == Some("ann")));
    let pictures = |folder: &str| {
        let found = fs::read_dir(out.join(folder)).unwrap().map(|entry| entry.unwrap().file_name());
        found.map(|name| name.into_string().unwrap()).collect::<Vec<_>>()
    };
    let classes = ["annotated", "cells/Parasitized", "cells/Uninfected"].map(pictures);
    assert_eq!(classes.concat().len(), 2 + stolen.cells.iter().filter(|row| row.called.is_some()).count());
    assert!(classes.concat().iter().all(|name| !name.starts_with('3')), "{classes:?}");

    let [ann, ben] = report.patients.as_slice() else { panic!("{:?}", report.patients) };
    assert_eq!((ann.patient.as_deref(), ann.photographs, ben.photographs), (Some("ann"), 2, 1));
    assert_eq!(ann.red_cells + ben.red_cells, red);
    let result = ann.verdict.as_ref().unwrap().result;
    assert_eq!(result.call, PatientCall::Positive);
    // 0.45 / 90 fl is five million red cells per microlitre.
    let per_microlitre = ann.infected_per_microlitre.unwrap();
    assert!((per_microlitre.estimate / (5e6 * result.infected_share.unwrap()) - 1.0).abs() < 1e-9);
    assert!(per_microlitre.low < per_microlitre.estimate && per_microlitre.estimate < per_microlitre.high);
    // A line break in a name makes no second row.
    let mut renamed = stolen.clone();
    renamed.patients[0].patient = Some("ann\nben".to_owned());
    assert!(renamed.table().lines().any(|line| line.starts_with("ann\u{fffd}ben ")), "{}", renamed.table());
    for part in ["ann ", "positive; ", " per microlitre", "not a medical device"] {
        assert!(report.table().contains(part), "{part}: {}", report.table());
    }
}

#[test]
fn copies_count_once_and_an_unreadable_photograph_does_not_stop_the_count() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    draw(1).image.save(path("a.png")).unwrap();
    draw(1).image.save(path("b.bmp")).unwrap();
    fs::write(path("c.jpg"), "no picture").unwrap();
    RgbImage::from_pixel(400, 300, Rgb([230; 3])).save(path("d.png")).unwrap();
    draw(2).image.save(path("e.png")).unwrap();

    let photos = list_images(&[folder.path().to_owned()], &PatientNames::Nlm).unwrap().images;
    let mut progress = Vec::new();
    let options = CountOptions::default();
    let report = count_smears(&description(), 0, &photos, &options, network, &mut |done, total| {
        progress.push((done, total));
    });
    let report = report.unwrap();
    assert_eq!(progress, [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]);
    let [all] = report.patients.as_slice() else { panic!("{:?}", report.patients) };
    assert_eq!((all.patient.as_deref(), all.photographs, all.failed), (None, 4, 1), "all but b");
    let (a, e) = (by_name(&report, "a.png"), by_name(&report, "e.png"));
    assert_eq!(all.red_cells, a.red_cells + e.red_cells);
    assert!(by_name(&report, "b.bmp").copy_of.as_ref().unwrap().ends_with("a.png"));
    assert!(by_name(&report, "c.jpg").error.as_ref().unwrap().contains("c.jpg"));
    let blank = by_name(&report, "d.png");
    assert_eq!((blank.red_cells, blank.error.as_ref()), (0, None));
    assert_eq!(blank.caveats, [Caveat::Blank]);
    assert_eq!(report.failed(), 1);
    let numbers = report.cells.iter().filter(|row| row.image.ends_with("e.png")).filter_map(|row| row.number);
    assert!(numbers.eq(1..=e.red_cells as usize));

    // Neither the order nor the number of threads changes a count, even if the network depends on the batch.
    let by_batch = |cells: &Cells| {
        let shift = cells.len() as f64 / 1e6;
        Ok::<_, Error>(network(cells)?.into_iter().map(|probability| probability + shift).collect())
    };
    let counted = |photos: &[ListedImage], threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| count_smears(&description(), 0, photos, &options, by_batch, &mut |_, _| {})).unwrap()
    };
    let mut backwards = photos.clone();
    backwards.reverse();
    let (forward, reversed) = (counted(&photos, 3), counted(&backwards, 1));
    let rows = |report: &SmearReport| {
        Vec::from_iter(report.cells.iter().filter(|row| row.image.ends_with("e.png")).cloned())
    };
    assert_eq!(rows(&forward), rows(&reversed));
    assert_eq!(reversed.patients, report.patients);
    assert_eq!(by_name(&reversed, "e.png"), e);
}

#[test]
fn a_photograph_of_an_unknown_and_a_known_patient_counts_for_the_known_one() {
    for unknown in ["a.png", "z.png"] {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("ben")).unwrap();
        draw(1).image.save(folder.path().join("ben/1.png")).unwrap();
        fs::copy(folder.path().join("ben/1.png"), folder.path().join(unknown)).unwrap();
        let pattern = PatientNames::Pattern("([^/]+)/".parse().unwrap());
        let report = count(folder.path(), &pattern, &CountOptions::default()).unwrap();
        let [ben] = report.patients.as_slice() else { panic!("{:?}", report.patients) };
        assert_eq!((ben.patient.as_deref(), ben.failed, report.failed()), (Some("ben"), 0, 0), "{unknown}");
        assert!(ben.red_cells > 0 && by_name(&report, unknown).copy_of.as_ref().unwrap().ends_with("1.png"));
    }
}

#[test]
fn the_folder_of_results_is_complete_or_does_not_exist() {
    let folder = tempfile::tempdir().unwrap();
    let photos = folder.path().join("photos");
    for (seed, place) in [(1, "a/field.png"), (2, "b/field.png")] {
        let path = photos.join(place);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        draw(seed).image.save(path).unwrap();
    }
    let out = folder.path().join("results");
    let options = CountOptions {
        out: Some(out.clone()),
        steps: Some(folder.path().join("steps")),
        ..CountOptions::default()
    };
    let report = count(&photos, &PatientNames::Nlm, &options).unwrap();
    let csv = fs::read_to_string(out.join("cells.csv")).unwrap();
    assert_eq!(csv, report.csv().unwrap());
    assert_eq!(csv.lines().count(), 1 + report.cells.len());
    assert!(
        csv.starts_with("image,number,x,y,w,h,probability,called,patient,touches_border,warning,excluded\n"),
        "{csv}"
    );
    let json: serde_json::Value = serde_json::from_slice(&fs::read(out.join("smear.json")).unwrap()).unwrap();
    assert_eq!(json["photographs"].as_array().unwrap().len(), 2);
    let files = |folder: &Path| fs::read_dir(folder).unwrap().count() as u64;
    let infected: u64 = report.photographs.iter().map(|field| field.infected).sum();
    assert_eq!(files(&out.join("cells/Parasitized")), infected);
    // Photographs with the same name in two folders.
    for name in ["field.jpg", "field-2.jpg"] {
        assert_eq!(image::image_dimensions(out.join("annotated").join(name)).unwrap(), (800, 600));
    }
    assert_eq!(files(&folder.path().join("steps/field-2")), 5);
    // Pictures with outlined cells are not photographs.
    for results in [&out, folder.path()] {
        let again = count(results, &PatientNames::Nlm, &CountOptions::default()).unwrap_err().to_string();
        assert!(
            again.contains("results of an earlier count") && again.contains(out.to_str().unwrap()),
            "{again}"
        );
    }

    // Without cells, the columns are still written.
    let blank = folder.path().join("blank.png");
    RgbImage::from_pixel(400, 300, Rgb([230; 3])).save(&blank).unwrap();
    let nothing = count(&blank, &PatientNames::Nlm, &CountOptions::default()).unwrap().csv().unwrap();
    assert_eq!(Some(nothing.trim_end()), csv.lines().next());
    let inside =
        check_outside(&photos.join("results"), std::slice::from_ref(&photos)).unwrap_err().to_string();
    assert!(inside.contains("whose pictures are counted"), "{inside}");
    check_outside(&out, std::slice::from_ref(&photos)).unwrap();

    // Also without the tables beside them.
    let copied = folder.path().join("copied");
    fs::create_dir(&copied).unwrap();
    fs::copy(out.join("annotated/field-2.jpg"), copied.join("x.jpg")).unwrap();
    let again = count(&copied, &PatientNames::Nlm, &CountOptions::default()).unwrap_err().to_string();
    assert!(again.contains("x.jpg` is a result of an earlier count"), "{again}");

    let occupied = count(&photos, &PatientNames::Nlm, &options).unwrap_err().to_string();
    assert!(occupied.contains("results") && occupied.contains("already exists"), "{occupied}");
    let other = folder.path().join("other");
    let options = CountOptions { out: Some(other.clone()), ..CountOptions::default() };
    let listed = list_images(&[photos], &PatientNames::Nlm).unwrap().images;
    let failed = count_smears(&description(), 0, &listed, &options, |_| Err(Error::Network), &mut |_, _| {});
    assert!(matches!(failed, Err(Error::Network)));
    assert!(!other.exists());
}

#[test]
fn poor_photographs_without_infected_cells_are_not_negative() {
    let verdict = |pictures: &[RgbImage]| {
        let folder = tempfile::tempdir().unwrap();
        for (number, picture) in pictures.iter().enumerate() {
            picture.save(folder.path().join(format!("{number}.png"))).unwrap();
        }
        let report = count(folder.path(), &PatientNames::Nlm, &CountOptions::default()).unwrap();
        let remarks = report.remarks().join("; ");
        (report.patients[0].verdict.clone().unwrap_or_else(|| panic!("{report:?}")), remarks)
    };
    let smear = |config: &SmearConfig| synthetic_smear(config).unwrap().image;
    let base = SmearConfig {
        width: 1200,
        height: 900,
        cell_diameter: 60.0,
        parasitaemia: 0.0,
        ..SmearConfig::default()
    };
    let sharp = smear(&base);
    let (result, remarks) = verdict(std::slice::from_ref(&sharp));
    assert!(!matches!(result.result.call, PatientCall::Positive | PatientCall::NotCalled), "{result:?}");
    assert!(result.result.interval.high < 0.2 && remarks.is_empty(), "{result:?} {remarks}");

    let grey = image::DynamicImage::ImageRgb8(sharp.clone()).to_luma8();
    let small = SmearConfig { width: 1200, height: 900, cell_diameter: 22.0, cells: 300, ..base.clone() };
    for (poor, words) in [
        (smear(&SmearConfig { blur: 0.15, ..base.clone() }), "out of focus"),
        (image::DynamicImage::ImageLuma8(grey).to_rgb8(), "grey"),
        (smear(&small), "25 to 260 pixels"),
    ] {
        // Also together with as many good ones.
        for pictures in [vec![poor.clone()], vec![poor, sharp.clone()]] {
            let (result, remarks) = verdict(&pictures);
            assert_eq!(result.result.call, PatientCall::NotCalled, "{result:?}");
            assert_eq!((result.result.interval.low, result.result.interval.high), (0.0, 1.0));
            assert!(result.words.starts_with("not called: ") && remarks.contains(words), "{remarks}");
        }
    }
}

/// A reading of one synthetic field.
fn reading() -> ReviewedSmear {
    let field = analyse_field(&description(), 0, "1.png", &draw(1).image, network).unwrap();
    ReviewedSmear {
        format_version: REVIEW_FORMAT,
        language: "en".to_owned(),
        patient: " ann ".to_owned(),
        slide: String::new(),
        operator: String::new(),
        read_on: String::new(),
        red_cells_per_microlitre: Some(5e6),
        looked_through: false,
        made_by: malaria_classifier::Provenance::default(),
        fields: vec![ReviewedField::new(b"the file", field)],
    }
}

#[test]
fn a_photograph_in_memory_is_read_like_a_file() {
    let folder = tempfile::tempdir().unwrap();
    draw(1).image.save(folder.path().join("1.png")).unwrap();
    let options = CountOptions { field_results: true, ..CountOptions::default() };
    let report = count(folder.path(), &PatientNames::default(), &options).unwrap();
    let mut own = reading().fields.remove(0).reading;
    own.count.image.clone_from(&report.field_results[0].count.image);
    assert_eq!(own, report.field_results[0]);
    assert_eq!(own.count, report.photographs[0]);
    let cells = own.objects.iter().filter(|object| object.is_red_cell());
    assert_eq!(cells.count() as u64, own.count.red_cells);
    // The outlines have fewer corners, which lie in the boxes.
    for object in &own.objects {
        let [right, bottom] = [object.bounds.x + object.bounds.width, object.bounds.y + object.bounds.height];
        assert!((3..120).contains(&object.outline.len()), "{}", object.outline.len());
        assert!(object.outline.iter().all(|&[x, y]| {
            (object.bounds.x..=right).contains(&x) && (object.bounds.y..=bottom).contains(&y)
        }));
    }
    // It round-trips through JSON.
    let json = serde_json::to_string(&reading()).unwrap();
    assert_eq!(serde_json::from_str::<ReviewedSmear>(&json).unwrap(), reading());
}

#[test]
fn corrections_count_once_every_suspect_is_judged() {
    let mut reading = reading();
    let machine = reading.summary(&description()).unwrap();
    // Without suspects, the person has to confirm that they looked through the photographs.
    let mut clean = reading.clone();
    clean.fields[0].reading.objects.retain(|object| !object.infected);
    assert_eq!(clean.summary(&description()).unwrap().corrected, None);
    clean.looked_through = true;
    assert_eq!(clean.summary(&description()).unwrap().corrected.unwrap().infected, 0);
    let field = &mut reading.fields[0];
    let suspects: Vec<usize> =
        (0..field.reading.objects.len()).filter(|&i| field.reading.objects[i].infected).collect();
    let (red_cells, infected) = (field.reading.count.red_cells, suspects.len() as u64);
    assert!(infected >= 5, "{infected}");
    assert_eq!((machine.suspects, machine.reviewed, machine.corrected), (infected, 0, None));
    let count = machine.machine.clone().unwrap();
    assert_eq!(
        (count.patient.as_deref(), count.red_cells, count.infected),
        (Some("ann"), red_cells, infected)
    );

    // One suspect is not infected, one is not a red cell, the others are infected; one uninfected cell is judged infected,
    // and two missed cells are added.
    for (&i, judgement) in suspects.iter().zip([Judgement::Uninfected, Judgement::NoRedCell]) {
        field.reading.objects[i].judgement = Some(judgement);
    }
    for &i in &suspects[2..suspects.len() - 1] {
        field.reading.objects[i].judgement = Some(Judgement::Infected);
    }
    let other =
        field.reading.objects.iter_mut().find(|object| object.is_red_cell() && !object.infected).unwrap();
    other.judgement = Some(Judgement::Infected);
    field.added.extend([true, false].map(|infected| AddedCell { x: 9, y: 9, infected }));
    let pending = reading.summary(&description()).unwrap();
    assert_eq!((pending.reviewed, pending.corrected), (infected - 1, None));
    // The machine's result does not change.
    assert_eq!(pending.machine, machine.machine);

    reading.fields[0].reading.objects[*suspects.last().unwrap()].judgement = Some(Judgement::Infected);
    let corrected = reading.summary(&description()).unwrap().corrected.unwrap();
    assert_eq!((corrected.red_cells, corrected.infected), (red_cells + 1, infected));
    let share = infected as f64 / (red_cells + 1) as f64;
    assert!((corrected.infected_share - share).abs() < 1e-12);
    let per_microlitre = corrected.infected_per_microlitre.unwrap();
    assert!((per_microlitre.high - 5e6 * corrected.interval.high).abs() < 1e-6);
    assert_eq!(corrected.interval, exact_interval(infected, red_cells + 1, 0.95).unwrap().unwrap());
}
