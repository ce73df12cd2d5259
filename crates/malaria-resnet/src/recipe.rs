use std::{fmt, str::FromStr};

use malaria_augment::AugmentConfig;
use malaria_dataset::ResizePolicy;
use malaria_model::ResNetConfig;
use malaria_train::{ImageSize, Keep, L2, Per, Precision, Schedule, SgdConfig, Shape, TrainConfig};
use serde::{Deserialize, Serialize};

use crate::{Error, ImageConfig};

/// A named set of training settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Recipe {
    /// Seventeen epochs, four of them on half-size images; made for two CPU cores.
    Fast,
    /// The tutorial's, exactly: 20 epochs as in its text, unless told otherwise.
    Tutorial,
    /// As `Fast`, but about three times as long: 52 epochs.
    Best,
}

impl Recipe {
    /// Every recipe.
    pub const ALL: [Recipe; 3] = [Recipe::Fast, Recipe::Tutorial, Recipe::Best];

    /// How it reads pictures. The tutorial's loader takes the nearest pixel; the others average what they shrink.
    pub(crate) fn image(self) -> ImageConfig {
        let resize = match self {
            Recipe::Tutorial => ResizePolicy::StretchNearest,
            Recipe::Fast | Recipe::Best => ResizePolicy::Stretch,
        };
        ImageConfig { pixels: 64, resize }
    }

    /// The network.
    pub(crate) fn model(self) -> ResNetConfig {
        ResNetConfig::tutorial()
    }

    /// How it trains.
    pub(crate) fn training(self, seed: u64) -> TrainConfig {
        match self {
            Recipe::Tutorial => TrainConfig::tutorial(20, seed),
            Recipe::Fast => quick(17, 5, seed),
            Recipe::Best => quick(52, 9, seed),
        }
    }
}

/// One-cycle SGD with averaged weights, any rotation, both flips and a little colour; 32 px a side until epoch `full_size_from`.
fn quick(epochs: u64, full_size_from: u64, seed: u64) -> TrainConfig {
    TrainConfig {
        epochs,
        batch_size: 32,
        schedule: Schedule {
            rate: 0.1,
            shape: Shape::OneCycle { rise: 0.2, start_divisor: 10.0, final_divisor: 100.0 },
            per: Per::Step,
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
            ..AugmentConfig::tutorial()
        },
        image_sizes: vec![
            ImageSize { from_epoch: 1, pixels: 32 },
            ImageSize { from_epoch: full_size_from, pixels: 64 },
        ],
        average_decay: Some(0.99),
        early_stopping: None,
        keep: Keep::Last,
        precision: Precision::Bfloat16OnCuda,
        seed,
    }
}

impl fmt::Display for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Recipe::Fast => "fast",
            Recipe::Tutorial => "tutorial",
            Recipe::Best => "best",
        })
    }
}

impl FromStr for Recipe {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|recipe| recipe.to_string() == name).ok_or_else(|| Error::Config {
            field: "recipe",
            expected: "fast, tutorial or best".to_owned(),
            found: format!("`{name}`"),
        })
    }
}
