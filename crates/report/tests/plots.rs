//! Plots read back from their files: sizes, positions of colours, texts.

use std::path::{Path, PathBuf};

use image::{Rgb, RgbImage};
use malaria_metrics::{ConfusionMatrix, Detection, calibration_curve, pr_curve, roc_curve};
use malaria_report::{
    DetectionCurve, EpochPoint, Error, PatientAccuracy, calibration_plot, confusion_plot, detection_plot,
    history_plot, patients_plot, pr_plot, roc_plot,
};

const TRAIN: Rgb<u8> = Rgb([0, 114, 178]);
const VALIDATION: Rgb<u8> = Rgb([213, 94, 0]);

fn history(epochs: u32) -> Vec<EpochPoint> {
    let point = |epoch| {
        let progress = f64::from(epoch) / f64::from(epochs);
        EpochPoint {
            epoch,
            train_loss: Some(0.7 - 0.5 * progress),
            train_accuracy: Some(0.6 + 0.35 * progress),
            validation_loss: Some(1.3 - 0.9 * progress),
            validation_accuracy: Some(0.5 + 0.4 * progress),
        }
    };
    (1..=epochs).map(point).collect()
}

fn matrix() -> ConfusionMatrix {
    ConfusionMatrix::from_rows(&[vec![1000, 0], vec![400, 400]]).unwrap()
}

fn read(path: &Path) -> RgbImage {
    image::open(path).unwrap().into_rgb8()
}

/// Places of one colour within the columns from `left` to `right`.
fn places(picture: &RgbImage, color: Rgb<u8>, left: u32, right: u32) -> Vec<(u32, u32)> {
    let pixels =
        picture.enumerate_pixels().filter(|(x, _, pixel)| (left..right).contains(x) && **pixel == color);
    pixels.map(|(x, y, _)| (x, y)).collect()
}

/// Like `places`, below the legend and the headings, which also use the colours of the curves.
fn curve_places(picture: &RgbImage, color: Rgb<u8>, left: u32, right: u32) -> Vec<(u32, u32)> {
    places(picture, color, left, right).into_iter().filter(|at| at.1 > 175).collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn history_shows_both_curves_in_both_panels() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plot.png");
    history_plot(&history(20), "ResNet, random split").unwrap().save(&path).unwrap();
    let picture = read(&path);
    assert_eq!(picture.dimensions(), (1600, 800));
    assert_eq!(files(folder.path()), [path]);

    for (left, right, train_is_above) in [(120, 772, false), (900, 1552, true)] {
        let curve = |color| curve_places(&picture, color, left, right);
        let (train, validation) = (curve(TRAIN), curve(VALIDATION));
        assert!(train.len() > 1000 && validation.len() > 800, "{} and {}", train.len(), validation.len());
        let columns =
            |curve: &[(u32, u32)]| curve.iter().map(|at| at.0).collect::<std::collections::BTreeSet<_>>();
        assert!(
            columns(&train).len() > columns(&validation).len() + 100,
            "only the validation curve is dashed"
        );
        let mean =
            |curve: &[(u32, u32)]| curve.iter().map(|at| f64::from(at.1)).sum::<f64>() / curve.len() as f64;
        assert_eq!(mean(&train) < mean(&validation), train_is_above);
        let first = train.iter().find(|at| at.0 < left + 20).unwrap();
        let last = train.iter().find(|at| at.0 > right - 20).unwrap();
        assert_eq!(last.1 < first.1, train_is_above, "loss falls and accuracy rises");
    }
}

#[test]
fn one_epoch_is_a_dot_at_its_value() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plot.png");
    let point =
        EpochPoint { epoch: 4, train_loss: Some(0.4), train_accuracy: Some(0.9), ..EpochPoint::default() };
    history_plot(&[point], "One epoch").unwrap().save(&path).unwrap();
    let picture = read(&path);
    // The panels reach from 686 up to 180: losses from 0 to 0.4, accuracies from 88 to 100 %.
    assert_eq!(picture.get_pixel(446, 181), &TRAIN);
    let accuracy = curve_places(&picture, TRAIN, 1216, 1236);
    let middle = accuracy.iter().map(|at| f64::from(at.1)).sum::<f64>() / accuracy.len() as f64;
    assert!((middle - (686.0 - 506.0 * 2.0 / 12.0)).abs() < 1.5, "{middle}");
    // Only the legend.
    assert!(places(&picture, VALIDATION, 0, 1600).iter().all(|at| at.1 < 80));
}

