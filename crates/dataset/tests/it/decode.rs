//! Decoding against Pillow's pixels, and files that are truncated, corrupt or too large.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use image::{DynamicImage, ImageBuffer, ImageFormat, Rgb};
use malaria_dataset::{Error, Fingerprint, ImageProblem, decode, decode_photo, decode_within, read_image};
use serde::Deserialize;

use crate::support::{Folder, picture, png};

#[derive(Deserialize)]
struct Case {
    file: String,
    tolerance: u8,
    pixels: Vec<u8>,
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn cases() -> Vec<(PathBuf, Case)> {
    let text = fs::read_to_string(fixtures().join("decode.json")).unwrap();
    let cases: Vec<Case> = serde_json::from_str(&text).unwrap();
    cases.into_iter().map(|case| (fixtures().join("images").join(&case.file), case)).collect()
}

/// Asserts that the picture is refused for a reason that contains `words`.
#[track_caller]
fn assert_refused(contents: &[u8], words: &str) {
    match decode(contents, Path::new("some/cell.png")) {
        Err(Error::BadImage(bad)) => {
            assert_eq!(bad.path, Path::new("some/cell.png"));
            assert!(bad.reason.contains(words), "{}", bad.reason);
        }
        other => panic!("{other:?}, expected {words}"),
    }
}

#[test]
fn every_format_decodes_to_the_pixels_of_pillow() {
    let cases = cases();
    assert_eq!(cases.len(), 20);
    for (path, case) in cases {
        let (found, fingerprint) = read_image(&path).unwrap();
        assert_eq!(found.dimensions(), (13, 7), "{}", case.file);
        let worst = found.iter().zip(&case.pixels).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        assert!(worst <= case.tolerance, "{}: {worst} grey levels off", case.file);
        assert_eq!(fingerprint, Fingerprint::of(&fs::read(&path).unwrap()));
    }
}

#[test]
fn sixteen_bits_per_channel_become_eight() {
    let wide = ImageBuffer::from_fn(5, 3, |x, y| Rgb([x as u16 * 257 * 40, y as u16 * 257 * 90, 65_535]));
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::ImageRgb16(wide).write_to(&mut bytes, ImageFormat::Png).unwrap();
    let found = decode(&bytes.into_inner(), Path::new("x.png")).unwrap();
    assert_eq!(found.get_pixel(4, 2).0, [160, 180, 255]);
    assert_eq!(found.get_pixel(1, 0).0, [40, 0, 255]);
}

/// A file truncated anywhere is refused, unless no pixel is lost (such as with a PNG's last checksum).
#[test]
fn truncated_files_are_refused() {
    for (path, case) in cases() {
        let contents = fs::read(&path).unwrap();
        let whole = decode(&contents, &path).unwrap();
        let mut refused = 0;
        for length in 0..contents.len() {
            match decode(&contents[..length], &path) {
                Ok(found) => assert!(found == whole, "{} cut to {length} bytes", case.file),
                Err(_) => refused += 1,
            }
        }
        assert!(refused + 8 > contents.len(), "{}: {refused} of {} refused", case.file, contents.len());
    }
}

#[test]
fn corrupt_files_never_panic() {
    for (path, _) in cases() {
        let contents = fs::read(&path).unwrap();
        for at in (0..contents.len()).step_by(3) {
            let mut corrupt = contents.clone();
            corrupt[at] ^= 0xA5;
            // Some bytes are colours or comments, so decoding may succeed.
            let _ = decode(&corrupt, &path);
        }
    }
    let mut corrupt = png(&picture(31, 17));
    let middle = corrupt.len() / 2;
    corrupt[middle] ^= 1;
    assert_refused(&corrupt, "cannot be decoded as Png");
}

/// A JPEG with invalid pixel data in its second half, but a correct end.
#[test]
fn a_corrupt_jpeg_is_refused_instead_of_filled_with_grey() {
    let path = fixtures().join("images/baseline.jpg");
    let mut contents = fs::read(&path).unwrap();
    let coded = contents.windows(2).position(|pair| pair == [0xFF, 0xDA]).unwrap() + 14;
    let middle = coded + (contents.len() - coded) / 2;
    let end = contents.len() - 2;
    for pair in contents[middle..end].chunks_exact_mut(2) {
        // Sixteen ones are not a code of any table.
        pair.copy_from_slice(&[0xFF, 0x00]);
    }
    assert_refused(&contents, "cannot be decoded as Jpeg");
}

#[test]
fn the_error_says_why_a_file_is_not_an_image() {
    assert_refused(b"", "is empty (0 bytes)");
    assert_refused(b"hello", "is not an image");
    assert_refused(b"GIF89a\x01\x00\x01\x00\x00\x00\x00;", "is in the format GIF");
    assert_refused(b"\0\0\0\x1cftypavif\0\0\0\0avifmif1", "is in the format AVIF");
    for (contents, words) in [
        (
            &b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"[..],
            "is a HEIC photograph, as phones take them: save it as JPEG",
        ),
        (b"II+\0\x08\0\0\0", "is a BigTIFF"),
        (b"MM\0+\0\x08\0\0", "is a BigTIFF"),
        (b"\0\0\0\x0cjP  \r\n", "is a JPEG 2000 picture"),
        (b"PK\x03\x04\x14\0", "is a zip archive"),
        (b"%PDF-1.7", "is a PDF"),
        (b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
        (b"<html>not found</html>", "is a web page"),
    ] {
        assert_refused(contents, words);
    }
    let clear = image::RgbaImage::from_pixel(4, 4, image::Rgba([200, 100, 150, 0]));
    let mut contents = Cursor::new(Vec::new());
    clear.write_to(&mut contents, ImageFormat::Png).unwrap();
    assert_refused(contents.get_ref(), "is transparent everywhere");
    let folder = Folder::new();
    for path in [folder.path(), &folder.join("none.png")] {
        let message = read_image(path).unwrap_err().to_string();
        assert!(message.contains(&format!("{}` cannot be read", path.display())), "{message}");
    }
}

/// A PNG whose header claims this size, with the right checksum.
fn claiming(width: u32, height: u32) -> Vec<u8> {
    let mut contents = png(&picture(3, 2));
    contents[16..20].copy_from_slice(&width.to_be_bytes());
    contents[20..24].copy_from_slice(&height.to_be_bytes());
    let mut crc = u32::MAX;
    for &byte in &contents[12..29] {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xEDB8_8320 * (crc & 1));
        }
    }
    contents[29..33].copy_from_slice(&(!crc).to_be_bytes());
    contents
}

