//! The model that comes with the crate.

use tch::Device;

use crate::{classifier::Classifier, error::Result};

/// The file of `data/pretrained`, which is packaged with this crate.
static WEIGHTS: &[u8] = include_bytes!("../../../data/pretrained/weights.safetensors");

/// The model of `data/pretrained`, out of the program itself: it needs no file. With the feature `pretrained`, which makes a
/// program 8.7 MB larger.
///
/// It was trained by the `fast` recipe on 20,200 of NLM's cells of 150 patients; its threshold and figures come from a
/// cross-validation by patient. Research software, not a medical device.
///
/// # Errors
/// [`Error::Model`](crate::Error::Model) when libtorch fails, as for want of memory.
pub fn pretrained(device: Device) -> Result<Classifier> {
    let (model, description) = malaria_model::decode_weights(WEIGHTS, device)?;
    Classifier::described(model, description)
}
