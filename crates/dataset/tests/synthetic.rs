//! The synthetic data set: reproducible, like the NIH's in form, and too hard for trivial models.

mod logistic;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use image::RgbImage;
use malaria_dataset::{
    Error, Fingerprint, Index, ResizePolicy, SyntheticCell, SyntheticConfig, resize, synthetic_cell,
    write_synthetic,
};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use logistic::{accuracy, fit, standardise};

const SMALL: SyntheticConfig =
    SyntheticConfig { cells: 24, patients: 4, infected_share_of_patients: 0.75, seed: 7 };

/// Paths below a folder with the fingerprints of the files.
fn contents(folder: &Path) -> BTreeMap<String, Fingerprint> {
    let mut files = BTreeMap::new();
    for class in fs::read_dir(folder).unwrap() {
        let class = class.unwrap();
        for file in fs::read_dir(class.path()).unwrap() {
            let file = file.unwrap();
            let name = format!("{}/{}", class.file_name().display(), file.file_name().display());
            files.insert(name, Fingerprint::of(&fs::read(file.path()).unwrap()));
        }
    }
    files
}

fn names_in(folder: &Path) -> Vec<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn cells_are_unchanged() {
    let golden = |cell: usize| {
        let cell = synthetic_cell(&SyntheticConfig::default(), cell).unwrap();
        (
            cell.image.dimensions(),
            cell.parasitized,
            cell.file_name,
            Fingerprint::of(cell.image.as_raw()).hex(),
        )
    };
    let infected = "636481d8ff9a856fba0e5ea53cd6aca8db5f0e9acdf62ec929dbbc5c2a64ea1a".to_owned();
    assert_eq!(
        golden(6),
        ((140, 115), true, "C6P6ThinF_drawn42_IMG_20150106_133505_cell_7.png".to_owned(), infected)
    );
    let healthy = "830ac0bb555508f406532176bc39eb91bd20b814a72d705ec341ae3d3e279b79".to_owned();
    assert_eq!(
        golden(1),
        ((163, 153), false, "C1NThinF_drawn42_IMG_20150101_080000_cell_2.png".to_owned(), healthy)
    );
}

#[test]
fn files_depend_on_the_seed_and_not_on_the_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, threads: usize, config: &SyntheticConfig| {
        let out = folder.path().join(name);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| write_synthetic(&out, config, &|_| {})).unwrap();
        contents(&out)
    };
    let one = write("one", 1, &SMALL);
    assert_eq!(one.len(), 24);
    assert_eq!(one, write("four", 4, &SMALL));
    let other = write("other", 2, &SyntheticConfig { seed: 8, ..SMALL });
    assert!(one.values().all(|cell| !other.values().any(|other| other == cell)));
}

#[test]
fn a_cell_does_not_depend_on_the_number_of_cells() {
    let more = SyntheticConfig { cells: 1000, ..SMALL };
    assert_eq!(synthetic_cell(&SMALL, 9).unwrap(), synthetic_cell(&more, 9).unwrap());
    assert_ne!(synthetic_cell(&SMALL, 9).unwrap().image, synthetic_cell(&SMALL, 11).unwrap().image);
}

#[test]
fn the_folder_has_the_layout_of_the_nihs_set() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("deep").join("cells");
    let (calls, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    write_synthetic(&out, &SMALL, &|done| {
        calls.fetch_add(1, Ordering::Relaxed);
        most.fetch_max(done, Ordering::Relaxed);
    })
    .unwrap();
    assert_eq!((calls.into_inner(), most.into_inner()), (24, 24));
    assert_eq!(names_in(&folder.path().join("deep")), ["cells"], "no temporary folder is left");

    let index = Index::open(&out).unwrap();
    assert_eq!(index.classes, ["Parasitized", "Uninfected"]);
    assert_eq!((index.samples.len(), index.ignored.len()), (24, 0));
    // Each cell under its name, in the folder of its class, and of its patient.
    for cell in (0..24).map(|number| synthetic_cell(&SMALL, number).unwrap()) {
        let path = format!("{}/{}", index.classes[usize::from(!cell.parasitized)], cell.file_name);
        let sample = index.samples.iter().find(|sample| sample.path == path).unwrap();
        assert_eq!(sample.patient.as_ref(), Some(&cell.patient), "{path}");
        assert_eq!(image::open(out.join(&path)).unwrap().to_rgb8(), cell.image, "{path}");
    }
    let [infected, healthy] = [8, 1].map(|number| synthetic_cell(&SMALL, number).unwrap());
    assert_eq!(infected.file_name, "C3P3ThinF_drawn7_IMG_20150103_101426_cell_9.png");
    assert_eq!((healthy.patient.as_str(), healthy.parasitized), ("C1", false));
}

