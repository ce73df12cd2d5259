//! The input check on synthetic cells and on other images.

use image::imageops::{self, FilterType};
use image::{DynamicImage, Rgb, RgbImage};
use malaria_dataset::{
    ImageStats, InputCheck, InputWarning, ResizePolicy, SmearConfig, SyntheticConfig, resize,
    shows_many_cells, synthetic_cell, synthetic_smear,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const SIDE: u32 = 64;

fn image_stats(picture: &RgbImage) -> ImageStats {
    ImageStats::of(&resize(picture, SIDE, ResizePolicy::Stretch))
}

fn drawn(cells: std::ops::Range<usize>) -> Vec<RgbImage> {
    cells.map(|cell| synthetic_cell(&SyntheticConfig::default(), cell).unwrap().image).collect()
}

fn range() -> InputCheck {
    InputCheck::of(&drawn(0..600).iter().map(image_stats).collect::<Vec<_>>()).unwrap()
}

/// Share of the pictures with a warning.
fn flagged(pictures: &[RgbImage]) -> f64 {
    let range = range();
    let flagged = pictures
        .iter()
        .filter(|picture| !range.warnings(&image_stats(picture), picture.dimensions()).is_empty());
    flagged.count() as f64 / pictures.len() as f64
}

#[test]
fn image_stats_match_values_worked_by_hand() {
    // 5 x 4 pixels, white with a black left column: four of the fourteen outermost pixels. The inside is uniform.
    let mut picture =
        RgbImage::from_fn(5, 4, |x, _| if x == 0 { Rgb([31, 0, 0]) } else { Rgb([240, 240, 240]) });
    let found = ImageStats::of(&picture);
    assert_eq!((found.black_border, found.sharpness, found.colour), (4.0 / 14.0, 0.0, 0.0));
    // One of the four pixels that count (2..4 across, 1..3 down; not those beside the black column) is darker by 60 in one
    // channel, by 20 in brightness: 80 there, 20 at each of its two inner neighbours.
    picture.put_pixel(2, 1, Rgb([240, 180, 240]));
    let found = ImageStats::of(&picture);
    assert!((found.sharpness - (80.0 + 20.0 + 20.0) / 4.0).abs() < 1e-9, "{found:?}");
    assert_eq!(found.colour, 60.0 / 4.0);
    let nothing = ImageStats::of(&RgbImage::new(0, 0));
    assert_eq!((nothing.black_border, nothing.sharpness, nothing.colour), (0.0, 0.0, 0.0));
    assert_eq!(InputCheck::of(&[]), None);
}

#[test]
fn fewer_than_2_percent_of_similar_cells_are_flagged() {
    let share = flagged(&drawn(600..1_600));
    assert!(share < 0.02, "{share}");
}

#[test]
fn other_images_are_flagged() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let noise: Vec<RgbImage> =
        (0..100).map(|_| RgbImage::from_fn(120, 110, |_, _| Rgb(rng.random()))).collect();
    let blurred: Vec<RgbImage> = drawn(600..700).iter().map(|cell| imageops::fast_blur(cell, 5.0)).collect();
    let bright: Vec<RgbImage> = drawn(600..700)
        .into_iter()
        .map(|mut cell| {
            cell.pixels_mut()
                .filter(|pixel| pixel.0.iter().all(|&v| v < 20))
                .for_each(|pixel| *pixel = Rgb([230; 3]));
            cell
        })
        .collect();
    // Smooth scenes without a border, like photographs: a few colours, enlarged.
    let scenes: Vec<RgbImage> = (0..100)
        .map(|_| {
            let coarse = RgbImage::from_fn(6, 6, |_, _| Rgb(rng.random()));
            imageops::resize(&coarse, 150, 130, FilterType::CatmullRom)
        })
        .collect();
    let grey: Vec<RgbImage> = drawn(600..700)
        .iter()
        .map(|cell| DynamicImage::from(imageops::grayscale(cell)).into_rgb8())
        .collect();
    for (name, pictures) in
        [("noise", noise), ("blurred", blurred), ("bright", bright), ("scenes", scenes), ("grey", grey)]
    {
        let share = flagged(&pictures);
        assert!(share >= 0.95, "{name}: {share}");
    }
}

