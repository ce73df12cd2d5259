//! The effect of cells that the finder misses or adds on a patient's share of infected cells.

use malaria_metrics::Interval;

/// Odds of infection among all red cells, over those among the red cells found: `(q + e) / r`, where `r` and `q` are
/// the shares of infected and of uninfected cells that are found, and `e` the number of other objects taken for red
/// cells, per cell. The ends follow from the exact intervals of these shares on composed photographs (`odds_ratio` in
/// `results/finder.json`).
const ODDS_RATIO: Interval = Interval { low: 0.9986, high: 1.0183 };

/// What the interval of a patient includes, as text.
pub(crate) const NOTE: &str =
    "The interval includes the errors of the cell finder on photographs composed of single cells.";

/// The interval of the share of infected cells among all red cells, from that among the red cells found.
pub(crate) fn with_finder_errors(found: Interval) -> Interval {
    let of_all = |share: f64, ratio: f64| ratio * share / (1.0 - share + ratio * share);
    Interval { low: of_all(found.low, ODDS_RATIO.low), high: of_all(found.high, ODDS_RATIO.high) }
}
