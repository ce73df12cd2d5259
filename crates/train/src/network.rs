//! The trait of trainable networks, and its implementation for the ResNet.

use malaria_model::{ResNet, Role};
use tch::{Device, Kind, Tensor};

use crate::error::Error;

/// Named tensors in a fixed order.
pub type State = Vec<(String, Tensor)>;

/// The form of a network for inference: float32 images `[N, 3, H, W]` in [0, 1] => logits `[N, classes]`.
pub type Inference<'a> = Box<dyn Fn(&Tensor) -> Result<Tensor, Error> + 'a>;

/// The rate of [`L2`](crate::L2) that applies to a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DecayGroup {
    /// [`L2::stem_and_dense`](crate::L2::stem_and_dense).
    StemAndDense,
    /// [`L2::residual`](crate::L2::residual).
    Residual,
    /// No decay: usually biases and batch normalisations.
    None,
}

/// A trainable tensor of a [`Network`].
#[derive(Debug)]
pub struct Trainable {
    /// Its name in checkpoints, unique in the network.
    pub name: String,
    /// A handle to the network's own float32 tensor, which requires gradients: writing to it in place changes the network.
    pub tensor: Tensor,
    /// Its decay group.
    pub decay: DecayGroup,
}

/// A network that [`Trainer`](crate::Trainer) and [`Sgd`](crate::Sgd) can train.
///
/// Errors of tch are converted by `?`; a network's own errors belong in [`Error::Network`].
///
/// ```
/// use malaria_train::{DecayGroup, Error, Network, Sgd, SgdConfig, State, Trainable};
/// use tch::{Device, Kind, Tensor};
///
/// /// One weight per class and value of an image: `[classes, 3 * H * W]`.
/// struct Linear(Tensor);
///
/// impl Network for Linear {
///     fn device(&self) -> Device {
///         self.0.device()
///     }
///     fn forward(&self, images: &Tensor, _train: bool) -> Result<Tensor, Error> {
///         Ok(images.f_flatten(1, -1)?.f_linear(&self.0, None::<Tensor>)?)
///     }
///     fn parameters(&self) -> Vec<Trainable> {
///         let tensor = self.0.shallow_clone();
///         vec![Trainable { name: "weight".to_owned(), tensor, decay: DecayGroup::StemAndDense }]
///     }
///     fn buffers(&self) -> State {
///         Vec::new()
///     }
/// }
///
/// let network = Linear(Tensor::zeros([2, 48], (Kind::Float, Device::Cpu)).set_requires_grad(true));
/// let loss = network.forward(&Tensor::ones([1, 3, 4, 4], (Kind::Float, Device::Cpu)), true)?.select(1, 0).sum(Kind::Float);
/// Sgd::new(SgdConfig::tutorial(), &network)?.step(&loss, 0.5)?;
/// assert_eq!(network.0.double_value(&[0, 7]), -0.5);
/// # Ok::<(), Error>(())
/// ```
pub trait Network {
    /// The device of its tensors, where images must be.
    fn device(&self) -> Device;

    /// Logits `[N, classes]` of `images` `[N, 3, H, W]` in [0, 1], channels_last in memory.
    ///
    /// Images are float32, or bfloat16 in training if [`TrainConfig::precision`](crate::TrainConfig::precision) says so.
    /// With `train`, the network may use the statistics of the batch and update its buffers in place.
    ///
    /// # Errors
    /// The network's own; [`Error::Torch`] when memory is short.
    fn forward(&self, images: &Tensor, train: bool) -> Result<Tensor, Error>;

    /// Handles on the trainable tensors, always in the same order.
    fn parameters(&self) -> Vec<Trainable>;

    /// Handles on the float32 tensors of the state that are not trained, such as running statistics; always in the same order,
    /// with names that no parameter has.
    fn buffers(&self) -> State;

    /// A detached copy of every parameter, then every buffer, on the network's device.
    ///
    /// # Errors
    /// [`Error::Torch`] when memory is short.
    fn state(&self) -> Result<State, Error> {
        copies(handles(self))
    }

    /// Copies a [`state`](Self::state) into the network's tensors, in place. Nothing is written unless all of it fits.
    ///
    /// # Errors
    /// [`Error::State`] when names, order or shapes are not this network's.
    fn load_state(&self, state: &[(String, Tensor)]) -> Result<(), Error> {
        write("weights", &mut handles(self), state)
    }

