//! The rate at which cells of one kind are called positive, which differs between patients.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::patients::{CellCounts, intra_patient_correlation};

/// Lowest and highest correlation within patients: a data set cannot distinguish a lower one from 0, and with a higher one
/// nearly all calls of a patient's cells are the same.
const CORRELATIONS: [f64; 2] = [1e-4, 0.5];
/// Log-odds of the lowest and highest mean rate.
const MEANS: [f64; 2] = [-14.0, 14.0];
/// Points of the grid in each direction. The last grid has a spacing of about a standard deviation, at which sums over a
/// smooth distribution are exact to many digits.
const GRID: usize = 17;
/// Number of rounds in which the grid is narrowed to the posterior.
const MAX_ROUNDS: usize = 40;
/// Points whose log-density is this far below the highest are outside the grid.
const DEPTH: f64 = 10.0;
/// Points with less weight are omitted.
const MIN_WEIGHT: f64 = 1e-5;
/// Maximum number of points read from a file.
const MAX_POINTS: usize = 1_000;

/// The rate at which a patient's cells of one kind (infected or uninfected) are called positive.
///
/// Over patients it has a beta distribution, whose mean and correlation (of the calls of any two cells of a patient) are
/// estimated from the cells of some patients. [`points`](Self::points) are their posterior distribution.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PositiveRate {
    /// Share of all cells called positive.
    pub mean: f64,
    /// [`intra_patient_correlation`], in `[0, 1]`.
    pub correlation: f64,
    /// Number of patients with such cells.
    pub patients: usize,
    /// Number of such cells.
    pub cells: u64,
    /// The posterior distribution of mean and correlation: `[mean, correlation, weight]`, weights adding up to 1.
    pub points: Vec<[f64; 3]>,
}

impl PositiveRate {
    /// Estimates the rate from cells of several patients; `None` if there is no [`intra_patient_correlation`].
    ///
    /// Prior: the mean has Jeffreys' distribution for a proportion, beta(1/2, 1/2). For beta(a, b), `1 / sqrt(a + b)` is
    /// uniform up to 1; this is nearly the standard deviation between patients at a given mean; the correlation
    /// `1 / (a + b + 1)` lies between 0.0001 and 0.5. The posterior is computed on a grid over the log-odds of mean and correlation.
    ///
    /// Source: A. Gelman et al., "Bayesian Data Analysis" (3rd ed., 2013), section 5.3, whose prior is uniform in the mean too.
    ///
    /// # Errors
    /// [`Error::TooManySuccesses`] for more positive cells than cells.
    pub fn estimate(patients: &[CellCounts]) -> Result<Option<Self>> {
        patients.iter().try_for_each(|patient| patient.check())?;
        let Some(correlation) = intra_patient_correlation(patients) else { return Ok(None) };
        let cells = patients.iter().map(|patient| patient.cells).sum();
        let positive: u64 = patients.iter().map(|patient| patient.positive).sum();
        Ok(Some(Self {
            mean: positive as f64 / cells as f64,
            correlation,
            patients: patients.iter().filter(|patient| patient.cells > 0).count(),
            cells,
            points: posterior(patients),
        }))
    }

    /// A rate whose mean and correlation are known exactly.
    pub fn known(mean: f64, correlation: f64) -> Self {
        Self { mean, correlation, patients: 0, cells: 0, points: vec![[mean, correlation, 1.0]] }
    }

    /// The mean rate of a new patient, over the posterior.
    pub(crate) fn expected(&self) -> f64 {
        self.points.iter().map(|[mean, _, weight]| mean * weight).sum()
    }

    /// The smallest count of positive cells, among `cells` cells of this kind, that a new patient exceeds with a probability
    /// of at most `chance`, by the posterior and also if patients do not differ.
    ///
    /// With very few positive cells the data do not show how much patients differ, and a prior under which they may differ
    /// greatly gives most patients none. So the limit is no lower than that of a common rate. The threshold of cells is one of
    /// the scores, just above the (k + 1)-th highest of n, so that the common rate has the distribution beta(k + 1, n - k).
    /// Source: S. S. Wilks, "Determination of sample sizes for setting tolerance limits", The Annals of Mathematical
    /// Statistics 12 (1941).
    pub(crate) fn limit(&self, cells: u64, chance: f64) -> u64 {
        let posterior =
            self.points.iter().map(|&[mean, correlation, weight]| (shapes(mean, correlation), weight));
        let limit = beta_binomial_limit(posterior, cells, chance);
        let positive = (self.mean * self.cells as f64).round();
        let negative = self.cells as f64 - positive;
        if negative < 1.0 {
            return limit;
        }
        limit.max(beta_binomial_limit([([positive + 1.0, negative], 1.0)].into_iter(), cells, chance))
    }

