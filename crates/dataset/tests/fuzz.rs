//! Damaged images and manifests are refused or read without a panic and in bounded memory.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use image::{DynamicImage, ImageFormat, RgbImage};
use malaria_dataset::{
    Fingerprint, Index, SplitConfig, SyntheticConfig, decode, decode_within, patient_of, read_manifest,
    split, synthetic_cell, write_manifest,
};
use malaria_fuzz::alone;

/// Largest side of the decoded images, in pixels.
const LONGEST_SIDE: u32 = 256;
/// Memory for an image of that size: the limit that `decode_within` sets, as much again for other buffers, and the first
/// partition that a lossy WebP may announce.
const PICTURE_MEMORY: usize = 2 * 32 * (LONGEST_SIDE as usize).pow(2) + (20 << 20);

fn cell() -> RgbImage {
    let config = SyntheticConfig { seed: 3, patients: 1, ..SyntheticConfig::default() };
    image::imageops::thumbnail(&synthetic_cell(&config, 0).unwrap().image, 24, 20)
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/images").join(name)
}

fn fixtures(extension: &str) -> Vec<Vec<u8>> {
    let files = fs::read_dir(fixture("")).unwrap().map(|entry| entry.unwrap().path());
    let wanted = files.filter(|path| path.extension().is_some_and(|found| found == extension));
    wanted.map(|path| fs::read(path).unwrap()).collect()
}

/// A synthetic cell in this format, and the fixtures of that extension.
fn pictures(format: ImageFormat, extension: &str) -> Vec<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::from(cell()).write_to(&mut bytes, format).unwrap();
    let mut pictures = fixtures(extension);
    pictures.push(bytes.into_inner());
    pictures
}

fn decodes(target: &str, pictures: impl FnOnce() -> Vec<Vec<u8>>) {
    let alone = alone();
    let pictures = pictures();
    for picture in &pictures {
        decode_within(picture, Path::new("sample"), LONGEST_SIDE).unwrap();
    }
    alone.fuzz(target, &pictures, PICTURE_MEMORY, |bytes| {
        if let Ok(picture) = decode_within(bytes, Path::new("damaged"), LONGEST_SIDE) {
            assert!((1..=LONGEST_SIDE).contains(&picture.width()));
            assert!((1..=LONGEST_SIDE).contains(&picture.height()));
        }
    });
}

/// A chunk of a WebP.
fn chunk(name: &[u8; 4], contents: &[u8]) -> Vec<u8> {
    let length = u32::try_from(contents.len()).unwrap();
    [name, length.to_le_bytes().as_slice(), contents, &[0][..contents.len() % 2]].concat()
}

fn riff(chunks: &[Vec<u8>]) -> Vec<u8> {
    chunk(b"RIFF", &[b"WEBP".as_slice(), &chunks.concat()].concat())
}

#[test]
fn png() {
    decodes("png", || pictures(ImageFormat::Png, "png"));
}

#[test]
fn jpeg() {
    decodes("jpeg", || pictures(ImageFormat::Jpeg, "jpg"));
}

#[test]
fn bmp() {
    decodes("bmp", || pictures(ImageFormat::Bmp, "bmp"));
}

#[test]
fn tiff() {
    decodes("tiff", || pictures(ImageFormat::Tiff, "tif"));
}

#[test]
fn webp() {
    decodes("webp", || {
        let mut pictures = pictures(ImageFormat::WebP, "webp");
        // The lossy fixture, whose first chunk is its picture, with transparency.
        let lossy = fs::read(fixture("lossy.webp")).unwrap();
        let frame = &lossy[12..];
        let (width, height) = (lossy[26], lossy[28]);
        let alpha =
            chunk(b"ALPH", &[&[0], vec![200; usize::from(width) * usize::from(height)].as_slice()].concat());
        let size = [width - 1, 0, 0, height - 1, 0, 0];
        let head = chunk(b"VP8X", &[&[0x10, 0, 0, 0], size.as_slice()].concat());
        pictures.push(riff(&[head, alpha, frame.to_vec()]));
        pictures
    });
}

