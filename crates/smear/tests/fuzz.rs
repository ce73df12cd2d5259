//! Damaged photographs and records give an error or a result, never a panic, in bounded memory.

mod support;

use std::io::Cursor;
use std::path::Path;

use image::{ImageFormat, RgbImage};
use malaria_classifier::Provenance;
use malaria_dataset::{Cells, SmearConfig, decode_photo, synthetic_smear};
use malaria_fuzz::alone;
use malaria_smear::{REVIEW_FORMAT, ReviewedField, ReviewedSmear, analyse_field, find_cells};

use support::description;

fn photo() -> RgbImage {
    let config = SmearConfig {
        width: 160,
        height: 120,
        cell_diameter: 24.0,
        cells: 12,
        white_cells: 0,
        ..SmearConfig::default()
    };
    synthetic_smear(&config).unwrap().image
}

#[test]
fn photographs() {
    let (alone, photo) = (alone(), photo());
    let formats =
        [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Bmp, ImageFormat::Tiff, ImageFormat::WebP];
    let samples = formats.map(|format| {
        let mut file = Cursor::new(Vec::new());
        photo.write_to(&mut file, format).unwrap();
        file.into_inner()
    });
    // With damaged sizes, the same bytes make larger pictures.
    alone.fuzz("photographs", &samples, 512 << 20, |bytes| {
        if let Ok(photo) = decode_photo(bytes, Path::new("photo")) {
            drop(find_cells(&photo));
        }
    });
}

#[test]
fn readings() {
    let alone = alone();
    let description = description();
    let network = |cells: &Cells| Ok::<_, malaria_dataset::Error>([0.6, 0.4].repeat(cells.len()));
    let mut field = ReviewedField::new(b"", analyse_field(&description, 0, "a", &photo(), network).unwrap());
    field.reading.objects.truncate(3);
    let reading = ReviewedSmear {
        format_version: REVIEW_FORMAT,
        language: "en".to_owned(),
        patient: "ann".to_owned(),
        slide: String::new(),
        operator: String::new(),
        read_on: String::new(),
        red_cells_per_microlitre: Some(5e6),
        looked_through: false,
        made_by: Provenance::default(),
        fields: vec![field],
    };
    reading.summary(&description).unwrap();
    alone.fuzz("readings", &[serde_json::to_vec(&reading).unwrap()], 64 << 20, |bytes| {
        if let Ok(reading) = serde_json::from_slice::<ReviewedSmear>(bytes) {
            drop(reading.summary(&description));
        }
    });
}
