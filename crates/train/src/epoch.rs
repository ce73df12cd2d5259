//! One pass over cells: the figures both passes keep, and the pass that only looks.

use malaria_model::ResNet;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use crate::{CellTensors, Error, resize};

/// Sums over cells, from which loss and accuracy are computed at the end: batches of different sizes weigh as they
/// should.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sums {
    pub(crate) cells: u64,
    pub(crate) correct: u64,
    /// Sum of the cross-entropies, in nats.
    pub(crate) loss: f64,
}

impl Sums {
    /// Adds a batch: log-probabilities `[N, classes]` and labels `[N]`; gives its mean cross-entropy.
    pub(crate) fn add(&mut self, log_probabilities: &Tensor, labels: &Tensor) -> Result<f64, Error> {
        let cells = labels.size()[0];
        let picked = log_probabilities.f_gather(1, &labels.f_unsqueeze(1)?, false)?;
        let loss = -picked.f_sum(Kind::Double)?.f_double_value(&[])?;
        let predicted = log_probabilities.f_argmax(1, false)?;
        let correct = predicted.f_eq_tensor(labels)?.f_sum(Kind::Int64)?.f_int64_value(&[])?;
        self.cells += cells as u64;
        self.correct += correct as u64;
        self.loss += loss;
        Ok(loss / cells as f64)
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

/// What a model says of cells that it is only shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// Softmax probabilities, `[N, classes]` row by row, in the order of the indices.
    pub probabilities: Vec<f64>,
    /// Mean cross-entropy in nats.
    pub loss: f64,
    /// Share of cells whose most probable class is the true one.
    pub accuracy: f64,
}

/// Shows the cells at `indices` to `model`, `batch_size` at a time, at `image_size` px a side, and calls `progress`
/// with the number of cells seen after each batch. BatchNorm uses its running statistics; nothing is changed.
///
/// # Errors
/// [`Error::EmptySubset`] without indices; [`Error::Cells`] for one out of range or a `batch_size` of 0.
pub fn evaluate(
    model: &ResNet,
    cells: &CellTensors,
    indices: &[usize],
    image_size: i64,
    batch_size: usize,
    progress: &mut dyn FnMut(usize),
) -> Result<Evaluation, Error> {
    if indices.is_empty() {
        return Err(Error::EmptySubset { subset: "evaluation", purpose: "evaluate on" });
    }
    if batch_size == 0 {
        return Err(Error::Cells { expected: "a batch size of at least 1".into(), found: "0".into() });
    }
    let mut sums = Sums::default();
    let mut probabilities = Vec::with_capacity(indices.len() * model.config().classes as usize);
    tch::no_grad(|| {
        for batch in indices.chunks(batch_size) {
            let (images, labels) = cells.batch(batch)?;
            let logits = model.forward(&resize(images, image_size)?, false);
            // Probabilities in double precision, so that those near 1 do not all round to it.
            let log_probabilities = logits.f_to_kind(Kind::Double)?.f_log_softmax(1, Kind::Double)?;
            sums.add(&log_probabilities, &labels)?;
            let rows = log_probabilities.f_exp()?.f_flatten(0, -1)?;
            probabilities.extend(Vec::<f64>::try_from(rows)?);
            progress(sums.cells as usize);
        }
        Ok(Evaluation { probabilities, loss: sums.mean_loss(), accuracy: sums.accuracy() })
    })
}
