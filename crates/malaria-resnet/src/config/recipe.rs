//! The named recipes and their settings.

use malaria_augment::{AugmentConfig, LaboratoryConfig};
use malaria_classifier::{ImageConfig, ResNetConfig};
use malaria_dataset::ResizePolicy;
use malaria_train::{Decay, ImageSize, Interval, L2, Precision, Schedule, SelectBy, SgdConfig, TrainConfig};
use serde::{Deserialize, Serialize};
use strum::VariantNames;

use crate::error::Error;

/// Input size of the `field` recipe's network, in pixels per side.
const FIELD_PIXELS: i64 = 40;

/// A named set of training settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[derive(strum::Display, strum::EnumString, strum::VariantNames)]
#[strum(serialize_all = "lowercase", parse_err_ty = Error, parse_err_fn = unknown_recipe)]
pub enum Recipe {
    /// 20 epochs on images of 32, 48, then 64 px; made for two CPU cores.
    Fast,
    /// The tutorial's exact settings; 20 epochs.
    Tutorial,
    /// Like `Fast`, with 60 epochs.
    Best,
    /// A smaller network on 40 px images, for small machines; optionally trained with a larger network as its
    /// [`Teacher`](crate::Teacher).
    Field,
    /// Adapts the network of another run (`init`) to the cells of one's own laboratory: ten epochs at a tenth of `Fast`'s
    /// learning rate. [`ExperimentConfig::take_over`](crate::ExperimentConfig::take_over) takes over the network.
    Finetune,
}

impl Recipe {
    /// Every recipe.
    pub const ALL: [Recipe; 5] =
        [Recipe::Fast, Recipe::Tutorial, Recipe::Best, Recipe::Field, Recipe::Finetune];

    /// Input images. The tutorial resizes by nearest neighbour, the others by averaging.
    pub(crate) fn image(self) -> ImageConfig {
        let resize = match self {
            Recipe::Tutorial => ResizePolicy::StretchNearest,
            Recipe::Fast | Recipe::Best | Recipe::Field | Recipe::Finetune => ResizePolicy::Stretch,
        };
        ImageConfig { pixels: self.model().input_size as u32, resize }
    }

    /// The network.
    pub(crate) fn model(self) -> ResNetConfig {
        match self {
            Recipe::Fast | Recipe::Tutorial | Recipe::Best | Recipe::Finetune => ResNetConfig::tutorial(),
            Recipe::Field => ResNetConfig {
                filters: vec![32, 64, 128, 256],
                input_size: FIELD_PIXELS,
                ..ResNetConfig::tutorial()
            },
        }
    }

    /// Training settings.
    pub(crate) fn training(self, seed: u64) -> TrainConfig {
        match self {
            Recipe::Tutorial => TrainConfig::tutorial(20, seed),
            Recipe::Fast => one_cycle(20, &[(1, 32), (5, 48), (13, 64)], 0.05, seed),
            Recipe::Best => one_cycle(60, &[(1, 32), (13, 48), (37, 64)], 0.05, seed),
            Recipe::Field => one_cycle(16, &[(1, FIELD_PIXELS)], 0.1, seed),
            Recipe::Finetune => one_cycle(10, &[(1, 64)], 0.005, seed),
        }
    }
}

/// One-cycle SGD with averaged weights, and augmentation with any rotation, both flips, slight colour changes and simulated
/// laboratories. `sizes` are pairs of an epoch, from 1, and the image size from then on, in pixels per side; `rate` is the
/// maximum learning rate.
fn one_cycle(epochs: u64, sizes: &[(u64, i64)], rate: f64, seed: u64) -> TrainConfig {
    TrainConfig {
        epochs,
        batch_size: 32,
        schedule: Schedule {
            rate,
            decay: Decay::OneCycle { rise: 0.2, start_divisor: 10.0, final_divisor: 100.0 },
            interval: Interval::Step,
            warmup_epochs: 0.0,
        },
        sgd: SgdConfig { momentum: 0.9, nesterov: true, l2: L2 { stem_and_dense: 2.5e-4, residual: 2.5e-4 } },
        label_smoothing: 0.05,
        augment: AugmentConfig {
            rotation_degrees: 180.0,
            horizontal_flip: true,
            vertical_flip: true,
            brightness: 0.1,
            saturation: 0.1,
            hue: 0.02,
            laboratory: LaboratoryConfig::of_strength(1.0),
            ..AugmentConfig::tutorial()
        },
        image_sizes: sizes.iter().map(|&(from_epoch, pixels)| ImageSize { from_epoch, pixels }).collect(),
        average_decay: Some(0.99),
        early_stopping: None,
        select_by: SelectBy::Last,
        precision: Precision::Auto,
        seed,
    }
}

fn unknown_recipe(found: &str) -> Error {
    Error::Config { field: "recipe", expected: Recipe::VARIANTS.join(", "), found: format!("`{found}`") }
}
