//! Meaning of file and folder names: image or not, patient, and the `Subset` (train, validation, test).

use std::path::Path;

use serde::{Deserialize, Serialize};
use strum::VariantNames;

use crate::error::Error;

/// Extensions of images, in upper or lower case: the tutorial's six, other names of JPEG, and WebP.
pub(crate) const IMAGE_EXTENSIONS: [&str; 9] =
    ["png", "jpg", "jpeg", "jfif", "jpe", "bmp", "tif", "tiff", "webp"];

/// Extensions of pictures that cannot be read: phones' formats, JPEG 2000 and XL, GIF, raw and slide scanners' formats.
const UNREADABLE_EXTENSIONS: [&str; 28] = [
    "heic", "heif", "hif", "avif", "jp2", "j2k", "jpx", "jxl", "gif", "dng", "cr2", "cr3", "crw", "nef",
    "nrw", "arw", "orf", "rw2", "raf", "pef", "srw", "psd", "svs", "ndpi", "scn", "czi", "lif", "vsi",
];
/// Extensions of archives, which may contain pictures.
const ARCHIVE_EXTENSIONS: [&str; 6] = ["zip", "7z", "rar", "tar", "gz", "tgz"];

/// One of the three sides of a split.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumString,
    strum::VariantNames,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase", parse_err_ty = Error, parse_err_fn = unknown_subset)]
pub enum Subset {
    /// Cells that the weights are fitted to.
    Train,
    /// Cells on which the epoch and the threshold are chosen.
    Validation,
    /// Cells that are evaluated once, after the last decision.
    Test,
}

impl Subset {
    /// All three, in the order train, validation, test.
    pub const ALL: [Self; 3] = [Self::Train, Self::Validation, Self::Test];

    /// Its folder in the tutorial's tree: `training`, `validation` or `testing`.
    #[must_use]
    pub const fn folder(self) -> &'static str {
        match self {
            Self::Train => "training",
            Self::Validation => "validation",
            Self::Test => "testing",
        }
    }
}

fn unknown_subset(found: &str) -> Error {
    Error::unknown_name("subset", found, Subset::VARIANTS)
}

/// Whether a folder has a common name for a side of a split: `train`, `val`, `Test`, `test_set`. If such folders were read
/// as classes, a model would be trained to distinguish training cells from test cells.
pub(crate) fn is_subset_name(folder: &str) -> bool {
    let names = ["train", "training", "val", "valid", "validation", "dev", "test", "testing"];
    let word = folder.to_lowercase().replace(['_', '-', ' '], "");
    let word = ["set", "data"].iter().find_map(|end| word.strip_suffix(end)).unwrap_or(&word);
    names.contains(&word)
}

/// Whether two folders belong to the same class: their names are equal except for case.
pub(crate) fn same_class(a: &str, b: &str) -> bool {
    a.to_lowercase() == b.to_lowercase()
}

/// Whether the extension is that of an image.
pub(crate) fn is_image(path: &Path) -> bool {
    has_extension(path, &IMAGE_EXTENSIONS)
}

/// Whether the extension is that of a picture that cannot be read.
pub(crate) fn is_unreadable_picture(path: &Path) -> bool {
    has_extension(path, &UNREADABLE_EXTENSIONS)
}

/// Whether the extension is that of an archive.
pub(crate) fn is_archive(path: &Path) -> bool {
    has_extension(path, &ARCHIVE_EXTENSIONS)
}

fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    path.extension()
        .and_then(|extension| extension.to_str())
        .is_some_and(|found| extensions.iter().any(|known| found.eq_ignore_ascii_case(known)))
}

/// Whether a file or folder is ignored: hidden, added to a zip by macOS, or a system's folder of deleted files, indexes
/// or thumbnails, whose copies of pictures would count twice.
pub(crate) fn is_ignored_name(name: &str) -> bool {
    let system =
        ["__MACOSX", "$RECYCLE.BIN", "System Volume Information", "@eaDir", "#recycle", "lost+found"];
    name.starts_with('.') || system.iter().any(|system| name.eq_ignore_ascii_case(system))
}

