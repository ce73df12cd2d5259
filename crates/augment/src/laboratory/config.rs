//! The ranges that another laboratory's cells are sampled from.

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// Pixels across a cell in the sharpest photographs; finer photographs look the same at the sizes of training images.
pub(super) const MAX_RESOLUTION: f64 = 130.0;

/// Ranges of the changes that make a cell look as if another laboratory had stained, photographed and cut it out.
///
/// Cells lie on black, which stays black: only pixels with a channel of 32 of 255 or more belong to a cell. Optical density is
/// the negative natural logarithm of a value in `[0, 1]`: 0 is clear glass, and light absorbed by one dye adds to that absorbed
/// by another (Beer and Lambert). The dyes are methylene blue (azure) and eosin, the two of Giemsa's stain, and a third
/// direction for the rest, with the vectors of Ruifrok and Johnston (2001) as scikit-image's `rgb_from_bex` gives them.
///
/// Every field is 0 or more and changes nothing at 0, its default. [`sample()`](crate::sample()) samples values uniformly
/// and independently. Colours change in all cells, from `gamma` to `thickness`; focus, camera and outline, from `blur` on,
/// in one half of the cells, and if a field says "half of these", the others are unchanged.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct LaboratoryConfig {
    /// Optical densities are multiplied by `e^u`, `u` from `-g..g`, about that of a common red cell: a camera's gamma, exposed
    /// so that cells stay as bright as they were. 0 to 2.
    pub gamma: f64,
    /// Amounts of the dyes are multiplied by `e^u`, after Tellez et al. (2018, doi:10.1109/TMI.2018.2820199): another pH, time or
    /// lot of the stain. `u` is from `-s..s` for methylene blue, and from `-s/2..s/2` each for eosin and for the rest. 0 to 2.
    pub stain: f64,
    /// Rotation of optical densities about grey in turns, from `-h..h`; positive turns red to yellow to green. 0 to 0.5.
    pub stain_hue: f64,
    /// Optical density taken from all channels, from `-e..e`; 0.32 is a stop for a camera with a gamma of 2.2. 0 to 1.
    pub exposure: f64,
    /// Optical density taken from each channel separately, from `-c..c`: white balance, the lamp's colour, coloured glass. 0 to
    /// 1.
    pub cast: f64,
    /// A cell is paler in its middle and darker at its rim, or vice versa: its optical densities are multiplied by
    /// `e^-u` in the middle and by `e^u` half a width from there, `u` from `-p..p`. 0 to 2.
    pub pallor: f64,
    /// A cell is thicker in some places than in others, at random: its optical densities are multiplied by up to `e^u` and
    /// down to `e^-u`, `u` from `0..t`. 0 to 2.
    pub thickness: f64,
    /// Highest standard deviation of a Gaussian blur as a fraction of the width; half of these, the other half is
    /// sharpened. 0 to 0.1.
    pub blur: f64,
    /// Highest share of the difference from a blurred image (a standard deviation of 1/64 of the width) that is added to the
    /// image; half of these, the other half is blurred. 0 to 5.
    pub sharpen: f64,
    /// Highest standard deviation of Gaussian noise, of values in `[0, 1]`; half of these. 0 to 0.5.
    pub noise: f64,
    /// Artefacts of JPEG: the lowest quality is 100 less this, on the scale of the Independent JPEG Group; half of these.
    /// 0 to 95.
    pub jpeg: f64,
    /// Lowest number of pixels across a cell in the photograph, which is sampled from there to 130. The cell is scaled down to
    /// the nearest multiple of 8 pixels and up again, unless that would not reduce its number of pixels. 0 for off, or 8 to 130.
    pub resolution: f64,
    /// Maximum distance of a ragged rim from the cell's own rim, inside or outside, as a fraction of the width. 0 to 0.1.
    pub rim: f64,
    /// Largest part of the width that is missing, cut off along a line; half of these. 0 to 0.5.
    pub cut: f64,
    /// Largest part of the width taken by a piece of a neighbour, a turned copy of the cell; half of these. 0 to 0.5.
    pub neighbour: f64,
}

impl LaboratoryConfig {
    /// Ranges that change nothing.
    pub fn none() -> Self {
        Self::default()
    }

    /// All ranges together: 0 changes nothing, and 1 covers the differences of stains and photographs between laboratories,
    /// short of hiding parasites. Between 0 and 1, ranges are proportional.
    pub fn of_strength(strength: f64) -> Self {
        Self {
            gamma: 0.5 * strength,
            stain: strength,
            stain_hue: 0.03 * strength,
            exposure: 0.2 * strength,
            cast: 0.1 * strength,
            pallor: 0.5 * strength,
            thickness: 0.5 * strength,
            blur: 0.02 * strength,
            sharpen: strength,
            noise: 0.02 * strength,
            jpeg: 50.0 * strength,
            resolution: if strength == 0.0 {
                0.0
            } else {
                MAX_RESOLUTION - (MAX_RESOLUTION - 25.0) * strength
            },
            rim: 0.04 * strength,
            cut: 0.2 * strength,
            neighbour: 0.2 * strength,
        }
    }

    /// Whether nothing is changed.
    pub(crate) fn is_none(&self) -> bool {
        *self == Self::none()
    }

    /// Checks that every field is within its documented range.
    ///
    /// # Errors
    /// [`Error::Config`] names the first field that is not; NaN is outside every range.
    pub(crate) fn check(&self) -> Result<(), Error> {
        for (field, value, most, expected) in [
            ("laboratory.gamma", self.gamma, 2.0, "0 to 2"),
            ("laboratory.stain", self.stain, 2.0, "0 to 2"),
            ("laboratory.stain_hue", self.stain_hue, 0.5, "0 to 0.5 turns"),
            ("laboratory.exposure", self.exposure, 1.0, "0 to 1"),
            ("laboratory.cast", self.cast, 1.0, "0 to 1"),
            ("laboratory.pallor", self.pallor, 2.0, "0 to 2"),
            ("laboratory.thickness", self.thickness, 2.0, "0 to 2"),
            ("laboratory.blur", self.blur, 0.1, "a fraction of the width, from 0 to 0.1"),
            ("laboratory.sharpen", self.sharpen, 5.0, "0 to 5"),
            ("laboratory.noise", self.noise, 0.5, "0 to 0.5"),
            ("laboratory.jpeg", self.jpeg, 95.0, "0 to 95"),
            ("laboratory.rim", self.rim, 0.1, "a fraction of the width, from 0 to 0.1"),
            ("laboratory.cut", self.cut, 0.5, "a fraction of the width, from 0 to 0.5"),
            ("laboratory.neighbour", self.neighbour, 0.5, "a fraction of the width, from 0 to 0.5"),
        ] {
            if !(0.0..=most).contains(&value) {
                return Err(Error::Config { field, expected, found: value.to_string() });
            }
        }
        if self.resolution != 0.0 && !(8.0..=MAX_RESOLUTION).contains(&self.resolution) {
            let found = self.resolution.to_string();
            return Err(Error::Config {
                field: "laboratory.resolution",
                expected: "8 to 130 pixels, or 0 for off",
                found,
            });
        }
        Ok(())
    }
}
