//! Patient calls from the calls of their cells.

use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use crate::binomial::TailTable;
use crate::check;
use crate::error::{Error, Result};
use crate::interval::{Interval, place_of};
use crate::mixture::{Mixture, Rates};
use crate::patients::{CellCounts, PatientCells};
use crate::positive_rate::PositiveRate;

/// Highest probability that a patient without parasites is called positive. EP17's 5 % must hold for healthy patients and for
/// the uninfected cells of infected patients, which have more false alarms than the average of both that the rate is. In NLM's
/// patients, 4 % over both keeps each below 5 % on patients other than those of the rule; 5 % does not (3.9 and 5.7 %).
const FALSE_ALARMS: f64 = 0.04;
/// Probability that a patient at the detection limit is called positive.
const POWER: f64 = 0.95;
/// Quantiles over patients of a [`Detection`].
const PATIENTS_BETWEEN: [f64; 2] = [0.1, 0.9];
/// Level of the interval of the infected share.
const CONFIDENCE: f64 = 0.95;
/// Cells of a fully counted smear: more cells hardly lower the detection limit, which the differences between patients bound.
const FULL_COUNT: u64 = 5_000;
/// There are too few cells while the detection limit exceeds this multiple of that of the full count.
const MAX_LIMIT_RATIO: f64 = 2.0;

/// The rates at which a model calls cells of patients positive, from which patients are called.
///
/// The model for a patient with a share s of infected cells: each cell is called positive with probability
/// `(1 - s) f + s q`, where f and q are the patient's own rates of false alarms and of detected parasites, which follow the beta
/// distributions of [`uninfected`](Self::uninfected) and [`infected`](Self::infected). The count of positive cells is thus
/// binomial given s, f and q. The uncertain parameters of the beta distributions are integrated out, as are f and q.
///
/// Source: for counts with a beta-distributed rate, J. G. Skellam, "A probability distribution derived from the binomial distribution by
/// regarding the probability of success as variable between the sets of trials", Journal of the Royal Statistical Society B 10 (1948).
/// The mixture of two such rates is our own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PatientRule {
    /// The rate for uninfected cells: false alarms.
    pub uninfected: PositiveRate,
    /// The rate for infected cells: detected parasites.
    pub infected: PositiveRate,
}

impl PatientRule {
    /// Estimates both rates from labelled cells of patients; `None` if one kind of cells is missing or there are fewer than
    /// two patients with such cells.
    ///
    /// # Errors
    /// [`Error::TooManySuccesses`] for more positive cells than cells.
    pub fn estimate(patients: &[PatientCells]) -> Result<Option<Self>> {
        let rate = |of: fn(&PatientCells) -> CellCounts| {
            PositiveRate::estimate(
                &patients.iter().map(of).filter(|counts| counts.cells > 0).collect::<Vec<_>>(),
            )
        };
        let (uninfected, infected) = (rate(|patient| patient.uninfected)?, rate(|patient| patient.infected)?);
        Ok(uninfected.zip(infected).map(|(uninfected, infected)| Self { uninfected, infected }))
    }

    /// Checks the rates.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for points that are not a distribution: means within 1e-6 of 0 or 1, correlations outside
    /// `[1e-4, 0.5]`, weights that are negative or do not add up to 1, no points or more than 1,000.
    pub fn check(&self) -> Result<()> {
        self.uninfected.check("uninfected cells")?;
        self.infected.check("infected cells")
    }
}

/// The call of a patient.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "call", rename_all = "kebab-case")]
pub enum PatientCall {
    /// More positive cells than the limit of blank.
    Positive,
    /// No more positive cells than false alarms explain.
    NotDetected {
        /// The smallest share of infected cells that this number of cells detects in 95 of 100 patients.
        detection_limit: f64,
    },
    /// No more positive cells than false alarms explain, and so few cells that the detection limit is more than twice that of a
    /// full count.
    TooFewCells {
        /// Number of further cells needed.
        more_cells: u64,
    },
    /// No call, since the rates do not hold for these pictures. [`PatientCaller::evaluate`] does not see the pictures and
    /// never returns it.
    NotCalled,
}

/// The result for one patient.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PatientResult {
    /// The counted cells.
    pub called: CellCounts,
    /// Share of the cells called positive.
    ///
    /// 0 without cells.
    pub positive_share: f64,
    /// Estimated share of infected cells (the parasitaemia): the positive share corrected for the mean rates of false alarms and missed
    /// cells, within the interval.
    ///
    /// `None` if the patient is not called.
    pub infected_share: Option<f64>,
    /// 95 % interval of the infected share.
    pub interval: Interval,
    /// The call.
    #[serde(flatten)]
    pub call: PatientCall,
}

