//! Training settings.

use malaria_augment::AugmentConfig;
use serde::{Deserialize, Serialize};
use strum::VariantNames;
use tch::{Device, Kind};

use crate::{error::Error, optim::SgdConfig, schedule::Schedule};

/// Maximum number of epochs, far below what would overflow the count of batches.
const MAX_EPOCHS: u64 = 1_000_000;
/// Maximum side of images in pixels, as for a network's input.
const MAX_PIXELS: i64 = 4096;

/// How a run selects the epoch whose weights it keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SelectBy {
    /// The epoch with the lowest validation loss, among those at the last image size; ties go to the earlier one.
    BestLoss,
    /// The epoch with the highest validation accuracy, among those at the last image size; ties go to the lower loss.
    BestAccuracy,
    /// The last epoch, as the tutorial does.
    Last,
}

/// Precision of convolutions and feature maps in training. Weights, their gradients, batch statistics and the dense layer
/// are always float32, as is everything in evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[derive(strum::Display, strum::EnumString, strum::VariantNames)]
#[strum(serialize_all = "kebab-case", parse_err_ty = Error, parse_err_fn = unknown_precision)]
pub enum Precision {
    /// Bfloat16 if the device computes faster in it, else float32.
    Auto,
    /// 24 significant bits.
    Float32,
    /// 8 significant bits and the range of float32. Slower on processors for which `Auto` is float32.
    Bfloat16,
}

impl Precision {
    /// Replaces `Auto` by the precision for `device`; the other two are returned unchanged.
    ///
    /// `Auto` is bfloat16 on CUDA (GPUs older than NVIDIA's Ampere have no instructions for it: choose float32 there), on Intel's
    /// processors with AMX, and on others with AVX512-BF16, such as AMD's since Zen 4.
    pub fn resolve(self, device: Device) -> Self {
        match self {
            Self::Auto if device.is_cuda() || is_faster_in_bfloat16() => Self::Bfloat16,
            Self::Auto => Self::Float32,
            explicit => explicit,
        }
    }

    /// The tensor kind of training images on `device`.
    pub(crate) fn of(self, device: Device) -> Kind {
        if self.resolve(device) == Self::Bfloat16 { Kind::BFloat16 } else { Kind::Float }
    }
}

/// Intel's processors with AVX512-BF16 but without AMX, or whose AMX a virtual machine hides, are slower in bfloat16: see
/// docs/performance.md.
#[cfg(target_arch = "x86_64")]
fn is_faster_in_bfloat16() -> bool {
    let cpu = raw_cpuid::CpuId::new();
    let is_intel = cpu.get_vendor_info().is_some_and(|vendor| vendor.as_str() == "GenuineIntel");
    let has_amx = cpu.get_extended_feature_info().is_some_and(|features| features.has_amx_bf16());
    std::arch::is_x86_feature_detected!("avx512bf16") && (has_amx || !is_intel)
}

#[cfg(not(target_arch = "x86_64"))]
fn is_faster_in_bfloat16() -> bool {
    false
}

fn unknown_precision(found: &str) -> Error {
    Error::Config {
        field: "precision",
        expected: Precision::VARIANTS.join(", "),
        found: format!("`{found}`"),
    }
}

/// An image size and the first epoch that uses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageSize {
    /// First epoch of this size, counted from 1.
    pub from_epoch: u64,
    /// Side in pixels.
    pub pixels: i64,
}

/// The settings of a training run. The same settings, data, initial weights, processor and number of threads give the same
/// weights, bit for bit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Passes over the training set, 1 to 1,000,000.
    pub epochs: u64,
    /// Cells per step, >= 1. The last batch of an epoch may be smaller.
    pub batch_size: usize,
    /// Learning rates.
    pub schedule: Schedule,
    /// The optimizer.
    pub sgd: SgdConfig,
    /// Share of the target spread evenly over the classes, in [0, 1): Szegedy et al., arXiv:1512.00567.
    pub label_smoothing: f64,
    /// Augmentation of training cells.
    pub augment: AugmentConfig,
    /// Image sizes in ascending order of epochs, the first from epoch 1. The last one is the size that the model is trained
    /// for.
    pub image_sizes: Vec<ImageSize>,
    /// Decay of an exponential moving average of the weights, in (0, 1). If set, validation and the best weights use the
    /// average. At step `t` (from 0) the decay is `min(decay, (1 + t) / (10 + t))`, so that the influence of the initial
    /// weights fades quickly.
    pub average_decay: Option<f64>,
    /// The run ends after this many epochs at the last image size without a better validation metric; >= 1.
    pub early_stopping: Option<u64>,
    /// How the best epoch is selected.
    pub select_by: SelectBy,
    /// Precision of the training steps.
    pub precision: Precision,
    /// Seed of the order of cells and of augmentation.
    pub seed: u64,
}

