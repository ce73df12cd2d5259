//! The beta-binomial distribution: counts of cells whose rate differs between patients.

use rand::Rng;
use rand_distr::{Beta, Distribution};

use crate::interval::Interval;

/// Correlations below this count as 0: differences of log-gammas of huge numbers would be rounding errors.
const INDEPENDENT: f64 = 1e-8;

/// The number of events among `cells` cells of one patient: a beta-binomial variable with the mean rate `rate` over patients and
/// the correlation `correlation` of any two cells of a patient. Without correlation it is binomial.
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
        // Summed directly, as 1 minus the other tail would lose small tails to rounding.
        (count..=self.cells).map(|k| self.probability(k)).sum::<f64>().min(1.0)
    }

    /// The probability of at most `count` events.
    pub(crate) fn at_most(self, count: u64) -> f64 {
        (0..=count.min(self.cells)).map(|k| self.probability(k)).sum::<f64>().min(1.0)
    }

    /// The probability of `count` events.
    pub(crate) fn probability(self, count: u64) -> f64 {
        let Self { cells, rate, correlation } = self;
        // The formulas below have no logarithm at rates of 0 and 1.
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

    /// Samples the rate of a patient with `count` events from the posterior of the beta distribution of rates over patients.
    pub(crate) fn rate_given(self, count: u64, rng: &mut impl Rng) -> f64 {
        let Self { cells, rate, correlation } = self;
        if rate <= 0.0 || rate >= 1.0 {
            // The spread around a mean rate of 0 or 1 is unknown: only this patient's cells count.
            return if cells == 0 { rate } else { count as f64 / cells as f64 };
        }
        if correlation < INDEPENDENT {
            return rate;
        }
        let (a, b) = self.shape();
        // Rates and correlations near the limits of a float give invalid shapes.
        let Ok(posterior) = Beta::new(a + count as f64, b + (cells - count) as f64) else { return rate };
        posterior.sample(rng)
    }

    /// Shape parameters of the beta distribution of rates over patients.
    fn shape(self) -> (f64, f64) {
        let size = (1.0 - self.correlation) / self.correlation;
        (self.rate * size, (1.0 - self.rate) * size)
    }

    /// The exact interval of the rate after `count` events: each tail has the probability `(1 - confidence) / 2`. Clopper and
    /// Pearson's interval without correlation.
    pub(crate) fn rates(cells: u64, count: u64, correlation: f64, confidence: f64) -> Interval {
        let tail = (1.0 - confidence) / 2.0;
        let with = |rate| Self { cells, rate, correlation };
        let low = if count == 0 { 0.0 } else { root(|rate| with(rate).at_least(count) - tail) };
        let high = if count == cells { 1.0 } else { root(|rate| tail - with(rate).at_most(count)) };
        Interval { low, high }
    }
}

/// The zero of a function that rises over `[0, 1]`, by bisection to 1e-12.
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