#[test]
fn a_small_file_that_claims_to_be_large_takes_no_memory() {
    let alone = alone();
    let sample = |format, extension| pictures(format, extension).pop().unwrap();
    let put =
        |bytes: &mut Vec<u8>, at: usize, new: &[u8]| drop(bytes.splice(at..at + new.len(), new.to_vec()));
    let side = 100_000_u32;
    let mut png = sample(ImageFormat::Png, "png");
    put(&mut png, 16, &[side.to_be_bytes(), side.to_be_bytes()].concat());
    // Eight bits, RGB, and the checksum of all this.
    put(&mut png, 24, &[8, 2, 0, 0, 0, 0x27, 0x30, 0x9C, 0x9F]);
    let mut bmp = sample(ImageFormat::Bmp, "bmp");
    put(&mut bmp, 18, &[side.to_le_bytes(), side.to_le_bytes()].concat());
    let mut tiff = sample(ImageFormat::Tiff, "tif");
    let directory = u32::from_le_bytes(tiff[4..8].try_into().unwrap()) as usize;
    for entry in (0..usize::from(tiff[directory])).map(|entry| directory + 2 + 12 * entry) {
        // Width, height, and rows of its one strip: each gets a type, a number of values and a value.
        if [256, 257, 278].contains(&u16::from_le_bytes([tiff[entry], tiff[entry + 1]])) {
            put(&mut tiff, entry + 2, &[[4, 0, 1, 0, 0, 0].as_slice(), &side.to_le_bytes()].concat());
        }
    }
    let size = [&(side - 1).to_le_bytes()[..3], &(side - 1).to_le_bytes()[..3]].concat();
    let lossy = fs::read(fixture("lossy.webp")).unwrap();
    let head = chunk(b"VP8X", &[&[0; 4], size.as_slice()].concat());
    let webp = riff(&[head, lossy[12..].to_vec()]);
    // The largest size that its header can hold.
    let mut jpeg = fs::read(fixture("baseline.jpg")).unwrap();
    let frame = jpeg.windows(2).position(|pair| pair == [0xFF, 0xC0]).unwrap();
    put(&mut jpeg, frame + 5, &[0xFF; 4]);

    for (name, mut file) in [("png", png), ("bmp", bmp), ("tiff", tiff), ("webp", webp), ("jpeg", jpeg)] {
        file.resize(10_000.max(file.len()), 0);
        let mut said = String::new();
        let taken = alone.memory_of(|| said = decode(&file, Path::new(name)).unwrap_err().to_string());
        // The BMP decoder has its own limit.
        assert!(said.contains("larger than 8192 px on a side") || said.contains("too large"), "{said}");
        assert!(taken < 1 << 20, "{name}: {taken} bytes");
    }
}

#[test]
fn file_names() {
    let alone = alone();
    let names =
        ["C33P1thinF_IMG_20150619_114756a_cell_179.png", "C6NThinF_IMG_1_cell_1.png", "C\u{664}7.png"];
    alone.fuzz("file names", &names.map(Vec::from), 1 << 16, |bytes| {
        let name = String::from_utf8_lossy(bytes);
        if let Some(patient) = patient_of(&name) {
            let digits = patient.strip_prefix('C').unwrap();
            let written = name[1..].trim_start_matches('0');
            assert!(digits == "0" || written.starts_with(digits), "{name:?}: {patient:?}");
            assert!(!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()), "{patient:?}");
        }
    });
}

#[test]
fn manifest() {
    let alone = alone();
    let folder = tempfile::tempdir().unwrap();
    for class in ["Parasitized", "Uninfected"] {
        fs::create_dir(folder.path().join(class)).unwrap();
        for cell in 0..10 {
            let name = format!("{class}/C{cell}_thinF, \"IMG\"_1_cell_1.png");
            fs::write(folder.path().join(name), b"").unwrap();
        }
    }
    let index = Index::open(folder.path()).unwrap();
    let fingerprints: Vec<Fingerprint> = (0..20_u8).map(|i| Fingerprint::of(&[i])).collect();
    let path = folder.path().join("split.csv");
    let config = SplitConfig { test_fraction: 0.4, validation_fraction: 0.4, ..SplitConfig::default() };
    write_manifest(&path, &index, &split(&index, &config).unwrap(), &fingerprints).unwrap();
    let sample = fs::read(&path).unwrap();
    alone.fuzz("manifest", &[sample], 1 << 20, |bytes| {
        fs::write(&path, bytes).unwrap();
        match read_manifest(&path) {
            Ok(manifest) => {
                // Its contents are compared with the folder, not trusted.
                if let Ok(split) = manifest.resolve(&index, &fingerprints) {
                    split.check(&index).unwrap();
                }
                manifest.match_index(&index, &fingerprints).unwrap();
            }
            Err(error) => assert!(error.to_string().contains("split.csv"), "{error}"),
        }
    });
}
