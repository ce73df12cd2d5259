//! The cells that a person judged or added, as a folder of labelled cells for training.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use image::{Rgb, RgbImage};
use malaria_dataset::decode_photo;
use malaria_edge::Model;
use malaria_smear::{AddedCell, Judgement, ReviewedField, ReviewedSmear, find_cells};
use serde::Serialize;

/// Writes the red cells of a verified reading that a person judged or added; returns how many. `photos` are the photographs
/// by their SHA-256.
pub(super) fn write_cells(
    model: &Model,
    reading: &ReviewedSmear,
    photos: &HashMap<String, PathBuf>,
    folder: &Path,
) -> Result<usize> {
    #[derive(Serialize)]
    struct Row<'a> {
        file: String,
        patient: &'a str,
    }
    let classes = &model.description().classes;
    let positive = &model.description().positive;
    let Some(negative) = classes.iter().find(|class| *class != positive).filter(|_| classes.len() == 2)
    else {
        bail!("--cells: expected a model of two classes, found {classes:?}");
    };
    let class = |judgement: Judgement| match judgement {
        Judgement::Infected => Some(positive),
        Judgement::Uninfected => Some(negative),
        Judgement::NoRedCell => None,
    };
    malaria_files::create_folder(folder, |folder| -> Result<usize> {
        let mut rows = Vec::new();
        for ReviewedField { sha256, reading: field, added } in &reading.fields {
            let judged = field.objects.iter().enumerate();
            let judged: Vec<_> =
                judged.filter_map(|(i, object)| Some((i, class(object.judgement?)?))).collect();
            let nothing = judged.is_empty() && added.is_empty();
            let Some(path) = photos.get(sha256).filter(|_| !nothing) else { continue };
            let contents = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            let photo = decode_photo(&contents, path)?;
            let mut cells = Vec::new();
            if !judged.is_empty() {
                let smear = find_cells(&photo).with_context(|| path.display().to_string())?;
                for (i, class) in judged {
                    // Verified before.
                    let Some(object) = smear.objects.get(i) else { continue };
                    cells.push(((i + 1).to_string(), class, object.crop(&photo)));
                }
            }
            if let Some(diameter) = field.count.cell_diameter {
                for (number, cell) in (1..).zip(added) {
                    let class = if cell.infected { positive } else { negative };
                    cells.push((format!("added-{number}"), class, disc(&photo, *cell, diameter)));
                }
            }
            for (name, class, picture) in cells {
                let file = format!("{class}/{sha256:.12}-{name}.png");
                fs::create_dir_all(folder.join(class))?;
                picture.save(folder.join(&file))?;
                rows.push(Row { file, patient: reading.patient.trim() });
            }
        }
        ensure!(
            !rows.is_empty(),
            "--cells: no cell in these photographs was judged infected or not infected"
        );
        let written = rows.len();
        if !reading.patient.trim().is_empty() {
            malaria_files::write_csv(&folder.join("patients.csv"), rows)?;
        }
        Ok(written)
    })
}

/// A disc of the photograph on black around a cell without an outline.
fn disc(photo: &RgbImage, cell: AddedCell, diameter: f32) -> RgbImage {
    let side = diameter.round().max(1.0) as u32;
    let radius = side as f32 / 2.0;
    RgbImage::from_fn(side, side, |x, y| {
        let [across, down] = [x, y].map(|at| at as f32 + 0.5 - radius);
        let column = (cell.x + x).checked_sub(side / 2);
        let row = (cell.y + y).checked_sub(side / 2);
        let pixel = column.zip(row).and_then(|(column, row)| photo.get_pixel_checked(column, row));
        pixel.filter(|_| across.hypot(down) <= radius).copied().unwrap_or(Rgb([0; 3]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn added_cells_are_discs_on_black_even_at_the_border() {
        let photo = RgbImage::from_pixel(30, 20, Rgb([200, 100, 150]));
        let shown = |x: u32, y: u32| {
            let picture = disc(&photo, AddedCell { x, y, infected: true }, 10.2);
            assert_eq!(picture.dimensions(), (10, 10));
            picture.pixels().filter(|pixel| pixel[0] > 0).count()
        };
        assert!((70..=88).contains(&shown(15, 10)), "{}", shown(15, 10));
        assert!((15..=30).contains(&shown(0, 0)), "{}", shown(0, 0));
    }
}
