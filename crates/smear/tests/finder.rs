//! The finder on synthetic smears, whose cells are known.

use image::{DynamicImage, Rgb, RgbImage, imageops};
use malaria_dataset::{SmearConfig, SmearKind, SyntheticSmear, synthetic_smear};
use malaria_smear::{Bounds, Caveat, Error, Kind, Smear, find_cells};

fn edges(bounds: Bounds) -> [f32; 4] {
    let Bounds { x, y, width, height } = bounds;
    [x, y, x + width, y + height].map(|at| at as f32)
}

fn overlap(a: [f32; 4], b: [f32; 4]) -> f32 {
    let side = |low: usize| (a[low + 2].min(b[low + 2]) - a[low].max(b[low])).max(0.0);
    let area = |c: [f32; 4]| (c[2] - c[0]) * (c[3] - c[1]);
    let shared = side(0) * side(1);
    shared / (area(a) + area(b) - shared)
}

fn drawn(config: &SmearConfig) -> SyntheticSmear {
    synthetic_smear(config).unwrap()
}

/// Number of red cells in the smear, of those found, and of red cells found where there is none. A cell also counts as found
/// in a clump.
fn counts(truth: &SyntheticSmear, smear: &Smear) -> [usize; 3] {
    let cells = Vec::from_iter(truth.objects.iter().filter(|object| object.kind.is_red_cell()));
    let found = Vec::from_iter(smear.red_cells().map(|cell| edges(cell.bounds)));
    let hit = |cell: [f32; 4]| found.iter().any(|found| overlap(*found, cell) >= 0.5);
    let clumped = |cell: [f32; 4]| {
        let middle = [(cell[0] + cell[2]) / 2.0, (cell[1] + cell[3]) / 2.0];
        let mut clumps = smear.objects.iter().filter(|object| object.kind == Kind::Clump);
        clumps.any(|clump| {
            let [left, top, right, bottom] = edges(clump.bounds);
            (left..right).contains(&middle[0]) && (top..bottom).contains(&middle[1])
        })
    };
    let hits = cells.iter().filter(|cell| hit(cell.bounds) || clumped(cell.bounds)).count();
    let extra = found.iter().filter(|found| !cells.iter().any(|cell| overlap(**found, cell.bounds) >= 0.5));
    [cells.len(), hits, extra.count()]
}

#[test]
fn nearly_every_cell_is_found_and_the_count_is_within_two_percent() {
    let mut totals = [0; 3];
    for seed in 0..4 {
        let truth = drawn(&SmearConfig { seed, ..SmearConfig::default() });
        let counts = counts(&truth, &find_cells(&truth.image).unwrap());
        totals = [0, 1, 2].map(|i| totals[i] + counts[i]);
    }
    let [drawn, hits, extra] = totals;
    assert!(hits as f32 >= 0.99 * drawn as f32, "{hits} of {drawn}");
    assert!((hits + extra).abs_diff(drawn) as f32 <= 0.02 * drawn as f32, "{hits} + {extra} of {drawn}");
}

#[test]
fn crowded_overlapping_pale_and_crenated_cells_are_found() {
    let base = SmearConfig { cells: 90, ..SmearConfig::default() };
    for config in [
        SmearConfig { crowded: 0.8, overlap: 0.2, ..base.clone() },
        SmearConfig { pallor: 0.9, ..base.clone() },
        SmearConfig { crenated: 1.0, ..base.clone() },
        SmearConfig { blur: 0.04, ..base.clone() },
        SmearConfig { shade: 0.6, ..base.clone() },
        SmearConfig { noise: 12.0, ..base.clone() },
    ] {
        let truth = drawn(&config);
        let [drawn, hits, extra] = counts(&truth, &find_cells(&truth.image).unwrap());
        assert!(hits as f32 >= 0.97 * drawn as f32, "{hits} of {drawn}: {config:?}");
        assert!(extra as f32 <= 0.03 * drawn as f32, "{extra} beside {drawn}: {config:?}");
    }
}

