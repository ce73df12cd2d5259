//! Counts of cells of one patient, whose rate differs from patient to patient.

use rand::Rng;
use rand_distr::{Beta, Distribution};

use crate::interval::Interval;

/// Correlations closer to 0 than this are taken for 0: differences of log-gammas of huge numbers would be rounding alone.
const INDEPENDENT: f64 = 1e-8;

/// A number of events among cells of one patient, each with a probability that is `rate` in the mean over patients, any two
/// cells of a patient being correlated by `correlation`: a beta-binomial variable. Without correlation, a binomial one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BetaBinomial {
    pub(crate) cells: u64,
    /// In `[0, 1]`.
    pub(crate) rate: f64,
    /// In `[0, 1)`.
    pub(crate) correlation: f64,
}

impl BetaBinomial {
    /// The probability of at least `count` events.
    pub(crate) fn at_least(self, count: u64) -> f64 {
        // The shorter sum is the more exact one, but a tail has to be summed on its own side to be more than rounding.
        (count..=self.cells).map(|k| self.probability(k)).sum::<f64>().min(1.0)
    }

    /// The probability of at most `count` events.
    pub(crate) fn at_most(self, count: u64) -> f64 {
        (0..=count.min(self.cells)).map(|k| self.probability(k)).sum::<f64>().min(1.0)
    }

    /// The probability of `count` events.
    pub(crate) fn probability(self, count: u64) -> f64 {
        let Self { cells, rate, correlation } = self;
        // Where nothing or everything is an event, the distributions below have no logarithm.
        if rate <= 0.0 || rate >= 1.0 {
            return if count == if rate <= 0.0 { 0 } else { cells } { 1.0 } else { 0.0 };
        }
        let (n, k) = (cells as f64, count as f64);
        let chosen = ln_gamma(n + 1.0) - ln_gamma(k + 1.0) - ln_gamma(n - k + 1.0);
        if correlation < INDEPENDENT {
            return (chosen + k * rate.ln() + (n - k) * (-rate).ln_1p()).exp();
        }
        let (a, b) = self.shape();
        (chosen + ln_beta(a + k, b + n - k) - ln_beta(a, b)).exp()
    }

    /// Draws the rate of a patient who has had `count` events: from the posterior of the beta distribution that rates have over patients.
    pub(crate) fn rate_given(self, count: u64, rng: &mut impl Rng) -> f64 {
        let Self { cells, rate, correlation } = self;
        if rate <= 0.0 || rate >= 1.0 {
            // Nobody else has told how patients differ from a rate of 0 or 1: this one's cells speak alone.
            return if cells == 0 { rate } else { count as f64 / cells as f64 };
        }
        if correlation < INDEPENDENT {
            return rate;
        }
        let (a, b) = self.shape();
        // Shapes that are no numbers above 0 come of rates and correlations at the end of what a float holds.
        let Ok(posterior) = Beta::new(a + count as f64, b + (cells - count) as f64) else { return rate };
        posterior.sample(rng)
    }

    /// Of the beta distribution of the rate, where patients differ in it.
    fn shape(self) -> (f64, f64) {
        let size = (1.0 - self.correlation) / self.correlation;
        (self.rate * size, (1.0 - self.rate) * size)
    }

    /// Rates that a count of `count` does not contradict: each tail beyond it has at least half of what `confidence`
    /// leaves. Clopper and Pearson's interval where there is no correlation.
    pub(crate) fn rates(cells: u64, count: u64, correlation: f64, confidence: f64) -> Interval {
        let tail = (1.0 - confidence) / 2.0;
        let with = |rate| Self { cells, rate, correlation };
        let low = if count == 0 { 0.0 } else { root(|rate| with(rate).at_least(count) - tail) };
        let high = if count == cells { 1.0 } else { root(|rate| tail - with(rate).at_most(count)) };
        Interval { low, high }
    }
}

/// Where a function that rises over `[0, 1]` passes 0, by bisection to neighbouring numbers or 1e-12.
pub(crate) fn root(rising: impl Fn(f64) -> f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    while high - low > 1e-12 {
        let middle = f64::midpoint(low, high);
        if rising(middle) < 0.0 { low = middle } else { high = middle }
    }
    f64::midpoint(low, high)
}

fn ln_gamma(x: f64) -> f64 {
    libm::lgamma(x)
}

fn ln_beta(a: f64, b: f64) -> f64 {
    ln_gamma(a) + ln_gamma(b) - ln_gamma(a + b)
}
