//! Learning rates as pure functions of the step.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// The course of the learning rate after the warm-up.
///
/// `t` is 0 at the first position after the warm-up and below 1 at all positions; 1 would be the end of the last epoch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Decay {
    /// Always `rate`.
    Constant,
    /// `rate * (1 - t)^power`; with power 1, the tutorial's linear decay to 0.
    Polynomial {
        /// Exponent, > 0.
        power: f64,
    },
    /// `rate * factor^floor(e / every_epochs)`, as PyTorch's `StepLR`; `e` counts epochs after the warm-up.
    Step {
        /// Epochs between two drops, >= 1.
        every_epochs: u64,
        /// Factor of each drop, in (0, 1].
        factor: f64,
    },
    /// `end + (rate - end) * (1 + cos(pi t)) / 2` with `end = rate * final_fraction`, as PyTorch's `CosineAnnealingLR`.
    Cosine {
        /// Share of the rate left at the end, in [0, 1].
        final_fraction: f64,
    },
    /// Up from `rate / start_divisor` to `rate` and down to `rate / (start_divisor * final_divisor)`, both by half a
    /// cosine: PyTorch's `OneCycleLR`, after Smith and Topin, "Super-Convergence", arXiv:1708.07120.
    OneCycle {
        /// Share of the positions in the rise, in (0, 1).
        rise: f64,
        /// Divisor of the start, >= 1.
        start_divisor: f64,
        /// Further divisor of the end, >= 1.
        final_divisor: f64,
    },
}

/// How often the rate changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Interval {
    /// Once per epoch: all its batches have the rate of its first.
    Epoch,
    /// At every batch.
    Step,
}

/// A learning-rate schedule: [`Schedule::rate_at`] is a function of its arguments alone.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// The initial rate, or the peak rate of a one-cycle; > 0.
    pub rate: f64,
    /// Its course.
    pub decay: Decay,
    /// How often it changes.
    pub interval: Interval,
    /// Epochs of linear warm-up before the decay, which covers the remaining epochs. At least 0 and below the number of
    /// epochs; a whole number if the rate changes once per epoch. Position `i` of `w` has `rate * (i + 1) / (w + 1)`, where
    /// `rate` is the first value of the decay.
    #[serde(default)]
    pub warmup_epochs: f64,
}

impl Schedule {
    /// The tutorial's schedule, linear from `rate` to 0, once per epoch: `lr(e) = rate * (1 - e / epochs)`.
    pub fn tutorial(rate: f64) -> Self {
        Self { rate, decay: Decay::Polynomial { power: 1.0 }, interval: Interval::Epoch, warmup_epochs: 0.0 }
    }

    /// Checks every setting for a run of `epochs`.
    ///
    /// # Errors
    /// [`Error::Config`] names the field.
    pub fn check(&self, epochs: u64) -> Result<(), Error> {
        let config = |field, expected: &str, found: f64| {
            Err(Error::Config { field, expected: expected.to_owned(), found: found.to_string() })
        };
        if !(self.rate.is_finite() && self.rate > 0.0) {
            return config("schedule.rate", "a finite number above 0", self.rate);
        }
        if !(self.warmup_epochs >= 0.0 && self.warmup_epochs < epochs as f64) {
            let expected = format!("at least 0 and below the run's {epochs} epochs");
            return config("schedule.warmup_epochs", &expected, self.warmup_epochs);
        }
        if self.interval == Interval::Epoch && self.warmup_epochs.fract() != 0.0 {
            return config(
                "schedule.warmup_epochs",
                "a whole number, since `interval` is `epoch`",
                self.warmup_epochs,
            );
        }
        match self.decay {
            Decay::Polynomial { power } if !(power.is_finite() && power > 0.0) => {
                config("schedule.decay.power", "a finite number above 0", power)
            }
            Decay::Step { every_epochs: 0, .. } => config("schedule.decay.every_epochs", "at least 1", 0.0),
            Decay::Step { factor, .. } if !(factor > 0.0 && factor <= 1.0) => {
                config("schedule.decay.factor", "above 0 and at most 1", factor)
            }
            Decay::Cosine { final_fraction } if !(0.0..=1.0).contains(&final_fraction) => {
                config("schedule.decay.final_fraction", "from 0 to 1", final_fraction)
            }
            Decay::OneCycle { rise, .. } if !(rise > 0.0 && rise < 1.0) => {
                config("schedule.decay.rise", "above 0 and below 1", rise)
            }
            Decay::OneCycle { start_divisor, .. } if !(start_divisor.is_finite() && start_divisor >= 1.0) => {
                config("schedule.decay.start_divisor", "a finite number, at least 1", start_divisor)
            }
            Decay::OneCycle { final_divisor, .. } if !(final_divisor.is_finite() && final_divisor >= 1.0) => {
                config("schedule.decay.final_divisor", "a finite number, at least 1", final_divisor)
            }
            _ => Ok(()),
        }
    }

    /// The learning rate of batch `step` (from 0, over the whole run) in a run of `epochs` epochs of
    /// `steps_per_epoch` batches (at least one).
    pub fn rate_at(&self, step: u64, steps_per_epoch: u64, epochs: u64) -> f64 {
        let steps_per_epoch = steps_per_epoch.max(1);
        let epoch = step / steps_per_epoch;
        // Positions are epochs or steps, by the interval.
        let (position, positions_per_epoch) = match self.interval {
            Interval::Epoch => (epoch, 1),
            Interval::Step => (step, steps_per_epoch),
        };
        let warmup = (self.warmup_epochs * positions_per_epoch as f64).round() as u64;
        let length = (epochs * positions_per_epoch).saturating_sub(warmup).max(1);
        if position < warmup {
            let target = self.rate_in_decay(0, length, positions_per_epoch);
            return target * (position + 1) as f64 / (warmup + 1) as f64;
        }
        self.rate_in_decay(position - warmup, length, positions_per_epoch)
    }

    fn rate_in_decay(&self, position: u64, length: u64, positions_per_epoch: u64) -> f64 {
        let t = position as f64 / length as f64;
        match self.decay {
            Decay::Constant => self.rate,
            Decay::Polynomial { power } => self.rate * (1.0 - t).max(0.0).powf(power),
            Decay::Step { every_epochs, factor } => {
                let drops = position / positions_per_epoch / every_epochs.max(1);
                self.rate * factor.powf(drops as f64)
            }
            Decay::Cosine { final_fraction } => half_cosine(self.rate, self.rate * final_fraction, t),
            Decay::OneCycle { rise, start_divisor, final_divisor } => {
                let start = self.rate / start_divisor;
                let end = start / final_divisor;
                // As in PyTorch, the peak is at position rise * length - 1 and the end at the last position.
                let peak = rise * length as f64 - 1.0;
                let last = length as f64 - 1.0;
                let position = position as f64;
                if position <= peak {
                    half_cosine(start, self.rate, position / peak.max(f64::MIN_POSITIVE))
                } else {
                    half_cosine(self.rate, end, ((position - peak) / (last - peak)).min(1.0))
                }
            }
        }
    }
}

/// From `start` at `t = 0` to `end` at `t = 1` along half a cosine.
fn half_cosine(start: f64, end: f64, t: f64) -> f64 {
    end + (start - end) * (1.0 + (PI * t).cos()) / 2.0
}
