//! The training flags of `train` and `cross-validate`.

use std::{num::NonZeroUsize, path::PathBuf};

use anyhow::{Result, anyhow, bail};
use malaria_resnet::{
    ExperimentConfig, Recipe, RunDir, Teacher, augment::LaboratoryConfig, dataset::Protocol, default_data,
    default_protocol, libtorch::DeviceChoice, metrics::Target, train::Precision,
};

use crate::flags;

/// Default of `--teacher-weight`.
const TEACHER_WEIGHT: f64 = 0.7;

/// Flags that override the settings of a recipe or a file.
#[derive(clap::Args)]
pub(crate) struct Settings {
    /// Folder of cell images
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    #[command(flatten)]
    patients: flags::Patients,
    /// Training recipe: fast, tutorial, best, field for a small network, or finetune to adapt the network of --init to your cells
    /// [default: fast; with --init, finetune]
    #[arg(long)]
    pub(crate) recipe: Option<Recipe>,
    /// Passes over the training set [default: the recipe's; fast on synthetic cells: 12]
    #[arg(long, value_name = "N", value_parser = flags::count::<u64>, allow_negative_numbers = true)]
    pub(crate) epochs: Option<u64>,
    /// Cells per step [default: the recipe's]
    #[arg(long, value_name = "N", value_parser = flags::count::<usize>, allow_negative_numbers = true)]
    pub(crate) batch_size: Option<usize>,
    /// Learning rate: the initial one, or the peak of a one-cycle schedule [default: the recipe's]
    #[arg(long, value_name = "X", value_parser = flags::above_0, allow_negative_numbers = true)]
    pub(crate) lr: Option<f64>,
    /// Seed of the split, the initial weights, the order and the augmentation [default: 0]
    #[arg(long, value_name = "N", value_parser = flags::seed, allow_negative_numbers = true)]
    pub(crate) seed: Option<u64>,
    /// Device to compute on: auto, cpu, cuda or cuda:I; cuda without a GPU is an error [default: auto]
    #[arg(long, value_name = "DEVICE")]
    pub(crate) device: Option<DeviceChoice>,
    /// Precision of the training steps: float32, bfloat16, or auto for bfloat16 on GPUs and on processors that are faster in it
    /// [default: auto; recipe tutorial: float32]
    #[arg(long, value_name = "PRECISION")]
    pub(crate) precision: Option<Precision>,
    /// CPU threads [default: one per core]
    #[arg(long, value_name = "N", value_parser = flags::count::<NonZeroUsize>, allow_negative_numbers = true)]
    pub(crate) threads: Option<NonZeroUsize>,
    /// Settings to start from: any run's config.json; the other flags override it
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Start from the weights in this run directory, the folder that an earlier `malaria train` wrote, to fine-tune them on
    /// your cells
    #[arg(long, value_name = "RUN_DIR")]
    pub(crate) init: Option<PathBuf>,
    /// Train on this run's predictions for the training cells as well as on their labels, which helps small networks. For
    /// cross-validate: the folder of another cross-validation with the same folds
    #[arg(long, value_name = "RUN_DIR")]
    pub(crate) teacher: Option<PathBuf>,
    /// Weight of the teacher's predictions, from 0 (labels only) to 1 [default: 0.7]
    #[arg(long, value_name = "SHARE", requires = "teacher", value_parser = flags::fraction, allow_negative_numbers = true)]
    pub(crate) teacher_weight: Option<f64>,
    /// The positive class, whose recall is the sensitivity [default: Parasitized]
    #[arg(long, value_name = "NAME")]
    pub(crate) positive: Option<String>,
    /// Simulate other laboratories' stains, cameras and cell finders in the training cells, from 0 (not at all) to 1 (as
    /// much as laboratories differ) [default: the recipe's]
    #[arg(long, value_name = "STRENGTH", value_parser = flags::fraction, allow_negative_numbers = true)]
    pub(crate) laboratory: Option<f64>,
    /// Choose the threshold that gives this sensitivity (a fraction) on the validation set; for cross-validate, on the cells of the
    /// other folds
    #[arg(long, value_name = "SHARE", conflicts_with = "target_specificity", value_parser = flags::fraction,
        allow_negative_numbers = true)]
    pub(crate) target_sensitivity: Option<f64>,
    /// Like --target-sensitivity, for this specificity [default: 0.972]
    #[arg(long, value_name = "SHARE", value_parser = flags::fraction, allow_negative_numbers = true)]
    pub(crate) target_specificity: Option<f64>,
    /// Exclude the cells in the column `path` of this CSV from the training set, such as label_audit.csv of a cross-validation
    #[arg(long, value_name = "FILE.csv")]
    pub(crate) exclude: Option<PathBuf>,
    /// Calibrate probabilities on the validation set, by temperature scaling
    #[arg(long)]
    pub(crate) calibrate: bool,
    /// Skip images that cannot be read, and list them, instead of stopping
    #[arg(long)]
    pub(crate) skip_corrupt: bool,
}