#[test]
fn cells_have_realistic_sizes_and_fill_their_picture() {
    let config = SyntheticConfig { cells: 60, ..SyntheticConfig::default() };
    let mut square = 0;
    for number in 0..config.cells {
        let image = synthetic_cell(&config, number).unwrap().image;
        let (width, height) = image.dimensions();
        assert!((90..=210).contains(&width) && (90..=210).contains(&height), "{number}: {width} x {height}");
        square += usize::from(width == height);
        let lit = |pixel: &image::Rgb<u8>| pixel.0 != [0, 0, 0];
        for (x, y) in [(0, 0), (width - 1, 0), (0, height - 1), (width - 1, height - 1)] {
            assert!(!lit(image.get_pixel(x, y)), "{number}: the corner {x}, {y} is black");
        }
        let share = image.pixels().filter(|pixel| lit(pixel)).count() as f64 / f64::from(width * height);
        assert!((0.45..0.9).contains(&share), "{number}: the cell covers {share:.2} of its picture");
    }
    assert!(square < 12, "{square} of 60 are square");
}

#[test]
fn an_occupied_path_is_refused_and_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let full = folder.path().join("full");
    fs::create_dir(&full).unwrap();
    fs::write(full.join("notes.txt"), "mine").unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "mine").unwrap();
    for out in [&full, &file] {
        let error = write_synthetic(out, &SMALL, &|_| panic!("no cell should be drawn")).unwrap_err();
        assert!(
            matches!(&error, Error::File(malaria_files::Error::Occupied { path }) if path == out),
            "{error}"
        );
    }
    assert_eq!(fs::read_to_string(full.join("notes.txt")).unwrap(), "mine");
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
    assert_eq!(names_in(folder.path()).len(), 2);

    let empty = folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    write_synthetic(&empty, &SMALL, &|_| {}).unwrap();
    assert_eq!(contents(&empty).len(), 24);
}

#[test]
fn an_unfinished_set_leaves_no_files() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("cells");
    let drawn = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        write_synthetic(&out, &SMALL, &|done| assert!(done < 12, "stopped half-way"))
    }));
    assert!(drawn.is_err());
    assert_eq!(names_in(folder.path()), [""; 0]);
}

#[test]
fn a_second_writer_does_not_remove_the_temporary_folder_of_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("cells");
    let begun = AtomicBool::new(false);
    let first = write_synthetic(&out, &SMALL, &|_| {
        if !begun.swap(true, Ordering::Relaxed) {
            write_synthetic(&out, &SMALL, &|_| {}).unwrap();
        }
    });
    assert!(matches!(first, Err(Error::File(malaria_files::Error::Occupied { .. }))), "{first:?}");
    assert_eq!(contents(&out).len(), 24);
    assert_eq!(names_in(folder.path()), ["cells"]);
}

