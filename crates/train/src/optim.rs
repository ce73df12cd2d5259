//! Stochastic gradient descent whose state can be saved.

use malaria_libtorch::foreach;
use serde::{Deserialize, Serialize};
use tch::{TchError, Tensor};

use crate::{
    error::Error,
    network::{DecayGroup, Network, State, Trainable, write},
};

/// L2 regularisation of the kernels, in Keras's convention: the loss has a term `r * sum(w^2)` and the gradient `2 r w`
/// (PyTorch's `weight_decay` is `2 r`). Batch normalisations and biases have none.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct L2 {
    /// For the stem's convolution and the dense layer, >= 0.
    pub stem_and_dense: f64,
    /// For every convolution of the residual modules, >= 0.
    pub residual: f64,
}

/// Settings of [`Sgd`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SgdConfig {
    /// Share of the velocity kept from step to step, in [0, 1).
    pub momentum: f64,
    /// Nesterov's look-ahead.
    pub nesterov: bool,
    /// Regularisation of the kernels.
    pub l2: L2,
}

impl SgdConfig {
    /// The tutorial's settings: momentum 0.9; L2 of 0.0005 for the stem and the dense layer, and 0.0001, its default, for
    /// the residual modules.
    pub fn tutorial() -> Self {
        Self { momentum: 0.9, nesterov: false, l2: L2 { stem_and_dense: 0.0005, residual: 0.0001 } }
    }

    /// Checks every setting.
    ///
    /// # Errors
    /// [`Error::Config`] names the field.
    pub fn check(&self) -> Result<(), Error> {
        if !(0.0..1.0).contains(&self.momentum) {
            let (field, expected) = ("sgd.momentum", "at least 0 and below 1".to_owned());
            return Err(Error::Config { field, expected, found: self.momentum.to_string() });
        }
        for (field, value) in
            [("sgd.l2.stem_and_dense", self.l2.stem_and_dense), ("sgd.l2.residual", self.l2.residual)]
        {
            if !(value.is_finite() && value >= 0.0) {
                let expected = "a finite number, at least 0".to_owned();
                return Err(Error::Config { field, expected, found: value.to_string() });
            }
        }
        Ok(())
    }

    /// The weight decay of a parameter of `group`, `2 r`.
    fn decay(&self, group: DecayGroup) -> f64 {
        match group {
            DecayGroup::StemAndDense => 2.0 * self.l2.stem_and_dense,
            DecayGroup::Residual => 2.0 * self.l2.residual,
            DecayGroup::None => 0.0,
        }
    }
}

/// SGD with momentum in Keras's form, where the velocity contains the learning rate:
/// `v = m v - lr g; w += v` (with Nesterov, `w += m v - lr g`).
///
/// At a constant rate this equals PyTorch's SGD. When the rate changes, steps already in the velocity keep their old rate,
/// while PyTorch rescales them to the new one.
pub struct Sgd {
    config: SgdConfig,
    names: Vec<String>,
    weights: Vec<Tensor>,
    /// Weight decay of each weight, `2 r`.
    decays: Vec<f64>,
    /// One per weight.
    velocity: Vec<Tensor>,
}

impl Sgd {
    /// An optimizer with zero velocity for the parameters of `network`.
    ///
    /// # Errors
    /// [`Error::Config`] for settings out of range; [`Error::Torch`] when memory is short.
    pub fn new(config: SgdConfig, network: &(impl Network + ?Sized)) -> Result<Self, Error> {
        config.check()?;
        let mut sgd = Self { config, names: vec![], weights: vec![], decays: vec![], velocity: vec![] };
        for Trainable { name, tensor, decay } in network.parameters() {
            sgd.velocity.push(tensor.f_detach()?.f_zeros_like()?);
            sgd.decays.push(config.decay(decay));
            sgd.names.push(name);
            sgd.weights.push(tensor);
        }
        Ok(sgd)
    }

    /// Makes one step against the gradient of the scalar `loss` at `learning_rate`.
    ///
    /// # Errors
    /// [`Error::Torch`] when libtorch cannot differentiate `loss`.
    pub fn step(&mut self, loss: &Tensor, learning_rate: f64) -> Result<(), Error> {
        let gradients = self.gradients(loss)?;
        self.apply(&gradients, learning_rate)
    }

