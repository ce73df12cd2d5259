//! Loads all images of an index into one array of pixels.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};

use fast_image_resize::Resizer;
use rayon::prelude::*;

use crate::decode::try_read;
use crate::error::{BadImage, Error, Result, lines};
use crate::fingerprint::Fingerprint;
use crate::index::Index;
use crate::resize::{ResizePolicy, resize_with};

/// Largest side of cells, in pixels.
const MAX_SIZE: u32 = 4096;

/// Square RGB pictures of one size, u8 `[N, size, size, 3]`.
#[derive(Clone, PartialEq, Eq)]
pub struct Cells {
    size: u32,
    pixels: Vec<u8>,
}

impl Cells {
    /// Wraps pixels that are already `[N, size, size, 3]`.
    ///
    /// # Errors
    /// [`Error::Config`] if `size` is 0 or above 4096, or the number of bytes is not a multiple of `size * size * 3`.
    pub fn from_pixels(size: u32, pixels: Vec<u8>) -> Result<Self> {
        check_size(size)?;
        if !pixels.len().is_multiple_of(cell_bytes(size)) {
            let expected = format!("a multiple of {} (cells of {size} x {size} x 3)", cell_bytes(size));
            return Err(Error::config("the number of bytes", pixels.len(), expected));
        }
        Ok(Self { size, pixels })
    }

    /// Number of cells, N.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pixels.len() / cell_bytes(self.size)
    }

    /// Whether there are no cells.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pixels.is_empty()
    }

    /// Side of each cell in pixels.
    #[must_use]
    pub fn size(&self) -> u32 {
        self.size
    }

    /// All pixels, `[N, size, size, 3]`.
    #[must_use]
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// Pixels of cell `i`, `[size, size, 3]`.
    ///
    /// # Panics
    /// If `i` is not below [`Cells::len`].
    #[must_use]
    pub fn cell(&self, i: usize) -> &[u8] {
        let bytes = cell_bytes(self.size);
        &self.pixels[i * bytes..(i + 1) * bytes]
    }
}

impl fmt::Debug for Cells {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cells").field("len", &self.len()).field("size", &self.size).finish_non_exhaustive()
    }
}

/// An index with the contents of its files. Samples, cells, fingerprints and dimensions are parallel: position `i` is the same cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The index, without the skipped images.
    pub index: Index,
    /// Pixels of each sample.
    pub cells: Cells,
    /// Size and hash of each sample's file.
    pub fingerprints: Vec<Fingerprint>,
    /// Width and height of each sample's picture before it was resized, in pixels.
    pub dimensions: Vec<(u32, u32)>,
    /// The skipped images, in the order of their paths.
    pub skipped: Vec<BadImage>,
}

impl Loaded {
    /// Fingerprints of the cells' pixels: equal for copies, also of another format.
    #[must_use]
    pub fn pixel_fingerprints(&self) -> Vec<Fingerprint> {
        (0..self.cells.len()).into_par_iter().map(|i| Fingerprint::of(self.cells.cell(i))).collect()
    }

    /// Moves cell `order[i]` to position `i` for every `i`. In place, since two copies of the pixels may not fit in memory.
    pub(crate) fn reorder(&mut self, order: &[usize]) {
        let bytes = cell_bytes(self.cells.size);
        for i in 0..order.len() {
            let mut from = order[i];
            // The cell at a position below `i` was swapped to another position.
            while from < i {
                from = order[from];
            }
            if from != i {
                self.index.samples.swap(i, from);
                self.fingerprints.swap(i, from);
                self.dimensions.swap(i, from);
                let (before, after) = self.cells.pixels.split_at_mut(from * bytes);
                before[i * bytes..(i + 1) * bytes].swap_with_slice(&mut after[..bytes]);
            }
        }
    }
}

/// Options of [`load`].
#[derive(Clone, Copy)]
pub struct LoadOptions<'a> {
    /// Side of the cells in pixels, 1 to 4096. Default: 64.
    pub size: u32,
    /// How an image becomes a square. Default: stretched.
    pub resize: ResizePolicy,
    /// Skip images that cannot be read and list them in [`Loaded::skipped`]. Default: refuse the folder.
    pub skip_corrupt: bool,
    /// Called after each file with the number of files done, from several threads and so not always in ascending
    /// order. Default: none.
    pub progress: Option<&'a (dyn Fn(usize) + Sync)>,
}

