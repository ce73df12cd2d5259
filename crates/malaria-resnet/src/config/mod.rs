//! The settings of an experiment.

mod recipe;
mod teacher;

use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

use malaria_classifier::{ImageConfig, ResNetConfig, format_advice};
use malaria_dataset::{Protocol, SplitConfig};
use malaria_libtorch::DeviceChoice;
use malaria_metrics::Target;
use malaria_train::{ImageSize, SelectBy, TrainConfig};
use serde::{Deserialize, Serialize};

pub use self::{recipe::Recipe, teacher::Teacher};
use crate::error::{Error, Result};

/// Version of the layout of `config.json`, and with it of the run directory.
const FORMAT_VERSION: u32 = 3;

/// Specificity of the published figure by patient (Rajaraman et al. 2018), at which sensitivities are compared.
pub(crate) const PUBLISHED_SPECIFICITY: f64 = 0.972;

/// Epochs of the quick recipe on the synthetic cells, and the first of them at full size.
const DRAWN_EPOCHS: u64 = 12;
const DRAWN_FULL_SIZE_FROM: u64 = 9;
const DRAWN_RATE: f64 = 0.02;

/// Threads beyond which no machine of today gains, and the system may not let libtorch start them.
const MOST_THREADS: usize = 1024;

/// Every setting of an experiment; `config.json` in a run directory, and what `--config` reads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExperimentConfig {
    /// Version of this layout.
    pub format_version: u32,
    /// The recipe that the settings started from.
    pub recipe: Recipe,
    /// Folder of cell images; `None` stands for synthetic cells, which say nothing about malaria.
    pub data: Option<PathBuf>,
    /// The class that sensitivity, PPV and every curve are about.
    pub positive: String,
    /// Leave out images that cannot be read, and say which, instead of stopping.
    pub skip_corrupt: bool,
    /// Where tensors live.
    pub device: DeviceChoice,
    /// CPU threads; `None` for one a core.
    pub threads: Option<NonZeroUsize>,
    /// Run directory whose weights training starts from, instead of random ones.
    pub init: Option<PathBuf>,
    /// A model whose probabilities are learned besides the labels.
    #[serde(default)]
    pub teacher: Option<Teacher>,
    /// Who learns and who is tested.
    pub split: SplitConfig,
    /// How pictures are read.
    pub image: ImageConfig,
    /// The network.
    pub model: ResNetConfig,
    /// How it learns.
    pub train: TrainConfig,
    /// CSV with a column `path`: cells to leave out of the training set, such as those whose labels are in doubt.
    #[serde(default)]
    pub exclude: Option<PathBuf>,
    /// Whether probabilities are calibrated on the validation set, by temperature scaling.
    #[serde(default)]
    pub calibrate: bool,
    /// What the threshold for calling a cell positive has to reach on the validation set. Unless told otherwise, a
    /// specificity of 97.2 %, that of Rajaraman et al. 2018: most cells even of the sick are uninfected, so false alarms
    /// decide how few infected cells can be told from none.
    #[serde(default = "default_target")]
    pub target: Target,
    /// The command that began the run; none before it is begun.
    #[serde(default)]
    pub command: Option<String>,
}

fn default_target() -> Target {
    Target::Specificity(PUBLISHED_SPECIFICITY)
}

impl ExperimentConfig {
    /// The settings of `recipe` with its own number of epochs.
    pub fn new(recipe: Recipe, protocol: Protocol, seed: u64) -> Self {
        Self {
            format_version: FORMAT_VERSION,
            recipe,
            data: None,
            positive: "Parasitized".to_owned(),
            skip_corrupt: false,
            device: DeviceChoice::Auto,
            threads: None,
            init: None,
            teacher: None,
            split: SplitConfig { protocol, seed, ..SplitConfig::default() },
            image: recipe.image(),
            model: recipe.model(),
            train: recipe.training(seed),
            exclude: None,
            calibrate: false,
            target: default_target(),
            command: None,
        }
    }

    /// Reads a `config.json`.
    ///
    /// # Errors
    /// [`Error::File`], also for another format version and with what [`ExperimentConfig::check`] finds.
    pub fn read(path: &Path) -> Result<Self> {
        let expected = "the settings of a run";
        let content =
            |reason: String| malaria_files::Error::Content { path: path.to_owned(), expected, reason };
        // The version alone first: another one may have other fields.
        #[derive(Deserialize)]
        struct Version {
            format_version: u64,
        }
        let Version { format_version: found } = malaria_files::read_json(path, expected)?;
        if found != u64::from(FORMAT_VERSION) {
            let advice = format_advice(FORMAT_VERSION, found);
            return Err(content(format!(
                "expected format version {FORMAT_VERSION}, found {found}: {advice}"
            ))
            .into());
        }
        let config: Self = malaria_files::read_json(path, expected)?;
        config.check().map_err(|error| content(error.to_string()))?;
        Ok(config)
    }

