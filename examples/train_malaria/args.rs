//! The command line of `train_malaria`, and the settings it comes to.

use std::{num::NonZeroUsize, path::PathBuf};

use clap::Parser;
use malaria_resnet::{
    ExperimentConfig, Recipe, Result, dataset::Protocol, default_data, default_protocol,
    libtorch::DeviceChoice,
};

use crate::support::console::Style;

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
    /// Folder of cell images
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
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
        "batch_size", "lr", "seed", "device", "threads", "config", "init", "positive", "skip_corrupt"])]
    pub(crate) resume: Option<PathBuf>,
    /// Training recipe: fast, tutorial or best [default: fast]
    #[arg(long)]
    pub(crate) recipe: Option<Recipe>,
    /// Who is tested: random cells, or patients of whom nothing was learned from; `given` takes a tree made by
    /// build_dataset as it is [default: given for such a tree, else random]
    #[arg(long, value_name = "random|patient|given")]
    pub(crate) split: Option<Protocol>,
    /// Passes over the training set [default: the recipe's; on drawn cells at least 12]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) epochs: Option<u64>,
    /// Cells a step [default: the recipe's]
    #[arg(long, value_name = "N")]
    pub(crate) batch_size: Option<usize>,
    /// Learning rate: the first, or the peak of a one-cycle [default: the recipe's]
    #[arg(long, value_name = "X")]
    pub(crate) lr: Option<f64>,
    /// Seed of the split, the starting weights, the order and the augmentation [default: 0]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Where tensors live: auto, cpu, cuda or cuda:I; asking for cuda where there is none is an error [default: auto]
    #[arg(long, value_name = "DEVICE")]
    pub(crate) device: Option<DeviceChoice>,
    /// CPU threads [default: one a core]
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<NonZeroUsize>,
    /// Settings to start from: any run's config.json; the other flags win over it
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Start from the weights of this run: fine-tuning on cells of your own
    #[arg(long, value_name = "RUN_DIR")]
    pub(crate) init: Option<PathBuf>,
    /// Write the figure of loss and accuracy by epoch here too (.png or .svg)
    #[arg(long, value_name = "PATH")]
    pub(crate) plot: Option<PathBuf>,
    /// The positive class, the one that sensitivity is about [default: Parasitized]
    #[arg(long, value_name = "NAME")]
    pub(crate) positive: Option<String>,
    /// Leave out images that cannot be read, and say which, instead of stopping
    #[arg(long)]
    pub(crate) skip_corrupt: bool,
    /// How progress is shown
    #[arg(long, value_enum, default_value = "auto")]
    pub(crate) progress: Style,
}

impl Args {
    /// The settings: those of --config or of the recipe, with every flag laid over them.
    pub(crate) fn settings(&self, downloaded: Option<PathBuf>) -> Result<ExperimentConfig> {
        let mut config = match &self.config {
            Some(file) => ExperimentConfig::read(file)?,
            None => ExperimentConfig::new(self.recipe.unwrap_or(Recipe::Fast), Protocol::Random, 0),
        };
        if let (Some(recipe), Some(_)) = (self.recipe, &self.config) {
            config.set_recipe(recipe);
        }
        if let Some(data) = downloaded.or(self.data.clone()) {
            config.data = Some(data);
        } else if self.config.is_none() {
            config.data = default_data();
        }
        match self.split {
            Some(protocol) => config.split.protocol = protocol,
            None if self.config.is_none() => config.split.protocol = default_protocol(config.data.as_deref()),
            None => {}
        }
        if let Some(seed) = self.seed {
            config.set_seed(seed);
        }
        if let Some(epochs) = self.epochs {
            config.set_epochs(epochs);
        } else if config.data.is_none() && self.config.is_none() {
            config.suit_drawn_cells();
        }
        config.train.batch_size = self.batch_size.unwrap_or(config.train.batch_size);
        config.train.schedule.rate = self.lr.unwrap_or(config.train.schedule.rate);
        config.device = self.device.unwrap_or(config.device);
        config.threads = self.threads.or(config.threads);
        config.init = self.init.clone().or(config.init);
        config.positive = self.positive.clone().unwrap_or(config.positive);
        config.skip_corrupt |= self.skip_corrupt;
        Ok(config)
    }
}
