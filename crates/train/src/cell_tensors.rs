//! Decoded cells on the model's device: batches, resizing and the order of an epoch.

use std::marker::PhantomData;

use malaria_dataset::{Cells, Loaded};
use malaria_libtorch::upload;
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use tch::{Device, Kind, Tensor};

use crate::error::Error;

/// All cells of a data set and their classes on one device, as bytes: 27,558 cells of 64 px take 339 MB. On the CPU it borrows
/// the memory of the [`Cells`]; on another device it holds a copy.
pub struct CellTensors<'a> {
    /// u8 `[N, S, S, 3]`. Nothing writes to it, and no handle to it leaves this struct.
    pixels: Tensor,
    /// i64 `[N]`.
    labels: Tensor,
    /// f32 `[N, classes]`.
    targets: Option<Tensor>,
    size: i64,
    /// The owner of the memory of `pixels` on the CPU.
    cells: PhantomData<&'a Cells>,
}

impl<'a> CellTensors<'a> {
    /// `cells` and their `classes` (one per cell, in the same order) on `device`.
    ///
    /// # Errors
    /// [`Error::Cells`] when the two differ in length; [`Error::Torch`] when device memory is short.
    pub fn new(cells: &'a Cells, classes: &[usize], device: Device) -> Result<Self, Error> {
        if cells.len() != classes.len() {
            let expected = format!("one class for each of {} cells", cells.len());
            return Err(Error::Cells { expected, found: format!("{} classes", classes.len()) });
        }
        let size = i64::from(cells.size());
        let shape = [cells.len() as i64, size, size, 3];
        let strides = [size * size * 3, size * 3, 3, 1];
        let bytes = cells.pixels().as_ptr();
        // SAFETY: `Cells` holds as many contiguous bytes as `shape` says; they are borrowed for 'a, and thus neither freed
        // nor changed; this struct does not outlive 'a, only reads the tensor and gives out no handle to it.
        #[allow(unsafe_code, reason = "a copy of all NLM cells would add 0.34 GB to the 2 GB of a training")]
        let pixels = unsafe { Tensor::f_from_blob(bytes, &shape, &strides, Kind::Uint8, Device::Cpu) }?
            .f_to_device(device)?;
        let classes: Vec<i64> = classes.iter().map(|&class| class as i64).collect();
        let labels = Tensor::f_from_slice(&classes)?.f_to_device(device)?;
        Ok(Self { pixels, labels, targets: None, size, cells: PhantomData })
    }

    /// Loaded cells and their classes on `device`.
    ///
    /// # Errors
    /// [`Error::Torch`] when device memory is short.
    pub fn of(loaded: &'a Loaded, device: Device) -> Result<Self, Error> {
        Self::new(&loaded.cells, &loaded.index.labels(), device)
    }

    /// Sets the targets of training in place of the labels: `targets` `[N, classes]`, row-major, the probability of each
    /// class. Reported losses and accuracies still refer to the labels.
    ///
    /// # Errors
    /// [`Error::Cells`] unless there is one target for each class of each cell.
    pub fn set_targets(&mut self, targets: &[f32], classes: usize) -> Result<(), Error> {
        let cells = self.len();
        if Some(targets.len()) != cells.checked_mul(classes) {
            let expected = format!("the probability of each of {classes} classes for each of {cells} cells");
            return Err(Error::Cells { expected, found: format!("{} numbers", targets.len()) });
        }
        let rows = Tensor::f_from_slice(targets)?.f_view([cells as i64, classes as i64])?;
        self.targets = Some(rows.f_to_device(self.pixels.device())?);
        Ok(())
    }

    /// Number of cells.
    pub fn len(&self) -> usize {
        self.pixels.size()[0] as usize
    }

    /// Whether there are no cells.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Side of the stored cells in pixels.
    pub fn size(&self) -> i64 {
        self.size
    }

    /// The cells at `indices`: float images `[N, 3, S, S]` in [0, 1], channels_last in memory, and i64 labels `[N]`.
    ///
    /// # Errors
    /// [`Error::Cells`] for an index out of range.
    pub fn batch(&self, indices: &[usize]) -> Result<(Tensor, Tensor), Error> {
        let indices = self.indices(indices)?;
        let images = fractions(&self.pixels.f_index_select(0, &indices)?)?;
        // NHWC => NCHW as a view: libtorch calls this layout channels_last.
        let images = images.f_permute([0, 3, 1, 2])?;
        Ok((images, self.labels.f_index_select(0, &indices)?))
    }

    /// The targets of the cells at `indices`, f32 `[N, classes]`, if they were set.
    pub(crate) fn targets(&self, indices: &[usize]) -> Result<Option<Tensor>, Error> {
        let Some(targets) = &self.targets else { return Ok(None) };
        Ok(Some(targets.f_index_select(0, &self.indices(indices)?)?))
    }

    fn indices(&self, indices: &[usize]) -> Result<Tensor, Error> {
        if let Some(&index) = indices.iter().find(|&&index| index >= self.len()) {
            let expected = format!("indices below {}", self.len());
            return Err(Error::Cells { expected, found: index.to_string() });
        }
        let indices: Vec<i64> = indices.iter().map(|&index| index as i64).collect();
        Ok(upload(Tensor::f_from_slice(&indices)?, self.pixels.device())?)
    }
}

/// Bytes divided by 255, as float32.
fn fractions(bytes: &Tensor) -> Result<Tensor, Error> {
    Ok(bytes.f_to_kind(Kind::Float)?.f_div_scalar_(255.0)?)
}

/// Resizes `images` `[N, 3, S, S]` to `size` px per side by antialiased bilinear interpolation; images of that size are
/// returned unchanged.
///
/// # Errors
/// [`Error::Torch`] when libtorch refuses the size.
pub fn resize(images: Tensor, size: i64) -> Result<Tensor, Error> {
    if images.size()[2..] == [size, size] {
        return Ok(images);
    }
    Ok(images.f_internal_upsample_bilinear2d_aa([size, size], false, None, None)?)
}

/// `indices` in the order of `epoch` (from 0): a permutation that depends only on the seed, the epoch and their number.
pub fn epoch_order(indices: &[usize], seed: u64, epoch: u64) -> Vec<usize> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(epoch);
    let mut order = indices.to_vec();
    order.shuffle(&mut rng);
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_lie_in_memory_once() {
        let cells = Cells::from_pixels(2, vec![7; 24]).unwrap();
        let tensors = CellTensors::new(&cells, &[0, 1], Device::Cpu).unwrap();
        assert_eq!(tensors.pixels.data_ptr().cast_const().cast(), cells.pixels().as_ptr());
    }

    #[test]
    fn too_many_cells_for_the_memory_are_an_error() {
        // One pixel, expanded without taking memory; as float32 it would take 50 petabytes.
        let pixel = Tensor::zeros([1, 1, 1, 3], (Kind::Uint8, Device::Cpu));
        let error = fractions(&pixel.expand([1 << 40, 64, 64, 3], false)).unwrap_err();
        assert!(error.to_string().contains("memory"), "{error}");
    }
}