#[test]
fn missing_values_leave_a_gap() {
    let folder = tempfile::tempdir().unwrap();
    let [whole, broken] = ["whole.png", "broken.png"].map(|name| folder.path().join(name));
    let mut points = history(60);
    history_plot(&points, "Whole").unwrap().save(&whole).unwrap();
    for point in &mut points[20..40] {
        (point.train_loss, point.train_accuracy) = (None, Some(f64::NAN));
    }
    points[30].train_loss = Some(0.45);
    history_plot(&points, "Broken").unwrap().save(&broken).unwrap();
    let (whole, broken) = (read(&whole), read(&broken));
    for (left, right) in [(345, 435), (1130, 1220), (1230, 1330)] {
        assert!(!curve_places(&whole, TRAIN, left, right).is_empty());
        assert!(curve_places(&broken, TRAIN, left, right).is_empty(), "from {left} to {right}");
    }
    assert!(!curve_places(&broken, TRAIN, 440, 480).is_empty(), "a lone value is a dot");
}

#[test]
fn extreme_values_are_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plot.png");
    let losses = [0.0, -1.0, 1e-300, 1e300, f64::INFINITY, f64::MAX];
    let pairs = losses.into_iter().flat_map(|a| losses.map(|b| [a, b]));
    for (index, [a, b]) in pairs.enumerate().step_by(7) {
        let mut points = history(2);
        (points[0].train_loss, points[1].train_loss) = (Some(a), Some(b));
        (points[0].epoch, points[1].epoch) = (0, if index % 2 == 0 { u32::MAX } else { 0 });
        history_plot(&points, "").unwrap().save(&path).unwrap();
    }
    history_plot(&[EpochPoint::default()], "nothing\nrecorded")
        .unwrap()
        .save(path.with_extension("svg"))
        .unwrap();
    let svg = std::fs::read_to_string(path.with_extension("svg")).unwrap();
    assert_eq!(svg.matches("no values recorded").count(), 2);
    assert!(svg.contains("nothing recorded"));
}

#[test]
fn svg_contains_the_labels() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plot.SVG");
    history_plot(&history(20), "ResNet <&> \"patients\"").unwrap().save(&path).unwrap();
    let svg = std::fs::read_to_string(path).unwrap();
    assert!(svg.starts_with(r#"<svg width="1600" height="800" viewBox="0 0 6400 3200""#), "{}", &svg[..100]);
    for text in [
        "ResNet &lt;&amp;&gt;",
        "Cross-entropy loss",
        "Accuracy",
        "train",
        "validation",
        "epoch 20:",
        "95.0 %",
    ] {
        assert!(svg.contains(text), "{text} is missing");
    }
    for ticks in ["2", "4", "20", "0.5", "100 %"] {
        assert!(svg.lines().any(|line| line == ticks), "{ticks} is missing");
    }
    assert!(svg.contains("#0072B2") && svg.contains("#D55E00"));
}

#[test]
fn long_titles_are_cut_before_the_legend() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plot.svg");
    history_plot(&history(2), &"a long title ".repeat(30)).unwrap().save(&path).unwrap();
    let svg = std::fs::read_to_string(&path).unwrap();
    let title = svg.lines().find(|line| line.starts_with("a long title")).unwrap();
    assert!(title.ends_with('…') && title.len() < 120, "{title}");
}

#[test]
fn roc_curve_lies_above_chance_and_names_its_positive_class() {
    let folder = tempfile::tempdir().unwrap();
    let [png, svg] = ["roc.png", "roc.svg"].map(|name| folder.path().join(name));
    let truth = [true, true, false, true, false, false];
    let curve = roc_curve(&truth, &[0.9, 0.8, 0.7, 0.6, 0.4, 0.1]).unwrap().unwrap();
    roc_plot(&curve, "Parasitized", None, "ResNet, test set").save(&png).unwrap();
    roc_plot(&curve, "Parasitized", None, "ResNet, test set").save(&svg).unwrap();

    let picture = read(&png);
    assert_eq!(picture.dimensions(), (1000, 1100));
    // From (0, 0) up to (0, 2/3), right to (1/3, 2/3), up to (1/3, 1), right to (1, 1).
    for (x, y) in [(112, 800), (112, 500), (250, 436), (392, 300), (700, 156)] {
        assert_eq!(picture.get_pixel(x, y), &TRAIN, "at {x}, {y}");
    }
    let svg = std::fs::read_to_string(svg).unwrap();
    for text in
        ["AUC 0.8889", "Sensitivity (positive class: Parasitized)", "1 − specificity", "ResNet, test set"]
    {
        assert!(svg.contains(text), "{text} is missing");
    }
}

/// Scores of three positive and three negative samples, one of each ranked wrongly.
const TRUTH: [bool; 6] = [true, true, false, true, false, false];
const SCORES: [f64; 6] = [0.9, 0.8, 0.7, 0.6, 0.4, 0.1];