    /// Whether [`forward`](Self::forward) with `train` always launches the same kernels for images of the same shape and reads
    /// nothing back from the GPU. If so, [`Trainer`](crate::Trainer) records the kernels of a bfloat16 step and replays them,
    /// which is several times as fast for small batches. The default is `false`.
    fn is_recordable(&self) -> bool {
        false
    }

    /// The form for inference, with the current weights; by default [`forward`](Self::forward) without `train`.
    ///
    /// # Errors
    /// [`Error::Torch`] when memory is short.
    fn inference(&self) -> Result<Inference<'_>, Error> {
        Ok(Box::new(|images| self.forward(images, false)))
    }
}

impl Network for ResNet {
    fn device(&self) -> Device {
        ResNet::device(self)
    }

    fn forward(&self, images: &Tensor, train: bool) -> Result<Tensor, Error> {
        Ok(ResNet::forward(self, images, train)?)
    }

    fn parameters(&self) -> Vec<Trainable> {
        let group = |role| match role {
            Role::StemKernel | Role::DenseKernel => DecayGroup::StemAndDense,
            Role::ResidualKernel => DecayGroup::Residual,
            Role::DenseBias | Role::Scale | Role::Shift => DecayGroup::None,
        };
        let parameters = ResNet::parameters(self).iter();
        let trainable = parameters.map(|parameter| Trainable {
            name: parameter.name.clone(),
            tensor: parameter.tensor.shallow_clone(),
            decay: group(parameter.role),
        });
        trainable.collect()
    }

    fn buffers(&self) -> State {
        ResNet::buffers(self).iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect()
    }

    fn state(&self) -> Result<State, Error> {
        Ok(ResNet::state(self)?)
    }

    fn load_state(&self, state: &[(String, Tensor)]) -> Result<(), Error> {
        Ok(ResNet::load_state(self, state)?)
    }

    fn is_recordable(&self) -> bool {
        true
    }

    /// The fused network: batch normalisations folded into convolutions.
    fn inference(&self) -> Result<Inference<'_>, Error> {
        let fused = self.fused(Kind::Float)?;
        Ok(Box::new(move |images| Ok(fused.forward(images)?)))
    }
}

/// Handles on the parameters, then the buffers.
pub(crate) fn handles(network: &(impl Network + ?Sized)) -> State {
    let parameters = network.parameters().into_iter().map(|parameter| (parameter.name, parameter.tensor));
    parameters.chain(network.buffers()).collect()
}

/// Detached copies with the memory layout of the originals.
pub(crate) fn copies(state: State) -> Result<State, Error> {
    tch::no_grad(|| state.into_iter().map(|(name, tensor)| Ok((name, copy(&tensor)?))).collect())
}

/// Exchanges the values of two states of the same network.
pub(crate) fn swap(ours: &mut [(String, Tensor)], theirs: &mut [(String, Tensor)]) -> Result<(), Error> {
    tch::no_grad(|| {
        // All memory is allocated first, since a swap that fails halfway would leave a mixture.
        let before = ours.iter().map(|(_, tensor)| copy(tensor)).collect::<Result<Vec<_>, _>>()?;
        for (((_, ours), (_, theirs)), before) in ours.iter_mut().zip(theirs).zip(before) {
            ours.f_copy_(theirs)?;
            theirs.f_copy_(&before)?;
        }
        Ok(())
    })
}

/// Copies `state` into `target` in place, if all of it fits; `what` names them in errors.
pub(crate) fn write(
    what: &'static str,
    target: &mut [(String, Tensor)],
    state: &[(String, Tensor)],
) -> Result<(), Error> {
    let mismatch = |expected: String, found: String| Err(Error::State { what, expected, found });
    if state.len() != target.len() {
        return mismatch(format!("{} tensors", target.len()), state.len().to_string());
    }
    for ((name, own), (given, tensor)) in target.iter().zip(state) {
        if name != given || own.size() != tensor.size() {
            let expected = format!("`{name}` of shape {:?}", own.size());
            return mismatch(expected, format!("`{given}` of shape {:?}", tensor.size()));
        }
    }
    tch::no_grad(|| {
        for ((_, own), (_, tensor)) in target.iter_mut().zip(state) {
            own.f_copy_(tensor)?;
        }
        Ok(())
    })
}

/// A detached copy with the memory layout of the original.
pub(crate) fn copy(tensor: &Tensor) -> Result<Tensor, Error> {
    let mut copy = tensor.f_detach()?.f_empty_like()?;
    copy.f_copy_(tensor)?;
    Ok(copy)
}