impl TrainConfig {
    /// The tutorial's recipe for `epochs` epochs (20 in its text, 50 in its reported run): SGD at 0.1, batches of 32,
    /// linear decay, its augmentation, the last epoch's weights.
    pub fn tutorial(epochs: u64, seed: u64) -> Self {
        Self {
            epochs,
            batch_size: 32,
            schedule: Schedule::tutorial(0.1),
            sgd: SgdConfig::tutorial(),
            label_smoothing: 0.0,
            augment: AugmentConfig::tutorial(),
            image_sizes: vec![ImageSize { from_epoch: 1, pixels: 64 }],
            average_decay: None,
            early_stopping: None,
            select_by: SelectBy::Last,
            precision: Precision::Float32,
            seed,
        }
    }

    /// Checks every setting.
    ///
    /// # Errors
    /// [`Error::Config`] names the field; [`Error::Augment`] for an augmentation setting.
    pub fn check(&self) -> Result<(), Error> {
        let config = |field, expected: &str, found: String| {
            Err(Error::Config { field, expected: expected.to_owned(), found })
        };
        if !(1..=MAX_EPOCHS).contains(&self.epochs) {
            return config("epochs", &format!("from 1 to {MAX_EPOCHS}"), self.epochs.to_string());
        }
        if self.batch_size == 0 {
            return config("batch_size", "at least 1", "0".to_owned());
        }
        if !(0.0..1.0).contains(&self.label_smoothing) {
            return config("label_smoothing", "at least 0 and below 1", self.label_smoothing.to_string());
        }
        if let Some(decay) = self.average_decay.filter(|decay| !(*decay > 0.0 && *decay < 1.0)) {
            return config("average_decay", "above 0 and below 1, or null", decay.to_string());
        }
        if self.early_stopping == Some(0) {
            return config("early_stopping", "at least 1, or null", "0".to_owned());
        }
        if self.early_stopping.is_some() && self.select_by == SelectBy::Last {
            let expected = "`best-loss` or `best-accuracy`, since early stopping waits for a better epoch";
            return config("select_by", expected, "last".to_owned());
        }
        if self.image_sizes.first().is_none_or(|first| first.from_epoch != 1) {
            return config(
                "image_sizes",
                "a first size with `from_epoch` 1",
                format!("{:?}", self.image_sizes),
            );
        }
        if !self.image_sizes.is_sorted_by(|a, b| a.from_epoch < b.from_epoch) {
            return config("image_sizes", "ascending `from_epoch`", format!("{:?}", self.image_sizes));
        }
        if let Some(size) = self.image_sizes.iter().find(|size| size.from_epoch > self.epochs) {
            let expected = format!("every `from_epoch` within the run's {} epochs", self.epochs);
            return config("image_sizes", &expected, size.from_epoch.to_string());
        }
        if let Some(size) = self.image_sizes.iter().find(|size| !(8..=MAX_PIXELS).contains(&size.pixels)) {
            let expected = format!("from 8 to {MAX_PIXELS} pixels per side");
            return config("image_sizes", &expected, size.pixels.to_string());
        }
        self.schedule.check(self.epochs)?;
        self.sgd.check()?;
        Ok(self.augment.check()?)
    }

    /// Image size of `epoch` (from 0), in pixels per side.
    pub(crate) fn image_size(&self, epoch: u64) -> i64 {
        let reached = self.image_sizes.iter().rev().find(|size| size.from_epoch <= epoch + 1);
        reached.map_or_else(|| self.final_image_size(), |size| size.pixels)
    }

    /// Image size of the last epochs, in pixels per side: the size that the model is trained for.
    pub fn final_image_size(&self) -> i64 {
        self.image_sizes.last().map_or(64, |size| size.pixels)
    }
}
