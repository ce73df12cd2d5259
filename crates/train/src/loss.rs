//! The training loss.

use tch::{Kind, Reduction, Tensor};

use crate::error::Error;

/// Mean cross-entropy of log-probabilities `[N, classes]` against `targets` `[N, classes]`, or labels `[N]` if there are none,
/// with label smoothing `smoothing`.
pub(crate) fn cross_entropy(
    log_probabilities: &Tensor,
    labels: &Tensor,
    targets: Option<&Tensor>,
    smoothing: f64,
) -> Result<Tensor, Error> {
    let none: Option<&Tensor> = None;
    let mut given = match targets {
        Some(targets) => {
            let rows =
                log_probabilities.f_mul(targets)?.f_sum_dim_intlist([1].as_slice(), false, Kind::Float)?;
            rows.f_mean(Kind::Float)?.f_neg()?
        }
        None => log_probabilities.f_nll_loss(labels, none, Reduction::Mean, -100)?,
    };
    if smoothing == 0.0 {
        return Ok(given);
    }
    let mut even = log_probabilities.f_mean(Kind::Float)?.f_neg()?;
    Ok(given.f_mul_scalar_(1.0 - smoothing)?.f_add(&even.f_mul_scalar_(smoothing)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cross_entropy_with_targets_and_smoothing_matches_pytorch() {
        let logits = Tensor::from_slice(&[1.0_f32, 2.0, 0.5, -1.0]).view([2, 2]);
        let log_probabilities = logits.log_softmax(1, Kind::Float);
        let labels = Tensor::from_slice(&[1_i64, 0]);
        let targets = Tensor::from_slice(&[0.3_f32, 0.7, 0.9, 0.1]).view([2, 2]);
        let loss = |targets: Option<&Tensor>, smoothing| {
            cross_entropy(&log_probabilities, &labels, targets, smoothing).unwrap().double_value(&[])
        };
        // torch.nn.functional.cross_entropy(logits, targets or labels, label_smoothing=smoothing), PyTorch 2.13.0.
        for (found, expected) in [
            (loss(Some(&targets), 0.0), 0.482_337_534),
            (loss(Some(&targets), 0.05), 0.502_337_456),
            (loss(None, 0.05), 0.288_587_511),
        ] {
            assert!((found - expected).abs() < 1e-6, "{found}, expected {expected}");
        }
    }
}
