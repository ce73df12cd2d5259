//! Images for the page of results: mistakes with their activation maps, and augmented training cells; warnings of unusual
//! pictures.

use std::path::Path;

use image::RgbImage;
use malaria_classifier::{DecisionRule, Scored};
use malaria_dataset::{Cells, ImageStats, Loaded, MAX_CELL_SIDE, shows_many_cells};
use malaria_metrics::percent;
use malaria_report::{Picture, heat_overlay};
use malaria_train::{CellTensors, TrainConfig};
use rayon::prelude::*;
use tch::{Kind, TchError, Tensor};

use crate::{classifier::Classifier, error::Result, paths::file_name};

/// Number of mistakes shown.
pub(crate) const MISTAKES_SHOWN: usize = 24;

/// Positions of the cells that `rule` calls wrong, sorted by the probability of their true class, the lowest first.
pub(crate) fn worst_mistakes(scored: &Scored<'_>, rule: &DecisionRule) -> Vec<usize> {
    let rows: Vec<&[f64]> = scored.probabilities.chunks_exact(scored.classes.len()).collect();
    let predicted = scored.predicted(rule);
    let mut wrong: Vec<usize> = (0..rows.len()).filter(|&i| predicted[i] != scored.truth[i]).collect();
    wrong.sort_by(|&a, &b| rows[a][scored.truth[a]].total_cmp(&rows[b][scored.truth[b]]));
    wrong
}

/// Cell `i` as an image.
pub(crate) fn cell_image(cells: &Cells, i: usize) -> RgbImage {
    // `from_raw` cannot fail here, since a cell has size * size * 3 bytes.
    RgbImage::from_raw(cells.size(), cells.size(), cells.cell(i).to_vec()).unwrap_or_default()
}

/// Paths of the pictures at `indices` that are photographs or unlike the training cells, with the warnings.
pub(crate) fn warnings(classifier: &Classifier, loaded: &Loaded, indices: &[usize]) -> Vec<String> {
    let check = classifier.description.input;
    let warning = |&i: &usize| {
        let (cell, (width, height)) = (cell_image(&loaded.cells, i), loaded.dimensions[i]);
        let words = if width.max(height) > MAX_CELL_SIDE || shows_many_cells(&cell) {
            "not a picture of a single cell; count the cells of photographs with `malaria smear`".to_owned()
        } else {
            let found = check.map(|check| check.warnings(&ImageStats::of(&cell), (width, height)));
            let found = found.iter().flatten().map(ToString::to_string);
            found.collect::<Vec<_>>().join("; ")
        };
        (!words.is_empty()).then(|| format!("{}: {words}", loaded.index.samples[i].path))
    };
    indices.par_iter().filter_map(warning).collect()
}

/// The worst mistakes of `classifier` by `rule` among the cells of `loaded` at `indices`.
pub(crate) fn mistakes(
    classifier: &Classifier,
    scored: Scored<'_>,
    rule: &DecisionRule,
    loaded: &Loaded,
    indices: &[usize],
) -> Result<Vec<Picture>> {
    let predicted = scored.predicted(rule);
    let show = |i: usize| {
        let sample = indices[i];
        let mistake = Mistake {
            file: &loaded.index.samples[sample].path,
            class: scored.truth[i],
            predicted: predicted[i],
            probabilities: &scored.probabilities[i * scored.classes.len()..(i + 1) * scored.classes.len()],
        };
        mistake.picture(classifier, cell_image(&loaded.cells, sample))
    };
    worst_mistakes(&scored, rule).into_iter().take(MISTAKES_SHOWN).map(show).collect()
}

/// A misclassified cell.
pub(crate) struct Mistake<'a> {
    pub(crate) file: &'a str,
    pub(crate) class: usize,
    pub(crate) predicted: usize,
    /// Probabilities of the classes.
    pub(crate) probabilities: &'a [f64],
}

impl Mistake<'_> {
    /// The `cell`, and the cell overlaid with the activation map of the predicted class.
    pub(crate) fn picture(&self, classifier: &Classifier, cell: RgbImage) -> Result<Picture> {
        let Self { file, class, predicted, probabilities } = *self;
        let (map, columns) = classifier.evidence(&cell, predicted)?;
        let overlay = heat_overlay(&cell, &map, columns);
        let classes = &classifier.description.classes;
        Ok(Picture {
            images: vec![cell, overlay],
            caption: vec![
                format!("called {} ({})", classes[predicted], percent(Some(probabilities[predicted]))),
                format!("labelled {}", classes[class]),
                file_name(Path::new(file)),
            ],
        })
    }
}

/// Number of training cells shown with augmentation, and number of augmented versions of each.
pub(crate) const AUGMENTED_CELLS: usize = 6;
const AUGMENTED_EPOCHS: u64 = 5;

/// Some training cells, each with its augmented versions of the first epochs.
pub(crate) fn augmentation_sheet(
    config: &TrainConfig,
    cells: &CellTensors<'_>,
    train: &[usize],
) -> Result<Vec<Picture>> {
    let step = (train.len() / AUGMENTED_CELLS).max(1);
    let shown: Vec<usize> = train.iter().copied().step_by(step).take(AUGMENTED_CELLS).collect();
    let (images, _) = cells.batch(&shown)?;
    let mut sheets: Vec<Vec<RgbImage>> = to_images(&images)?.into_iter().map(|cell| vec![cell]).collect();
    for epoch in 0..AUGMENTED_EPOCHS {
        let augmented = malaria_augment::batch(&images, &config.augment, config.seed, epoch, &shown)
            .map_err(malaria_train::Error::from)?;
        for (sheet, image) in sheets.iter_mut().zip(to_images(&augmented)?) {
            sheet.push(image);
        }
    }
    Ok(sheets.into_iter().map(|images| Picture { images, caption: Vec::new() }).collect())
}

/// The images of a tensor `[N, 3, H, W]` in [0, 1].
fn to_images(images: &Tensor) -> Result<Vec<RgbImage>> {
    let read = || -> Result<Vec<u8>, TchError> {
        let white = Tensor::f_from_slice(&[255.0_f32])?.f_to_device(images.device())?;
        let bytes = images.f_mul(&white)?.f_round_()?.f_to_kind(Kind::Uint8)?;
        // NCHW => NHWC
        Vec::<u8>::try_from(bytes.f_permute([0, 2, 3, 1])?.f_contiguous()?.f_flatten(0, -1)?)
    };
    let bytes = read().map_err(malaria_train::Error::from)?;
    let (height, width) = (images.size()[2] as u32, images.size()[3] as u32);
    let image = |bytes: &[u8]| RgbImage::from_raw(width, height, bytes.to_vec()).unwrap_or_default();
    Ok(bytes.chunks_exact((3 * width * height) as usize).map(image).collect())
}