impl PatientResult {
    /// The result for a patient about whom nothing is known: no share of infected cells is ruled out.
    pub fn not_called(called: CellCounts) -> Self {
        Self {
            called,
            positive_share: called.positive as f64 / called.cells.max(1) as f64,
            infected_share: None,
            interval: Interval { low: 0.0, high: 1.0 },
            call: PatientCall::NotCalled,
        }
    }
}

/// The probability that a patient with a given share of infected cells is called positive.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Detection {
    /// The share of infected cells.
    pub infected_share: f64,
    /// The mean probability over patients.
    pub found: f64,
    /// The 10th percentile of the probability over patients.
    pub low: f64,
    /// The 90th percentile of the probability over patients.
    pub high: f64,
}

/// Calls patients by a [`PatientRule`].
#[derive(Debug, Clone)]
pub struct PatientCaller {
    uninfected: PositiveRate,
    mixture: Mixture,
    /// Mean rates of uninfected and infected cells.
    means: [f64; 2],
    /// The detection limit of a full count.
    lowest_limit: f64,
    cells_needed: OnceLock<u64>,
}

impl PatientCaller {
    /// Prepares the integrals over the rates.
    ///
    /// # Errors
    /// As [`PatientRule::check`]; [`Error::UninformativeRates`] where 5,000 cells have no [detection limit](Self::detection_limit).
    pub fn new(rule: &PatientRule) -> Result<Self> {
        rule.check()?;
        let mixture = Mixture::new(Rates::predictive(&rule.uninfected), Rates::predictive(&rule.infected));
        let means = [rule.uninfected.expected(), rule.infected.expected()];
        let uninfected = rule.uninfected.clone();
        let mut caller =
            Self { uninfected, mixture, means, lowest_limit: 1.0, cells_needed: OnceLock::new() };
        let uninformative =
            Error::UninformativeRates { false_positive_rate: means[0], sensitivity: means[1] };
        let limit = caller.detected(&caller.above_blank(FULL_COUNT)).filter(|_| means[0] < means[1]);
        caller.lowest_limit = limit.ok_or(uninformative)?;
        Ok(caller)
    }

    /// Minimum number of cells for calling a patient "not detected": with it, the detection limit is at most twice that of
    /// 5,000 cells.
    pub fn cells_needed(&self) -> u64 {
        let share = (MAX_LIMIT_RATIO * self.lowest_limit).min(1.0);
        let enough = |cells: u64| self.mixture.reaches(&self.above_blank(cells), share) >= POWER;
        *self.cells_needed.get_or_init(|| {
            // Bisection: the limit falls with the number of cells, except at steps of the limit of blank.
            let (mut too_few, mut needed) = (0, FULL_COUNT);
            while needed - too_few > 1 {
                let middle = needed.midpoint(too_few);
                if enough(middle) { needed = middle } else { too_few = middle }
            }
            needed
        })
    }

    /// The limit of blank: the smallest count of positive cells that is exceeded in at most 4 of 100 patients without parasites.
    ///
    /// Source: D. A. Armbruster and T. Pry, "Limit of blank, limit of detection and limit of quantitation", The Clinical Biochemist
    /// Reviews 29 (2008); CLSI EP17-A2. On patient-level limits of detection for malaria: C. B. Delahunt et al., Frontiers in
    /// Malaria 2 (2024), 1250220.
    pub fn limit_of_blank(&self, cells: u64) -> u64 {
        self.uninfected.limit(cells, FALSE_ALARMS)
    }

    /// The detection limit: the smallest share of infected cells at which 95 of 100 patients are called positive with
    /// `cells` cells; `None` if even patients whose cells are all infected are called positive less often. Source: as for
    /// [`limit_of_blank`](Self::limit_of_blank).
    pub fn detection_limit(&self, cells: u64) -> Option<f64> {
        match cells {
            FULL_COUNT => Some(self.lowest_limit),
            _ => self.detected(&self.above_blank(cells)),
        }
    }