    /// The recipe by its name, and whether its settings were changed since. The precision follows the device, and is told with it.
    pub(crate) fn recipe_words(&self) -> String {
        let named = TrainConfig { precision: self.train.precision, ..self.recipe.training(self.train.seed) };
        let as_named = self.train == named
            && self.image == self.recipe.image()
            && self.model == ResNetConfig { classes: self.model.classes, ..self.recipe.model() };
        format!("{}{}", self.recipe, if as_named { "" } else { ", with other settings" })
    }

    /// Takes over the network and the training settings of `recipe`; the seed, the data and the split stay.
    pub fn set_recipe(&mut self, recipe: Recipe) {
        self.recipe = recipe;
        self.image = recipe.image();
        self.model = ResNetConfig { classes: self.model.classes, ..recipe.model() };
        self.train = recipe.training(self.train.seed);
    }

    /// Sets the seed of the split, the starting weights, the order of cells and the augmentation.
    pub fn set_seed(&mut self, seed: u64) {
        self.split.seed = seed;
        self.train.seed = seed;
    }

    /// Sets the number of epochs; the epochs at which the image size changes and the warm-up keep their share.
    pub fn set_epochs(&mut self, epochs: u64) {
        let share = epochs as f64 / self.train.epochs as f64;
        for size in &mut self.train.image_sizes {
            size.from_epoch = 1 + (size.from_epoch.saturating_sub(1) as f64 * share).round() as u64;
        }
        // Where two sizes fall on one epoch, or one beyond the last, the later size wins: the run ends at full size.
        if let Some(last) = self.train.image_sizes.last_mut() {
            last.from_epoch = last.from_epoch.min(epochs);
        }
        let starts: Vec<u64> = self.train.image_sizes.iter().map(|size| size.from_epoch).collect();
        let mut position = 0;
        self.train.image_sizes.retain(|size| {
            position += 1;
            starts.get(position).is_none_or(|&next| size.from_epoch < next)
        });
        let warmup = self.train.schedule.warmup_epochs * share;
        let whole = self.train.schedule.interval == malaria_train::Interval::Epoch;
        self.train.schedule.warmup_epochs = if whole { warmup.round() } else { warmup };
        self.train.epochs = epochs;
    }

    /// Suits a recipe to the synthetic cells, of which there are only some two thousand: a rate that so few steps bear, and for the
    /// quick recipe most epochs at the small size, so that the demonstration ends in minutes. The tutorial's is left as it is.
    pub fn adapt_to_synthetic_cells(&mut self) {
        if self.recipe != Recipe::Tutorial {
            self.train.schedule.rate = DRAWN_RATE;
        }
        if self.recipe == Recipe::Fast {
            self.set_epochs(DRAWN_EPOCHS);
            let last = self.train.final_image_size();
            let first = self.train.image_sizes.first().map_or(last, |size| size.pixels);
            let size = |from_epoch, pixels| ImageSize { from_epoch, pixels };
            self.train.image_sizes = vec![size(1, first), size(DRAWN_FULL_SIZE_FROM, last)];
        }
    }

