//! The augmentation parameters of one image, and how they are sampled.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{
    config::AugmentConfig,
    laboratory::{self, LaboratoryParams},
};

/// Augmentation parameters of one image. [`AugmentParams::identity`] leaves it unchanged.
///
/// Geometry follows Keras's convention, a map from a position in the result to the position in the image where the
/// pixel is read, so that a positive shift moves the content left or up. See [`affine`](crate::affine()).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AugmentParams {
    /// Rotation in degrees; positive turns the content counter-clockwise as seen on a screen. Keras's `theta`.
    pub rotation_degrees: f64,
    /// Shift along the width, as a fraction of it; positive moves the content to the left. Times the width it
    /// is the `tx` of Keras's `apply_transform`.
    pub width_shift: f64,
    /// Shift along the height, as a fraction of it; positive moves the content up. Times the height it is the
    /// `ty` of Keras's `apply_transform`.
    pub height_shift: f64,
    /// Shear in degrees. Keras's `shear`.
    pub shear_degrees: f64,
    /// Zoom along the width; below 1 enlarges. Keras's `zx`.
    pub width_zoom: f64,
    /// Zoom along the height; below 1 enlarges. Keras's `zy`.
    pub height_zoom: f64,
    /// Mirror left to right, after everything above.
    pub horizontal_flip: bool,
    /// Mirror top to bottom, after everything above.
    pub vertical_flip: bool,
    /// Factor on all channels; 1 changes nothing.
    pub brightness: f64,
    /// Factor on the distance from mid-grey; 1 changes nothing.
    pub contrast: f64,
    /// Factor on the distance from the pixel's grey; 1 changes nothing.
    pub saturation: f64,
    /// Rotation of the hue in turns; positive goes from red to yellow to green.
    pub hue: f64,
    /// The changes by another laboratory, after the geometry and before the colours above.
    pub laboratory: LaboratoryParams,
}

impl AugmentParams {
    /// Parameters that change nothing.
    pub fn identity() -> Self {
        Self {
            rotation_degrees: 0.0,
            width_shift: 0.0,
            height_shift: 0.0,
            shear_degrees: 0.0,
            width_zoom: 1.0,
            height_zoom: 1.0,
            horizontal_flip: false,
            vertical_flip: false,
            brightness: 1.0,
            contrast: 1.0,
            saturation: 1.0,
            hue: 0.0,
            laboratory: LaboratoryParams::identity(),
        }
    }

    /// Whether any geometric parameter differs from the identity.
    pub(crate) fn moves(&self) -> bool {
        let Self { brightness, contrast, saturation, hue, laboratory, .. } = *self;
        *self != Self { brightness, contrast, saturation, hue, laboratory, ..Self::identity() }
    }

    /// Whether any colour parameter differs from the identity.
    pub(crate) fn recolours(&self) -> bool {
        let Self { brightness, contrast, saturation, hue, .. } = Self::identity();
        *self != Self { brightness, contrast, saturation, hue, ..*self }
    }

    /// The first field that is NaN or infinite.
    pub(crate) fn not_finite(&self) -> Option<(&'static str, f64)> {
        [
            ("rotation_degrees", self.rotation_degrees),
            ("width_shift", self.width_shift),
            ("height_shift", self.height_shift),
            ("shear_degrees", self.shear_degrees),
            ("width_zoom", self.width_zoom),
            ("height_zoom", self.height_zoom),
            ("brightness", self.brightness),
            ("contrast", self.contrast),
            ("saturation", self.saturation),
            ("hue", self.hue),
        ]
        .into_iter()
        .find(|(_, value)| !value.is_finite())
        .or_else(|| self.laboratory.not_finite())
    }
}

impl Default for AugmentParams {
    fn default() -> Self {
        Self::identity()
    }
}

/// Samples the parameters of image `index` in `epoch`, a pure function of its arguments.
///
/// The distributions are those of Keras's `get_random_transform`: every value uniform in its range of `config`, the two
/// zoom factors independent, each flip with probability 0.5. (Keras 3 samples `tx` from the height's range and then
/// applies it along the width; here each shift uses the range of its own side.) The random stream is this crate's own.
/// Turning a setting off does not change the values of the others.
///
/// `config` is not checked here: call [`AugmentConfig::check`] first.
///
/// ```
/// use malaria_augment::{AugmentConfig, AugmentParams, sample};
///
/// let (seed, epoch, index) = (1, 2, 3);
/// let config = AugmentConfig { rotation_degrees: 180.0, ..AugmentConfig::none() };
/// let params = sample(&config, seed, epoch, index);
/// assert!((-180.0..180.0).contains(&params.rotation_degrees));
/// assert_eq!(params, AugmentParams { rotation_degrees: params.rotation_degrees, ..AugmentParams::identity() });
/// assert_eq!(params, sample(&config, seed, epoch, index));
/// ```
pub fn sample(config: &AugmentConfig, seed: u64, epoch: u64, index: u64) -> AugmentParams {
    let mut rng = rng(seed, epoch, index);
    // Always the same number of values in the same order, so that no setting changes the values of the others.
    let mut uniform = |low: f64, high: f64| low + (high - low) * rng.random::<f64>();
    let (low, high) = config.zoom;
    AugmentParams {
        rotation_degrees: uniform(-config.rotation_degrees, config.rotation_degrees),
        width_shift: uniform(-config.width_shift, config.width_shift),
        height_shift: uniform(-config.height_shift, config.height_shift),
        shear_degrees: uniform(-config.shear_degrees, config.shear_degrees),
        width_zoom: uniform(low, high),
        height_zoom: uniform(low, high),
        horizontal_flip: uniform(0.0, 1.0) < 0.5 && config.horizontal_flip,
        vertical_flip: uniform(0.0, 1.0) < 0.5 && config.vertical_flip,
        brightness: uniform(1.0 - config.brightness, 1.0 + config.brightness),
        contrast: uniform(1.0 - config.contrast, 1.0 + config.contrast),
        saturation: uniform(1.0 - config.saturation, 1.0 + config.saturation),
        hue: uniform(-config.hue, config.hue),
        // Last, so that the values above stay those of earlier versions.
        laboratory: laboratory::sample(&config.laboratory, &mut uniform),
    }
}

/// The generator of one image in one epoch: seed, epoch and index fill separate bytes of ChaCha's 32-byte key, so no two
/// triples share a stream; the tag separates it from other uses of the same numbers.
fn rng(seed: u64, epoch: u64, index: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&epoch.to_le_bytes());
    key[16..24].copy_from_slice(&index.to_le_bytes());
    key[24..].copy_from_slice(b"augment\0");
    ChaCha8Rng::from_seed(key)
}