impl Default for LoadOptions<'_> {
    fn default() -> Self {
        Self { size: 64, resize: ResizePolicy::default(), skip_corrupt: false, progress: None }
    }
}

/// Reads, decodes and resizes every image of `index`, on all threads of the rayon pool.
///
/// The result does not depend on the number of threads.
///
/// # Errors
/// [`Error::Config`] if the size is 0 or above 4096; [`Error::NoMemory`]; [`Error::BadImages`] with every image that cannot be
/// used; with `skip_corrupt`, [`Error::NotEnoughData`] if a class loses its last image.
pub fn load(mut index: Index, options: LoadOptions<'_>) -> Result<Loaded> {
    let LoadOptions { size, resize, skip_corrupt, progress } = options;
    check_size(size)?;
    let cell_bytes = cell_bytes(size);
    let mut pixels = zeros(index.samples.len(), size)?;
    let done = AtomicUsize::new(0);
    let read: Vec<Result<_, BadImage>> = pixels
        .par_chunks_exact_mut(cell_bytes)
        .enumerate()
        .map_init(Resizer::new, |resizer, (i, cell)| {
            let path = index.full_path(i);
            let result = match try_read(&path) {
                Ok((picture, fingerprint)) => {
                    cell.copy_from_slice(&resize_with(resizer, &picture, size, resize));
                    Ok((fingerprint, picture.dimensions()))
                }
                Err((problem, reason)) => Err(BadImage { path, problem, reason }),
            };
            if let Some(progress) = progress {
                progress(done.fetch_add(1, Ordering::Relaxed) + 1);
            }
            result
        })
        .collect();

    let kept: Vec<bool> = read.iter().map(Result::is_ok).collect();
    let (mut fingerprints, mut dimensions, mut skipped) = (Vec::new(), Vec::new(), Vec::new());
    for result in read {
        match result {
            Ok((fingerprint, size)) => {
                fingerprints.push(fingerprint);
                dimensions.push(size);
            }
            Err(bad) => skipped.push(bad),
        }
    }
    if !skipped.is_empty() {
        if !skip_corrupt {
            return Err(Error::BadImages { root: index.root, bad: skipped });
        }
        index.retain(|i, _| kept[i]);
        if let Some(class) = index.class_counts().iter().position(|&count| count == 0) {
            let reason = format!(
                "no image of the class `{}` is left after skipping {} that cannot be used:{}",
                index.classes[class],
                skipped.len(),
                lines(&skipped)
            );
            return Err(Error::NotEnoughData { reason });
        }
        close_gaps(&mut pixels, cell_bytes, &kept);
    }
    Ok(Loaded { index, cells: Cells { size, pixels }, fingerprints, dimensions, skipped })
}

fn check_size(size: u32) -> Result<()> {
    if size == 0 || size > MAX_SIZE {
        let expected = format!("1 to {MAX_SIZE} px");
        return Err(Error::config("the side of cells", format_args!("{size} px"), expected));
    }
    Ok(())
}

/// Bytes of one cell, at most 48 MiB for checked sizes.
fn cell_bytes(size: u32) -> usize {
    let side = size as usize;
    side * side * 3
}

fn zeros(cells: usize, size: u32) -> Result<Vec<u8>> {
    let no_memory = || Error::NoMemory { cells, size };
    let bytes = cells.checked_mul(cell_bytes(size)).ok_or_else(no_memory)?;
    let mut pixels = Vec::new();
    pixels.try_reserve_exact(bytes).map_err(|_| no_memory())?;
    pixels.resize(bytes, 0);
    Ok(pixels)
}

/// Moves the kept cells to the front, in their order, and drops the rest.
fn close_gaps(pixels: &mut Vec<u8>, cell_bytes: usize, kept: &[bool]) {
    let mut next = 0;
    for (i, _) in kept.iter().enumerate().filter(|(_, kept)| **kept) {
        pixels.copy_within(i * cell_bytes..(i + 1) * cell_bytes, next);
        next += cell_bytes;
    }
    pixels.truncate(next);
}