/// The patient in a file name of the NIH's set: the leading `C<number>`. Case and leading zeros do not matter: `c047` is C47.
///
/// `C33P1thinF_IMG_…`, `C6NThinF_…` and `C1_thinF_…` belong to C33, C6 and C1. The rest of the name (the slide `P<number>`, or
/// the stain) is ignored: healthy patients have no `P`, and a patient may have several. A letter or `_` must follow the number: otherwise every
/// one of numbered pictures (`C0001.png`) would be a patient.
pub fn patient_of(file_name: &str) -> Option<String> {
    let rest = file_name.strip_prefix(['C', 'c'])?;
    let (digits, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?);
    // Patient 0 keeps a zero.
    let number = digits.trim_start_matches('0');
    (!digits.is_empty() && after.starts_with(|c: char| c.is_alphabetic() || c == '_'))
        .then(|| format!("C{}", if number.is_empty() { "0" } else { number }))
}

/// The file name without its extension, if it has the form of the NIH's set: patient, slide, time and number of the
/// cell, which is unique within a class. Synthetic cells are recognised by `_drawn` and excluded.
#[must_use]
pub fn nih_name(path: &str) -> Option<&str> {
    let name = Path::new(path).file_stem()?.to_str()?;
    let nih = patient_of(name).is_some() && name.contains("_IMG_") && name.contains("_cell_");
    (nih && !name.contains("_drawn")).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_patient_is_the_leading_c_and_number_of_a_name() {
        for (name, patient) in [
            ("C33P1thinF_IMG_20150619_114756a_cell_179.png", Some("C33")),
            ("C1_thinF_IMG_20150604_104722_cell_9.png", Some("C1")),
            ("C6NThinF_IMG_20150609_122108_cell_1.png", Some("C6")),
            ("C39P4thinF_original_IMG_20150622_105335_cell_12.png", Some("C39")),
            ("C68P29N_ThinF_IMG_20150819_134112_cell_159.png", Some("C68")),
            ("C37BP2_thinF_IMG_20150620_133111a_cell_87.png", Some("C37")),
            ("C51AP12thinF_IMG_20150724_153723_cell_42.png", Some("C51")),
            ("C7", None),
            ("C047P8thinF_IMG_1_cell_1.png", Some("C47")),
            ("c47_1.png", Some("C47")),
            ("c0047.png", None),
            ("C0001.v2.png", None),
            ("C0001 - Copy.png", None),
            ("C0001 (1).png", None),
            ("C470_1.png", Some("C470")),
            ("C000_1.png", Some("C0")),
            ("P12thinF_C33_cell_1.png", None),
            ("Cell_12.png", None),
            ("c.png", None),
            ("c\u{664}7.png", None),
            ("33.png", None),
            ("", None),
        ] {
            assert_eq!(patient_of(name).as_deref(), patient, "{name}");
        }
    }

    #[test]
    fn image_extensions_match_in_upper_and_lower_case() {
        for name in ["a.png", "a.JPG", "a.Jpeg", "a.bmp", "a.TIF", "a.tiff", "a.WebP", "a.b.png"] {
            assert!(is_image(Path::new(name)), "{name}");
        }
        for name in ["a.gif", "a.txt", "png", "a.png.part", "a.", "Thumbs.db"] {
            assert!(!is_image(Path::new(name)), "{name}");
        }
    }

    #[test]
    fn subset_names_parse_back() {
        for subset in Subset::ALL {
            assert_eq!(subset.to_string().parse::<Subset>().unwrap(), subset);
        }
        let message = "training".parse::<Subset>().unwrap_err().to_string();
        assert!(message.contains("`training`") && message.contains("train, validation, test"), "{message}");
    }
}
