//! Counts of cells of one patient, whose rate differs from patient to patient.

use crate::interval::Interval;

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
        // Closer to 0 than this, differences of log-gammas of huge numbers are rounding alone.
        if correlation < 1e-8 {
            return (chosen + k * rate.ln() + (n - k) * (-rate).ln_1p()).exp();
        }
        let size = (1.0 - correlation) / correlation;
        let (a, b) = (rate * size, (1.0 - rate) * size);
        (chosen + ln_beta(a + k, b + n - k) - ln_beta(a, b)).exp()
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
