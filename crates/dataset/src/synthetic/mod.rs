//! A synthetic data set: cells in the manner of the NIH's, for demos, tests and benches. It says nothing about malaria.
//!
//! Cells are drawn so that colour and darkness tell almost nothing: stain and ink vary from patient to patient, whether
//! infected or not, and infected and healthy cells have the same mean number of marks, at the same places, of the same
//! size and ink. The class is in the shape of the marks alone. Logistic regression on the mean colour or on 8x8
//! thumbnails stays below 65 % (the tests show it), while a convolutional network of any kind does well within minutes.

mod cell;
mod draws;
mod marks;
mod shapes;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ImageEncoder, RgbImage};
use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::new_folder::{create_folder, create_folder_whole, write_new};
use draws::{Draws, Stream};

/// Patients and cells that there may be at most: more than any use needs, few enough to count with.
const MOST: usize = 100_000_000;

/// What to draw.
#[derive(Debug, Clone, PartialEq)]
pub struct SyntheticConfig {
    /// Number of cells, at least 2: every other one is infected, beginning with the first. Default 2,400.
    pub cells: usize,
    /// Number of patients, each with a stain of its own. Default 40.
    pub patients: usize,
    /// Share of the patients who are infected, above 0 and at most 1. As in the NIH's set, they have cells of both
    /// classes, and the others only uninfected ones. Default 0.75.
    pub infected_share_of_patients: f64,
    /// Number that all draws follow from. Default 42.
    pub seed: u64,
}

impl Default for SyntheticConfig {
    fn default() -> Self {
        Self { cells: 2_400, patients: 40, infected_share_of_patients: 0.75, seed: 42 }
    }
}

impl SyntheticConfig {
    /// Refuses settings that nothing can be drawn for.
    ///
    /// # Errors
    /// [`Error::BadSetting`] where a setting is out of the range that its documentation gives.
    pub fn check(&self) -> Result<()> {
        let bad = |field, found: String, expected| Err(Error::BadSetting { field, found, expected });
        if !(2..=MOST).contains(&self.cells) {
            return bad(
                "cells",
                self.cells.to_string(),
                "2 to 100,000,000 cells, so that each class has one",
            );
        }
        if !(1..=MOST).contains(&self.patients) {
            return bad("patients", self.patients.to_string(), "1 to 100,000,000 patients");
        }
        let share = self.infected_share_of_patients;
        // NaN is in no range.
        if !(share > 0.0 && share <= 1.0) {
            return bad("infected_share_of_patients", share.to_string(), "a fraction above 0, at most 1");
        }
        Ok(())
    }

    fn infected_patients(&self) -> usize {
        let exact = self.infected_share_of_patients * self.patients as f64;
        (exact.round() as usize).clamp(1, self.patients)
    }

    /// Whether a patient is infected: the infected are spread evenly among all.
    fn is_infected(&self, patient: usize) -> bool {
        let up_to = |patient: usize| patient * self.infected_patients() / self.patients;
        up_to(patient + 1) > up_to(patient)
    }

    /// The patient of a cell: infected cells go around the infected patients, uninfected ones around all.
    fn patient(&self, cell: usize) -> usize {
        let turn = cell / 2;
        if is_parasitized(cell) {
            let infected = self.infected_patients();
            // The first patient up to whom there are that many.
            ((turn % infected + 1) * self.patients).div_ceil(infected) - 1
        } else {
            turn % self.patients
        }
    }
}

/// A synthetic cell and what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntheticCell {
    /// The cell, about 100 to 180 px a side and seldom square, black outside.
    pub image: RgbImage,
    /// Whether it belongs to `Parasitized`; else to `Uninfected`.
    pub parasitized: bool,
    /// Name of its patient, such as `C33`.
    pub patient: String,
    /// Its name in the manner of the NIH's set, such as `C33P33ThinF_drawn0_IMG_20150609_114433_cell_67.png`, or
    /// `C6NThinF_…` for a healthy patient; no two cells of a set have the same, nor two of sets with other seeds.
    pub file_name: String,
}

/// Draws cell number `cell` of the set: a pure function of the settings and that number, the same on every platform.
///
/// # Errors
/// What [`SyntheticConfig::check`] refuses, and a `cell` that is not below [`SyntheticConfig::cells`].
pub fn synthetic_cell(config: &SyntheticConfig, cell: usize) -> Result<SyntheticCell> {
    config.check()?;
    if cell >= config.cells {
        return Err(Error::BadSetting {
            field: "cell",
            found: cell.to_string(),
            expected: "a number below that of cells",
        });
    }
    Ok(draw_checked(config, cell))
}

fn draw_checked(config: &SyntheticConfig, cell: usize) -> SyntheticCell {
    let patient = config.patient(cell);
    let parasitized = is_parasitized(cell);
    let look = cell::Patient::draw(config.seed, patient);
    SyntheticCell {
        image: cell::draw(&mut Draws::new(config.seed, Stream::Cell(cell)), &look, parasitized),
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
/// The files do not depend on the number of threads. They are drawn into a temporary folder beside `out`, synced, and
/// appear under the name `out` together or not at all; what a call that was killed has left of such a folder, the next one
/// removes. `progress` is called after each cell with the number of cells that are done, from several threads and so not
/// always in ascending order.
///
/// # Errors
/// What [`SyntheticConfig::check`] refuses; [`Error::Occupied`] where `out` exists and is not an empty folder; where
/// it cannot be written to.
pub fn write_synthetic(
    out: &Path,
    config: &SyntheticConfig,
    progress: &(dyn Fn(usize) + Sync),
) -> Result<()> {
    config.check()?;
    create_folder_whole(out, |folder| {
        for class in ["Parasitized", "Uninfected"] {
            create_folder(&folder.join(class))?;
        }
        let done = AtomicUsize::new(0);
        (0..config.cells).into_par_iter().try_for_each(|number| {
            let cell = draw_checked(config, number);
            let class = if cell.parasitized { "Parasitized" } else { "Uninfected" };
            let path = folder.join(class).join(&cell.file_name);
            write_new(&path, &png(&cell.image, &path)?)?;
            progress(done.fetch_add(1, Ordering::Relaxed) + 1);
            Ok(())
        })
    })
}

fn png(image: &RgbImage, path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // Grainy pictures gain little from a harder try, and drawing would wait for it.
    PngEncoder::new_with_quality(&mut bytes, CompressionType::Fast, FilterType::Adaptive)
        .write_image(image, image.width(), image.height(), image::ExtendedColorType::Rgb8)
        .map_err(|error| Error::io("encode", path)(std::io::Error::other(error)))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patients_take_turns_and_only_the_infected_have_infected_cells() {
        // 3 of 4: patients 1, 2 and 3 (of 0 to 3); uninfected cells go around all four.
        let config = SyntheticConfig {
            cells: 24,
            patients: 4,
            infected_share_of_patients: 0.75,
            ..Default::default()
        };
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
    fn there_is_always_an_infected_patient_and_its_number_is_right() {
        for patients in 1..30 {
            for share in [0.001, 0.2, 0.5, 0.77, 1.0] {
                let config = SyntheticConfig {
                    cells: 200,
                    patients,
                    infected_share_of_patients: share,
                    ..Default::default()
                };
                let infected = (0..patients).filter(|&patient| config.is_infected(patient)).count();
                assert_eq!(infected, config.infected_patients(), "{patients} {share}");
                for cell in (0..config.cells).filter(|&cell| is_parasitized(cell)) {
                    assert!(config.is_infected(config.patient(cell)), "{patients} {share} {cell}");
                }
            }
        }
    }
}