#[test]
fn each_deviation_has_its_own_warning() {
    let range = InputCheck { black_border: [0.5, 0.9], sharpness: [4.0, 12.0], min_colour: 3.0 };
    let good = ImageStats { black_border: 0.5, sharpness: 12.0, colour: 3.0 };
    let cases: [(ImageStats, (u32, u32), &[InputWarning]); 9] = [
        (good, (128, 100), &[]),
        (good, (23, 40), &[InputWarning::Size]),
        (good, (1_025, 900), &[InputWarning::Size]),
        (good, (100, 301), &[InputWarning::Size]),
        (ImageStats { black_border: 0.49, ..good }, (64, 64), &[InputWarning::Background]),
        (ImageStats { black_border: 0.91, ..good }, (64, 64), &[InputWarning::Background]),
        (ImageStats { sharpness: 3.9, ..good }, (64, 64), &[InputWarning::Blurred]),
        (ImageStats { colour: 2.9, ..good }, (64, 64), &[InputWarning::Colourless]),
        (
            ImageStats { black_border: 0.0, sharpness: 40.0, ..good },
            (9, 9),
            &[InputWarning::Size, InputWarning::Background, InputWarning::Noisy],
        ),
    ];
    for (image_stats, size, expected) in cases {
        assert_eq!(range.warnings(&image_stats, size), expected, "{image_stats:?} {size:?}");
    }
}

/// The round field of an eyepiece on black: the inner circle of a square in the middle of `picture`.
fn through_an_eyepiece(picture: &RgbImage) -> RgbImage {
    let (width, height) = picture.dimensions();
    let side = width.min(height);
    let square = imageops::crop_imm(picture, (width - side) / 2, (height - side) / 2, side, side).to_image();
    let from_middle = |at: u32| 2 * i64::from(at) + 1 - i64::from(side);
    RgbImage::from_fn(side, side, |x, y| {
        let inside = from_middle(x).pow(2) + from_middle(y).pow(2) < i64::from(side).pow(2);
        if inside { *square.get_pixel(x, y) } else { Rgb([0; 3]) }
    })
}

#[test]
fn photographs_of_many_cells_are_distinguished_from_single_cells() {
    for seed in 0..4 {
        let config = SmearConfig { seed, ..SmearConfig::default() };
        let smear = synthetic_smear(&config).unwrap().image;
        let part = imageops::crop_imm(&smear, 400, 300, 700, 525).to_image();
        // Also at the size of a model's input, at which `evaluate` has the pictures.
        let small = [&smear, &part].map(|picture| resize(picture, SIDE, ResizePolicy::Stretch));
        let round = through_an_eyepiece(&smear);
        let rounds = [300, 640, 1_000].map(|side| resize(&round, side, ResizePolicy::Stretch));
        for (i, picture) in [smear, part].iter().chain(&small).chain(&rounds).enumerate() {
            assert!(shows_many_cells(picture), "{seed}: {i}");
        }
    }
    // Some have many specks.
    let cells = drawn(0..400);
    for cell in &cells {
        let small = resize(cell, SIDE, ResizePolicy::Stretch);
        assert!(!shows_many_cells(cell) && !shows_many_cells(&small));
    }
    // Also on a bright background with some noise.
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    for mut cell in cells {
        for pixel in cell.pixels_mut().filter(|pixel| pixel.0[0] < 110) {
            *pixel = Rgb([225, 220, 230].map(|value| value + rng.random_range(0..20)));
        }
        assert!(!shows_many_cells(&cell));
    }
    // In small pictures, even noise is not taken for cells.
    assert!(!shows_many_cells(&RgbImage::from_fn(31, 40, |_, _| Rgb(rng.random()))));
}
