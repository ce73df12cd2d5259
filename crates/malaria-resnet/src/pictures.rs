//! Cells as pictures for a report: mistakes with what spoke for them, and what augmentation makes of cells.

use std::path::Path;

use image::RgbImage;
use malaria_classifier::{DecisionRule, Scored};
use malaria_dataset::{Cells, Loaded};
use malaria_metrics::percent;
use malaria_report::{Picture, heat_overlay};
use malaria_train::{CellTensors, TrainConfig};
use tch::{Kind, TchError, Tensor};

use crate::{classifier::Classifier, error::Result};

/// Mistakes shown as pictures.
pub(crate) const MISTAKES_SHOWN: usize = 24;

/// Positions of the cells that `rule` calls wrong, the one of which its own class was thought least probable first.
pub(crate) fn worst_mistakes(scored: &Scored<'_>, rule: &DecisionRule) -> Vec<usize> {
    let rows: Vec<&[f64]> = scored.probabilities.chunks_exact(scored.classes.len()).collect();
    let predicted = scored.predicted(rule);
    let mut wrong: Vec<usize> = (0..rows.len()).filter(|&i| predicted[i] != scored.truth[i]).collect();
    wrong.sort_by(|&a, &b| rows[a][scored.truth[a]].total_cmp(&rows[b][scored.truth[b]]));
    wrong
}

/// Cell `i` as a picture.
pub(crate) fn picture(cells: &Cells, i: usize) -> RgbImage {
    // As long as the bytes of a picture of that side.
    RgbImage::from_raw(cells.size(), cells.size(), cells.cell(i).to_vec()).unwrap_or_default()
}

/// The mistakes by `rule` that `classifier` was most sure of, among the cells of `loaded` at `indices`.
pub(crate) fn mistakes(
    classifier: &Classifier,
    scored: Scored<'_>,
    rule: &DecisionRule,
    loaded: &Loaded,
    indices: &[usize],
) -> Result<Vec<Picture>> {
    let predicted = scored.predicted(rule);
    let show = |i: usize| {
        let row = &scored.probabilities[i * scored.classes.len()..(i + 1) * scored.classes.len()];
        let sample = indices[i];
        let file = &loaded.index.samples[sample].path;
        let mistake = Mistake { file, class: scored.truth[i], predicted: predicted[i], row };
        mistake.picture(classifier, picture(&loaded.cells, sample))
    };
    worst_mistakes(&scored, rule).into_iter().take(MISTAKES_SHOWN).map(show).collect()
}

/// A cell that was called wrong.
pub(crate) struct Mistake<'a> {
    pub(crate) file: &'a str,
    pub(crate) class: usize,
    pub(crate) predicted: usize,
    /// Probabilities, one a class.
    pub(crate) row: &'a [f64],
}

impl Mistake<'_> {
    /// The `cell`, and the same with what spoke for the call laid over it.
    pub(crate) fn picture(&self, classifier: &Classifier, cell: RgbImage) -> Result<Picture> {
        let Self { file, class, predicted, row } = *self;
        let (map, columns) = classifier.evidence(&cell, predicted)?;
        let overlay = heat_overlay(&cell, &map, columns);
        let name = Path::new(file).file_name().map_or_else(|| file.into(), |name| name.to_string_lossy());
        let classes = &classifier.classes;
        Ok(Picture {
            images: vec![cell, overlay],
            caption: vec![
                format!("called {} ({})", classes[predicted], percent(Some(row[predicted]))),
                format!("labelled {}", classes[class]),
                name.into_owned(),
            ],
        })
    }
}

/// Training cells shown with what augmentation makes of them, and how many times each.
pub(crate) const AUGMENTED_CELLS: usize = 6;
const AUGMENTED_EPOCHS: u64 = 5;

/// Some training cells, each with what augmentation makes of it in the first epochs.
pub(crate) fn augmentation_sheet(
    config: &TrainConfig,
    cells: &CellTensors<'_>,
    train: &[usize],
) -> Result<Vec<Picture>> {
    let step = (train.len() / AUGMENTED_CELLS).max(1);
    let shown: Vec<usize> = train.iter().copied().step_by(step).take(AUGMENTED_CELLS).collect();
    let (images, _) = cells.batch(&shown)?;
    let mut sheets: Vec<Vec<RgbImage>> = pictures(&images)?.into_iter().map(|cell| vec![cell]).collect();
    for epoch in 0..AUGMENTED_EPOCHS {
        let augmented = malaria_augment::batch(&images, &config.augment, config.seed, epoch, &shown)
            .map_err(malaria_train::Error::from)?;
        for (sheet, picture) in sheets.iter_mut().zip(pictures(&augmented)?) {
            sheet.push(picture);
        }
    }
    Ok(sheets.into_iter().map(|images| Picture { images, caption: Vec::new() }).collect())
}

/// `[N, 3, H, W]` in [0, 1] as pictures.
fn pictures(images: &Tensor) -> Result<Vec<RgbImage>> {
    let read = || -> Result<Vec<u8>, TchError> {
        let bytes = images.f_mul_scalar(255.0)?.f_round()?.f_to_kind(Kind::Uint8)?;
        // NCHW => NHWC
        Vec::<u8>::try_from(bytes.f_permute([0, 2, 3, 1])?.f_contiguous()?.f_flatten(0, -1)?)
    };
    let bytes = read().map_err(malaria_train::Error::from)?;
    let (height, width) = (images.size()[2] as u32, images.size()[3] as u32);
    // Chunks of exactly one picture.
    let picture = |bytes: &[u8]| RgbImage::from_raw(width, height, bytes.to_vec()).unwrap_or_default();
    Ok(bytes.chunks_exact((3 * width * height) as usize).map(picture).collect())
}
