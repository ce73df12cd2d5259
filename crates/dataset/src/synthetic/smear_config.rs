//! Settings of a synthetic smear.

use crate::error::{Error, Result};

/// Largest number of cells.
const MAX_CELLS: usize = 20_000;

/// Settings of a synthetic smear.
#[derive(Debug, Clone, PartialEq)]
pub struct SmearConfig {
    /// Width of the picture in pixels, 64 to 16,384. Default 1600.
    pub width: u32,
    /// Height of the picture in pixels, 64 to 16,384. Default 1200.
    pub height: u32,
    /// Mean diameter of a red cell in pixels, 16 to 400. Default 100.
    pub cell_diameter: f32,
    /// Number of red cells, at most 20,000; fewer are drawn where there is no room. Default 100.
    pub cells: usize,
    /// Share of red cells that touch or overlap another, 0 to 1. Default 0.3.
    pub crowded: f32,
    /// Maximum overlap of such a cell with the other, relative to the diameter, 0 to 0.6. Default 0.25.
    pub overlap: f32,
    /// Share of red cells that are infected, 0 to 1. Default 0.05.
    pub parasitaemia: f32,
    /// Paleness of the centres of cells, 0 to 1 (no stain left). Default 0.4.
    pub pallor: f32,
    /// Share of red cells with a spiky outline, 0 to 1. Default 0.1.
    pub crenated: f32,
    /// Standard deviation of the blur, relative to the diameter, 0 to 0.2. Default 0.01.
    pub blur: f32,
    /// Loss of light towards the corners, 0 to 0.9. Default 0.15.
    pub shade: f32,
    /// Standard deviation of the camera's noise, 0 to 40 of 255. Default 2.
    pub noise: f32,
    /// Number of white cells. Default 1.
    pub white_cells: usize,
    /// Number of platelets. Default 4.
    pub platelets: usize,
    /// Number of small specks of stain. Default 4.
    pub debris: usize,
    /// Seed of all random numbers. Default 42.
    pub seed: u64,
}

impl Default for SmearConfig {
    fn default() -> Self {
        Self {
            width: 1600,
            height: 1200,
            cell_diameter: 100.0,
            cells: 100,
            crowded: 0.3,
            overlap: 0.25,
            parasitaemia: 0.05,
            pallor: 0.4,
            crenated: 0.1,
            blur: 0.01,
            shade: 0.15,
            noise: 2.0,
            white_cells: 1,
            platelets: 4,
            debris: 4,
            seed: 42,
        }
    }
}

impl SmearConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`Error::Config`] if a setting is out of its documented range.
    pub fn check(&self) -> Result<()> {
        for (name, side) in [("width", self.width), ("height", self.height)] {
            if !(64..=16_384).contains(&side) {
                return Err(Error::config(name, side, "64 to 16,384 px"));
            }
        }
        let most = self.cells.max(self.white_cells).max(self.platelets).max(self.debris);
        if most > MAX_CELLS {
            return Err(Error::config("cells", most, "at most 20,000"));
        }
        for (name, value, [low, high]) in [
            ("cell_diameter", self.cell_diameter, [16.0, 400.0]),
            ("crowded", self.crowded, [0.0, 1.0]),
            ("overlap", self.overlap, [0.0, 0.6]),
            ("parasitaemia", self.parasitaemia, [0.0, 1.0]),
            ("pallor", self.pallor, [0.0, 1.0]),
            ("crenated", self.crenated, [0.0, 1.0]),
            ("blur", self.blur, [0.0, 0.2]),
            ("shade", self.shade, [0.0, 0.9]),
            ("noise", self.noise, [0.0, 40.0]),
        ] {
            // Also refuses NaN.
            if !(low..=high).contains(&value) {
                return Err(Error::config(name, value, format!("{low} to {high}")));
            }
        }
        Ok(())
    }
}
