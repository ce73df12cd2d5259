//! `malaria train` without data trains on synthetic cells and says that the metrics mean nothing for malaria.
//!
//! `crates/dataset/tests/synthetic.rs` shows that a model that sees only colour cannot learn these cells.

use malaria_resnet::{Caveat, ExperimentConfig, Metrics};

use crate::support::{self, Training, json, malaria};

#[test]
fn the_fast_recipe_learns_synthetic_cells() {
    let folder = tempfile::tempdir().unwrap();
    let output = malaria("train").current_dir(folder.path()).args(["--out", "runs/demo"]).output().unwrap();
    let (said, progress) = (String::from_utf8_lossy(&output.stdout), support::errors(&output));
    assert!(output.status.success(), "{progress}");
    assert!(progress.contains("say nothing about malaria") && progress.contains("--download"), "{progress}");
    assert!(said.contains(&Caveat::SyntheticCells.to_string()), "{said}");
    assert!(said.contains("precision") && said.contains("Parasitized"), "{said}");
    let metrics: Metrics =
        serde_json::from_value(json(&folder.path().join("runs/demo/metrics.json"))).unwrap();
    assert!(metrics.synthetic_cells);
    assert!(metrics.test.accuracy >= Some(0.9), "{:?}\n{progress}", metrics.test.accuracy);

    // The synthetic smear: nearly all of its cells are counted and called correctly.
    let line = said.lines().find(|line| line.starts_with("A synthetic smear: ")).unwrap();
    let counts: Vec<i32> =
        line.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok()).collect();
    let [drawn, infected, found, called] = counts[..] else { panic!("{line}") };
    assert!((drawn - found).abs() <= 3 && (infected - called).abs() <= 5, "{line}");
    assert!(said.contains("annotated/drawn-smear.jpg"), "{said}");
    assert!(folder.path().join("runs/demo/drawn-smear/annotated/drawn-smear.jpg").is_file());

    // With another number of epochs, rate and image sizes are still those for few cells.
    let mut shorter = malaria("train");
    shorter.current_dir(folder.path()).args(["--epochs", "3", "--out", "runs/short"]);
    let mut training = Training::start(&mut shorter);
    training.event("epoch-started");
    training.kill();
    let config = ExperimentConfig::read(&folder.path().join("runs/short/config.json")).unwrap();
    assert_eq!((config.train.epochs, config.train.schedule.rate), (3, 0.02));
    assert_eq!(config.train.image_sizes.iter().map(|size| size.pixels).collect::<Vec<_>>(), [32, 64]);
}
