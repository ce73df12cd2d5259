use std::{fmt, str::FromStr};

use malaria_augment::AugmentConfig;
use malaria_classifier::{ImageConfig, ResNetConfig};
use malaria_dataset::ResizePolicy;
use malaria_train::{Decay, ImageSize, Interval, L2, Precision, Schedule, SelectBy, SgdConfig, TrainConfig};
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// Pixels a side that the `field` recipe's network sees.
const FIELD_PIXELS: i64 = 40;

/// A named set of training settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Recipe {
    /// Twenty epochs on images that grow: 32, 48, then 64 px; made for two CPU cores.
    Fast,
    /// The tutorial's, exactly: 20 epochs as in its text, unless told otherwise.
    Tutorial,
    /// As `Fast`, three times as long: 60 epochs.
    Best,
    /// A smaller network on smaller pictures, for small machines; best taught by a larger one ([`Teacher`](crate::Teacher)).
    Field,
}

impl Recipe {
    /// Every recipe.
    pub const ALL: [Recipe; 4] = [Recipe::Fast, Recipe::Tutorial, Recipe::Best, Recipe::Field];

    /// How it reads pictures. The tutorial's loader takes the nearest pixel; the others average what they shrink.
    pub(crate) fn image(self) -> ImageConfig {
        let resize = match self {
            Recipe::Tutorial => ResizePolicy::StretchNearest,
            Recipe::Fast | Recipe::Best | Recipe::Field => ResizePolicy::Stretch,
        };
        ImageConfig { pixels: self.model().input_size as u32, resize }
    }

    /// The network.
    pub(crate) fn model(self) -> ResNetConfig {
        match self {
            Recipe::Fast | Recipe::Tutorial | Recipe::Best => ResNetConfig::tutorial(),
            Recipe::Field => ResNetConfig {
                filters: vec![32, 64, 128, 256],
                input_size: FIELD_PIXELS,
                ..ResNetConfig::tutorial()
            },
        }
    }

    /// How it trains.
    pub(crate) fn training(self, seed: u64) -> TrainConfig {
        match self {
            Recipe::Tutorial => TrainConfig::tutorial(20, seed),
            Recipe::Fast => quick(20, &[(1, 32), (5, 48), (13, 64)], 0.05, seed),
            Recipe::Best => quick(60, &[(1, 32), (13, 48), (37, 64)], 0.05, seed),
            Recipe::Field => quick(16, &[(1, FIELD_PIXELS)], 0.1, seed),
        }
    }
}

/// One-cycle SGD with averaged weights, any rotation, both flips and a little colour; `sizes` are epochs, from 1, and the pixels
/// a side from each on; `rate` is the highest that the learning rate comes to.
fn quick(epochs: u64, sizes: &[(u64, i64)], rate: f64, seed: u64) -> TrainConfig {
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

impl fmt::Display for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Recipe::Fast => "fast",
            Recipe::Tutorial => "tutorial",
            Recipe::Best => "best",
            Recipe::Field => "field",
        })
    }
}

impl FromStr for Recipe {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|recipe| recipe.to_string() == name).ok_or_else(|| Error::Config {
            field: "recipe",
            expected: "fast, tutorial, best or field".to_owned(),
            found: format!("`{name}`"),
        })
    }
}
