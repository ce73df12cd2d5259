//! The settings of the ResNet.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The shape of the ResNet, stored with its weights. The default is [`ResNetConfig::tutorial`].
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct ResNetConfig {
    /// Number of classes, 2 to 10,000. Default 2.
    pub classes: i64,
    /// Residual modules in each stage: 1 to 11 stages of 1 to 1,000 modules. The first stage keeps the resolution, and each
    /// later one halves it. Default 3, 4, 6.
    pub stages: Vec<i64>,
    /// Channels of the stem, then of each stage's output: one entry more than `stages`, each at most
    /// 16,384, those of stages multiples of 4 (a bottleneck has a quarter of them). Default 64, 128, 256, 512.
    pub filters: Vec<i64>,
    /// Side of the square input in pixels, at most 4,096 and at least twice [`total_stride`](Self::total_stride). No weight
    /// depends on it: the network ends in a global average. Default 64.
    pub input_size: i64,
    /// Added to the variance by every batch normalisation, above 0 and at most 1. Default 2e-5.
    pub bn_eps: f64,
    /// Share of each batch in the running statistics, above 0 and at most 1, as in libtorch: Keras's momentum 0.9 is 0.1
    /// here. Default 0.1.
    pub bn_momentum: f64,
}

impl Default for ResNetConfig {
    fn default() -> Self {
        Self::tutorial()
    }
}

impl ResNetConfig {
    /// The network of Rosebrock's tutorial: 64x64 RGB, 2 classes, 2,150,472 trainable parameters.
    pub fn tutorial() -> Self {
        Self {
            classes: 2,
            stages: vec![3, 4, 6],
            filters: vec![64, 128, 256, 512],
            input_size: 64,
            bn_eps: 2e-5,
            bn_momentum: 0.1,
        }
    }

    /// Checks every field against its documented range.
    ///
    /// # Errors
    /// [`Error::Network`] names the first field out of range.
    pub fn check(&self) -> Result<()> {
        in_range("classes", self.classes, 2, 10_000)?;
        // 11 stages need the largest input allowed.
        in_range("stages (their number)", self.stages.len() as i64, 1, 11)?;
        for &modules in &self.stages {
            in_range("stages (modules in one)", modules, 1, 1_000)?;
        }
        let entries = self.stages.len() as i64 + 1;
        in_range(
            "filters (their number: stem, then one per stage)",
            self.filters.len() as i64,
            entries,
            entries,
        )?;
        for &filters in &self.filters {
            in_range("filters", filters, 1, 16_384)?;
        }
        if let Some(filters) = self.filters[1..].iter().find(|&&filters| filters % 4 != 0) {
            return Err(config_error("filters", "multiples of 4 after the stem's", filters));
        }
        // With two pixels per side at the end, a batch normalisation has four values of a single image; the unbiased running
        // variance of a single value would be 0/0.
        in_range("input_size", self.input_size, 2 * self.total_stride(), 4_096)?;
        share("bn_eps", self.bn_eps)?;
        share("bn_momentum", self.bn_momentum)
    }

    /// Input pixels per pixel of the last feature map, along one side: 8 for the tutorial's network.
    pub fn total_stride(&self) -> i64 {
        1 << self.stages.len().min(62)
    }
}

fn in_range(field: &'static str, found: i64, min: i64, max: i64) -> Result<()> {
    if (min..=max).contains(&found) {
        return Ok(());
    }
    let expected = if min == max { min.to_string() } else { format!("from {min} to {max}") };
    Err(config_error(field, &expected, &found))
}

fn share(field: &'static str, found: f64) -> Result<()> {
    // NaN fails this comparison.
    if found > 0.0 && found <= 1.0 {
        return Ok(());
    }
    Err(config_error(field, "above 0 and at most 1", &found))
}

fn config_error(field: &'static str, expected: &str, found: &dyn std::fmt::Display) -> Error {
    Error::Network { field, expected: expected.to_owned(), found: found.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tutorial_is_the_default_and_round_trips_through_json() {
        let config = ResNetConfig::default();
        config.check().unwrap();
        assert_eq!(config, ResNetConfig::tutorial());
        assert_eq!(config.total_stride(), 8);
        let json = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<ResNetConfig>(&json).unwrap(), config);
        assert!(
            serde_json::from_str::<ResNetConfig>(r#"{"clases": 2}"#)
                .unwrap_err()
                .to_string()
                .contains("clases")
        );
    }

    #[test]
    fn each_field_out_of_range_is_named() {
        type Spoil = fn(&mut ResNetConfig);
        let cases: [(&str, Spoil); 15] = [
            ("`classes` must be from 2 to 10000, found 1", |c| c.classes = 1),
            ("`stages (their number)` must be from 1 to 11, found 0", |c| c.stages.clear()),
            ("`stages (their number)`", |c| c.stages = vec![1; 12]),
            ("`stages (modules in one)`", |c| c.stages[1] = 0),
            ("`stages (modules in one)`", |c| c.stages[0] = i64::MAX),
            ("must be 4, found 3", |c| c.filters.truncate(3)),
            ("`filters` must be from 1 to 16384, found 0", |c| c.filters[0] = 0),
            ("multiples of 4 after the stem's, found 130", |c| c.filters[1] = 130),
            ("`input_size` must be from 16 to 4096, found 15", |c| c.input_size = 15),
            ("`input_size`", |c| c.input_size = 4_097),
            ("`bn_eps`", |c| c.bn_eps = 0.0),
            ("`bn_eps`", |c| c.bn_eps = f64::NAN),
            ("`bn_eps`", |c| c.bn_eps = f64::INFINITY),
            ("`bn_momentum`", |c| c.bn_momentum = 1.5),
            ("`bn_momentum` must be above 0 and at most 1, found 0", |c| c.bn_momentum = 0.0),
        ];
        for (message, spoil) in cases {
            let mut config = ResNetConfig::tutorial();
            spoil(&mut config);
            let error = config.check().unwrap_err().to_string();
            assert!(error.contains(message), "{error} does not say {message}");
        }
        let lone_stem_channel =
            ResNetConfig { filters: vec![1, 4, 4, 4], input_size: 16, ..Default::default() };
        lone_stem_channel.check().unwrap();
        let deepest = ResNetConfig {
            stages: vec![1; 11],
            filters: vec![4; 12],
            input_size: 4_096,
            ..ResNetConfig::default()
        };
        deepest.check().unwrap();
    }
}
