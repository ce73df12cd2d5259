//! With no data at all: the program draws cells, says what figures on them are worth, and learns them.
//!
//! That these cells are hard for a model that sees only colour is shown in `crates/dataset/tests/synthetic.rs`.

use malaria_resnet::{ExperimentConfig, Metrics};

use crate::support::{self, Training, malaria};

#[test]
fn the_quick_recipe_learns_the_drawn_cells_and_says_what_that_is_worth() {
    let folder = tempfile::tempdir().unwrap();
    let output = malaria("train").current_dir(folder.path()).args(["--out", "runs/demo"]).output().unwrap();
    let (said, progress) = (String::from_utf8_lossy(&output.stdout), support::errors(&output));
    assert!(output.status.success(), "{progress}");
    assert!(progress.contains("say nothing about malaria") && progress.contains("--download"), "{progress}");
    assert!(said.contains("These cells are drawn: the figures say nothing about malaria."), "{said}");
    assert!(said.contains("precision") && said.contains("Parasitized"), "{said}");
    let metrics = std::fs::read(folder.path().join("runs/demo/metrics.json")).unwrap();
    let metrics: Metrics = serde_json::from_slice(&metrics).unwrap();
    assert!(metrics.synthetic_cells);
    assert!(metrics.test.accuracy >= 0.9, "{}\n{progress}", metrics.test.accuracy);

    // Whoever asks for other epochs still gets the rate and the sizes that suit so few cells.
    let mut shorter = malaria("train");
    shorter.current_dir(folder.path()).args(["--epochs", "3", "--out", "runs/short"]);
    let mut training = Training::start(&mut shorter);
    training.event("epoch-started");
    training.kill();
    let config = ExperimentConfig::read(&folder.path().join("runs/short/config.json")).unwrap();
    assert_eq!((config.train.epochs, config.train.schedule.rate), (3, 0.02));
    assert_eq!(config.train.image_sizes.iter().map(|size| size.pixels).collect::<Vec<_>>(), [32, 64]);
}
