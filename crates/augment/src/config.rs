//! The ranges that augmentation samples from.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::{error::Error, laboratory::LaboratoryConfig};

/// Ranges of the random changes to each training image.
///
/// The default of every field changes nothing, and [`Default`] is [`AugmentConfig::none`]: a file that names only
/// some fields uses only those. [`sample()`](crate::sample()) samples values uniformly and independently.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct AugmentConfig {
    /// Rotation in degrees, sampled from `-r..r`; 180 allows any angle. 0 to 180, default 0.
    pub rotation_degrees: f64,
    /// Shift along the width as a fraction of the width, sampled from `-s..s`. 0 to below 1, default 0.
    pub width_shift: f64,
    /// Shift along the height as a fraction of the height, sampled from `-s..s`. 0 to below 1, default 0.
    pub height_shift: f64,
    /// Shear in degrees, sampled from `-s..s`. 0 to below 90, default 0.
    pub shear_degrees: f64,
    /// Lowest and highest zoom factor, sampled separately for the two axes. As in Keras the factor scales the visible
    /// part of the image: below 1 the cell grows, above 1 it shrinks. Above 0, default (1, 1).
    pub zoom: (f64, f64),
    /// Mirror left to right with probability 0.5. Default false.
    pub horizontal_flip: bool,
    /// Mirror top to bottom with probability 0.5. Default false.
    pub vertical_flip: bool,
    /// All channels are multiplied by a factor from `1-b..1+b`, as in torchvision's `ColorJitter`. 0 to 1, default 0.
    pub brightness: f64,
    /// Distances from mid-grey (0.5) are multiplied by a factor from `1-c..1+c`. Torchvision's `ColorJitter`
    /// takes the image's mean grey instead; the fixed pivot keeps the change independent of the pixels.
    /// 0 to 1, default 0.
    pub contrast: f64,
    /// Distances from the pixel's own grey (0.299 R + 0.587 G + 0.114 B) are multiplied by a factor from
    /// `1-s..1+s`, as in torchvision's `ColorJitter`. 0 to 1, default 0.
    pub saturation: f64,
    /// Rotation of the hue in turns, sampled from `-h..h`, in the chroma plane of NTSC's YIQ. The range and the
    /// direction (positive: red to yellow to green) are those of torchvision's `ColorJitter`, whose rotation in
    /// HSV is not linear. 0 to 0.5, default 0.
    pub hue: f64,
    /// Changes that make cells look as if another laboratory had stained, photographed and cut them out. Default none, which
    /// is not written to files.
    #[serde(skip_serializing_if = "LaboratoryConfig::is_none")]
    pub laboratory: LaboratoryConfig,
}

impl AugmentConfig {
    /// Ranges that change nothing.
    pub fn none() -> Self {
        Self {
            rotation_degrees: 0.0,
            width_shift: 0.0,
            height_shift: 0.0,
            shear_degrees: 0.0,
            zoom: (1.0, 1.0),
            horizontal_flip: false,
            vertical_flip: false,
            brightness: 0.0,
            contrast: 0.0,
            saturation: 0.0,
            hue: 0.0,
            laboratory: LaboratoryConfig::none(),
        }
    }

    /// The ranges of the tutorial: rotation by 20 degrees, shifts of 5 %, zoom of 5 %, the horizontal flip, and a
    /// shear of 0.05, which Keras takes as degrees, so that its effect is negligible.
    pub fn tutorial() -> Self {
        Self {
            rotation_degrees: 20.0,
            width_shift: 0.05,
            height_shift: 0.05,
            shear_degrees: 0.05,
            zoom: (0.95, 1.05),
            horizontal_flip: true,
            ..Self::none()
        }
    }

    /// Checks that every field is within its documented range.
    ///
    /// # Errors
    /// [`Error::Config`] with the first field out of range; NaN is outside every range.
    pub fn check(&self) -> Result<(), Error> {
        const BELOW_ONE: RangeInclusive<f64> = 0.0..=1.0_f64.next_down();
        const BELOW_90: RangeInclusive<f64> = 0.0..=90.0_f64.next_down();
        for (field, value, range, expected) in [
            ("rotation_degrees", self.rotation_degrees, 0.0..=180.0, "0 to 180 degrees"),
            ("width_shift", self.width_shift, BELOW_ONE, "a fraction of the width, from 0 to below 1"),
            ("height_shift", self.height_shift, BELOW_ONE, "a fraction of the height, from 0 to below 1"),
            ("shear_degrees", self.shear_degrees, BELOW_90, "0 to below 90 degrees"),
            ("brightness", self.brightness, 0.0..=1.0, "0 to 1"),
            ("contrast", self.contrast, 0.0..=1.0, "0 to 1"),
            ("saturation", self.saturation, 0.0..=1.0, "0 to 1"),
            ("hue", self.hue, 0.0..=0.5, "0 to 0.5 turns"),
        ] {
            if !range.contains(&value) {
                return Err(Error::Config { field, expected, found: value.to_string() });
            }
        }
        let (low, high) = self.zoom;
        if !(low > 0.0 && low <= high && high.is_finite()) {
            return Err(Error::Config {
                field: "zoom",
                expected: "two factors above 0, the lower one first",
                found: format!("[{low}, {high}]"),
            });
        }
        self.laboratory.check()
    }
}

impl Default for AugmentConfig {
    fn default() -> Self {
        Self::none()
    }
}