    /// The gradient of `loss` by each weight, in the weight's memory layout.
    pub(crate) fn gradients(&self, loss: &Tensor) -> Result<Vec<Tensor>, Error> {
        let gradients = Tensor::f_run_backward(&[loss], &self.weights, false, false)?;
        let pairs = gradients.into_iter().zip(&self.weights);
        tch::no_grad(|| pairs.map(|(gradient, weight)| Ok(laid_out_as(weight, gradient)?)).collect())
    }

    /// One step against `gradients`.
    pub(crate) fn apply(&mut self, gradients: &[Tensor], learning_rate: f64) -> Result<(), Error> {
        let SgdConfig { momentum, nesterov, .. } = self.config;
        tch::no_grad(|| {
            // Not in place: the values of an expanded gradient, such as that of a sum, share memory.
            let steps = foreach::mul(&self.weights, &self.decays)?;
            foreach::add_(&steps, gradients)?;
            foreach::mul_(&steps, -learning_rate)?;
            foreach::mul_(&self.velocity, momentum)?;
            foreach::add_(&self.velocity, &steps)?;
            if nesterov {
                let ahead = foreach::mul(&self.velocity, &vec![momentum; self.velocity.len()])?;
                foreach::add_(&self.weights, &ahead)?;
                foreach::add_(&self.weights, &steps)?;
            } else {
                foreach::add_(&self.weights, &self.velocity)?;
            }
            Ok(())
        })
    }

    /// The velocity of each parameter, under the parameter's name, in the network's order.
    pub fn state(&self) -> State {
        let velocity = self.velocity.iter().map(Tensor::shallow_clone);
        self.names.iter().cloned().zip(velocity).collect()
    }

    /// Loads a velocity from [`Sgd::state`]. Nothing is written unless all of it fits.
    ///
    /// # Errors
    /// [`Error::State`] when names, order or shapes are not this network's.
    pub fn load_state(&mut self, state: &[(String, Tensor)]) -> Result<(), Error> {
        write("velocity", &mut self.state(), state)
    }
}

/// `gradient` with the strides of its `weight`: operations on lists of tensors are fast only if strides match.
fn laid_out_as(weight: &Tensor, gradient: Tensor) -> Result<Tensor, TchError> {
    let (size, strides, found) = (weight.size(), weight.stride(), gradient.stride());
    if strides == found {
        return Ok(gradient);
    }
    // The stride of a dimension of size 1, such as a 1x1 kernel's last two, is arbitrary.
    if (0..size.len()).all(|side| size[side] == 1 || strides[side] == found[side]) {
        return gradient.f_as_strided(&size, &strides, None);
    }
    let mut laid_out = weight.f_empty_like()?;
    laid_out.f_copy_(&gradient)?;
    Ok(laid_out)
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    #[test]
    fn gradients_take_the_layout_of_their_weights() {
        let values = |shape: &[i64]| Tensor::rand(shape, (Kind::Float, Device::Cpu));
        // Channels innermost in memory: NCHW => NHWC => NCHW.
        let channels_last = |x: &Tensor| x.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2]);
        let (small, large) = (values(&[4, 3, 1, 1]), values(&[4, 3, 2, 2]));
        let strided = small.as_strided([4, 3, 1, 1], [3, 1, 3, 3], None);
        for (weight, gradient, is_the_same_memory) in [
            (&large, large.shallow_clone(), true),
            (&small, strided, true),
            (&channels_last(&large), values(&[4, 3, 2, 2]), false),
            (&large, Tensor::from(0.5_f32).expand([4, 3, 2, 2], false), false),
        ] {
            let expected = gradient.contiguous();
            let memory = gradient.data_ptr();
            let laid_out = laid_out_as(weight, gradient).unwrap();
            assert_eq!(laid_out.stride(), weight.stride());
            assert_eq!(laid_out.data_ptr() == memory, is_the_same_memory);
            assert!(laid_out.equal(&expected));
        }
    }
}
