//! The settings of an experiment.

mod recipe;
mod source_hashes;
mod teacher;

use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

use malaria_augment::LaboratoryConfig;
use malaria_classifier::{ImageConfig, ResNetConfig};
use malaria_dataset::{PatientNames, Protocol, SplitConfig};
use malaria_libtorch::DeviceChoice;
use malaria_metrics::Target;
use malaria_train::{ImageSize, SelectBy, TrainConfig};
use serde::{Deserialize, Serialize};

pub use self::{recipe::Recipe, source_hashes::SourceHashes, teacher::Teacher};
use crate::error::{Error, Result};

/// Version of the layout of `config.json` and of the run directory.
const FORMAT_VERSION: u32 = 4;
/// The oldest version that is read; the fields that it lacks are optional.
const OLDEST_FORMAT: u32 = 3;

/// Specificity on new patients published by Rajaraman et al. 2018, at which sensitivities are compared.
pub(crate) const PUBLISHED_SPECIFICITY: f64 = 0.972;

/// Settings for synthetic cells: epochs of the `fast` recipe, the first epoch at full image size, the learning rate, and the
/// specificity for which the threshold is chosen.
const SYNTHETIC_EPOCHS: u64 = 12;
const SYNTHETIC_FULL_SIZE_FROM: u64 = 9;
const SYNTHETIC_RATE: f64 = 0.02;
const SYNTHETIC_SPECIFICITY: f64 = 0.99;

/// Maximum number of threads: no current machine benefits from more, and libtorch may fail to start them.
const MAX_THREADS: usize = 1024;

/// Every setting of an experiment: the content of a run directory's `config.json` and of the `--config` file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExperimentConfig {
    /// Version of the file format.
    pub format_version: u32,
    /// The recipe that the settings are based on.
    pub recipe: Recipe,
    /// Folder of cell images; `None` for synthetic cells, whose metrics mean nothing for malaria.
    pub data: Option<PathBuf>,
    /// Source of each cell's patient. split.csv contains the patients, so a resumed run needs no table.
    #[serde(default)]
    pub patients: PatientNames,
    /// The positive class of sensitivity, PPV and every curve.
    pub positive: String,
    /// Skip and list unreadable images instead of stopping.
    pub skip_corrupt: bool,
    /// Device of the tensors.
    pub device: DeviceChoice,
    /// CPU threads; `None` for one per core.
    pub threads: Option<NonZeroUsize>,
    /// Run directory whose weights training starts from; `None` for random weights.
    pub init: Option<PathBuf>,
    /// Trained model whose probabilities are mixed into the training labels.
    #[serde(default)]
    pub teacher: Option<Teacher>,
    /// How cells are divided into training, validation and test sets.
    pub split: SplitConfig,
    /// Size and resizing of the network's input images.
    pub image: ImageConfig,
    /// The network.
    pub model: ResNetConfig,
    /// Training settings.
    pub train: TrainConfig,
    /// CSV with a column `path`: cells to exclude from the training set, for example because of doubtful labels.
    #[serde(default)]
    pub exclude: Option<PathBuf>,
    /// Calibrate probabilities on the validation set by temperature scaling.
    #[serde(default)]
    pub calibrate: bool,
    /// Sensitivity or specificity that the decision threshold has to reach on the validation set. The default is a specificity
    /// of 97.2 %, as in Rajaraman et al. 2018: most cells of infected patients are uninfected too, so false alarms limit how low
    /// a parasitaemia can be detected.
    #[serde(default = "default_target")]
    pub target: Target,
    /// The command that started the run; `None` before the start.
    #[serde(default)]
    pub command: Option<String>,
    /// Hashes of `init`, `teacher` and `exclude` at the start of the run; `None` before the start and for a run of format 3.
    #[serde(default)]
    pub sha256: Option<SourceHashes>,
}

fn default_target() -> Target {
    Target::Specificity(PUBLISHED_SPECIFICITY)
}

impl ExperimentConfig {
    /// The settings of `recipe`.
    pub fn new(recipe: Recipe, protocol: Protocol, seed: u64) -> Self {
        Self {
            format_version: FORMAT_VERSION,
            recipe,
            data: None,
            patients: PatientNames::Nlm,
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
            sha256: None,
        }
    }

