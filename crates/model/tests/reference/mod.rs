//! The references that `fixtures/generate_keras.py` and `fixtures/generate_pytorch.py` write, described in `fixtures/reference.py`.

use std::collections::BTreeMap;

use malaria_model::{ResNet, ResNetConfig};
use safetensors::{Dtype, SafeTensors};
use tch::{Device, Kind, Tensor};

pub(crate) struct Reference {
    header: serde_json::Value,
    pub(crate) tensors: BTreeMap<String, Tensor>,
}

impl Reference {
    pub(crate) fn keras() -> Self {
        Self::read(include_bytes!("../fixtures/keras.safetensors"))
    }

    pub(crate) fn pytorch() -> Self {
        Self::read(include_bytes!("../fixtures/pytorch.safetensors"))
    }

    fn read(bytes: &[u8]) -> Self {
        let (_, metadata) = SafeTensors::read_metadata(bytes).unwrap();
        let header = serde_json::from_str(&metadata.metadata().as_ref().unwrap()["reference"]).unwrap();
        let tensors = SafeTensors::deserialize(bytes).unwrap();
        let tensors = tensors.iter().map(|(name, view)| {
            let shape: Vec<i64> = view.shape().iter().map(|&side| side as i64).collect();
            let kind = if view.dtype() == Dtype::I64 { Kind::Int64 } else { Kind::Float };
            (name.to_owned(), Tensor::from_data_size(view.data(), &shape, kind))
        });
        Self { header, tensors: tensors.collect() }
    }

    pub(crate) fn config(&self) -> ResNetConfig {
        serde_json::from_value(self.header["config"].clone()).unwrap()
    }

    /// A number of the header.
    pub(crate) fn number(&self, pointer: &str) -> f64 {
        self.header.pointer(pointer).unwrap().as_f64().unwrap()
    }

    /// The tensors under `prefix`, without it.
    pub(crate) fn group(&self, prefix: &str) -> Vec<(String, Tensor)> {
        let of_group = |(name, tensor): (&String, &Tensor)| {
            Some((name.strip_prefix(prefix)?.to_owned(), tensor.shallow_clone()))
        };
        self.tensors.iter().filter_map(of_group).collect()
    }

    /// A network with the reference's weights.
    pub(crate) fn model(&self, config: &ResNetConfig) -> ResNet {
        let model = ResNet::new(config, 0, Device::Cpu).unwrap();
        model.load_state(&self.group("init.")).unwrap();
        model
    }
}
