//! The predictive distribution of the number of positive cells of a patient, by quadrature over the rates.

use crate::binomial::TailTable;
use crate::interval::place_of;
use crate::patients::CellCounts;
use crate::positive_rate::{PositiveRate, ln_beta, logistic, shapes};

/// Log-odds of the rates that serve as nodes of integrals; rates beyond them are combined at their mean.
const LOG_ODDS: [f64; 2] = [-12.0, 12.0];
const STEP: f64 = 0.05;
/// Rates with less weight are omitted.
const NEGLIGIBLE: f64 = 1e-10;

/// A distribution of rates as weighted nodes, by rising rates, weights adding up to 1.
#[derive(Debug, Clone)]
pub(crate) struct Rates {
    rates: Vec<f64>,
    weights: Vec<f64>,
}

impl Rates {
    /// The predictive distribution of a new patient's rate: beta distributions mixed over the points of the posterior, by the
    /// trapezoidal rule over log-odds, which is exact to many digits for smooth functions that fall to 0 on either side.
    pub(crate) fn predictive(rate: &PositiveRate) -> Self {
        let [low, high] = LOG_ODDS;
        let steps = ((high - low) / STEP).round() as usize;
        let place = |i: usize| low + STEP * i as f64;
        // Of the rate and of 1 - rate.
        let logarithms: Vec<[f64; 2]> =
            (0..=steps).map(|i| [-(-place(i)).exp().ln_1p(), -place(i).exp().ln_1p()]).collect();
        let mut nodes = vec![(0.0, 0.0); steps + 3];
        for &[mean, correlation, weight] in &rate.points {
            let [a, b] = shapes(mean, correlation);
            let scale = weight.ln() - ln_beta(a, b);
            let mut masses = Vec::with_capacity(steps + 3);
            // Beyond the nodes the density is a power of the rate: the rest of the trapezoidal sum is a geometric series.
            masses.push(STEP * (scale + a * low).exp() / (a * STEP).exp_m1());
            masses.extend(logarithms.iter().map(|[rate, rest]| STEP * (scale + a * rate + b * rest).exp()));
            masses.push(STEP * (scale - b * high).exp() / (b * STEP).exp_m1());
            let total: f64 = masses.iter().sum();
            let beyond =
                |shape: f64, end: f64| end * (shape * STEP).exp_m1() / ((shape + 1.0) * STEP).exp_m1();
            let ends = [beyond(a, logistic(low)), 1.0 - beyond(b, logistic(-high))];
            for (i, mass) in masses.into_iter().enumerate() {
                let rate = match i {
                    0 => ends[0],
                    i if i == steps + 2 => ends[1],
                    i => logistic(place(i - 1)),
                };
                let share = mass / total * weight;
                nodes[i].0 += rate * share;
                nodes[i].1 += share;
            }
        }
        let kept = nodes.into_iter().filter(|node| node.1 > NEGLIGIBLE);
        let (rates, weights) = kept.map(|(sum, weight)| (sum / weight, weight)).unzip();
        Self::normalized(rates, weights)
    }

    /// The distribution after `positive` of `cells` cells of the patient were called positive.
    pub(crate) fn given(&self, CellCounts { cells, positive }: CellCounts) -> Self {
        let log_likelihood: Vec<f64> = self
            .rates
            .iter()
            .map(|rate| {
                let power = |count: u64, log: f64| if count == 0 { 0.0 } else { count as f64 * log };
                power(positive, rate.ln()) + power(cells - positive, (-rate).ln_1p())
            })
            .collect();
        let highest = log_likelihood.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let weights = self.weights.iter().zip(&log_likelihood);
        Self::normalized(
            self.rates.clone(),
            weights.map(|(weight, log)| weight * (log - highest).exp()).collect(),
        )
    }

    fn normalized(rates: Vec<f64>, mut weights: Vec<f64>) -> Self {
        let total: f64 = weights.iter().sum();
        weights.iter_mut().for_each(|weight| *weight /= total);
        Self { rates, weights }
    }
}

/// Rates of uninfected and infected cells of a patient, ready for tails of the count of positive cells.
#[derive(Debug, Clone)]
pub(crate) struct Mixture {
    uninfected: Rates,
    /// Sums of the weights of the uninfected cells' rates from each node on, and 0.
    from: Vec<f64>,
    infected: Rates,
}

