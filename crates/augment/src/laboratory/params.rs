//! The parameters of one cell of another laboratory, and how they are sampled.

use serde::{Deserialize, Serialize};

use super::config::{LaboratoryConfig, MAX_RESOLUTION};

/// Numbers of waves around a cell that add up to a ragged rim: one side, an oval, lobes and teeth.
pub(super) const RIM_WAVES: [f64; 5] = [1.0, 2.0, 5.0, 9.0, 16.0];
/// Numbers of waves across the width and the height of a picture that add up to a cell's thickness.
pub(super) const THICKNESS_WAVES: [[f64; 2]; 6] =
    [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, -1.0], [2.0, 1.0], [-1.0, 2.0]];

/// Share of the cells whose focus, camera and outline change: these changes take two thirds of the time, and laboratories
/// differ more in colours.
const PHOTOGRAPHED: f64 = 0.5;

/// Changes to one cell by another laboratory; see [`LaboratoryConfig`]. [`LaboratoryParams::identity`] changes nothing, and
/// neither does a field that is missing in a file.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct LaboratoryParams {
    /// Logarithm of the factor on optical densities about that of a common red cell.
    pub gamma: f64,
    /// Logarithms of the factors on the amounts of methylene blue, of eosin and of the rest.
    pub stain: [f64; 3],
    /// Rotation of optical densities about grey in turns, from red to yellow to green.
    pub stain_hue: f64,
    /// Optical density taken from all channels; brighter if positive.
    pub exposure: f64,
    /// Optical density taken from red, green and blue.
    pub cast: [f64; 3],
    /// Logarithm of the factor on optical densities at the rim, and of its inverse in the middle.
    pub pallor: f64,
    /// Logarithm of the largest factor on optical densities where a cell is thicker.
    pub thickness: f64,
    /// Phases in turns of the waves that are added up to a cell's thickness.
    pub thickness_phases: [f64; 6],
    /// Standard deviation of the blur as a fraction of the width.
    pub blur: f64,
    /// Share of the difference from a blurred image that is added.
    pub sharpen: f64,
    /// Standard deviation of the noise.
    pub noise: f64,
    /// Seed of the noise's values.
    pub noise_seed: u64,
    /// JPEG's quality is 100 minus this; 0 turns JPEG off.
    pub jpeg: f64,
    /// Pixels across the cell in the photograph; 0 for those of the image.
    pub resolution: f64,
    /// Maximum displacement of the rim as a fraction of the width; outwards if positive.
    pub rim: f64,
    /// Phases in turns of the rim's 1, 2, 5, 9 and 16 waves around the cell.
    pub rim_phases: [f64; 5],
    /// Part of the width that is cut off.
    pub cut: f64,
    /// Side that is cut off: 0 the right, a quarter turn the lower.
    pub cut_turns: f64,
    /// Part of the width that a neighbour's piece takes.
    pub neighbour: f64,
    /// Side of the neighbour, as for `cut_turns`.
    pub neighbour_turns: f64,
    /// Rotation of the neighbour in turns; positive turns the content counter-clockwise.
    pub neighbour_rotation: f64,
}

impl LaboratoryParams {
    /// Parameters that change nothing: all of them 0.
    pub fn identity() -> Self {
        Self::default()
    }

    /// Whether nothing is changed.
    pub(crate) fn is_identity(&self) -> bool {
        !(self.stains() || self.focuses() || self.photographs() || self.cuts_out() || self.adjoins())
    }

    pub(super) fn stains(&self) -> bool {
        let Self { gamma, stain, stain_hue, exposure, cast, .. } = *self;
        let colours = Self { gamma, stain, stain_hue, exposure, cast, ..Self::identity() };
        colours != Self::identity() || self.thickens()
    }

    pub(super) fn thickens(&self) -> bool {
        self.pallor != 0.0 || self.thickness != 0.0
    }

    pub(super) fn focuses(&self) -> bool {
        self.blur > 0.0 || self.sharpen != 0.0
    }

    pub(super) fn photographs(&self) -> bool {
        self.noise != 0.0 || self.jpeg > 0.0 || self.resolution > 0.0
    }