    /// Refuses settings that no run could honour, before any compute.
    ///
    /// # Errors
    /// [`Error::Config`] and the other crates' own, each naming the field.
    pub fn check(&self) -> Result<()> {
        let config = |field, expected: String, found: String| Err(Error::Config { field, expected, found });
        if self.format_version != FORMAT_VERSION {
            return config("format_version", FORMAT_VERSION.to_string(), self.format_version.to_string());
        }
        if let Some(threads) = self.threads.filter(|threads| threads.get() > MOST_THREADS) {
            return config("threads", format!("1 to {MOST_THREADS}"), threads.to_string());
        }
        self.split.check()?;
        self.model.check()?;
        self.train.check()?;
        self.teacher.iter().try_for_each(Teacher::check)?;
        if self.split.protocol == Protocol::All && self.train.select_by != SelectBy::Last {
            let expected =
                "`last`, since under the split `all` no cell is left to choose an epoch by".to_owned();
            return config("train.select_by", expected, format!("{:?}", self.train.select_by));
        }
        let (Target::Sensitivity(share) | Target::Specificity(share)) = self.target;
        if !(0.0..=1.0).contains(&share) {
            return config("target", "a fraction from 0 to 1".to_owned(), share.to_string());
        }
        let pixels = i64::from(self.image.pixels);
        if self.model.input_size != pixels {
            let expected = format!("image.pixels, which is {pixels}");
            return config("model.input_size", expected, self.model.input_size.to_string());
        }
        // Smaller ones would leave the last feature map one pixel, of which no batch normalisation can tell a variance.
        let least = 2 * self.model.total_stride();
        if let Some(size) = self.train.image_sizes.iter().find(|size| size.pixels < least) {
            let expected = format!("at least {least} px for this network");
            return config("train.image_sizes", expected, size.pixels.to_string());
        }
        if self.train.final_image_size() != pixels {
            let expected = format!("a last size of image.pixels, which is {pixels}");
            return config("train.image_sizes", expected, self.train.final_image_size().to_string());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn starts(recipe: Recipe, epochs: u64) -> Vec<(u64, i64)> {
        let mut config = ExperimentConfig::new(recipe, Protocol::Random, 0);
        config.set_epochs(epochs);
        config.check().unwrap();
        assert_eq!(config.train.epochs, epochs);
        config.train.image_sizes.iter().map(|size| (size.from_epoch, size.pixels)).collect()
    }

    #[test]
    fn image_sizes_keep_their_share_and_every_run_ends_at_the_full_one() {
        assert_eq!(starts(Recipe::Fast, 20), [(1, 32), (5, 48), (13, 64)]);
        assert_eq!(starts(Recipe::Fast, 40), [(1, 32), (9, 48), (25, 64)]);
        assert_eq!(starts(Recipe::Fast, 3), [(1, 32), (2, 48), (3, 64)]);
        assert_eq!(starts(Recipe::Fast, 2), [(1, 48), (2, 64)]);
        assert_eq!(starts(Recipe::Fast, 1), [(1, 64)]);
        assert_eq!(starts(Recipe::Tutorial, 50), [(1, 64)]);
        assert_eq!(starts(Recipe::Field, 5), [(1, 40)]);
    }

    #[test]
    fn synthetic_cells_change_every_recipe_but_the_tutorials() {
        let mut config = ExperimentConfig::new(Recipe::Fast, Protocol::Random, 0);
        config.adapt_to_synthetic_cells();
        config.check().unwrap();
        assert_eq!(config.train.epochs, 12);
        let sizes = config.train.image_sizes.iter().map(|size| (size.from_epoch, size.pixels));
        assert_eq!(sizes.collect::<Vec<_>>(), [(1, 32), (9, 64)]);
        let rate = |recipe| {
            let mut config = ExperimentConfig::new(recipe, Protocol::Random, 0);
            config.adapt_to_synthetic_cells();
            config.check().unwrap();
            config.train.schedule.rate
        };
        assert_eq!(Recipe::ALL.map(rate), [0.02, 0.1, 0.02, 0.02]);
        // Whatever was set before.
        config.set_epochs(1);
        config.adapt_to_synthetic_cells();
        config.check().unwrap();
        assert_eq!(config.train.epochs, 12);
    }

    #[test]
    fn settings_of_another_format_are_refused_by_its_number_whatever_they_hold() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        for (format, advice) in [(1, "train again"), (FORMAT_VERSION + 1, "update this program")] {
            std::fs::write(&path, format!(r#"{{"format_version": {format}, "reciple": "fast"}}"#)).unwrap();
            let refused = ExperimentConfig::read(&path).unwrap_err().to_string();
            let words = format!("expected format version {FORMAT_VERSION}, found {format}");
            assert!(refused.contains(&words) && refused.contains(advice), "{refused}");
            assert!(refused.contains("config.json"), "{refused}");
        }
        let config = ExperimentConfig::new(Recipe::Field, Protocol::Patient, 4);
        malaria_files::write_json(&path, &config).unwrap();
        assert_eq!(ExperimentConfig::read(&path).unwrap(), config);
    }

    #[test]
    fn settings_that_do_not_fit_each_other_are_refused_by_name() {
        type Break = fn(&mut ExperimentConfig);
        let cases: [(&str, Break); 7] = [
            ("threads", |config| config.threads = NonZeroUsize::new(100_000)),
            ("target", |config| config.target = Target::Sensitivity(95.0)),
            ("train.select_by", |config| {
                config.split.protocol = Protocol::All;
                config.train.select_by = SelectBy::BestLoss;
            }),
            ("format_version", |config| config.format_version = 1),
            ("model.input_size", |config| config.model.input_size = 32),
            ("train.image_sizes", |config| config.train.image_sizes[2].pixels = 48),
            ("train.image_sizes", |config| config.train.image_sizes[0].pixels = 8),
        ];
        for (name, broken) in cases {
            let mut config = ExperimentConfig::new(Recipe::Fast, Protocol::Random, 0);
            broken(&mut config);
            match config.check() {
                Err(Error::Config { field, .. }) => assert_eq!(field, name),
                other => panic!("{name}: {other:?}"),
            }
        }
    }
}