#[test]
fn headers_that_claim_an_enormous_size_are_refused() {
    for (width, height) in [(8_193, 1), (1, 8_193), (u32::MAX >> 1, 1)] {
        assert_refused(&claiming(width, height), "larger than 8192 px");
    }
    // Its size is allowed.
    assert_refused(&claiming(8_192, 8_192), "cannot be decoded as Png");
    assert_refused(&claiming(0, 5), "cannot be decoded as Png");
}

#[test]
fn the_number_of_pixels_is_limited_in_every_format() {
    // Its sides are allowed for a photograph, and its bytes for the decoder.
    let error = decode_photo(&claiming(16_384, 8_192), Path::new("photo.png")).unwrap_err();
    assert!(error.to_string().contains("has 16384 x 8192 pixels; at most"), "{error}");
    assert_eq!(error.image_problem(), Some(ImageProblem::TooLarge));
}

#[test]
fn every_refusal_has_the_kind_of_its_problem() {
    let clear = image::RgbaImage::from_pixel(4, 4, image::Rgba([200, 100, 150, 0]));
    let mut transparent = Cursor::new(Vec::new());
    clear.write_to(&mut transparent, ImageFormat::Png).unwrap();
    let whole = png(&picture(31, 17));
    let several = fs::read(fixtures().join("refused/pages.tif")).unwrap();
    for (contents, problem) in [
        (&b""[..], ImageProblem::Empty),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", ImageProblem::Heic),
        (b"GIF89a\x01\x00\x01\x00\x00\x00\x00;", ImageProblem::OtherFormat),
        (b"%PDF-1.7", ImageProblem::OtherFormat),
        (b"hello", ImageProblem::OtherFormat),
        (&whole[..whole.len() / 2], ImageProblem::Damaged),
        (&claiming(8_193, 1)[..], ImageProblem::TooLarge),
        (&several[..], ImageProblem::SeveralPictures),
        (&transparent.get_ref()[..], ImageProblem::OtherPixels),
    ] {
        let error = decode(contents, Path::new("cell")).unwrap_err();
        assert_eq!(error.image_problem(), Some(problem), "{error}");
    }
    let missing = read_image(&fixtures().join("none.png")).unwrap_err();
    assert_eq!(missing.image_problem().map(ImageProblem::key), Some("unreadable"));
}

/// A grey TIFF of 8 x 8 pixels in the corner of one tile, `side` pixels wide and high.
fn tiled(side: u32) -> Vec<u8> {
    let entries = [
        (256, 8),                   // width
        (257, 8),                   // height
        (258, 8),                   // bits
        (259, 1),                   // uncompressed
        (262, 1),                   // black is 0
        (277, 1),                   // channels
        (322, side),                // tile width
        (323, side),                // tile height
        (324, 8 + 2 + 10 * 12 + 4), // position of the tile
        (325, side * side),         // bytes
    ];
    let mut contents = b"II\x2a\0\x08\0\0\0\x0a\0".to_vec();
    for (tag, value) in entries {
        contents.extend_from_slice(&u16::to_le_bytes(tag));
        // One number of four bytes.
        contents.extend_from_slice(&[4, 0, 1, 0, 0, 0]);
        contents.extend_from_slice(&u32::to_le_bytes(value));
    }
    contents.extend_from_slice(&[0; 4]);
    contents.resize(contents.len() + (side * side) as usize, 7);
    contents
}