#[test]
fn the_threshold_is_a_dot_on_the_curve() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("curve.png");
    // At 0.65 three samples are called positive, two of them correctly: sensitivity, precision and specificity are 2/3.
    let roc = roc_curve(&TRUTH, &SCORES).unwrap().unwrap();
    roc_plot(&roc, "Parasitized", Some(0.65), "").save(&path).unwrap();
    assert_eq!(read(&path).get_pixel(392, 436), &VALIDATION);
    roc_plot(&roc, "Parasitized", None, "").save(&path).unwrap();
    assert_ne!(read(&path).get_pixel(388, 440), &VALIDATION);
    // Above every score no sample is called positive; below every score all samples are.
    for (threshold, at) in [(0.95, (112, 996)), (0.05, (952, 156))] {
        roc_plot(&roc, "Parasitized", Some(threshold), "").save(&path).unwrap();
        assert_eq!(read(&path).get_pixel(at.0, at.1), &VALIDATION, "{threshold}");
    }
    let pr = pr_curve(&TRUTH, &SCORES).unwrap().unwrap();
    pr_plot(&pr, "Parasitized", Some(0.65), "").save(&path).unwrap();
    assert_eq!(read(&path).get_pixel(672, 436), &VALIDATION);
    let svg = pr_plot(&pr, "Parasitized", Some(0.65), "Test set").svg().unwrap();
    for text in ["average precision 0.9167", "Recall (sensitivity)", "dot: the threshold, 65.0 %", "Test set"]
    {
        assert!(svg.contains(text), "{text} is missing");
    }
}

#[test]
fn calibration_dots_lie_at_probability_and_share() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("calibration.png");
    // One bin: mean probability 0.5, half of the samples positive. Then two: 0.2 with none, and 0.8 with all samples positive.
    let bins = calibration_curve(&[false, true], &[0.2, 0.8], 1).unwrap();
    calibration_plot(&bins, 0.0, "Parasitized", "").save(&path).unwrap();
    assert_eq!(read(&path).get_pixel(532, 576), &TRAIN);
    let bins = calibration_curve(&[false, true], &[0.2, 0.8], 2).unwrap();
    let plot = calibration_plot(&bins, 0.2, "Parasitized", "Test set");
    plot.save(&path).unwrap();
    assert_eq!(read(&path).get_pixel(280, 996), &TRAIN);
    assert_eq!(read(&path).get_pixel(784, 156), &TRAIN);
    assert!(plot.svg().unwrap().contains("calibration error 20.00 %"));
}

#[test]
fn patients_are_sorted_by_accuracy() {
    let patient = |name: &str, cells, right, infected| PatientAccuracy {
        patient: name.to_owned(),
        cells,
        right,
        infected,
    };
    let patients = [
        patient("C7", 10, 10, false),
        patient("C2", 10, 5, true),
        patient("C3", 0, 0, true),
        patient("C9", 5, 4, true),
    ];
    let plot = patients_plot(&patients, "By patient");
    let svg = plot.svg().unwrap();
    let place = |text: &str| svg.find(text).unwrap_or_else(|| panic!("{text} is missing"));
    assert!(place("C2 (5 of 10)") < place("C9 (4 of 5)") && place("C9 (4 of 5)") < place("C7 (10 of 10)"));
    assert!(!svg.contains("C3 (") && svg.contains("all cells together: 76.0 %"), "{svg}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("patients.png");
    plot.save(&path).unwrap();
    let picture = read(&path);
    // Below the legend: two infected patients, and a healthy one at the right end, at 100 %.
    let below =
        |color| places(&picture, color, 0, 1600).into_iter().filter(|at| at.1 > 100).collect::<Vec<_>>();
    let (infected, healthy) = (below(VALIDATION), below(TRAIN));
    assert!(infected.len() > 200 && healthy.len() > 200, "{} {}", infected.len(), healthy.len());
    let mean = |places: &[(u32, u32)], axis: fn(&(u32, u32)) -> u32| {
        places.iter().map(|place| f64::from(axis(place))).sum::<f64>() / places.len() as f64
    };
    assert!(mean(&healthy, |at| at.0) > mean(&infected, |at| at.0));
    assert!(mean(&healthy, |at| at.1) < mean(&infected, |at| at.1));
    patients_plot(&[], "Nobody").svg().unwrap();
}

#[test]
fn detection_limits_are_dots_at_95_percent() {
    let curve = |cells, limit: f64| {
        let points = (0..=20).map(|i| {
            let infected_share = 0.001 * 1.3_f64.powi(i);
            let found = (infected_share / limit).min(1.0) * 0.95;
            Detection { infected_share, found, low: found * 0.8, high: (found * 1.05).min(1.0) }
        });
        DetectionCurve { cells, points: points.collect(), limit: Some(limit) }
    };
    let plot = detection_plot(&[curve(100, 0.1), curve(5_000, 0.02)], "Smears");
    let svg = plot.svg().unwrap();
    for words in ["5000 cells: limit 2.0 %", "100 cells: limit 10.0 %", "0.1 %", "20 %"] {
        assert!(svg.contains(words), "{words}: {svg}");
    }
    detection_plot(&[], "Nothing").svg().unwrap();
}

#[test]
fn confusion_matrix_has_true_classes_as_rows() {
    let folder = tempfile::tempdir().unwrap();
    let [png, svg] = ["confusion.png", "confusion.svg"].map(|name| folder.path().join(name));
    confusion_plot(&matrix(), &["Parasitized", "Uninfected"], "Test set").unwrap().save(&png).unwrap();
    confusion_plot(&matrix(), &["Parasitized", "Uninfected"], "Test set").unwrap().save(&svg).unwrap();

    let picture = read(&png);
    let cell = |row: u32, column: u32| picture.get_pixel(200 + 280 * column, 200 + 200 * row).0;
    assert_eq!(cell(0, 0), TRAIN.0);
    assert_eq!(cell(0, 1), [245, 245, 245]);
    assert_eq!(cell(1, 0), cell(1, 1));
    assert_eq!(cell(1, 0), [123, 180, 212], "half way between the two");
    let svg = std::fs::read_to_string(svg).unwrap();
    for text in ["Predicted class", "True class", "Parasitized", "1000", "100.0 %", "50.0 %"] {
        assert!(svg.lines().any(|line| line == text), "{text} is missing");
    }
}

#[test]
fn shares_of_empty_rows_are_not_available() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("confusion.svg");
    let names =
        Vec::from_iter((0..12).map(|class| format!("a class with quite a long name, number {class}")));
    confusion_plot(&ConfusionMatrix::new(12).unwrap(), &names, "").unwrap().save(&path).unwrap();
    let svg = std::fs::read_to_string(path).unwrap();
    assert_eq!(svg.lines().filter(|line| *line == "n/a").count(), 144, "shares of nothing");
}

