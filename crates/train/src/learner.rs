//! The gradients of a batch: computed, or on a GPU repeated from a recording.

use malaria_libtorch::Graph;
use tch::{Device, Kind, Tensor};

use crate::{
    epoch::batch_sums,
    error::Error,
    loss::cross_entropy,
    network::{Network, copies, copy, write},
    optim::Sgd,
};

/// Batches of one shape that are computed one kernel after the other before a step is recorded: libtorch prepares things meanwhile.
const BEFORE_RECORDING: usize = 3;

/// Gradients of a recording are at most so far from those that computing gives, relative to their norm. On an H100 they were the same,
/// but for kernels that add up in an order of their own.
const MOST_APART: f64 = 1e-3;

/// What is learned from in one step.
#[derive(Debug)]
pub(crate) struct Batch {
    /// `[N, 3, H, W]`.
    pub(crate) images: Tensor,
    /// i64 `[N]`.
    pub(crate) labels: Tensor,
    /// f32 `[N, classes]`, in place of the labels.
    pub(crate) targets: Option<Tensor>,
}

/// What came of a batch.
pub(crate) struct Learned {
    /// One for each parameter.
    pub(crate) gradients: Vec<Tensor>,
    /// Those of [`batch_sums`].
    pub(crate) sums: Tensor,
}

/// Computes gradients; on a GPU in bfloat16, records how, for a network that allows it.
#[derive(Default)]
pub(crate) struct Learner {
    /// Shape of the batch before, and how many in a row have had it.
    last: (Vec<i64>, usize),
    recorded: Option<Recorded>,
    dropped: Option<f64>,
}

/// A step's kernels, and the memory that they read and write.
struct Recorded {
    graph: Graph,
    batch: Batch,
    learned: Learned,
}

impl Learner {
    /// The gradients of the loss of `batch`, of whose targets' weight `smoothing` is spread evenly over the classes.
    ///
    /// Those of a recording are compared with computed ones when it is new, and when `check` says so; the recording is dropped
    /// where it gives others.
    pub(crate) fn gradients(
        &mut self,
        network: &impl Network,
        optimizer: &Sgd,
        batch: &Batch,
        smoothing: f64,
        check: bool,
    ) -> Result<Learned, Error> {
        let compute = |batch: &Batch| compute(network, optimizer, batch, smoothing);
        let Device::Cuda(gpu) = network.device() else { return compute(batch) };
        // Not in float32: on an H100 two recorded trainings learned far less than computed ones, and why is not known.
        let in_bfloat16 = batch.images.f_kind()? == Kind::BFloat16;
        if self.dropped.is_some() || !in_bfloat16 || !network.is_recordable() || !Graph::is_supported() {
            return compute(batch);
        }
        let shape = batch.images.size();
        let fits = |recorded: &Recorded| recorded.batch.images.size() == shape;
        if let Some(recorded) = self.recorded.as_ref().filter(|recorded| fits(recorded) && !check) {
            return recorded.repeat(batch);
        }
        if !self.recorded.as_ref().is_some_and(fits) {
            // The last batch of an epoch is smaller: it is computed, and the recording of the others kept.
            let in_a_row = if self.last.0 == shape { self.last.1 } else { 0 };
            self.last = (shape, in_a_row + 1);
            if in_a_row < BEFORE_RECORDING {
                return compute(batch);
            }
            // Frees the memory of the one before first.
            self.recorded = None;
            self.recorded = Some(Recorded::new(gpu, batch, compute)?);
        }
        let Some(recorded) = &self.recorded else { return compute(batch) };
        let (learned, apart) = recorded.checked(network, batch, compute)?;
        if apart > MOST_APART {
            self.recorded = None;
            self.dropped = Some(apart);
        }
        Ok(learned)
    }

    /// Whether there is a recording.
    pub(crate) fn is_recorded(&self) -> bool {
        self.recorded.is_some()
    }

    /// How far the gradients of a recording were from computed ones, if it was dropped for that; there is no other one then.
    pub(crate) fn dropped(&self) -> Option<f64> {
        self.dropped
    }
}