#[test]
fn cells_of_25_to_260_pixels_are_found() {
    for diameter in [25.0_f32, 50.0, 150.0, 260.0] {
        let side = |cells: f32| (cells * diameter) as u32;
        let config = SmearConfig {
            width: side(12.0),
            height: side(9.0),
            cell_diameter: diameter,
            cells: 40,
            ..SmearConfig::default()
        };
        let truth = drawn(&config);
        let smear = find_cells(&truth.image).unwrap();
        let [drawn, hits, extra] = counts(&truth, &smear);
        assert!(hits + 1 >= drawn && extra <= 1, "{diameter} px: {hits} of {drawn}, {extra} more");
        assert!(
            (smear.cell_diameter / diameter - 1.0).abs() < 0.15,
            "{} for {diameter}",
            smear.cell_diameter
        );
    }
}

#[test]
fn white_cells_platelets_and_specks_are_not_counted_as_red_cells() {
    let config = SmearConfig {
        cells: 60,
        white_cells: 3,
        platelets: 10,
        debris: 10,
        parasitaemia: 0.3,
        ..SmearConfig::default()
    };
    let truth = drawn(&config);
    let smear = find_cells(&truth.image).unwrap();
    assert_eq!(smear.count(Kind::WhiteCell), 3);
    for object in truth.objects.iter().filter(|object| !object.kind.is_red_cell()) {
        let red = smear.red_cells().any(|cell| overlap(edges(cell.bounds), object.bounds) > 0.3);
        assert!(!red, "{:?} at {:?} is counted as a red cell", object.kind, object.bounds);
    }
    let platelets = truth.objects.iter().filter(|object| object.kind == SmearKind::Platelet);
    let found = platelets.filter(|platelet| {
        let mut others = smear.objects.iter().filter(|object| object.kind == Kind::Platelet);
        others.any(|object| overlap(edges(object.bounds), platelet.bounds) > 0.4)
    });
    assert!(found.count() >= 8);
}

#[test]
fn infected_and_uninfected_cells_are_found_alike() {
    let (mut cells, mut hits) = ([0; 2], [0; 2]);
    for seed in 0..3 {
        let truth = drawn(&SmearConfig { seed, parasitaemia: 0.5, ..SmearConfig::default() });
        let smear = find_cells(&truth.image).unwrap();
        for object in truth.objects.iter().filter(|object| object.kind.is_red_cell()) {
            let infected = usize::from(object.kind == SmearKind::Infected);
            let hit = smear.red_cells().any(|found| overlap(edges(found.bounds), object.bounds) >= 0.5);
            cells[infected] += 1;
            hits[infected] += usize::from(hit);
        }
    }
    for (hits, cells) in hits.into_iter().zip(cells) {
        assert!(cells > 100 && hits as f32 >= 0.97 * cells as f32, "{hits} of {cells}");
    }
}

#[test]
fn sparse_cells_in_uneven_light_are_found() {
    let truth = drawn(&SmearConfig {
        shade: 0.3,
        cells: 40,
        cell_diameter: 60.0,
        white_cells: 0,
        ..SmearConfig::default()
    });
    let [drawn, hits, extra] = counts(&truth, &find_cells(&truth.image).unwrap());
    assert!(hits + 1 >= drawn && extra <= 1, "{hits} of {drawn}, {extra} more");
}

#[test]
fn scale_bars_and_text_are_not_cells() {
    let truth = drawn(&SmearConfig { cells: 30, white_cells: 0, ..SmearConfig::default() });
    let (width, height) = truth.image.dimensions();
    let window = |x: u32, y: u32, margin: u32| {
        [x + margin, y + margin, x + 420 - margin, y + 110 - margin].map(|at| at as f32)
    };
    let free =
        |x: u32, y: u32| truth.objects.iter().all(|object| overlap(window(x, y, 0), object.bounds) <= 0.0);
    let mut places =
        (0..height - 110).step_by(10).flat_map(|y| (0..width - 420).step_by(10).map(move |x| (x, y)));
    let (x, y) = places.find(|&(x, y)| free(x, y)).unwrap();
    for (length, thickness) in [(280, 14), (360, 24)] {
        let mut picture = truth.image.clone();
        let mut fill = |left: u32, top: u32, width: u32, height: u32| {
            for y in top..top + height {
                (left..left + width).for_each(|x| picture.put_pixel(x, y, Rgb([0; 3])));
            }
        };
        fill(x + 30, y + 60, length, thickness);
        // Four letters E.
        for left in (0..4).map(|letter| x + 30 + 44 * letter) {
            fill(left, y + 24, 4, 22);
            for down in [0, 9, 18] {
                fill(left, y + 24 + down, 14, 4);
            }
        }
        let smear = find_cells(&picture).unwrap();
        let [drawn, hits, extra] = counts(&truth, &smear);
        assert!(hits + 1 >= drawn && extra == 0, "{hits} of {drawn}, {extra} more");
        for object in &smear.objects {
            let marked = overlap(edges(object.bounds), window(x, y, 20)) > 0.0;
            assert!(!marked || matches!(object.kind, Kind::Platelet | Kind::Debris), "{:?}", object.bounds);
        }
    }
}

