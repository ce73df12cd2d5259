//! Cross-validation by patient in five folds: `cross_validate CELLS OUT [EPOCHS]`.

#![allow(clippy::print_stdout, reason = "a program")]

use std::{env, path::PathBuf, sync::atomic::AtomicBool};

use anyhow::Context as _;
use malaria_resnet::{
    Context, CrossValidationOptions, ExperimentConfig, Progress, Recipe, cross_validate,
    dataset::Protocol,
    metrics::{decimal, percent},
};

fn main() -> anyhow::Result<()> {
    let arguments: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    let [cells, out, rest @ ..] = &arguments[..] else {
        anyhow::bail!("usage: cross_validate FOLDER_OF_CELLS NEW_FOLDER [EPOCHS]");
    };
    let mut config = ExperimentConfig::new(Recipe::Fast, Protocol::Patient, 0);
    config.data = Some(cells.clone());
    if let Some(epochs) = rest.first() {
        let epochs = epochs.to_str().and_then(|epochs| epochs.parse().ok());
        config.set_epochs(epochs.context("EPOCHS is not a whole number")?);
    }
    let listener = |progress: Progress<'_>| {
        if let Progress::Fold { fold, path } = progress {
            println!("{fold}, in {}", path.display());
        }
    };
    let context = Context { command: "cross_validate", stop: &AtomicBool::new(false), listener: &listener };
    let options = CrossValidationOptions { folds: 5, only: None, final_model: false, out };
    if let Some(metrics) = cross_validate(&config, options, context)?.metrics {
        println!("accuracy {}, AUC {}", percent(metrics.pooled.accuracy), decimal(metrics.pooled.auc));
    }
    println!("report: {}", out.join("report.html").display());
    Ok(())
}