    /// Calls a patient from the calls of some of their cells, and estimates the share of infected cells.
    ///
    /// The interval contains the shares at which a count as high, and one as low, has a probability of more than 2.5 %. This inverts two
    /// tests: J. Neyman, "Outline of a theory of statistical estimation based on the classical theory of probability", Philosophical
    /// Transactions of the Royal Society of London A 236 (1937). For a binomial count it is the interval of C. J. Clopper and
    /// E. S. Pearson, "The use of confidence or fiducial limits illustrated in the case of the binomial", Biometrika 26 (1934). The
    /// estimate is W. J. Rogan and B. Gladen's ("Estimating prevalence from the results of a screening test", American Journal of
    /// Epidemiology 107, 1978).
    ///
    /// ```
    /// use malaria_metrics::{CellCounts, PatientCall, PatientCaller, PatientRule, PositiveRate};
    ///
    /// // 1 % false alarms, 90 % of the infected cells detected; both rates differ between patients.
    /// let rule =
    ///     PatientRule { uninfected: PositiveRate::known(0.01, 0.01), infected: PositiveRate::known(0.9, 0.05) };
    /// let caller = PatientCaller::new(&rule)?;
    /// let call = |cells, positive| caller.evaluate(CellCounts { cells, positive }).map(|result| result.call);
    /// assert_eq!(call(1_000, 60)?, PatientCall::Positive);
    /// assert!(matches!(call(1_000, 6)?, PatientCall::NotDetected { detection_limit } if detection_limit < 0.05));
    /// assert!(matches!(call(20, 0)?, PatientCall::TooFewCells { .. }));
    /// # Ok::<(), malaria_metrics::Error>(())
    /// ```
    ///
    /// # Errors
    /// No cell, or more positive cells than cells.
    pub fn evaluate(&self, called: CellCounts) -> Result<PatientResult> {
        called.check()?;
        let CellCounts { cells, positive } = called;
        if cells == 0 {
            return Err(Error::Empty);
        }
        let interval = self.interval(called);
        let [alarms, sensitivity] = self.means;
        let positive_share = positive as f64 / cells as f64;
        let estimate = (positive_share - alarms) / (sensitivity - alarms);
        Ok(PatientResult {
            called,
            positive_share,
            infected_share: Some(estimate.max(interval.low).min(interval.high)),
            interval,
            call: self.call(called),
        })
    }

    /// The probability that a patient is called positive by a smear of `cells` cells, for each of the `infected_shares`. The
    /// patient's own rates follow the rule, given the patient's labelled cells.
    ///
    /// # Errors
    /// No cells, shares outside `[0, 1]`, more positive cells than cells.
    pub fn found(&self, patient: &PatientCells, cells: u64, infected_shares: &[f64]) -> Result<Vec<f64>> {
        patient.uninfected.check()?;
        patient.infected.check()?;
        if cells == 0 {
            return Err(Error::Empty);
        }
        let own = self.mixture.given(patient.uninfected, patient.infected);
        let tail = self.above_blank(cells);
        infected_shares
            .iter()
            .map(|&share| {
                check::fraction(|| "share of infected cells".into(), share)?;
                Ok(own.reaches(&tail, share))
            })
            .collect()
    }

    /// The probability that patients are called positive by a smear of `cells` cells, for each of the `infected_shares`, all
    /// below 1.
    ///
    /// # Errors
    /// No cells, or shares outside `[0, 1)`.
    pub fn detection_curve(&self, cells: u64, infected_shares: &[f64]) -> Result<Vec<Detection>> {
        if cells == 0 {
            return Err(Error::Empty);
        }
        let tail = self.above_blank(cells);
        let at = |&share: &f64| {
            if !(0.0..1.0).contains(&share) {
                let what = "share of infected cells (below 1)".to_owned();
                return Err(Error::OutOfRange { what, value: share, range: 0.0..=1.0 });
            }
            // A patient with a higher rate of positive cells is more likely to be called positive.
            let patient = |quantile: f64| tail.at(self.mixture.quantile(share, quantile));
            let [low, high] = PATIENTS_BETWEEN.map(patient);
            Ok(Detection { infected_share: share, found: self.mixture.reaches(&tail, share), low, high })
        };
        infected_shares.iter().map(at).collect()
    }

    fn call(&self, CellCounts { cells, positive }: CellCounts) -> PatientCall {
        let blank = self.limit_of_blank(cells);
        if positive > blank {
            return PatientCall::Positive;
        }
        match self.detected(&TailTable::new(cells, blank + 1)) {
            Some(detection_limit) if cells >= self.cells_needed() => {
                PatientCall::NotDetected { detection_limit }
            }
            _ => PatientCall::TooFewCells { more_cells: self.cells_needed().saturating_sub(cells).max(1) },
        }
    }

    /// The tail of counts above the limit of blank.
    fn above_blank(&self, cells: u64) -> TailTable {
        TailTable::new(cells, self.limit_of_blank(cells) + 1)
    }

    fn detected(&self, above_blank: &TailTable) -> Option<f64> {
        let reached = |share: f64| self.mixture.reaches(above_blank, share);
        (reached(1.0) >= POWER).then(|| place_of(POWER, reached))
    }

    fn interval(&self, CellCounts { cells, positive }: CellCounts) -> Interval {
        let tail = (1.0 - CONFIDENCE) / 2.0;
        // The share at which the count is reached with this probability.
        let share = |count: u64, probability: f64| {
            let table = TailTable::new(cells, count);
            place_of(probability, |share| self.mixture.reaches(&table, share))
        };
        Interval { low: share(positive, tail), high: share(positive + 1, 1.0 - tail) }
    }
}