#[test]
fn a_rotated_picture_gives_rotated_cells() {
    let truth = drawn(&SmearConfig { cells: 60, ..SmearConfig::default() });
    let (width, height) = truth.image.dimensions();
    let upright = find_cells(&truth.image).unwrap();
    let turned = [imageops::rotate180(&truth.image), imageops::flip_horizontal(&truth.image)];
    for (down, picture) in [true, false].into_iter().zip(turned) {
        let smear = find_cells(&picture).unwrap();
        assert!(smear.red_cells().count().abs_diff(upright.red_cells().count()) <= 1);
        let back = |bounds: Bounds| {
            let [left, top, right, bottom] = edges(bounds);
            let (w, h) = (width as f32, height as f32);
            if down { [w - right, h - bottom, w - left, h - top] } else { [w - right, top, w - left, bottom] }
        };
        let same = upright.red_cells().filter(|cell| {
            smear.red_cells().any(|other| overlap(back(other.bounds), edges(cell.bounds)) > 0.8)
        });
        assert!(same.count() + 2 >= upright.red_cells().count());
    }
}

#[test]
fn colour_and_light_do_not_change_the_cells() {
    let truth = drawn(&SmearConfig { cells: 60, ..SmearConfig::default() });
    let hue = DynamicImage::ImageRgb8(truth.image.clone()).huerotate(120).into_rgb8();
    let mut dim = truth.image.clone();
    dim.pixels_mut().for_each(|pixel| pixel.0 = pixel.0.map(|value| value / 2));
    let grey = DynamicImage::ImageLuma8(imageops::grayscale(&truth.image)).into_rgb8();
    for picture in [hue, dim, grey] {
        let [drawn, hits, extra] = counts(&truth, &find_cells(&picture).unwrap());
        assert!(hits + 1 >= drawn && extra <= 1, "{hits} of {drawn}, {extra} more");
    }
}

#[test]
fn a_crop_is_the_cell_on_black() {
    let truth = drawn(&SmearConfig { cells: 40, crowded: 0.0, ..SmearConfig::default() });
    let smear = find_cells(&truth.image).unwrap();
    for cell in smear.red_cells() {
        let crop = cell.crop(&truth.image);
        assert_eq!(crop.dimensions(), (cell.bounds.width, cell.bounds.height));
        let black = crop.pixels().filter(|pixel| pixel.0 == [0; 3]).count() as f32;
        let whole = (crop.width() * crop.height()) as f32;
        // A disc leaves 21 % of its square.
        assert!((0.1..0.35).contains(&(black / whole)), "{}", black / whole);
        assert!((cell.area / (whole - black) - 1.0).abs() < 0.06, "{} {}", cell.area, whole - black);
        let middle = *crop.get_pixel(crop.width() / 2, crop.height() / 2);
        assert_eq!(
            middle,
            *truth.image.get_pixel(cell.bounds.x + crop.width() / 2, cell.bounds.y + crop.height() / 2)
        );
        assert!(cell.outline.len() > 20);
    }
}