impl Settings {
    /// The settings of --config or of the recipe, overridden by the flags and by `protocol`. Without a `protocol`, that of
    /// the file applies or, without a file, the one that suits the folder.
    pub(crate) fn experiment(&self, protocol: Option<Protocol>) -> Result<ExperimentConfig> {
        let mut config = match &self.config {
            Some(file) => ExperimentConfig::read(file).map_err(|error| anyhow!("--config: {error}"))?,
            None => {
                let recipe = if self.init.is_some() { Recipe::Finetune } else { Recipe::Fast };
                ExperimentConfig::new(self.recipe.unwrap_or(recipe), Protocol::Random, 0)
            }
        };
        if let (Some(recipe), Some(_)) = (self.recipe, &self.config) {
            config.set_recipe(recipe);
        }
        if let Some(data) = &self.data {
            config.data = Some(data.clone());
        } else if self.config.is_none() {
            config.data = default_data()?;
        }
        config.patients = self.patients.names().unwrap_or(config.patients);
        match protocol {
            Some(protocol) => {
                config.split.protocol = protocol;
                // The file may be the config of a fold.
                config.split.fold = None;
            }
            None if self.config.is_none() => config.split.protocol = default_protocol(config.data.as_deref()),
            None => {}
        }
        if let Some(seed) = self.seed {
            config.set_seed(seed);
        }
        if config.data.is_none() && self.config.is_none() {
            config.adapt_to_synthetic_cells();
        }
        if let Some(epochs) = self.epochs {
            config.set_epochs(epochs);
        }
        config.train.batch_size = self.batch_size.unwrap_or(config.train.batch_size);
        config.train.schedule.rate = self.lr.unwrap_or(config.train.schedule.rate);
        if let Some(strength) = self.laboratory {
            config.train.augment.laboratory = LaboratoryConfig::of_strength(strength);
        }
        config.device = self.device.unwrap_or(config.device);
        config.train.precision = self.precision.unwrap_or(config.train.precision);
        config.threads = self.threads.or(config.threads);
        config.init = self.init.clone().or(config.init);
        if let (Recipe::Finetune, Some(init), true) =
            (config.recipe, &config.init, self.init.is_some() || self.recipe.is_some())
        {
            let run = RunDir::open(init).and_then(|run| run.config());
            let run = run.map_err(|error| anyhow!("the weights to start from: {error}"))?;
            config.take_over(run.image, run.model);
        }
        if let Some(run) = &self.teacher {
            config.teacher =
                Some(Teacher { run: run.clone(), weight: self.teacher_weight.unwrap_or(TEACHER_WEIGHT) });
        }
        config.positive = self.positive.clone().unwrap_or(config.positive);
        let sensitivity = self.target_sensitivity.map(Target::Sensitivity);
        let target = sensitivity.or(self.target_specificity.map(Target::Specificity));
        config.target = target.unwrap_or(config.target);
        config.exclude = self.exclude.clone().or(config.exclude);
        config.calibrate |= self.calibrate;
        config.skip_corrupt |= self.skip_corrupt;
        let chosen = self.target_sensitivity.is_some() || self.target_specificity.is_some();
        if config.split.protocol == Protocol::All && (chosen || self.calibrate) {
            bail!(
                "--target-sensitivity, --target-specificity and --calibrate need validation cells, and --split all leaves none: omit \
                 them, or see malaria cross-validate --final"
            );
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        settings: Settings,
    }

    #[test]
    fn the_laboratory_flag_overrides_the_recipe() {
        let laboratory = |flags: &[&str]| {
            let flags = Flags::try_parse_from(["train", "--data", "cells"].iter().chain(flags))?;
            Ok::<_, anyhow::Error>(
                flags.settings.experiment(Some(Protocol::Random))?.train.augment.laboratory,
            )
        };
        let of_recipe = ExperimentConfig::new(Recipe::Fast, Protocol::Random, 0).train.augment.laboratory;
        assert_eq!(laboratory(&[]).unwrap(), of_recipe);
        assert_eq!(laboratory(&["--laboratory", "0.3"]).unwrap(), LaboratoryConfig::of_strength(0.3));
        assert_eq!(laboratory(&["--laboratory", "0"]).unwrap(), LaboratoryConfig::none());
        let error = laboratory(&["--laboratory", "1.5"]).unwrap_err();
        assert!(error.to_string().contains("a fraction from 0 to 1"), "{error}");
    }
    #[test]
    fn fine_tuning_takes_over_the_network_it_starts_from() {
        let run = tempfile::tempdir().unwrap();
        let field = ExperimentConfig::new(Recipe::Field, Protocol::Patient, 0);
        std::fs::write(run.path().join("config.json"), serde_json::to_vec(&field).unwrap()).unwrap();
        let experiment = |more: &[&str]| {
            let init = ["train", "--data", "cells", "--init", run.path().to_str().unwrap()];
            Flags::try_parse_from(init.iter().chain(more))
                .unwrap()
                .settings
                .experiment(Some(Protocol::Random))
        };
        let config = experiment(&[]).unwrap();
        assert_eq!(
            (config.recipe, &config.model, config.image),
            (Recipe::Finetune, &field.model, field.image)
        );
        assert_eq!(config.train.final_image_size(), 40);
        assert!(config.train.schedule.rate < 0.01);
        config.check().unwrap();
        assert_eq!(experiment(&["--recipe", "fast"]).unwrap().recipe, Recipe::Fast);
        let flags = Flags::try_parse_from(["train", "--data", "cells", "--recipe", "finetune"]).unwrap();
        let error =
            flags.settings.experiment(Some(Protocol::Random)).unwrap().check().unwrap_err().to_string();
        assert!(error.contains("`init`") && error.contains("finetune"), "{error}");
    }
}
