//! Pictures, folders and indexes for the tests.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use image::{ImageFormat, Rgb, RgbImage};
use malaria_dataset::{Index, Protocol, Sample, Split, SplitConfig};

pub(crate) const BY_PATIENT: SplitConfig = SplitConfig {
    protocol: Protocol::Patient,
    stratified: false,
    test_fraction: 0.2,
    validation_fraction: 0.1,
    seed: 42,
    fold: None,
};

/// No symmetry, sharp edges; the same as `picture` in `fixtures/generate.py`.
pub(crate) fn picture(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        Rgb([0, 1, 2].map(|c| ((x * 7 + y * 13 + c * 50 + (x * y) % 31 * 3) % 256) as u8))
    })
}

pub(crate) fn png(picture: &RgbImage) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// A temporary folder.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// A folder with these files, each containing its own path.
    pub(crate) fn with(files: &[&str]) -> Self {
        let folder = Self::new();
        for file in files {
            folder.write(file, file.as_bytes());
        }
        folder
    }

    /// A folder with two small images per patient in each of two classes.
    pub(crate) fn of_cells(patients: u32) -> Self {
        let folder = Self::new();
        for (class, shade) in [("Parasitized", 0), ("Uninfected", 9)] {
            for patient in 1..=patients {
                for cell in 0..2 {
                    let picture = picture(5 + patient, 7 + cell + shade);
                    let name = format!("{class}/C{patient}P9thinF_IMG_1_cell_{cell}.png");
                    folder.write(&name, &png(&picture));
                }
            }
        }
        folder
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn join(&self, below: &str) -> PathBuf {
        self.path().join(below)
    }

    pub(crate) fn write(&self, below: &str, contents: &[u8]) {
        let path = self.join(below);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
    }

    pub(crate) fn open(&self) -> Index {
        Index::open(self.path()).unwrap()
    }

    pub(crate) fn open_error(&self) -> String {
        Index::open(self.path()).unwrap_err().to_string()
    }

    #[track_caller]
    pub(crate) fn assert_refused(&self, words: &str) {
        let message = self.open_error();
        assert!(message.contains(words), "{message}");
    }
}

/// A split of these samples, with the default settings.
pub(crate) fn split_of(train: &[usize], validation: &[usize], test: &[usize]) -> Split {
    let [train, validation, test] = [train, validation, test].map(<[usize]>::to_vec);
    Split { config: SplitConfig::default(), train, validation, test }
}

/// An index without a folder: `cells` are (patient, cells of class 0, cells of class 1).
pub(crate) fn made_up(cells: &[(u32, usize, usize)]) -> Index {
    let classes = vec!["Parasitized".to_owned(), "Uninfected".to_owned()];
    let mut samples = Vec::new();
    for &(patient, parasitized, uninfected) in cells {
        for (class, count) in [parasitized, uninfected].into_iter().enumerate() {
            for cell in 0..count {
                let path = format!("{}/C{patient}P1thinF_IMG_1_cell_{cell}.png", classes[class]);
                samples.push(Sample {
                    path,
                    class,
                    patient: Some(format!("C{patient}")),
                    subset: None,
                    file: None,
                });
            }
        }
    }
    samples.sort_by(|a, b| a.path.cmp(&b.path));
    Index { root: PathBuf::from("made-up"), classes, samples, ignored: Vec::new() }
}

/// An index like that of the NIH's set: 120 infected patients with few or many parasitized and about 70 uninfected cells,
/// and 30 healthy patients.
pub(crate) fn like_the_nih() -> Index {
    let infected = |patient: u32| {
        let parasitized = 1
            + (u64::from(patient) * 7919 % 613) as usize * usize::from(patient.is_multiple_of(3))
            + (patient as usize * 31) % 80;
        (patient, parasitized, 63 + patient as usize % 15)
    };
    let cells: Vec<_> =
        (1..=150).map(|patient| if patient <= 120 { infected(patient) } else { (patient, 0, 68) }).collect();
    made_up(&cells)
}