#[test]
fn the_black_surround_of_a_phone_is_not_searched() {
    let truth = drawn(&SmearConfig { cells: 90, white_cells: 0, ..SmearConfig::default() });
    let (width, height) = truth.image.dimensions();
    let from_middle = |x: f32, y: f32| (x - width as f32 / 2.0).hypot(y - height as f32 / 2.0);
    let radius = 560.0;
    let picture = RgbImage::from_fn(width, height, |x, y| {
        let lit = from_middle(x as f32, y as f32) < radius;
        if lit { *truth.image.get_pixel(x, y) } else { Rgb([6, 5, 4]) }
    });
    let smear = find_cells(&picture).unwrap();
    for cell in truth.objects.iter().filter(|object| object.kind.is_red_cell()) {
        let [x, y] = [(cell.bounds[0] + cell.bounds[2]) / 2.0, (cell.bounds[1] + cell.bounds[3]) / 2.0];
        let found = smear.red_cells().filter(|found| overlap(edges(found.bounds), cell.bounds) >= 0.5);
        if from_middle(x, y) < radius - 90.0 {
            assert_eq!(found.count(), 1, "{x} {y}");
        } else if from_middle(x, y) > radius {
            assert_eq!(found.filter(|found| !found.touches_border).count(), 0, "{x} {y}");
        }
    }
}

#[test]
fn poor_fields_have_caveats() {
    let caveats = |config: &SmearConfig| find_cells(&drawn(config).image).unwrap().caveats;
    let base =
        SmearConfig { width: 1000, height: 750, cell_diameter: 60.0, cells: 60, ..SmearConfig::default() };
    assert_eq!(caveats(&base), []);
    assert_eq!(caveats(&SmearConfig { blur: 0.15, ..base.clone() }), [Caveat::OutOfFocus]);
    assert_eq!(caveats(&SmearConfig { cells: 6, crowded: 0.0, ..base.clone() }), [Caveat::Sparse]);
    let mut dense = RgbImage::from_pixel(1000, 750, Rgb([255; 3]));
    for seed in 0..3 {
        let layer = drawn(&SmearConfig { seed, cells: 120, ..base.clone() }).image;
        dense.iter_mut().zip(layer.as_raw()).for_each(|(dense, layer)| *dense = (*dense).min(*layer));
    }
    let found = find_cells(&dense).unwrap();
    assert!(found.caveats.contains(&Caveat::TooDense), "{:?}", found.quality);
    let picture = drawn(&base).image;
    let grey = DynamicImage::ImageLuma8(imageops::grayscale(&picture)).into_rgb8();
    assert_eq!(find_cells(&grey).unwrap().caveats, [Caveat::Grey]);
    let shaded = |change: fn(u8) -> u8| {
        let mut picture = picture.clone();
        picture.pixels_mut().for_each(|pixel| pixel.0 = pixel.0.map(change));
        find_cells(&picture).unwrap().caveats
    };
    assert!(shaded(|value| value / 3).contains(&Caveat::Underexposed));
    assert!(shaded(|value| 255 - (255 - value) / 6).contains(&Caveat::Faint));
}

#[test]
fn pictures_without_cells_are_refused() {
    let plain = |colour: [u8; 3]| RgbImage::from_pixel(400, 300, Rgb(colour));
    assert!(matches!(find_cells(&plain([0; 3])), Err(Error::Dark)));
    assert!(matches!(find_cells(&plain([255; 3])), Err(Error::Blank)));
    assert!(matches!(find_cells(&plain([190, 180, 200])), Err(Error::Blank)));
    for (width, height) in [(0, 0), (0, 9), (1, 1), (5000, 3), (31, 200)] {
        assert!(matches!(find_cells(&RgbImage::new(width, height)), Err(Error::TooSmall { .. })));
    }
    let stripes =
        RgbImage::from_fn(
            800,
            600,
            |x, y| if (x + 2 * y) % 60 < 20 { Rgb([120, 60, 130]) } else { Rgb([230; 3]) },
        );
    assert!(
        matches!(find_cells(&stripes), Err(Error::NotThinSmear { .. })),
        "{:?}",
        find_cells(&stripes).map(|smear| smear.quality)
    );
}

#[test]
fn steps_are_written_as_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let truth = drawn(&SmearConfig {
        width: 640,
        height: 480,
        cell_diameter: 50.0,
        cells: 20,
        ..SmearConfig::default()
    });
    let (smear, written) = malaria_smear::find_cells_and_write_steps(&truth.image, folder.path());
    written.unwrap();
    let smear = smear.unwrap();
    assert_eq!(smear, find_cells(&truth.image).unwrap());
    for step in ["1-reduced", "2-field", "3-darkness", "4-foreground", "5-objects"] {
        assert!(image::open(folder.path().join(format!("{step}.png"))).is_ok(), "{step}");
    }
}