    /// Reads a `config.json` of this or an earlier format version.
    ///
    /// # Errors
    /// [`Error::Format`]; [`Error::File`], also for settings that [`ExperimentConfig::check`] refuses.
    pub fn read(path: &Path) -> Result<Self> {
        let expected = "the settings of a run";
        // The version first, since other versions may have other fields.
        #[derive(Deserialize)]
        struct Version {
            format_version: u64,
        }
        let Version { format_version: found } = malaria_files::read_json(path, expected)?;
        if !(u64::from(OLDEST_FORMAT)..=u64::from(FORMAT_VERSION)).contains(&found) {
            let (oldest, newest) = (OLDEST_FORMAT, FORMAT_VERSION);
            return Err(Error::Format { path: path.to_owned(), oldest, newest, found });
        }
        let config = Self { format_version: FORMAT_VERSION, ..malaria_files::read_json(path, expected)? };
        config.check().map_err(|error| {
            let reason = error.to_string();
            malaria_files::Error::Content { path: path.to_owned(), expected, reason }
        })?;
        Ok(config)
    }

    /// The recipe's name, with a remark if settings other than the precision differ from it.
    pub(crate) fn recipe_label(&self) -> String {
        let mut expected = Self::new(self.recipe, self.split.protocol, self.train.seed);
        expected.train.precision = self.train.precision;
        expected.model.classes = self.model.classes;
        if self.recipe == Recipe::Finetune {
            expected.take_over(self.image, self.model.clone());
        }
        let unchanged =
            self.train == expected.train && self.image == expected.image && self.model == expected.model;
        format!("{}{}", self.recipe, if unchanged { "" } else { ", with other settings" })
    }

    /// Sets the network and the training settings to those of `recipe`; seed, data and split stay.
    pub fn set_recipe(&mut self, recipe: Recipe) {
        self.recipe = recipe;
        self.image = recipe.image();
        self.model = ResNetConfig { classes: self.model.classes, ..recipe.model() };
        self.train = recipe.training(self.train.seed);
    }

    /// Takes over the network and the image size of the run that [`Recipe::Finetune`] starts from.
    pub fn take_over(&mut self, image: ImageConfig, model: ResNetConfig) {
        self.train.image_sizes = vec![ImageSize { from_epoch: 1, pixels: model.input_size }];
        (self.image, self.model) = (image, model);
    }

    /// Sets the seed of the split, the initial weights, the order of cells and the augmentation.
    pub fn set_seed(&mut self, seed: u64) {
        self.split.seed = seed;
        self.train.seed = seed;
    }