impl Mixture {
    pub(crate) fn new(uninfected: Rates, infected: Rates) -> Self {
        let mut from = vec![0.0; uninfected.weights.len() + 1];
        for (i, weight) in uninfected.weights.iter().enumerate().rev() {
            from[i] = from[i + 1] + weight;
        }
        Self { uninfected, from, infected }
    }

    /// The rates of a patient, given the calls of these cells.
    pub(crate) fn given(&self, uninfected: CellCounts, infected: CellCounts) -> Self {
        Self::new(self.uninfected.given(uninfected), self.infected.given(infected))
    }

    /// The probability that the count of `tail` is reached, over the rates, of cells with this infected share.
    pub(crate) fn reaches(&self, tail: &TailTable, infected_share: f64) -> f64 {
        if infected_share == 0.0 {
            return self.reaches_at(tail, 0.0, 1.0);
        }
        let infected = self.infected.rates.iter().zip(&self.infected.weights);
        infected
            .map(|(rate, weight)| weight * self.reaches_at(tail, infected_share * rate, 1.0 - infected_share))
            .sum()
    }

    /// The same over the rates of uninfected cells only, for a share of positive cells of `offset + scale * rate`.
    fn reaches_at(&self, tail: &TailTable, offset: f64, scale: f64) -> f64 {
        let Rates { rates, weights } = &self.uninfected;
        let below = |end: f64| rates.partition_point(|rate| offset + scale * rate < end);
        let (first, last) = (below(tail.low), below(tail.high));
        let between = rates[first..last].iter().zip(&weights[first..last]);
        let sum: f64 = between.map(|(rate, weight)| weight * tail.at(offset + scale * rate)).sum();
        (sum + self.from[last]).min(1.0)
    }

    /// The rate of positive cells that a share `quantile` of patients with this infected share do not exceed.
    pub(crate) fn quantile(&self, infected_share: f64, quantile: f64) -> f64 {
        let Self { uninfected, from, infected } = self;
        let at_most = |rate: f64| -> f64 {
            let rest = |own: f64| (rate - infected_share * own) / (1.0 - infected_share);
            let infected = infected.rates.iter().zip(&infected.weights);
            let below = |rate: f64| 1.0 - from[uninfected.rates.partition_point(|other| *other <= rate)];
            infected.map(|(own, weight)| weight * below(rest(*own))).sum()
        };
        place_of(quantile, at_most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rates of a model of the repository's reference results, as if they were known exactly.
    fn mixture() -> Mixture {
        let of = |mean| Rates::predictive(&PositiveRate::known(mean, 0.027236736035312115));
        Mixture::new(of(0.027350922972842362), of(0.9582868161981123))
    }

    /// Expected values from a simulation, to the given digits. A rule with a single correlation for the mixed rate would
    /// need 104 cells and have detection limits of 22.8, 18.8 and 18.3 %.
    #[test]
    fn the_spread_of_a_mixture_is_that_of_its_parts() {
        let mixture = mixture();
        let none_of = |cells: u64| 1.0 - mixture.reaches(&TailTable::new(cells, 1), 0.05);
        assert!((none_of(70) - 0.0110).abs() < 5e-5, "{}", none_of(70));
        assert_eq!((1..200).find(|&cells| none_of(cells) < 0.025), Some(57));
        let at_most = |count: u64| 1.0 - mixture.reaches(&TailTable::new(5_000, count + 1), 0.05);
        assert_eq!((0..500).rfind(|&count| at_most(count) < 0.025), Some(230));
        let healthy = 1.0 - mixture.reaches(&TailTable::new(5_000, 231), 0.0);
        assert!((healthy - 0.81).abs() < 5e-3, "{healthy}");
        for (cells, expected) in [(100, 0.168), (1_000, 0.114), (5_000, 0.106)] {
            let tail = |count| TailTable::new(cells, count);
            let needed = (1..).find(|&count| mixture.reaches(&tail(count), 0.0) < 0.025).unwrap();
            let limit = place_of(0.95, |share| mixture.reaches(&tail(needed), share));
            assert!((limit - expected).abs() < 5e-4, "{cells}: {limit}");
        }
    }
}
