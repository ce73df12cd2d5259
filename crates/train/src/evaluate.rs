//! Evaluates a network on a set of cells; sums of loss and accuracy, shared with training.

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use crate::{
    cell_tensors::{CellTensors, resize},
    error::Error,
};

/// Sums over cells. Loss and accuracy are computed from them at the end, so that every cell has the same weight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sums {
    pub(crate) cells: u64,
    pub(crate) correct: u64,
    /// Sum of the cross-entropies, in nats.
    pub(crate) loss: f64,
}

impl Sums {
    /// Adds a batch of `cells` with the sum of its losses and its number of correct predictions; returns its mean
    /// cross-entropy.
    pub(crate) fn add(&mut self, cells: usize, [loss, correct]: [f64; 2]) -> f64 {
        self.cells += cells as u64;
        self.correct += correct as u64;
        self.loss += loss;
        loss / cells as f64
    }

    /// Mean cross-entropy in nats.
    pub(crate) fn mean_loss(&self) -> f64 {
        self.loss / self.cells as f64
    }

    /// Share of cells whose most probable class is the true one.
    pub(crate) fn accuracy(&self) -> f64 {
        self.correct as f64 / self.cells as f64
    }
}

/// The sum of the cross-entropies and the number of correct predictions, f64 `[2]` on the device, for log-probabilities
/// `[N, classes]` and labels `[N]`.
pub(crate) fn batch_sums(log_probabilities: &Tensor, labels: &Tensor) -> Result<Tensor, Error> {
    let picked = log_probabilities.f_gather(1, &labels.f_unsqueeze(1)?, false)?;
    let loss = picked.f_sum(Kind::Double)?.f_neg()?;
    let predicted = log_probabilities.f_argmax(1, false)?;
    let correct = predicted.f_eq_tensor(labels)?.f_sum(Kind::Double)?;
    Ok(Tensor::f_stack(&[loss, correct], 0)?)
}

/// Reads the [`batch_sums`] of all `batches` at once: each read waits for the GPU to finish.
pub(crate) fn read_sums<'a>(batches: impl Iterator<Item = &'a Tensor>) -> Result<Vec<[f64; 2]>, Error> {
    let batches: Vec<&Tensor> = batches.collect();
    if batches.is_empty() {
        return Ok(Vec::new());
    }
    let rows = Tensor::f_stack(&batches, 0)?.f_flatten(0, -1)?;
    let values = Vec::<f64>::try_from(rows.f_to_device(Device::Cpu)?)?;
    Ok(values.chunks_exact(2).map(|row| [row[0], row[1]]).collect())
}

/// Probabilities, loss and accuracy of a network on a set of cells.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// Softmax probabilities `[N, classes]`, row-major, in the order of the indices.
    pub probabilities: Vec<f64>,
    /// Mean cross-entropy in nats.
    pub loss: f64,
    /// Share of cells whose most probable class is the true one.
    pub accuracy: f64,
}

/// Options of [`evaluate_network`].
pub struct EvalOptions<'a> {
    /// Side of the network's input in pixels. Default: the side of the cells.
    pub image_size: Option<i64>,
    /// Cells per batch, at least 1. Default: 128.
    pub batch_size: usize,
    /// Average the probabilities of each cell over its four mirror images: unchanged, left to right, top to bottom, both.
    /// The orientation of a red blood cell carries no information. Default: false.
    pub flips: bool,
    /// Called after each batch with the number of cells done. Default: none.
    pub progress: Option<&'a mut dyn FnMut(usize)>,
}

impl Default for EvalOptions<'_> {
    fn default() -> Self {
        Self { image_size: None, batch_size: 128, flips: false, progress: None }
    }
}

/// Evaluates a network, in its form for inference ([`Network::inference`](crate::Network::inference)), on the cells at
/// `indices`. Images are float32.
///
/// # Errors
/// [`Error::EmptySubset`] without indices; [`Error::Cells`] for an index out of range or a `batch_size` of 0; the network's
/// own.
pub fn evaluate_network(
    network: impl Fn(&Tensor) -> Result<Tensor, Error>,
    cells: &CellTensors<'_>,
    indices: &[usize],
    options: EvalOptions<'_>,
) -> Result<Evaluation, Error> {
    let EvalOptions { image_size, batch_size, flips, mut progress } = options;
    if indices.is_empty() {
        return Err(Error::EmptySubset { subset: "evaluation", purpose: "evaluate on" });
    }
    if batch_size == 0 {
        return Err(Error::Cells { expected: "a batch size of at least 1".into(), found: "0".into() });
    }
    let mut sums = Sums::default();
    let mut probabilities = Vec::new();
    tch::no_grad(|| {
        for batch in indices.chunks(batch_size) {
            let (images, labels) = cells.batch(batch)?;
            let images = resize(images, image_size.unwrap_or(cells.size()))?;
            let log_probabilities = log_probabilities(&network, &images, flips)?;
            for of_batch in read_sums([&batch_sums(&log_probabilities, &labels)?].into_iter())? {
                sums.add(batch.len(), of_batch);
            }
            let rows = log_probabilities.f_exp()?.f_flatten(0, -1)?.f_to_device(Device::Cpu)?;
            probabilities.extend(Vec::<f64>::try_from(rows)?);
            if let Some(progress) = &mut progress {
                progress(sums.cells as usize);
            }
        }
        Ok(Evaluation { probabilities, loss: sums.mean_loss(), accuracy: sums.accuracy() })
    })
}

/// Axes of `[N, 3, H, W]` to mirror: none, left to right, top to bottom, and both.
const FLIPS: [&[i64]; 4] = [&[], &[3], &[2], &[2, 3]];

/// Log-probabilities `[N, classes]` of `images` `[N, 3, H, W]`.
fn log_probabilities(
    network: impl Fn(&Tensor) -> Result<Tensor, Error>,
    images: &Tensor,
    flips: bool,
) -> Result<Tensor, Error> {
    // Double precision, so that probabilities near 1 do not round to 1.
    let predict = |images: &Tensor| -> Result<Tensor, Error> {
        Ok(network(images)?.f_to_kind(Kind::Double)?.f_log_softmax(1, Kind::Double)?)
    };
    if !flips {
        return predict(images);
    }
    let views =
        FLIPS.into_iter().map(|axes| predict(&images.f_flip(axes)?)).collect::<Result<Vec<_>, _>>()?;
    // The logarithm of the mean of the probabilities; rounding must not raise it above 0.
    Ok(Tensor::f_stack(&views, 0)?
        .f_logsumexp([0], false)?
        .f_sub_scalar_((FLIPS.len() as f64).ln())?
        .f_clamp_max_(0.0)?)
}