fn compute(network: &impl Network, optimizer: &Sgd, batch: &Batch, smoothing: f64) -> Result<Learned, Error> {
    let Batch { images, labels, targets } = batch;
    let log_probabilities = network.forward(images, true)?.f_log_softmax(1, Kind::Float)?;
    let sums = tch::no_grad(|| batch_sums(&log_probabilities, labels))?;
    let loss = cross_entropy(&log_probabilities, labels, targets.as_ref(), smoothing)?;
    Ok(Learned { gradients: optimizer.gradients(&loss)?, sums })
}

impl Batch {
    fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        [&self.images, &self.labels].into_iter().chain(&self.targets)
    }

    /// The same values in memory of their own.
    fn copy(&self) -> Result<Self, Error> {
        Ok(Self {
            images: copy(&self.images)?,
            labels: copy(&self.labels)?,
            targets: self.targets.as_ref().map(copy).transpose()?,
        })
    }
}

impl Recorded {
    /// Records `compute` on memory like that of `batch`.
    fn new(
        gpu: usize,
        batch: &Batch,
        compute: impl Fn(&Batch) -> Result<Learned, Error>,
    ) -> Result<Self, Error> {
        let batch = batch.copy()?;
        let (graph, learned) = Graph::record(gpu, || compute(&batch))?;
        Ok(Self { graph, batch, learned })
    }

    fn repeat(&self, batch: &Batch) -> Result<Learned, Error> {
        for (own, given) in self.batch.tensors().zip(batch.tensors()) {
            own.shallow_clone().f_copy_(given)?;
        }
        self.graph.replay()?;
        // The sums are read later, when the next batch has long been learned from.
        let sums = copy(&self.learned.sums)?;
        Ok(Learned { gradients: self.learned.gradients.iter().map(Tensor::shallow_clone).collect(), sums })
    }

    /// What `compute` gives of `batch`, and how far the repeated gradients are from that.
    fn checked(
        &self,
        network: &impl Network,
        batch: &Batch,
        compute: impl Fn(&Batch) -> Result<Learned, Error>,
    ) -> Result<(Learned, f64), Error> {
        // Such as running statistics, which both move.
        let before = copies(network.buffers())?;
        let repeated = self.repeat(batch)?;
        write("buffers", &mut network.buffers(), &before)?;
        let computed = compute(batch)?;
        let apart = relative_difference(&repeated.gradients, &computed.gradients)?;
        Ok((computed, apart))
    }
}

/// Norm of the difference of all tensors, to the norm of those expected; infinite where it is no number.
fn relative_difference(found: &[Tensor], expected: &[Tensor]) -> Result<f64, Error> {
    let squares = |tensor: &Tensor| tensor.f_square()?.f_sum(Kind::Double);
    let sums = found
        .iter()
        .zip(expected)
        .map(|(found, expected)| Tensor::f_stack(&[squares(&found.f_sub(expected)?)?, squares(expected)?], 0))
        .collect::<Result<Vec<_>, _>>()?;
    let sums = Tensor::f_stack(&sums, 0)?.f_sum_dim_intlist([0].as_slice(), false, Kind::Double)?;
    let apart = (sums.f_double_value(&[0])? / sums.f_double_value(&[1])?).sqrt();
    Ok(if apart.is_nan() { f64::INFINITY } else { apart })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gradients_are_compared_by_their_norm_over_all_tensors() {
        let tensors = |values: [f32; 2]| values.map(|value| Tensor::from_slice(&[value, 0.0]));
        let apart = |found, expected| relative_difference(&tensors(found), &tensors(expected)).unwrap();
        assert_eq!(apart([3.0, 4.0], [3.0, 4.0]), 0.0);
        // |(0, 1)| / |(3, 4)|.
        assert!((apart([3.0, 5.0], [3.0, 4.0]) - 0.2).abs() < 1e-12);
        assert_eq!(apart([f32::NAN, 4.0], [3.0, 4.0]), f64::INFINITY);
    }
}
