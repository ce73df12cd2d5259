//! The command line of `train_malaria`.

use std::path::PathBuf;

use clap::Parser;
use malaria_resnet::dataset::Protocol;

use crate::support::{console::Style, settings::Settings};

/// Train a malaria cell classifier, judge it on its test set, and leave a run directory with everything in it.
///
/// DATA is a folder of class folders, such as NLM's cell_images with Parasitized and Uninfected in it, or a tree of
/// training, validation and testing made by build_dataset. Without --data, MALARIA_DATA and a folder cell_images here
/// are looked for; without those, cells are drawn, whose figures say nothing about malaria.
#[derive(Parser)]
#[command(
    version,
    after_help = "\
Examples:
  train_malaria --data cell_images                      the quick recipe, random split
  train_malaria --data cell_images --split patient      nobody is on two sides of the split
  train_malaria --data dataset --recipe tutorial --epochs 50 --plot plot.png
  train_malaria --resume runs/fast-random-seed0         go on with a run that was cut off

Research software, not a medical device."
)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) settings: Settings,
    /// What is tested on: random cells, or whole patients whose cells were not trained on; `given` uses a tree made by
    /// build_dataset as it is, and `all` trains on every cell and tests on none [default: given for such a tree, else
    /// random]
    #[arg(long, value_name = "random|patient|given|all")]
    pub(crate) split: Option<Protocol>,
    /// Fetch NLM's data set (27,558 cells, about 350 MB) into ./cell_images first, if it is not there
    #[arg(long, conflicts_with = "data")]
    pub(crate) download: bool,
    /// Fetch it from here instead; several are tried in turn
    #[arg(long, value_name = "URL", requires = "download")]
    pub(crate) url: Vec<String>,
    /// Run directory to make [default: runs/RECIPE-SPLIT-seedN, numbered if it is there]
    #[arg(long, value_name = "RUN_DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Go on with the run in this directory; its own settings hold
    #[arg(long, value_name = "RUN_DIR", conflicts_with_all = ["data", "download", "out", "recipe", "split", "epochs",
        "batch_size", "lr", "seed", "device", "precision", "threads", "config", "init", "teacher", "positive", "target_sensitivity",
        "target_specificity", "leave_out", "calibrate", "skip_corrupt"])]
    pub(crate) resume: Option<PathBuf>,
    /// Write the figure of loss and accuracy by epoch here too (.png or .svg)
    #[arg(long, value_name = "PATH")]
    pub(crate) plot: Option<PathBuf>,
    /// How progress is shown
    #[arg(long, value_enum, default_value = "auto")]
    pub(crate) progress: Style,
}
