//! Damaged photographs: an error or a result, never a panic, and bounded memory.

use std::io::Cursor;
use std::path::Path;

use image::ImageFormat;
use malaria_dataset::{SmearConfig, decode_photo, synthetic_smear};
use malaria_fuzz::alone;
use malaria_smear::find_cells;

#[test]
fn photographs() {
    let alone = alone();
    let config = SmearConfig {
        width: 160,
        height: 120,
        cell_diameter: 24.0,
        cells: 12,
        white_cells: 0,
        ..SmearConfig::default()
    };
    let photo = synthetic_smear(&config).unwrap().image;
    let formats =
        [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Bmp, ImageFormat::Tiff, ImageFormat::WebP];
    let samples = formats.map(|format| {
        let mut file = Cursor::new(Vec::new());
        photo.write_to(&mut file, format).unwrap();
        file.into_inner()
    });
    // Damaged sizes make larger pictures of the same bytes.
    alone.fuzz("photographs", &samples, 512 << 20, |bytes| {
        if let Ok(photo) = decode_photo(bytes, Path::new("photo")) {
            drop(find_cells(&photo));
        }
    });
}
