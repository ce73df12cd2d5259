//! Stochastic gradient descent whose state can be saved.

use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::{
    error::Error,
    network::{DecayGroup, Network, State, Trainable, write},
};

/// L2 regularisation of the kernels, as Keras counts it: `r * sum(w^2)` joins the loss, so that `2 r w` joins the
/// gradient (PyTorch's `weight_decay` is `2 r`). BatchNorm and biases have none.
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
    /// The tutorial's: momentum 0.9; 0.0005 on the stem and the dense layer, and the 0.0001 that its residual modules
    /// fall back on.
    pub fn tutorial() -> Self {
        Self { momentum: 0.9, nesterov: false, l2: L2 { stem_and_dense: 0.0005, residual: 0.0001 } }
    }

    /// Refuses settings out of range.
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

    /// What multiplies a parameter of `group` before it joins its gradient.
    fn decay(&self, group: DecayGroup) -> f64 {
        match group {
            DecayGroup::StemAndDense => 2.0 * self.l2.stem_and_dense,
            DecayGroup::Residual => 2.0 * self.l2.residual,
            DecayGroup::None => 0.0,
        }
    }
}

/// SGD with momentum in Keras's form, whose velocity contains the learning rate:
/// `v = m v - lr g; w += v` (with Nesterov, `w += m v - lr g`).
///
/// At a constant rate this is PyTorch's SGD; when the rate changes, the steps already in the velocity keep their old
/// rate, where PyTorch's are rescaled to the new one.
pub struct Sgd {
    config: SgdConfig,
    parameters: Vec<Trainable>,
    /// One for each parameter, under its name.
    velocity: State,
}

impl Sgd {
    /// An optimizer at rest for the parameters of `network`.
    ///
    /// # Errors
    /// [`Error::Config`] for settings out of range; [`Error::Torch`] when memory is short.
    pub fn new(config: SgdConfig, network: &(impl Network + ?Sized)) -> Result<Self, Error> {
        config.check()?;
        let parameters = network.parameters();
        let at_rest = |parameter: &Trainable| {
            Ok((parameter.name.clone(), parameter.tensor.f_detach()?.f_zeros_like()?))
        };
        let velocity = parameters.iter().map(at_rest).collect::<Result<State, Error>>()?;
        Ok(Self { config, parameters, velocity })
    }

    /// One step against the gradient of the scalar `loss`, at `learning_rate`.
    ///
    /// # Errors
    /// [`Error::Torch`] when libtorch cannot differentiate `loss`.
    pub fn step(&mut self, loss: &Tensor, learning_rate: f64) -> Result<(), Error> {
        let tensors: Vec<&Tensor> = self.parameters.iter().map(|parameter| &parameter.tensor).collect();
        let gradients = Tensor::f_run_backward(&[loss], &tensors, false, false)?;
        let SgdConfig { momentum, nesterov, .. } = self.config;
        tch::no_grad(|| {
            for ((parameter, (_, velocity)), mut gradient) in
                self.parameters.iter_mut().zip(&mut self.velocity).zip(gradients)
            {
                let weight = &mut parameter.tensor;
                let decay = self.config.decay(parameter.decay);
                if decay != 0.0 {
                    gradient = gradient.f_add(&weight.f_mul_scalar(decay)?)?;
                }
                // Not in place: the values of a gradient may share their memory, as those of a sum do.
                let step = gradient.f_mul_scalar(-learning_rate)?;
                let _ = velocity.f_mul_scalar_(momentum)?.f_add_(&step)?;
                if nesterov {
                    let _ = weight.f_add_(&velocity.f_mul_scalar(momentum)?)?.f_add_(&step)?;
                } else {
                    let _ = weight.f_add_(velocity)?;
                }
            }
            Ok(())
        })
    }

    /// The velocity of each parameter, under the parameter's name, in the network's order.
    pub fn state(&self) -> State {
        self.velocity.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect()
    }

    /// Takes over a velocity that [`Sgd::state`] gave. Nothing is written unless all of it fits.
    ///
    /// # Errors
    /// [`Error::State`] when names, order or shapes are not this network's.
    pub fn load_state(&mut self, state: &[(String, Tensor)]) -> Result<(), Error> {
        write("velocity", &mut self.velocity, state)
    }
}
