//! The gradients of a batch: computed, or replayed from a recording on a GPU.

use malaria_libtorch::Graph;
use tch::{Device, Kind, Tensor};

use crate::{
    error::Error,
    evaluate::batch_sums,
    loss::cross_entropy,
    network::{Network, copies, copy, write},
    optim::Sgd,
};

/// Number of batches of one shape that are computed before a step is recorded, so that libtorch's lazy initialisation is done.
const BEFORE_RECORDING: usize = 3;

/// Maximum difference of recorded gradients from computed ones, relative to their norm. On an H100 they were equal, except for
/// kernels that sum in a varying order.
const MAX_DIFFERENCE: f64 = 1e-3;

/// The input of one training step.
#[derive(Debug)]
pub(crate) struct Batch {
    /// `[N, 3, H, W]`.
    pub(crate) images: Tensor,
    /// i64 `[N]`.
    pub(crate) labels: Tensor,
    /// f32 `[N, classes]`; replaces the labels in the loss.
    pub(crate) targets: Option<Tensor>,
}

/// The gradients of a batch, and its sums of loss and accuracy.
pub(crate) struct BatchGradients {
    /// One per parameter.
    pub(crate) gradients: Vec<Tensor>,
    /// See [`batch_sums`].
    pub(crate) sums: Tensor,
}

/// Computes gradients, or replays a recording: in bfloat16 on a GPU, for networks that allow it.
#[derive(Default)]
pub(crate) struct GradientSource {
    /// Shape of the previous batch, and how many consecutive batches have had it.
    last: (Vec<i64>, usize),
    recording: Option<Recording>,
    dropped: Option<f64>,
}

/// The kernels of a step, and the memory that they read and write.
struct Recording {
    graph: Graph,
    batch: Batch,
    output: BatchGradients,
}

impl GradientSource {
    /// The gradients of the loss of `batch` with label smoothing `smoothing`.
    ///
    /// A recording's gradients are compared with computed ones when it is new and when `check` is set; it is dropped if they
    /// differ.
    pub(crate) fn gradients(
        &mut self,
        network: &impl Network,
        optimizer: &Sgd,
        batch: &Batch,
        smoothing: f64,
        check: bool,
    ) -> Result<BatchGradients, Error> {
        let compute = |batch: &Batch| compute(network, optimizer, batch, smoothing);
        let Device::Cuda(gpu) = network.device() else { return compute(batch) };
        // Not in float32: on an H100, two trainings with recorded steps learned far less than with computed ones, for an
        // unknown reason.
        let in_bfloat16 = batch.images.f_kind()? == Kind::BFloat16;
        if self.dropped.is_some() || !in_bfloat16 || !network.is_recordable() || !Graph::is_supported() {
            return compute(batch);
        }
        let shape = batch.images.size();
        let fits = |recording: &Recording| recording.batch.images.size() == shape;
        if let Some(recording) = self.recording.as_ref().filter(|recording| fits(recording) && !check) {
            return recording.replay(batch);
        }
        if !self.recording.as_ref().is_some_and(fits) {
            // The last, smaller batch of an epoch is computed; the recording for the other batches is kept.
            let in_a_row = if self.last.0 == shape { self.last.1 } else { 0 };
            self.last = (shape, in_a_row + 1);
            if in_a_row < BEFORE_RECORDING {
                return compute(batch);
            }
            // Frees the memory of the previous recording first.
            self.recording = None;
            self.recording = Some(Recording::new(gpu, batch, compute)?);
        }
        let Some(recording) = &self.recording else { return compute(batch) };
        let (computed, difference) = recording.checked(network, batch, compute)?;
        if difference > MAX_DIFFERENCE {
            self.recording = None;
            self.dropped = Some(difference);
        }
        Ok(computed)
    }

    /// Whether there is a recording.
    pub(crate) fn is_recorded(&self) -> bool {
        self.recording.is_some()
    }

    /// The relative difference for which a recording was dropped, if one was; no further step is then recorded.
    pub(crate) fn dropped(&self) -> Option<f64> {
        self.dropped
    }
}

