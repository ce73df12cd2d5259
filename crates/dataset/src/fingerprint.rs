//! Fingerprints of files, and duplicates by fingerprint.

use std::collections::BTreeMap;
use std::fs;

use image::RgbImage;
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::index::Index;
use crate::split::Split;
use crate::subset::Subset;

/// Size and SHA-256 of a file or of pixels: equal for copies under any name and different after any change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint {
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256 of the contents.
    pub sha256: [u8; 32],
}

impl Fingerprint {
    /// The fingerprint of a file's contents.
    #[must_use]
    pub fn of(contents: &[u8]) -> Self {
        Self { bytes: contents.len() as u64, sha256: Sha256::digest(contents).into() }
    }

    /// The fingerprint of a picture's size and pixels: equal for copies in any format that keeps the pixels.
    #[must_use]
    pub fn of_pixels(picture: &RgbImage) -> Self {
        let hash = Sha256::new().chain_update(picture.width().to_le_bytes()).chain_update(picture.as_raw());
        Self { bytes: picture.as_raw().len() as u64, sha256: hash.finalize().into() }
    }

    /// The SHA-256 in 64 lower-case hexadecimal digits.
    #[must_use]
    pub fn hex(&self) -> String {
        base16ct::lower::encode_string(&self.sha256)
    }
}

/// The bytes of a hash written as 64 hexadecimal digits; `None` for other text.
pub(crate) fn sha256_from_hex(hex: &str) -> Option<[u8; 32]> {
    let mut sha256 = [0; 32];
    let decoded = base16ct::mixed::decode(hex, &mut sha256).ok()?.len();
    (decoded == 32).then_some(sha256)
}

/// Reads the files of `index.samples` on all threads of the rayon pool and returns their fingerprints, in the same order.
pub(crate) fn fingerprints(index: &Index) -> Result<Vec<Fingerprint>> {
    let fingerprint = |i: usize| {
        let path = index.full_path(i);
        fs::read(&path).map(|contents| Fingerprint::of(&contents)).map_err(Error::io("read", &path))
    };
    (0..index.samples.len()).into_par_iter().map(fingerprint).collect()
}

/// Two or more samples with the same fingerprint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Duplicate {
    /// Their positions in [`Index::samples`], ascending.
    pub samples: Vec<usize>,
    /// Whether they are in different subsets of the split, so that for example a training cell is also a test cell.
    pub across_subsets: bool,
    /// Whether they are in folders of different classes, so that one of the labels is wrong.
    pub across_classes: bool,
}

/// Groups of samples with the same fingerprint, ordered by their first sample.
///
/// `fingerprints` belong to `index.samples`, in the same order. Samples in no subset of the split count as another
/// subset.
#[must_use]
pub fn duplicates(index: &Index, fingerprints: &[Fingerprint], split: &Split) -> Vec<Duplicate> {
    let subsets: Vec<Option<Subset>> = split.subset_by_sample(index.samples.len());
    let mut same: BTreeMap<&Fingerprint, Vec<usize>> = BTreeMap::new();
    for (i, (_, fingerprint)) in index.samples.iter().zip(fingerprints).enumerate() {
        same.entry(fingerprint).or_default().push(i);
    }
    let mut duplicates: Vec<Duplicate> = same
        .into_values()
        .filter(|samples| samples.len() > 1)
        .map(|samples| Duplicate {
            across_subsets: samples.iter().any(|&i| subsets[i] != subsets[samples[0]]),
            across_classes: samples
                .iter()
                .any(|&i| index.samples[i].class != index.samples[samples[0]].class),
            samples,
        })
        .collect();
    duplicates.sort_by_key(|duplicate| duplicate.samples[0]);
    duplicates
}