#[test]
fn errors_leave_older_files_untouched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plot.png");
    std::fs::write(&path, "before").unwrap();

    assert!(matches!(history_plot(&[], "Empty"), Err(Error::EmptyHistory)));
    let mut points = history(3);
    points[1].validation_accuracy = Some(96.5);
    let error = history_plot(&points, "Percent").unwrap_err();
    assert!(error.to_string().contains("validation accuracy of epoch 2 is 96.5"), "{error}");
    let error = confusion_plot(&matrix(), &["one"], "Names").unwrap_err();
    assert!(matches!(error, Error::ClassNames { expected: 2, found: 1, .. }), "{error}");
    for name in ["plot", "plot.jpeg", ".png", "png"] {
        let error = history_plot(&history(3), "Format").unwrap().save(folder.path().join(name)).unwrap_err();
        assert!(matches!(error, Error::UnknownFormat { .. }), "{name}: {error}");
    }
    assert_eq!(files(folder.path()), [path.as_path()]);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "before");

    // The file is replaced, not written into.
    let old = folder.path().join("old");
    std::fs::hard_link(&path, &old).unwrap();
    history_plot(&history(3), "Good").unwrap().save(&path).unwrap();
    assert_eq!(read(&path).dimensions(), (1600, 800));
    assert_eq!(std::fs::read_to_string(old).unwrap(), "before");
}

#[test]
fn unwritable_paths_are_named_and_leave_no_temporary_file() {
    let folder = tempfile::tempdir().unwrap();
    let occupied = folder.path().join("occupied.png");
    std::fs::create_dir(&occupied).unwrap();
    std::fs::write(occupied.join("file"), "").unwrap();
    let file_as_folder = occupied.join("file").join("plot.png");
    for path in [occupied.clone(), folder.path().join("missing").join("plot.svg"), file_as_folder] {
        let error = history_plot(&history(2), "Unwritable").unwrap().save(&path).unwrap_err();
        assert!(error.to_string().starts_with(&format!("cannot write {}: ", path.display())), "{error}");
    }
    assert_eq!(files(folder.path()), [occupied.as_path()]);
    assert_eq!(files(&occupied), [occupied.join("file")]);
}

#[test]
fn plots_are_reproducible_byte_for_byte() {
    let folder = tempfile::tempdir().unwrap();
    for extension in ["png", "svg"] {
        let [first, second] =
            ["first", "second"].map(|name| folder.path().join(name).with_extension(extension));
        history_plot(&history(5), "Same").unwrap().save(&first).unwrap();
        history_plot(&history(5), "Same").unwrap().save(&second).unwrap();
        assert!(std::fs::read(first).unwrap() == std::fs::read(second).unwrap());
    }
}

#[cfg(unix)]
#[test]
fn file_permissions_follow_the_umask() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let [plot, plain] = ["plot.svg", "plain"].map(|name| folder.path().join(name));
    history_plot(&history(2), "Mode").unwrap().save(&plot).unwrap();
    std::fs::write(&plain, "").unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&plot), mode(&plain));
}