    /// Checks the points.
    ///
    /// # Errors
    /// No points or more than 1,000, means within 1e-6 of 0 or 1, correlations outside `[1e-4, 0.5]`, weights that are negative or do not add
    /// up to 1.
    pub(crate) fn check(&self, what: &'static str) -> Result<()> {
        let inside = |name: &str, value: f64, [low, high]: [f64; 2]| {
            if (low..=high).contains(&value) {
                return Ok(());
            }
            Err(Error::OutOfRange { what: format!("{name} of the rate of {what}"), value, range: low..=high })
        };
        inside("mean share", self.mean, [0.0, 1.0])?;
        inside("number of points", self.points.len() as f64, [1.0, MAX_POINTS as f64])?;
        for &[mean, correlation, weight] in &self.points {
            inside("mean", mean, MEANS.map(logistic))?;
            inside("correlation", correlation, CORRELATIONS)?;
            inside("weight", weight, [0.0, 1.0])?;
        }
        inside("sum of weights", self.points.iter().map(|point| point[2]).sum(), [0.999, 1.001])
    }
}

/// The smallest count out of `cells` that is exceeded with a probability of at most `chance`, if the rate has a mixture of
/// beta distributions with these shapes and weights.
fn beta_binomial_limit(rates: impl Iterator<Item = ([f64; 2], f64)>, cells: u64, chance: f64) -> u64 {
    let n = cells as f64;
    // The probability of each count follows from that of the previous count, in logarithms.
    let mut terms: Vec<([f64; 2], f64)> =
        rates.map(|([a, b], weight)| ([a, b], weight.ln() + ln_beta(a, b + n) - ln_beta(a, b))).collect();
    let mut at_most = 0.0;
    for count in 0..cells {
        let k = count as f64;
        at_most += terms.iter().map(|(_, log)| log.exp()).sum::<f64>();
        if at_most >= 1.0 - chance {
            return count;
        }
        for ([a, b], log) in &mut terms {
            *log += ((n - k) * (*a + k) / ((k + 1.0) * (*b + n - k - 1.0))).ln();
        }
    }
    cells
}

/// Shapes of the beta distribution with this mean and correlation.
pub(crate) fn shapes(mean: f64, correlation: f64) -> [f64; 2] {
    let size = (1.0 - correlation) / correlation;
    [mean * size, (1.0 - mean) * size]
}

pub(crate) fn ln_beta(a: f64, b: f64) -> f64 {
    libm::lgamma(a) + libm::lgamma(b) - libm::lgamma(a + b)
}

/// The probability with these log-odds.
pub(crate) fn logistic(log_odds: f64) -> f64 {
    1.0 / (1.0 + (-log_odds).exp())
}

/// The log-odds of this probability.
pub(crate) fn logit(probability: f64) -> f64 {
    (probability / (1.0 - probability)).ln()
}

/// Weighted points of the posterior of mean and correlation, at least one.
fn posterior(patients: &[CellCounts]) -> Vec<[f64; 3]> {
    let mut alike: BTreeMap<[u64; 2], f64> = BTreeMap::new();
    for &CellCounts { cells, positive } in patients {
        *alike.entry([cells, positive]).or_default() += 1.0;
    }
    let limits = [MEANS, CORRELATIONS.map(logit)];
    let sum = |of: fn(&CellCounts) -> u64| patients.iter().map(of).sum::<u64>() as f64;
    let (cells, positive) = (sum(|patient| patient.cells), sum(|patient| patient.positive));
    // Around the mean of all cells, since the correlation is determined only at means near the best one.
    let centre = logit((positive + 0.5) / (cells + 1.0));
    let mut bounds = [[centre - 2.5, centre + 2.5], limits[1]];
    let mut area = f64::INFINITY;
    for _ in 0..MAX_ROUNDS {
        let grid = Grid::new(&alike, bounds);
        bounds = grid.support(limits);
        let closer: f64 = bounds.iter().map(|[low, high]| high - low).product();
        // Stops when the area hardly shrinks and does not grow: few cells give a wide posterior, and the first grid may be
        // too narrow.
        if closer > 0.9 * area && closer <= 1.001 * area {
            break;
        }
        area = closer;
    }
    Grid::new(&alike, bounds).points()
}

