//! Resizing against Pillow's pixels.

use std::fs;
use std::path::Path;

use image::{Rgb, RgbImage};
use malaria_dataset::{ResizePolicy, resize};
use serde::Deserialize;

use crate::support::picture;

#[derive(Deserialize)]
struct References {
    resized: Vec<Resized>,
    nearest_columns: Vec<Columns>,
}

#[derive(Deserialize)]
struct Resized {
    width: u32,
    height: u32,
    size: u32,
    policy: ResizePolicy,
    pixels: Vec<u8>,
}

#[derive(Deserialize)]
struct Columns {
    old: u32,
    new: u32,
    columns: Vec<u32>,
}

fn references() -> References {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/resize.json");
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn every_policy_matches_pillow() {
    let cases = references().resized;
    assert_eq!(cases.len(), 18);
    for Resized { width, height, size, policy, pixels } in cases {
        let found = resize(&picture(width, height), size, policy);
        assert_eq!(found.dimensions(), (size, size));
        let worst = found.iter().zip(&pixels).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        let tolerance = u8::from(policy != ResizePolicy::StretchNearest);
        assert!(worst <= tolerance, "{width} x {height} to {size}, {policy}: {worst} grey levels off");
    }
}

#[test]
fn nearest_uses_the_same_columns_and_rows_as_pillow() {
    for Columns { old, new, columns } in references().nearest_columns {
        // Two channels encode the position; the other side has 3 pixels, so that columns and rows cannot be confused.
        let mark = |at: u32| Rgb([(at % 256) as u8, (at / 256) as u8, 77]);
        let wide = RgbImage::from_fn(old, 3, |x, _| mark(x));
        let tall = RgbImage::from_fn(3, old, |_, y| mark(y));
        let wide = resize(&wide, new, ResizePolicy::StretchNearest);
        let tall = resize(&tall, new, ResizePolicy::StretchNearest);
        for (at, &column) in (0..new).zip(&columns) {
            assert_eq!(*wide.get_pixel(at, new - 1), mark(column), "{old} to {new}, column {at}");
            assert_eq!(*tall.get_pixel(new - 1, at), mark(column), "{old} to {new}, row {at}");
        }
    }
}

#[test]
fn padding_is_black_and_centred() {
    let white = RgbImage::from_pixel(40, 20, Rgb([255; 3]));
    let found = resize(&white, 10, ResizePolicy::Pad);
    for (_, y, pixel) in found.enumerate_pixels() {
        // Five rows of ten: two above, three below.
        assert_eq!(pixel.0, if (2..7).contains(&y) { [255; 3] } else { [0; 3] }, "row {y}");
    }
    let sliver = RgbImage::from_pixel(1, 1000, Rgb([255; 3]));
    let found = resize(&sliver, 8, ResizePolicy::Pad);
    assert_eq!(found.pixels().filter(|pixel| pixel.0 == [255; 3]).count(), 8, "one column, not none");
}

#[test]
fn empty_pictures_and_sizes_are_valid() {
    for policy in ResizePolicy::ALL {
        assert_eq!(resize(&picture(5, 3), 0, policy).dimensions(), (0, 0));
        assert_eq!(resize(&RgbImage::new(0, 7), 4, policy), RgbImage::new(4, 4));
    }
}

#[test]
fn policy_names_parse_back() {
    for policy in ResizePolicy::ALL {
        assert_eq!(policy.to_string().parse::<ResizePolicy>().unwrap(), policy);
        assert_eq!(serde_json::to_string(&policy).unwrap(), format!("\"{policy}\""));
    }
    assert!("nearest".parse::<ResizePolicy>().is_err());
}