#[test]
fn a_smaller_limit_applies_to_the_image_and_to_memory() {
    let within = |contents: &[u8], side| {
        decode_within(contents, Path::new("cell"), side).map(|image| image.dimensions())
    };
    let picture = png(&picture(30, 20));
    assert_eq!(within(&picture, 30).unwrap(), (30, 20));
    let message = within(&picture, 29).unwrap_err().to_string();
    assert!(message.contains("larger than 29 px on a side"), "{message}");
    // The general limit still applies.
    assert!(within(&claiming(8_193, 1), u32::MAX).unwrap_err().to_string().contains("8192 px"));
    // Small images can take much memory too.
    assert_eq!(within(&tiled(64), 64).unwrap(), (8, 8));
    assert_eq!(within(&tiled(1024), 8192).unwrap(), (8, 8));
    assert!(within(&tiled(1024), 64).is_err());
}

#[test]
fn missing_parts_of_a_tiff_take_no_memory() {
    // 30 bytes with a directory that announces two million widths.
    let mut contents = b"II\x2a\0\x08\0\0\0\x01\0".to_vec();
    contents.extend_from_slice(&[0, 1, 4, 0]);
    contents.extend_from_slice(&2_000_000_u32.to_le_bytes());
    contents.resize(30, 0);
    assert_refused(&contents, "shorter than its directory says");
}

/// A WebP with an extended header of these flags and a canvas of one pixel, and the lossy fixture's picture with these sides.
fn extended(flags: u8, sides: [u8; 4]) -> Vec<u8> {
    let mut contents = fs::read(fixtures().join("images/lossy.webp")).unwrap();
    contents[26..30].copy_from_slice(&sides);
    contents.splice(12..12, *b"VP8X\x0a\0\0\0\0\0\0\0\0\0\0\0\0\0");
    contents[20] = flags;
    let size = u32::try_from(contents.len() - 8).unwrap();
    contents[4..8].copy_from_slice(&size.to_le_bytes());
    contents
}

#[test]
fn animated_and_oversized_webps_are_refused() {
    // The decoder panics on frames of another size than announced.
    assert_refused(&extended(2, [1, 0, 1, 0]), "animated WebP");
    // 16,383 pixels on a side, which the decoder would allocate.
    assert_refused(&extended(0, [0xFF; 4]), "larger than 8192 px");
    // The size is allowed, but differs from the canvas.
    assert_refused(&extended(0, [13, 0, 7, 0]), "cannot be decoded as WebP");
}

#[test]
fn files_with_several_pictures_are_refused() {
    let refused = |name: &str| fs::read(fixtures().join("refused").join(name)).unwrap();
    assert_refused(&refused("animated.png"), "animated PNG");
    assert_refused(&refused("pages.tif"), "has 2 pages or channels");
    assert_refused(&refused("pages.tif"), "save it as a single RGB image");

    // A second directory marked as a smaller copy is not a second page.
    let mut copy = tiled(16);
    let (start, length) = (8, 2 + 10 * 12 + 4);
    let second = copy[start..start + length].to_vec();
    let at = u32::try_from(copy.len()).unwrap();
    copy[start + length - 4..start + length].copy_from_slice(&at.to_le_bytes());
    copy.extend_from_slice(&second);
    assert_refused(&copy, "has 2 pages");
    let entry = at as usize + 2;
    copy[entry..entry + 2].copy_from_slice(&254_u16.to_le_bytes());
    copy[entry + 8..entry + 12].copy_from_slice(&1_u32.to_le_bytes());
    assert_eq!(decode(&copy, Path::new("cell")).unwrap().dimensions(), (8, 8));
    // A camera's raw file: its first directory is a preview, marked as a smaller copy.
    let mut raw = tiled(16);
    let entry = start + 2 + 5 * 12; // instead of the number of channels, 1 by default
    raw[entry..entry + 2].copy_from_slice(&254_u16.to_le_bytes());
    raw[entry + 8..entry + 12].copy_from_slice(&1_u32.to_le_bytes());
    assert_refused(&raw, "is a camera's raw file");
    // Directories in a cycle.
    copy[start + length - 4..start + length].copy_from_slice(&8_u32.to_le_bytes());
    assert_refused(&copy, "pages");
}

#[test]
fn floating_point_values_outside_of_0_to_1_are_refused_instead_of_clipped() {
    let tiff = |value: f32| {
        let image = ImageBuffer::<Rgb<f32>, _>::from_pixel(5, 4, Rgb([value, 0.5, 0.5]));
        let mut contents = Cursor::new(Vec::new());
        DynamicImage::from(image).write_to(&mut contents, ImageFormat::Tiff).unwrap();
        contents.into_inner()
    };
    assert_eq!(decode(&tiff(1.0), Path::new("cell")).unwrap().get_pixel(0, 0).0, [255, 128, 128]);
    for value in [128.0, -0.1, f32::NAN] {
        assert_refused(&tiff(value), "expected 0 to 1: save it as an 8-bit RGB image");
    }
}