#[test]
fn settings_out_of_range_are_refused_by_name() {
    let bad = [
        ("cells", SyntheticConfig { cells: 1, ..SMALL }),
        ("cells", SyntheticConfig { cells: usize::MAX, ..SMALL }),
        ("patients", SyntheticConfig { patients: 0, ..SMALL }),
        ("patients", SyntheticConfig { patients: usize::MAX, ..SMALL }),
        ("infected_share_of_patients", SyntheticConfig { infected_share_of_patients: 0.0, ..SMALL }),
        ("infected_share_of_patients", SyntheticConfig { infected_share_of_patients: 1.01, ..SMALL }),
        ("infected_share_of_patients", SyntheticConfig { infected_share_of_patients: f64::NAN, ..SMALL }),
    ];
    let folder = tempfile::tempdir().unwrap();
    for (name, config) in bad {
        let is_named = |error: &Error| matches!(error, Error::Config { field, .. } if *field == name);
        assert!(is_named(&config.check().unwrap_err()), "{config:?}");
        assert!(is_named(&synthetic_cell(&config, 0).unwrap_err()), "{config:?}");
        assert!(
            is_named(&write_synthetic(&folder.path().join("out"), &config, &|_| {}).unwrap_err()),
            "{config:?}"
        );
    }
    assert!(matches!(synthetic_cell(&SMALL, 24).unwrap_err(), Error::Config { field: "cell", .. }));
    assert_eq!(names_in(folder.path()), [""; 0]);
}

/// Features of a trivial model.
#[derive(Clone, Copy)]
enum Features {
    MeanColour,
    Thumbnail,
}

impl Features {
    fn of(self, image: &RgbImage) -> Vec<f64> {
        match self {
            Self::MeanColour => (0..3)
                .map(|c| {
                    image.pixels().map(|pixel| f64::from(pixel[c])).sum::<f64>() / f64::from(image.width())
                })
                .map(|sum| sum / f64::from(image.height()))
                .collect(),
            Self::Thumbnail => {
                resize(image, 8, ResizePolicy::Stretch).iter().map(|&value| f64::from(value)).collect()
            }
        }
    }
}

/// The best test accuracy of logistic regression over several strengths of regularisation.
fn best_accuracy(cells: &[SyntheticCell], is_test: &[bool], features: Features) -> f64 {
    let rows: Vec<Vec<f64>> = cells.par_iter().map(|cell| features.of(&cell.image)).collect();
    let subset = |test: bool| -> (Vec<Vec<f64>>, Vec<bool>) {
        let chosen = || (0..cells.len()).filter(|&i| is_test[i] == test);
        (chosen().map(|i| rows[i].clone()).collect(), chosen().map(|i| cells[i].parasitized).collect())
    };
    let ((mut train, train_labels), (mut test, test_labels)) = (subset(false), subset(true));
    standardise(&mut train, &mut test);
    [1.0, 100.0]
        .map(|l2| accuracy(&fit(&train, &train_labels, l2), &test, &test_labels))
        .into_iter()
        .fold(0.0, f64::max)
}

/// Test sets: a random fifth of the cells, and all cells of a fifth of the patients.
fn splits(cells: &[SyntheticCell]) -> [Vec<bool>; 2] {
    let mut random: Vec<bool> = (0..cells.len()).map(|i| i % 5 == 0).collect();
    random.shuffle(&mut ChaCha8Rng::seed_from_u64(1));
    let by_patient =
        cells.iter().map(|cell| cell.patient[1..].parse::<usize>().unwrap().is_multiple_of(5)).collect();
    [random, by_patient]
}

#[test]
fn trivial_models_stay_below_65_percent() {
    let config = SyntheticConfig { cells: 1600, ..SyntheticConfig::default() };
    let mut cells: Vec<SyntheticCell> =
        (0..config.cells).into_par_iter().map(|number| synthetic_cell(&config, number).unwrap()).collect();
    // Of each kind of features, on each test set.
    let accuracies = |cells: &[SyntheticCell]| {
        [Features::MeanColour, Features::Thumbnail]
            .map(|features| splits(cells).map(|is_test| best_accuracy(cells, &is_test, features)))
    };
    let reached = accuracies(&cells);
    assert!(reached.iter().flatten().all(|reached| *reached <= 0.65), "{reached:?}");
    // Control: if the cells contain a trivial sign of the class, the same models learn it.
    for cell in cells.iter_mut().filter(|cell| cell.parasitized) {
        for pixel in cell.image.pixels_mut() {
            pixel[1] /= 4;
        }
    }
    let reached = accuracies(&cells);
    assert!(reached.iter().flatten().all(|reached| *reached > 0.95), "{reached:?}");
}