fn compute(
    network: &impl Network,
    optimizer: &Sgd,
    batch: &Batch,
    smoothing: f64,
) -> Result<BatchGradients, Error> {
    let Batch { images, labels, targets } = batch;
    let log_probabilities = network.forward(images, true)?.f_log_softmax(1, Kind::Float)?;
    let sums = tch::no_grad(|| batch_sums(&log_probabilities, labels))?;
    let loss = cross_entropy(&log_probabilities, labels, targets.as_ref(), smoothing)?;
    Ok(BatchGradients { gradients: optimizer.gradients(&loss)?, sums })
}

impl Batch {
    fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        [&self.images, &self.labels].into_iter().chain(&self.targets)
    }

    /// A copy of the tensors.
    fn copy(&self) -> Result<Self, Error> {
        Ok(Self {
            images: copy(&self.images)?,
            labels: copy(&self.labels)?,
            targets: self.targets.as_ref().map(copy).transpose()?,
        })
    }
}

impl Recording {
    /// Records `compute` on a copy of `batch`.
    fn new(
        gpu: usize,
        batch: &Batch,
        compute: impl Fn(&Batch) -> Result<BatchGradients, Error>,
    ) -> Result<Self, Error> {
        let batch = batch.copy()?;
        let (graph, output) = Graph::record(gpu, || compute(&batch))?;
        Ok(Self { graph, batch, output })
    }

    fn replay(&self, batch: &Batch) -> Result<BatchGradients, Error> {
        for (own, given) in self.batch.tensors().zip(batch.tensors()) {
            own.shallow_clone().f_copy_(given)?;
        }
        self.graph.replay()?;
        // A copy, since the sums are read only after later steps.
        let sums = copy(&self.output.sums)?;
        Ok(BatchGradients {
            gradients: self.output.gradients.iter().map(Tensor::shallow_clone).collect(),
            sums,
        })
    }

    /// The result of `compute` for `batch`, and the relative difference of the recorded gradients from it.
    fn checked(
        &self,
        network: &impl Network,
        batch: &Batch,
        compute: impl Fn(&Batch) -> Result<BatchGradients, Error>,
    ) -> Result<(BatchGradients, f64), Error> {
        // Both update buffers, such as running statistics.
        let before = copies(network.buffers())?;
        let replayed = self.replay(batch)?;
        write("buffers", &mut network.buffers(), &before)?;
        let computed = compute(batch)?;
        let difference = relative_difference(&replayed.gradients, &computed.gradients)?;
        Ok((computed, difference))
    }
}

/// Norm of the difference over all tensors, relative to the norm of the expected ones; infinite if it is NaN.
fn relative_difference(found: &[Tensor], expected: &[Tensor]) -> Result<f64, Error> {
    let squares = |tensor: &Tensor| tensor.f_square()?.f_sum(Kind::Double);
    let sums = found
        .iter()
        .zip(expected)
        .map(|(found, expected)| Tensor::f_stack(&[squares(&found.f_sub(expected)?)?, squares(expected)?], 0))
        .collect::<Result<Vec<_>, _>>()?;
    let sums = Tensor::f_stack(&sums, 0)?.f_sum_dim_intlist([0].as_slice(), false, Kind::Double)?;
    let difference = (sums.f_double_value(&[0])? / sums.f_double_value(&[1])?).sqrt();
    Ok(if difference.is_nan() { f64::INFINITY } else { difference })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_difference_is_a_norm_over_all_tensors() {
        let tensors = |values: [f32; 2]| values.map(|value| Tensor::from_slice(&[value, 0.0]));
        let difference = |found, expected| relative_difference(&tensors(found), &tensors(expected)).unwrap();
        assert_eq!(difference([3.0, 4.0], [3.0, 4.0]), 0.0);
        // |(0, 1)| / |(3, 4)|.
        assert!((difference([3.0, 5.0], [3.0, 4.0]) - 0.2).abs() < 1e-12);
        assert_eq!(difference([f32::NAN, 4.0], [3.0, 4.0]), f64::INFINITY);
    }
}
