//! Saving and loading of weights files.

use std::collections::BTreeMap;
use std::path::Path;

use malaria_classifier::{Description, WeightTensor, Weights, WeightsFile};
use tch::{Device, Tensor};

use crate::error::{Error, Result};
use crate::resnet::{ResNet, check_shape, missing};

/// Saves `model` and its `description` as the weights file `path`, written whole or not at all.
///
/// # Errors
/// [`Error::Classifier`] with the path, for a file that cannot be written, a description that does not fit the network, or
/// weights that are not finite; [`Error::Torch`] when memory is short.
pub fn save_weights(path: &Path, model: &ResNet, description: &Description) -> Result<()> {
    let tensors = model
        .state()?
        .into_iter()
        .map(|(name, tensor)| {
            let torch = |source| Error::Torch { action: format!("read tensor `{name}`"), source };
            let values = tensor.f_flatten(0, -1).and_then(Vec::<f32>::try_from).map_err(torch)?;
            let shape = tensor.size().into_iter().map(|side| side as usize).collect();
            Ok((name, WeightTensor { shape, values }))
        })
        .collect::<Result<BTreeMap<_, _>>>()?;
    let weights = Weights { network: model.config().clone(), description: description.clone(), tensors };
    Ok(weights.write(path)?)
}

/// Loads the network of the weights file `path` onto `device`, and its description.
///
/// # Errors
/// Those of [`WeightsFile::read`]; [`Error::WeightsFile`], with the path and an error of [`ResNet::load_state`], for tensors
/// that do not fit its network.
pub fn load_weights(path: &Path, device: Device) -> Result<(ResNet, Description)> {
    of_weights(WeightsFile::read(path)?.weights, device).map_err(|error| error.in_file(path))
}

/// [`load_weights`] for the bytes of a file, such as weights embedded in a program.
///
/// # Errors
/// Those of [`load_weights`], without the path.
pub fn decode_weights(bytes: &[u8], device: Device) -> Result<(ResNet, Description)> {
    of_weights(WeightsFile::decode(bytes)?.weights, device)
}

fn of_weights(weights: Weights, device: Device) -> Result<(ResNet, Description)> {
    let Weights { network, description, mut tensors } = weights;
    let model = ResNet::build(&network, device, &mut |spec| {
        let WeightTensor { shape, values } =
            tensors.remove(&spec.name).ok_or_else(|| missing(&spec.name, &spec.shape))?;
        let shape: Vec<i64> = shape.into_iter().map(|side| side as i64).collect();
        check_shape(&spec.name, &spec.shape, &shape)?;
        let tensor = Tensor::f_from_slice(&values).and_then(|tensor| tensor.f_view(spec.shape.as_slice()));
        tensor.map_err(Error::torch(format!("make tensor `{}`", spec.name)))
    })?;
    match tensors.into_keys().next() {
        Some(name) => Err(Error::UnexpectedTensor { name }),
        None => Ok((model, description)),
    }
}
