//! Compares the CPU and the device with the same weights: probabilities of the same cells, and one training step.

use anyhow::Result;
use malaria_resnet::{
    Recipe,
    libtorch::allow_tf32,
    model::{ResNet, ResNetConfig},
    train::{Network, Sgd, State},
};
use serde::Serialize;
use tch::{Device, Kind, Tensor, no_grad};

use super::{Mode, Synthetic, learning::relative_difference, modes, settings};

/// Number of cells compared; half of them are the batch of the training step.
const CELLS: usize = 64;

/// Difference of the device from the CPU's eager float32.
#[derive(Serialize)]
pub(super) struct Agreement {
    what: &'static str,
    precision: &'static str,
    /// Of a probability; for a step, the norm of the difference of all weights, relative to the norm of the step.
    largest_difference: f64,
    bar: f64,
}

pub(super) fn check(
    device: Device,
    synthetic: &Synthetic,
    trained: &State,
    failures: &mut Vec<String>,
    log: &mut dyn FnMut(&str),
) -> Result<Vec<Agreement>> {
    let expected = Side::new(Device::Cpu, synthetic, trained, Kind::Float)?;
    let mut all = Vec::new();
    let mut compare = |what, precision, largest_difference: f64, bar| {
        log(&format!(
            "{what} in {precision}: difference from the CPU in float32 {largest_difference:.2e}, at most {bar} allowed"
        ));
        if largest_difference.is_nan() || largest_difference > bar {
            failures.push(format!(
                "{what} in {precision}: difference from the CPU {largest_difference:.2e}, expected at most {bar}"
            ));
        }
        all.push(Agreement { what, precision, largest_difference, bar });
    };
    for Mode { name: precision, kind, tf32, .. } in modes(device) {
        allow_tf32(tf32);
        // On the CPU the order of cells in the batch alone changes a step by 4 %: batch normalisation amplifies rounding.
        let bars = if precision == "float32" { [1e-4, 1e-4, 0.1] } else { [0.1, 0.1, 0.5] };
        let found = Side::new(device, synthetic, trained, kind)?;
        for (what, fused, bar) in [("forward, eager", false, bars[0]), ("forward, fused", true, bars[1])] {
            let difference = found.probabilities(fused)? - expected.probabilities(false)?;
            compare(what, precision, difference.abs().max().double_value(&[]), bar);
        }
        let (found, expected) = (found.step()?, expected.step()?);
        let step = relative_difference(trained, &expected);
        compare("one training step", precision, relative_difference(&found, &expected) / step, bars[2]);
    }
    Ok(all)
}

/// The network on one device.
struct Side {
    model: ResNet,
    trained: State,
    images: Tensor,
    labels: Tensor,
    kind: Kind,
}

impl Side {
    fn new(device: Device, synthetic: &Synthetic, trained: &State, kind: Kind) -> Result<Self> {
        let model = ResNet::new(&ResNetConfig::tutorial(), 1, device)?;
        let trained = trained.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect();
        let (images, labels) = synthetic.on(device)?.batch(&(0..CELLS).collect::<Vec<_>>())?;
        let images = images.to_kind(kind);
        Ok(Self { model, trained, images, labels, kind })
    }

    /// `[N, 2]`, float64, on the CPU.
    fn probabilities(&self, fused: bool) -> Result<Tensor> {
        Network::load_state(&self.model, &self.trained)?;
        let logits = if fused {
            self.model.fused(self.kind)?.forward(&self.images)?
        } else {
            no_grad(|| self.model.forward(&self.images, false))?
        };
        Ok(logits.to_device(Device::Cpu).softmax(1, Kind::Double))
    }

    /// The weights after one step from `trained`, on the CPU.
    fn step(&self) -> Result<State> {
        Network::load_state(&self.model, &self.trained)?;
        let half = CELLS as i64 / 2;
        let logits = self.model.forward(&self.images.narrow(0, 0, half), true)?;
        let loss = logits.cross_entropy_for_logits(&self.labels.narrow(0, 0, half));
        Sgd::new(settings(Recipe::Fast, 1, 64).sgd, &self.model)?.step(&loss, 0.01)?;
        let parameters = self.model.parameters().iter();
        Ok(parameters
            .map(|parameter| (parameter.name.clone(), parameter.tensor.detach().to_device(Device::Cpu)))
            .collect())
    }
}