    pub(super) fn cuts_out(&self) -> bool {
        self.rim != 0.0 || self.cut > 0.0
    }

    pub(super) fn adjoins(&self) -> bool {
        self.neighbour > 0.0
    }

    /// The first field that is NaN or infinite.
    pub(crate) fn not_finite(&self) -> Option<(&'static str, f64)> {
        let triples = [("laboratory.stain", self.stain), ("laboratory.cast", self.cast)];
        let single = [
            ("laboratory.gamma", self.gamma),
            ("laboratory.stain_hue", self.stain_hue),
            ("laboratory.exposure", self.exposure),
            ("laboratory.pallor", self.pallor),
            ("laboratory.thickness", self.thickness),
            ("laboratory.blur", self.blur),
            ("laboratory.sharpen", self.sharpen),
            ("laboratory.noise", self.noise),
            ("laboratory.jpeg", self.jpeg),
            ("laboratory.resolution", self.resolution),
            ("laboratory.rim", self.rim),
            ("laboratory.cut", self.cut),
            ("laboratory.cut_turns", self.cut_turns),
            ("laboratory.neighbour", self.neighbour),
            ("laboratory.neighbour_turns", self.neighbour_turns),
            ("laboratory.neighbour_rotation", self.neighbour_rotation),
        ];
        let rim = self.rim_phases.map(|phase| ("laboratory.rim_phases", phase));
        let thickness = self.thickness_phases.map(|phase| ("laboratory.thickness_phases", phase));
        triples
            .into_iter()
            .flat_map(|(field, values)| values.map(|value| (field, value)))
            .chain(single)
            .chain(rim)
            .chain(thickness)
            .find(|(_, value)| !value.is_finite())
    }
}

/// Samples the parameters of one cell. `uniform` samples from a range; the number of calls does not depend on `config`, so
/// that no setting changes the values of the others. Values are sums and products, which every machine rounds in the same
/// way.
pub(crate) fn sample(
    config: &LaboratoryConfig,
    uniform: &mut impl FnMut(f64, f64) -> f64,
) -> LaboratoryParams {
    let mut around = |range: f64| uniform(-range, range);
    let gamma = around(config.gamma);
    let stain = [1.0, 0.5, 0.5].map(|share| around(share * config.stain));
    let stain_hue = around(config.stain_hue);
    let exposure = around(config.exposure);
    let cast = [(); 3].map(|()| around(config.cast));
    let pallor = around(config.pallor);
    let thickness = around(config.thickness).abs();
    let focus = around(1.0);
    // For half of the cells: negative values count as 0.
    let noise = around(config.noise).max(0.0);
    let jpeg = around(config.jpeg).max(0.0);
    let cut = around(config.cut).max(0.0);
    let neighbour = around(config.neighbour).max(0.0);
    let rim = around(config.rim);
    // In turns. Without effect, and therefore 0, if the corresponding setting is off.
    let mut turns = |setting: f64| uniform(0.0, if setting > 0.0 { 1.0 } else { 0.0 });
    let thickness_phases = [(); 6].map(|()| turns(config.thickness));
    let rim_phases = [(); 5].map(|()| turns(config.rim));
    let cut_turns = turns(config.cut);
    let neighbour_turns = turns(config.neighbour);
    let neighbour_rotation = turns(config.neighbour);
    let noise_seed = (turns(config.noise) * (1_u64 << 53) as f64) as u64;
    let resolution = uniform(config.resolution, MAX_RESOLUTION);
    let photographed = uniform(0.0, 1.0) < PHOTOGRAPHED;
    let colours = LaboratoryParams {
        gamma,
        stain,
        stain_hue,
        exposure,
        cast,
        pallor,
        thickness,
        thickness_phases,
        ..LaboratoryParams::identity()
    };
    if !photographed {
        return colours;
    }
    LaboratoryParams {
        blur: config.blur * (-focus).max(0.0),
        sharpen: config.sharpen * focus.max(0.0),
        noise,
        noise_seed,
        jpeg,
        resolution: if config.resolution > 0.0 { resolution } else { 0.0 },
        rim,
        rim_phases,
        cut,
        cut_turns,
        neighbour,
        neighbour_turns,
        neighbour_rotation,
        ..colours
    }
}
