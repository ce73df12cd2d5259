//! Reading photographs.

use std::fs;

use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder, Rgb, RgbImage};
use malaria_smear::{Error, read_photo};

/// EXIF data with only an orientation: a TIFF header, and a directory with one entry.
fn exif(orientation: u8) -> Vec<u8> {
    let entry = [0x12, 0x01, 3, 0, 1, 0, 0, 0, orientation, 0, 0, 0];
    [b"II*\0\x08\0\0\0".as_slice(), &[1, 0], &entry, &[0; 4]].concat()
}

/// Red on the left, blue on the right.
fn picture() -> RgbImage {
    RgbImage::from_fn(64, 32, |x, _| if x < 32 { Rgb([200, 0, 0]) } else { Rgb([0, 0, 200]) })
}

#[test]
fn photographs_are_turned_upright() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("photo.jpg");
    // How the camera was held: upright, upside down, to the right, to the left. The size, and the red corner: top left or
    // bottom right.
    for (orientation, size, red_first) in
        [(1, (64, 32), true), (3, (64, 32), false), (6, (32, 64), true), (8, (32, 64), false)]
    {
        let mut file = Vec::new();
        let mut encoder = JpegEncoder::new_with_quality(&mut file, 95);
        encoder.set_exif_metadata(exif(orientation)).unwrap();
        encoder.write_image(&picture(), 64, 32, ExtendedColorType::Rgb8).unwrap();
        fs::write(&path, file).unwrap();
        let (photo, _) = read_photo(&path).unwrap();
        assert_eq!(photo.dimensions(), size, "{orientation}");
        assert_eq!(photo.get_pixel(0, 0)[0] > 100, red_first, "{orientation}");
        assert_eq!(photo.get_pixel(size.0 - 1, size.1 - 1)[0] > 100, !red_first, "{orientation}");
    }
}

#[test]
fn the_same_pixels_in_another_file_have_the_same_fingerprint() {
    let folder = tempfile::tempdir().unwrap();
    let save = |name: &str, picture: &RgbImage, exif: Option<Vec<u8>>| {
        let path = folder.path().join(name);
        let mut file = Vec::new();
        let mut encoder = PngEncoder::new(&mut file);
        if let Some(exif) = exif {
            encoder.set_exif_metadata(exif).unwrap();
        }
        encoder.write_image(picture, picture.width(), picture.height(), ExtendedColorType::Rgb8).unwrap();
        fs::write(&path, file).unwrap();
        read_photo(&path).unwrap().1
    };
    let plain = save("a.png", &picture(), None);
    assert_eq!(plain, save("b.png", &picture(), Some(exif(1))));
    let mut other = picture();
    other.put_pixel(3, 3, Rgb([1, 2, 3]));
    assert_ne!(plain, save("c.png", &other, None));
}

#[test]
fn a_file_that_is_not_a_photograph_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.jpg");
    fs::write(&path, "no photograph").unwrap();
    let error = read_photo(&path).unwrap_err();
    assert!(matches!(error, Error::Photo(_)));
    assert_eq!(error.key(), "photo-other-format");
    assert_eq!(Error::Dark.key(), "dark");
    assert!(error.to_string().contains("notes.jpg"), "{error}");
    let missing = read_photo(&folder.path().join("none.png")).unwrap_err();
    assert!(missing.to_string().contains("none.png"), "{missing}");
}