/// The log-density of the posterior on a grid over the log-odds of mean and correlation.
struct Grid {
    axes: [Vec<f64>; 2],
    /// Row by row, one per mean.
    log_density: Vec<f64>,
    highest: f64,
}

impl Grid {
    /// `alike` are the numbers of patients with the same cells and positive cells.
    fn new(alike: &BTreeMap<[u64; 2], f64>, bounds: [[f64; 2]; 2]) -> Self {
        let axes = bounds.map(|[low, high]| {
            Vec::from_iter((0..GRID).map(|i| low + (high - low) * i as f64 / (GRID - 1) as f64))
        });
        let log_density: Vec<f64> = axes[0]
            .iter()
            .flat_map(|&mean| axes[1].iter().map(move |&correlation| log_posterior(alike, mean, correlation)))
            .collect();
        let highest = log_density.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Self { axes, log_density, highest }
    }

    /// The part of the grid with a density, plus one step on each side, within `limits`.
    fn support(&self, limits: [[f64; 2]; 2]) -> [[f64; 2]; 2] {
        let dense = |i: usize| self.log_density[i] > self.highest - DEPTH;
        [0, 1].map(|axis| {
            let place = |i: usize| if axis == 0 { i / GRID } else { i % GRID };
            let places = || (0..GRID * GRID).filter(|&i| dense(i)).map(place);
            let (first, last) = (places().min().unwrap_or(0), places().max().unwrap_or(GRID - 1));
            let (points, [low, high]) = (&self.axes[axis], limits[axis]);
            let step = points[1] - points[0];
            [(points[first] - step).max(low), (points[last] + step).min(high)]
        })
    }

    fn points(&self) -> Vec<[f64; 3]> {
        let places = (0..GRID * GRID).map(|i| end_weight(i / GRID) * end_weight(i % GRID));
        let density = self.log_density.iter().map(|log| (log - self.highest).exp());
        let weights: Vec<f64> = density.zip(places).map(|(density, weight)| density * weight).collect();
        let total: f64 = weights.iter().sum();
        let kept: Vec<usize> = (0..weights.len()).filter(|&i| weights[i] > MIN_WEIGHT * total).collect();
        let total: f64 = kept.iter().map(|&i| weights[i]).sum();
        let point = |i: usize| {
            [logistic(self.axes[0][i / GRID]), logistic(self.axes[1][i % GRID]), weights[i] / total]
        };
        kept.into_iter().map(point).collect()
    }
}

/// The weight of a point of an axis in Gregory's rule of the third order: the trapezoidal rule corrected at its ends, where
/// a limit may truncate the density.
fn end_weight(place: usize) -> f64 {
    [3.0 / 8.0, 7.0 / 6.0, 23.0 / 24.0].get(place.min(GRID - 1 - place)).copied().unwrap_or(1.0)
}

/// The logarithm of the posterior density, up to a constant, at these log-odds of mean and correlation.
fn log_posterior(alike: &BTreeMap<[u64; 2], f64>, mean: f64, correlation: f64) -> f64 {
    let [a, b] = shapes(logistic(mean), logistic(correlation));
    let none = ln_beta(a, b);
    let likelihood: f64 = alike
        .iter()
        .map(|(&[cells, positive], number)| {
            number * (ln_beta(a + positive as f64, b + (cells - positive) as f64) - none)
        })
        .sum();
    // Both densities with respect to log-odds: beta(1/2, 1/2), and 1 / sqrt(a + b), which is sqrt of the odds of the correlation.
    let prior = -0.5 * ((-mean).exp().ln_1p() + mean.exp().ln_1p()) + correlation / 2.0;
    likelihood + prior
}
