//! A synthetic data set in the form of the NIH's, for demos, tests and benches. It says nothing about malaria.
//!
//! Colour and darkness carry almost no information about the class: stain and ink vary between patients, infected or not, and
//! infected and healthy cells have the same mean number of marks, with the same distribution of place,
//! size and ink. Only the shape of the marks differs. Logistic regression on the mean colour or on 8x8
//! thumbnails stays below 65 % accuracy (tested), while any convolutional network learns the classes within minutes.

mod cell;
mod marks;
mod random;
mod shapes;
mod smear;
mod smear_config;
mod vector;

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ImageEncoder, RgbImage};
use rayon::prelude::*;

use crate::error::{Error, Result};
use random::{Random, Stream};

pub use smear::{SmearKind, SmearObject, SyntheticSmear, synthetic_smear};
pub use smear_config::SmearConfig;

/// Largest number of patients and of cells.
const MAX_COUNT: usize = 100_000_000;

/// Settings of a synthetic data set.
#[derive(Debug, Clone, PartialEq)]
pub struct SyntheticConfig {
    /// Number of cells, at least 2: every other cell is infected, beginning with the first. Default 2,400.
    pub cells: usize,
    /// Number of patients, each with its own stain. Default 40.
    pub patients: usize,
    /// Share of infected patients, above 0 and at most 1. As in the NIH's set, they have cells of both
    /// classes, and the others only uninfected cells. Default 0.75.
    pub infected_share_of_patients: f64,
    /// Seed of all random numbers. Default 42.
    pub seed: u64,
}

impl Default for SyntheticConfig {
    fn default() -> Self {
        Self { cells: 2_400, patients: 40, infected_share_of_patients: 0.75, seed: 42 }
    }
}

impl SyntheticConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`Error::Config`] if a setting is out of its documented range.
    pub fn check(&self) -> Result<()> {
        if !(2..=MAX_COUNT).contains(&self.cells) {
            let expected = "2 to 100,000,000 cells, so that each class has one";
            return Err(Error::config("cells", self.cells, expected));
        }
        if !(1..=MAX_COUNT).contains(&self.patients) {
            return Err(Error::config("patients", self.patients, "1 to 100,000,000 patients"));
        }
        let share = self.infected_share_of_patients;
        // Also refuses NaN.
        if !(share > 0.0 && share <= 1.0) {
            let expected = "a fraction above 0, at most 1";
            return Err(Error::config("infected_share_of_patients", share, expected));
        }
        Ok(())
    }

    fn infected_patients(&self) -> usize {
        let exact = self.infected_share_of_patients * self.patients as f64;
        (exact.round() as usize).clamp(1, self.patients)
    }

    /// Whether a patient is infected. Infected patients are spread evenly among all.
    fn is_infected(&self, patient: usize) -> bool {
        let up_to = |patient: usize| patient * self.infected_patients() / self.patients;
        up_to(patient + 1) > up_to(patient)
    }

    /// The patient of a cell: infected cells cycle through the infected patients, uninfected cells through all.
    fn patient(&self, cell: usize) -> usize {
        let turn = cell / 2;
        if is_parasitized(cell) {
            let infected = self.infected_patients();
            // The first patient that completes this number of infected ones.
            ((turn % infected + 1) * self.patients).div_ceil(infected) - 1
        } else {
            turn % self.patients
        }
    }
}

/// A synthetic cell with its class, patient and file name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntheticCell {
    /// The cell on black, about 100 to 180 px on a side and rarely square.
    pub image: RgbImage,
    /// Whether it belongs to `Parasitized`; else to `Uninfected`.
    pub parasitized: bool,
    /// Name of its patient, such as `C33`.
    pub patient: String,
    /// Its name in the form of the NIH's set, such as `C33P33ThinF_drawn0_IMG_20150609_114433_cell_67.png`, or
    /// `C6NThinF_…` for a healthy patient. It is unique within a set and among sets with other seeds.
    pub file_name: String,
}

/// Draws cell number `cell` of the set: a pure function of the settings and that number, the same on every platform.
///
/// # Errors
/// Those of [`SyntheticConfig::check`]; [`Error::Config`] if `cell` is not below [`SyntheticConfig::cells`].
pub fn synthetic_cell(config: &SyntheticConfig, cell: usize) -> Result<SyntheticCell> {
    config.check()?;
    if cell >= config.cells {
        return Err(Error::config(
            "cell",
            cell,
            format!("a number below the number of cells, {}", config.cells),
        ));
    }
    Ok(draw_checked(config, cell))
}

