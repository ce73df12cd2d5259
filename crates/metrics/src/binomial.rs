//! An upper tail of the binomial distribution as a function of the success probability.

/// Steps of a table.
const STEPS: usize = 384;
/// With at least [`LARGE`] expected successes, counts this many standard deviations from the mean have a probability below 1e-8.
const FAR: f64 = 6.5;
const LARGE: u64 = 100;
/// Gauss and Legendre's three points on `[0, 1]`, and their weights.
const GAUSS: [[f64; 2]; 3] =
    [[0.1127016653792583, 5.0 / 18.0], [0.5, 8.0 / 18.0], [0.8872983346207417, 5.0 / 18.0]];

/// The probability of at least `count` successes in `trials` trials at any success probability, to 1e-6: cubic Hermite interpolation in a
/// table.
pub(crate) struct TailTable {
    /// The tail is 0 below this rate.
    pub(crate) low: f64,
    /// The tail is 1 at and above this rate.
    pub(crate) high: f64,
    steps_per_rate: f64,
    /// Values at `STEPS + 1` rates, and slopes per step.
    nodes: Vec<[f64; 2]>,
}

impl TailTable {
    pub(crate) fn new(trials: u64, count: u64) -> Self {
        if count == 0 || count > trials {
            // Always 1, or always 0.
            let end = if count == 0 { f64::NEG_INFINITY } else { f64::INFINITY };
            return Self { low: end, high: end, steps_per_rate: 0.0, nodes: Vec::new() };
        }
        let n = trials as f64;
        let bounds = |count: u64| {
            let root = (FAR * FAR + 4.0 * count as f64).sqrt();
            let rate = |root_mean: f64| (root_mean * root_mean / n).min(1.0);
            let low = if count < LARGE { 0.0 } else { rate((root - FAR) / 2.0) };
            (low, rate(f64::midpoint(root, FAR)))
        };
        let failures = trials - count + 1;
        let (low, high) = if count <= failures {
            bounds(count)
        } else {
            let (low, high) = bounds(failures);
            (1.0 - high, 1.0 - low)
        };
        // The tail is the distribution function of a beta variable with the shapes `count` and `failures`: the integral of its density.
        let (a, b) = (count as f64, failures as f64);
        let scale = libm::lgamma(a + b) - libm::lgamma(a) - libm::lgamma(b);
        let power = |exponent: f64, log: f64| if exponent == 0.0 { 0.0 } else { exponent * log };
        let density = |rate: f64| (scale + power(a - 1.0, rate.ln()) + power(b - 1.0, (-rate).ln_1p())).exp();
        let step = (high - low) / STEPS as f64;
        let mut tail = 0.0;
        let nodes = (0..=STEPS).map(|i| {
            let rate = low + step * i as f64;
            let node = [tail, step * density(rate.min(1.0))];
            tail +=
                step * GAUSS.iter().map(|[place, weight]| weight * density(rate + step * place)).sum::<f64>();
            node
        });
        Self { low, high, steps_per_rate: 1.0 / step, nodes: nodes.collect() }
    }

    /// The tail at `rate`.
    #[inline]
    pub(crate) fn at(&self, rate: f64) -> f64 {
        if rate < self.low {
            return 0.0;
        }
        if rate >= self.high {
            return 1.0;
        }
        let place = (rate - self.low) * self.steps_per_rate;
        let i = (place as usize).min(STEPS - 1);
        let t = place - i as f64;
        let ([left, left_slope], [right, right_slope]) = (self.nodes[i], self.nodes[i + 1]);
        let rise = right - left;
        let (bend, twist) =
            (3.0 * rise - 2.0 * left_slope - right_slope, left_slope + right_slope - 2.0 * rise);
        left + t * (left_slope + t * (bend + t * twist))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_match_scipy() {
        // scipy.stats.binom.sf(count - 1, trials, rate)
        for (trials, count, rate, expected) in [
            (10, 3, 0.2, 0.32220047360000015),
            (70, 1, 1e-6, 6.999758505473909e-05),
            (100, 100, 0.97, 0.04755250792540562),
            (5_000, 300, 0.05, 0.0008783392813567505),
            (5_000, 200, 0.05, 0.9996393019427899),
            (50_000, 2_500, 0.049, 0.15259985224915074),
        ] {
            let difference = TailTable::new(trials, count).at(rate) - expected;
            assert!(difference.abs() < 1e-7, "{count} of {trials} at {rate}: {difference:e}");
        }
    }

    #[test]
    fn tails_match_sums_of_probabilities() {
        for (trials, count) in
            [(1, 1), (20, 1), (20, 20), (70, 4), (400, 99), (400, 100), (400, 301), (5_000, 1)]
        {
            let table = TailTable::new(trials, count);
            for i in 1..1_000 {
                let rate = f64::from(i) / 1e3;
                // P(K = k) by recurrence, from k = 0 or from the other end.
                let (odds, from_zero) = (rate / (1.0 - rate), rate < 0.5);
                let (odds, first) = if from_zero { (odds, 1.0 - rate) } else { (1.0 / odds, rate) };
                let mut probability = first.powi(trials as i32);
                let mut tail = 0.0;
                for k in 0..=trials {
                    tail += if (if from_zero { k } else { trials - k }) >= count { probability } else { 0.0 };
                    probability *= (trials - k) as f64 / (k + 1) as f64 * odds;
                }
                // Powers of 5,000 underflow.
                let difference = table.at(rate) - tail;
                assert!(
                    difference.abs() < 1e-6 || trials == 5_000 && rate > 0.1,
                    "{count} of {trials} at {rate}: {difference:e}"
                );
            }
        }
        assert_eq!((TailTable::new(5, 0).at(0.0), TailTable::new(5, 6).at(1.0)), (1.0, 0.0));
        assert_eq!((TailTable::new(5, 5).at(1.0), TailTable::new(5, 1).at(0.0)), (1.0, 0.0));
    }
}
