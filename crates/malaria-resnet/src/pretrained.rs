//! The pretrained model that is embedded in the crate.

use tch::Device;

use crate::{classifier::Classifier, error::Result};

/// `weights.safetensors` of `data/pretrained`, which is packaged with this crate.
static WEIGHTS: &[u8] = include_bytes!("../../../data/pretrained/weights.safetensors");

/// The model of `data/pretrained`, read from the program itself. Needs the feature `pretrained`, which makes a program 8.7 MB
/// larger.
///
/// It was trained by the `fast` recipe on 20,200 NLM cells of 150 patients; its threshold and metrics come from a
/// cross-validation by patient. Research software, not a medical device.
///
/// # Errors
/// [`Error::Model`](crate::Error::Model) when libtorch fails, for example for lack of memory.
pub fn pretrained(device: Device) -> Result<Classifier> {
    let (model, description) = malaria_model::decode_weights(WEIGHTS, device)?;
    Classifier::with_description(model, description)
}
