//! Intervals of proportions, and the normal distribution.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

use serde::{Deserialize, Serialize};

use crate::binomial::TailTable;
use crate::check;
use crate::error::{Error, Result};
use crate::positive_rate::logit;

/// Of places and log-odds in [`place_of`].
const TOLERANCE: f64 = 1e-10;
/// Probabilities nearer to 0 or 1 are not told apart.
const TINY: f64 = 1e-12;

/// A confidence interval of a proportion, both ends fractions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Wilson's score interval, without continuity correction, of the proportion `successes / trials` at the level
/// `confidence`, such as 0.95. `None` without a trial.
///
/// It assumes independent trials. Cells of one patient are not: for a metric over many cells of few patients it is too
/// narrow.
///
/// ```
/// let interval = malaria_metrics::wilson_interval(8, 10, 0.95)?.unwrap();
/// assert!((interval.low - 0.4902).abs() < 1e-4 && (interval.high - 0.9433).abs() < 1e-4);
/// # Ok::<(), malaria_metrics::Error>(())
/// ```
///
/// Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", Journal of the
/// American Statistical Association 22 (1927).
///
/// # Errors
/// More successes than trials, or a confidence outside `[0, 1]`.
pub fn wilson_interval(successes: u64, trials: u64, confidence: f64) -> Result<Option<Interval>> {
    check::fraction(|| "confidence".into(), confidence)?;
    if successes > trials {
        return Err(Error::TooManySuccesses { successes, trials });
    }
    if trials == 0 {
        return Ok(None);
    }
    if confidence == 1.0 {
        return Ok(Some(Interval { low: 0.0, high: 1.0 }));
    }
    let z = normal_deviate(confidence);
    let n = trials as f64;
    let share = successes as f64 / n;
    let scale = 1.0 + z * z / n;
    let centre = (share + z * z / (2.0 * n)) / scale;
    let half_width = z * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt() / scale;
    // The formula gives exactly 0 and 1 at the ends; rounding does not.
    Ok(Some(Interval {
        low: if successes == 0 { 0.0 } else { (centre - half_width).max(0.0) },
        high: if successes == trials { 1.0 } else { (centre + half_width).min(1.0) },
    }))
}

/// The exact interval of the proportion `successes / trials` at the level `confidence`: each tail has at most the probability
/// `(1 - confidence) / 2`. `None` without a trial. Independent trials, as for [`wilson_interval`].
///
/// ```
/// let interval = malaria_metrics::exact_interval(0, 38, 0.95)?.unwrap();
/// assert!(interval.low == 0.0 && (interval.high - 0.0925).abs() < 1e-4);
/// # Ok::<(), malaria_metrics::Error>(())
/// ```
///
/// Source: C. J. Clopper and E. S. Pearson, "The use of confidence or fiducial limits illustrated in the case of the binomial",
/// Biometrika 26 (1934).
///
/// # Errors
/// As [`wilson_interval`].
pub fn exact_interval(successes: u64, trials: u64, confidence: f64) -> Result<Option<Interval>> {
    check::fraction(|| "confidence".into(), confidence)?;
    if successes > trials {
        return Err(Error::TooManySuccesses { successes, trials });
    }
    if trials == 0 {
        return Ok(None);
    }
    let tail = (1.0 - confidence) / 2.0;
    let reached = |count: u64, share: f64| {
        let tail = TailTable::new(trials, count);
        place_of(share, |rate| tail.at(rate))
    };
    Ok(Some(Interval {
        low: if successes == 0 { 0.0 } else { reached(successes, tail) },
        high: if successes == trials { 1.0 } else { reached(successes + 1, 1.0 - tail) },
    }))
}

/// The place in `[0, 1]` at which a rising probability reaches `level`, or an end if it does not, by the bracketed secant method
/// (Illinois) on log-odds, which are less curved than probabilities. The upper end is brought near first: most places are
/// far below 1.
pub(crate) fn place_of(level: f64, rising: impl Fn(f64) -> f64) -> f64 {
    let log_odds = |share: f64| logit(share.clamp(TINY, 1.0 - TINY));
    let rising = |place: f64| log_odds(rising(place)) - log_odds(level);
    let [(mut low, mut below), (mut high, mut above)] = [0.0, 1.0].map(|end| (end, rising(end)));
    if below >= 0.0 || above <= 0.0 {
        return if below >= 0.0 { 0.0 } else { 1.0 };
    }
    while low == 0.0 && high > TOLERANCE {
        let quarter = high / 4.0;
        let value = rising(quarter);
        if value < 0.0 {
            (low, below) = (quarter, value);
        } else {
            (high, above) = (quarter, value);
        }
    }
    let mut last_below = None;
    while high - low > TOLERANCE {
        let middle = low + (high - low) * below / (below - above);
        let value = rising(middle);
        let is_below = value < 0.0;
        // An end that stays in place twice counts half, so that the bracket closes from both sides.
        let stays = last_below == Some(is_below);
        if is_below {
            (low, below) = (middle, value);
            above /= if stays { 2.0 } else { 1.0 };
        } else {
            (high, above) = (middle, value);
            below /= if stays { 2.0 } else { 1.0 };
        }
        if value.abs() < TOLERANCE {
            return middle;
        }
        last_below = Some(is_below);
    }
    f64::midpoint(low, high)
}

/// The z below which a standard normal variable lies with probability `share`, in `[0, 1]`; infinite at its ends.
pub(crate) fn normal_quantile(share: f64) -> f64 {
    let distance = (2.0 * share - 1.0).abs();
    let z = if distance < 1.0 { normal_deviate(distance) } else { f64::INFINITY };
    z.copysign(share - 0.5)
}

/// The probability that a standard normal variable lies below `z`.
pub(crate) fn normal_share(z: f64) -> f64 {
    libm::erfc(-z * FRAC_1_SQRT_2) / 2.0
}

/// The z for which a standard normal variable lies between -z and z with probability `confidence`, in `[0, 1)`.
pub(crate) fn normal_deviate(confidence: f64) -> f64 {
    let outside = 1.0 - confidence;
    let mut z = 0.0;
    // Newton's method from below: the tail is falling and convex, so each step approaches the root without passing it,
    // until rounding stops the progress.
    loop {
        let excess = libm::erfc(z * FRAC_1_SQRT_2) - outside;
        let slope = (2.0 / PI).sqrt() * (-z * z / 2.0).exp();
        let next = z + excess / slope;
        if next <= z {
            return z;
        }
        z = next;
    }
}