fn draw_checked(config: &SyntheticConfig, cell: usize) -> SyntheticCell {
    let patient = config.patient(cell);
    let parasitized = is_parasitized(cell);
    let look = cell::Patient::sample(config.seed, patient);
    SyntheticCell {
        image: cell::draw(&mut Random::new(config.seed, Stream::Cell(cell)), &look, parasitized),
        parasitized,
        patient: format!("C{}", patient + 1),
        file_name: file_name(config.seed, patient, config.is_infected(patient), cell),
    }
}

const fn is_parasitized(cell: usize) -> bool {
    cell.is_multiple_of(2)
}

fn file_name(seed: u64, patient: usize, infected: bool, cell: usize) -> String {
    let number = patient + 1;
    let slide = if infected { format!("P{number}") } else { "N".to_owned() };
    let [month, day] = [patient / 28 % 12 + 1, patient % 28 + 1];
    let [hour, minute, second] = [8 + patient % 10, patient * 7 % 60, patient * 13 % 60];
    format!(
        "C{number}{slide}ThinF_drawn{seed}_IMG_2015{month:02}{day:02}_{hour:02}{minute:02}{second:02}_cell_{}.png",
        cell + 1
    )
}

/// Draws the whole set as PNG files into `out/Parasitized` and `out/Uninfected`, on all threads of the rayon pool.
///
/// The files do not depend on the number of threads. `out` is complete or does not exist, see [`malaria_files::create_folder`].
/// `progress` is called after each cell with the number of finished cells, from several threads and so not
/// always in ascending order.
///
/// # Errors
/// Those of [`SyntheticConfig::check`]; [`Error::File`] if `out` exists and is not an empty folder, or cannot be written.
pub fn write_synthetic(
    out: &Path,
    config: &SyntheticConfig,
    progress: &(dyn Fn(usize) + Sync),
) -> Result<()> {
    config.check()?;
    malaria_files::create_folder(out, |folder| {
        for class in ["Parasitized", "Uninfected"] {
            let path = folder.join(class);
            fs::create_dir(&path).map_err(Error::io("create the folder", &path))?;
        }
        let done = AtomicUsize::new(0);
        (0..config.cells).into_par_iter().try_for_each(|number| {
            let cell = draw_checked(config, number);
            let class = if cell.parasitized { "Parasitized" } else { "Uninfected" };
            let path = folder.join(class).join(&cell.file_name);
            fs::write(&path, png(&cell.image, &path)?).map_err(Error::io("write", &path))?;
            progress(done.fetch_add(1, Ordering::Relaxed) + 1);
            Ok(())
        })
    })
}

/// Writes [`synthetic_smear`] to a PNG file and returns its contents.
///
/// # Errors
/// Those of [`SmearConfig::check`]; [`Error::File`] if the file cannot be written.
pub fn write_synthetic_smear(path: &Path, config: &SmearConfig) -> Result<SyntheticSmear> {
    let smear = synthetic_smear(config)?;
    malaria_files::write(path, &png(&smear.image, path)?).map_err(Error::io("write", path))?;
    Ok(smear)
}

fn png(image: &RgbImage, path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // Stronger compression gains little on grainy pictures and would slow down drawing.
    PngEncoder::new_with_quality(&mut bytes, CompressionType::Fast, FilterType::Adaptive)
        .write_image(image, image.width(), image.height(), image::ExtendedColorType::Rgb8)
        .map_err(|error| Error::io("encode", path)(std::io::Error::other(error)))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_cycle_through_the_patients_and_only_infected_patients_have_infected_cells() {
        // 3 of 4: patients 1, 2 and 3 (of 0 to 3); uninfected cells cycle through all four.
        let config = SyntheticConfig { cells: 24, patients: 4, infected_share_of_patients: 0.75, seed: 0 };
        let infected: Vec<bool> = (0..4).map(|patient| config.is_infected(patient)).collect();
        assert_eq!(infected, [false, true, true, true]);
        let of = |parasitized: bool| -> Vec<usize> {
            (0..16)
                .filter(|&cell| is_parasitized(cell) == parasitized)
                .map(|cell| config.patient(cell))
                .collect()
        };
        assert_eq!(of(true), [1, 2, 3, 1, 2, 3, 1, 2]);
        assert_eq!(of(false), [0, 1, 2, 3, 0, 1, 2, 3]);
    }

    #[test]
    fn infected_cells_always_belong_to_an_infected_patient() {
        for patients in 1..30 {
            for infected_share_of_patients in [0.001, 0.2, 0.5, 0.77, 1.0] {
                let config = SyntheticConfig { cells: 200, patients, infected_share_of_patients, seed: 0 };
                let infected = (0..patients).filter(|&patient| config.is_infected(patient)).count();
                assert_eq!(infected, config.infected_patients(), "{config:?}");
                for cell in (0..config.cells).filter(|&cell| is_parasitized(cell)) {
                    assert!(config.is_infected(config.patient(cell)), "{config:?} {cell}");
                }
            }
        }
    }
}