    /// Sets the number of epochs and scales the warm-up and the epochs at which the image size changes.
    pub fn set_epochs(&mut self, epochs: u64) {
        let share = epochs as f64 / self.train.epochs as f64;
        for size in &mut self.train.image_sizes {
            size.from_epoch = 1 + (size.from_epoch.saturating_sub(1) as f64 * share).round() as u64;
        }
        // If two sizes start in the same epoch, the later one wins, and the last one starts no later than the last epoch:
        // every run ends at full size.
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

    /// Adapts a recipe to the synthetic cells, of which there are only about two thousand, all from one laboratory: a lower
    /// learning rate, no simulated laboratories, a higher specificity, since the cells of a smear are counted at the end and
    /// nearly all of them are uninfected, and for `fast` fewer epochs, most of them at the small image size, so that the
    /// demonstration takes minutes. `tutorial` is unchanged.
    pub fn adapt_to_synthetic_cells(&mut self) {
        if self.recipe != Recipe::Tutorial {
            self.train.schedule.rate = self.train.schedule.rate.min(SYNTHETIC_RATE);
            self.train.augment.laboratory = LaboratoryConfig::none();
            self.target = Target::Specificity(SYNTHETIC_SPECIFICITY);
        }
        if self.recipe == Recipe::Fast {
            self.set_epochs(SYNTHETIC_EPOCHS);
            let last = self.train.final_image_size();
            let first = self.train.image_sizes.first().map_or(last, |size| size.pixels);
            let size = |from_epoch, pixels| ImageSize { from_epoch, pixels };
            self.train.image_sizes = vec![size(1, first), size(SYNTHETIC_FULL_SIZE_FROM, last)];
        }
    }

    /// Refuses invalid settings before any computation.
    ///
    /// # Errors
    /// [`Error::Config`] and the errors of other crates, each naming the field.
    pub fn check(&self) -> Result<()> {
        let config = |field, expected: String, found: String| Err(Error::Config { field, expected, found });
        if self.format_version != FORMAT_VERSION {
            return config("format_version", FORMAT_VERSION.to_string(), self.format_version.to_string());
        }
        if let Some(threads) = self.threads.filter(|threads| threads.get() > MAX_THREADS) {
            return config("threads", format!("1 to {MAX_THREADS}"), threads.to_string());
        }
        if self.recipe == Recipe::Finetune && self.init.is_none() {
            let expected = "a run whose weights the recipe finetune starts from".to_owned();
            return config("init", expected, "none".to_owned());
        }
        self.split.check()?;
        self.model.check()?;
        self.train.check()?;
        self.teacher.iter().try_for_each(Teacher::check)?;
        if self.split.protocol == Protocol::All && self.train.select_by != SelectBy::Last {
            let expected =
                "`last`, since the split `all` has no validation cells to select an epoch on".to_owned();
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
        // On smaller images the last feature map is a single pixel, which has no variance for batch normalisation.
        let min = 2 * self.model.total_stride();
        if let Some(size) = self.train.image_sizes.iter().find(|size| size.pixels < min) {
            let expected = format!("at least {min} px for this network");
            return config("train.image_sizes", expected, size.pixels.to_string());
        }
        if self.train.final_image_size() != pixels {
            let expected = format!("image.pixels as the last size, which is {pixels}");
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
    fn image_sizes_scale_with_the_epochs_and_end_at_full_size() {
        assert_eq!(starts(Recipe::Fast, 20), [(1, 32), (5, 48), (13, 64)]);
        assert_eq!(starts(Recipe::Fast, 40), [(1, 32), (9, 48), (25, 64)]);
        assert_eq!(starts(Recipe::Fast, 3), [(1, 32), (2, 48), (3, 64)]);
        assert_eq!(starts(Recipe::Fast, 2), [(1, 48), (2, 64)]);
        assert_eq!(starts(Recipe::Fast, 1), [(1, 64)]);
        assert_eq!(starts(Recipe::Tutorial, 50), [(1, 64)]);
        assert_eq!(starts(Recipe::Field, 5), [(1, 40)]);
    }

    #[test]
    fn synthetic_cells_change_every_recipe_except_tutorial() {
        let mut config = ExperimentConfig::new(Recipe::Fast, Protocol::Random, 0);
        config.adapt_to_synthetic_cells();
        config.check().unwrap();
        assert_eq!((config.train.epochs, config.target), (12, Target::Specificity(0.99)));
        let sizes = config.train.image_sizes.iter().map(|size| (size.from_epoch, size.pixels));
        assert_eq!(sizes.collect::<Vec<_>>(), [(1, 32), (9, 64)]);
        let rate = |recipe| {
            let mut config = ExperimentConfig::new(recipe, Protocol::Random, 0);
            config.init = Some("run".into());
            config.adapt_to_synthetic_cells();
            config.check().unwrap();
            config.train.schedule.rate
        };
        assert_eq!(Recipe::ALL.map(rate), [0.02, 0.1, 0.02, 0.02, 0.005]);
        // Earlier changes are overridden.
        config.set_epochs(1);
        config.adapt_to_synthetic_cells();
        config.check().unwrap();
        assert_eq!(config.train.epochs, 12);
    }

    #[test]
    fn another_format_version_is_refused_before_its_fields_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        for (format, advice) in [(2, "train again"), (FORMAT_VERSION + 1, "update this program")] {
            std::fs::write(&path, format!(r#"{{"format_version": {format}, "reciple": "fast"}}"#)).unwrap();
            let refused = ExperimentConfig::read(&path).unwrap_err().to_string();
            let expected = format!("expected format version 3 to {FORMAT_VERSION}, found {format}");
            for text in [&expected, advice, "config.json"] {
                assert!(refused.contains(text), "{refused}");
            }
        }
        let config = ExperimentConfig::new(Recipe::Field, Protocol::Patient, 4);
        malaria_files::write_json(&path, &config).unwrap();
        assert_eq!(ExperimentConfig::read(&path).unwrap(), config);
        // Format 3 has no field `sha256`.
        let mut earlier = serde_json::to_value(&config).unwrap();
        earlier["format_version"] = 3.into();
        assert!(earlier.as_object_mut().unwrap().remove("sha256").is_some());
        malaria_files::write_json(&path, &earlier).unwrap();
        assert_eq!(ExperimentConfig::read(&path).unwrap(), config);
    }

    #[test]
    fn invalid_settings_are_refused_with_the_name_of_the_field() {
        type Break = fn(&mut ExperimentConfig);
        let cases: [(&str, Break); 8] = [
            ("threads", |config| config.threads = NonZeroUsize::new(100_000)),
            ("target", |config| config.target = Target::Sensitivity(95.0)),
            ("init", |config| config.set_recipe(Recipe::Finetune)),
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
