//! The same weights on the CPU and on the device: what they make of the same cells, and of one training step.

use anyhow::Result;
use malaria_resnet::{
    Recipe,
    libtorch::allow_tf32,
    model::{ResNet, ResNetConfig},
    train::{Network, Sgd, State},
};
use serde::Serialize;
use tch::{Device, Kind, Tensor, no_grad};

use super::{Drawn, Mode, learning::relative_difference, modes, settings};

/// Cells compared; half of them make the training step.
const CELLS: usize = 64;

/// The device against the CPU's eager float32.
#[derive(Serialize)]
pub(super) struct Agreement {
    what: &'static str,
    precision: &'static str,
    /// Of a probability; for a step, the norm of the difference of all weights, to the norm of what the step changed.
    largest_difference: f64,
    bar: f64,
}

pub(super) fn check(
    device: Device,
    drawn: &Drawn,
    trained: &State,
    failures: &mut Vec<String>,
    say: &mut dyn FnMut(&str),
) -> Result<Vec<Agreement>> {
    let expected = Side::new(Device::Cpu, drawn, trained, Kind::Float)?;
    let mut all = Vec::new();
    let mut compare = |what, precision, largest_difference: f64, bar| {
        say(&format!(
            "{what} in {precision}, this device against the CPU in float32: {largest_difference:.2e} apart (at most {bar})"
        ));
        if largest_difference.is_nan() || largest_difference > bar {
            failures.push(format!(
                "{what} in {precision}: {largest_difference:.2e} apart from the CPU, expected {bar} at most"
            ));
        }
        all.push(Agreement { what, precision, largest_difference, bar });
    };
    for Mode { name: precision, kind, tf32, .. } in modes(device) {
        allow_tf32(tf32);
        // Of a step, the order of the cells in the batch alone makes 4 % on the CPU: batch normalisation enlarges rounding.
        let bars = if precision == "float32" { [1e-4, 1e-4, 0.1] } else { [0.1, 0.1, 0.5] };
        let found = Side::new(device, drawn, trained, kind)?;
        for (what, fused, bar) in [("forward, eager", false, bars[0]), ("forward, fused", true, bars[1])] {
            let apart = found.probabilities(fused)? - expected.probabilities(false)?;
            compare(what, precision, apart.abs().max().double_value(&[]), bar);
        }
        let (found, expected) = (found.step()?, expected.step()?);
        let moved = relative_difference(trained, &expected);
        compare("one training step", precision, relative_difference(&found, &expected) / moved, bars[2]);
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
    fn new(device: Device, drawn: &Drawn, trained: &State, kind: Kind) -> Result<Self> {
        let model = ResNet::new(&ResNetConfig::tutorial(), 1, device)?;
        let trained = trained.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect();
        let (images, labels) = drawn.on(device)?.batch(&(0..CELLS).collect::<Vec<_>>())?;
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

    /// The weights after one step from the same ones, on the CPU.
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
