//! The smallest share of infected cells that is detected, with its interval over patients.

use malaria_metrics::{Bootstrap, Interval, PatientCaller, PatientCells, PatientRule, cluster_bootstrap};
use serde::{Deserialize, Serialize};

use crate::error::Result;

/// Numbers of cells for detection limits.
const CELLS_COUNTED: [u64; 3] = [200, 1_000, 5_000];
/// Resamples for the intervals of the limits: each takes about 30 ms, for the rates and six limits.
const RESAMPLES: usize = 400;

/// The smallest share of infected cells at which 95 of 100 patients are called positive.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct DetectionLimit {
    /// Cells counted.
    pub cells: u64,
    /// Patients with more positive cells are called positive.
    pub limit_of_blank: u64,
    /// The share; `None` if even patients whose cells are all infected are called positive less often.
    pub infected_share: Option<f64>,
    /// Bootstrap interval of [`limit_of_blank`](Self::limit_of_blank) over the patients of a cross-validation, on whom the
    /// rates are estimated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_of_blank_interval: Option<Interval>,
    /// Bootstrap interval of [`infected_share`](Self::infected_share).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub infected_share_interval: Option<Interval>,
}

impl DetectionLimit {
    pub(crate) fn of(caller: &PatientCaller) -> [Self; CELLS_COUNTED.len()] {
        CELLS_COUNTED.map(|cells| Self {
            cells,
            limit_of_blank: caller.limit_of_blank(cells),
            infected_share: caller.detection_limit(cells),
            limit_of_blank_interval: None,
            infected_share_interval: None,
        })
    }

    /// The limits of `caller`, whose rates are estimated on `patients`, with their intervals at the same threshold.
    pub(crate) fn with_intervals(caller: &PatientCaller, patients: &[PatientCells]) -> Result<Vec<Self>> {
        let each: Vec<usize> = (0..patients.len()).collect();
        let caller_of = |drawn: &[usize]| {
            let drawn: Vec<PatientCells> = drawn.iter().map(|&i| patients[i].clone()).collect();
            PatientCaller::new(&PatientRule::estimate(&drawn).ok()??).ok()
        };
        let resampled = |drawn: &[usize]| {
            // Rates that detect nothing have a limit above 100 %. Omitting them would make the interval too narrow.
            let mut ends = [None, Some(1.0)].repeat(CELLS_COUNTED.len());
            for (pair, limit) in ends.chunks_exact_mut(2).zip(caller_of(drawn).iter().flat_map(Self::of)) {
                pair.copy_from_slice(&[
                    Some(limit.limit_of_blank as f64),
                    limit.infected_share.or(Some(1.0)),
                ]);
            }
            std::array::from_fn::<_, { 2 * CELLS_COUNTED.len() }, _>(|i| ends[i])
        };
        let settings = Bootstrap { resamples: RESAMPLES, ..Bootstrap::default() };
        let intervals = cluster_bootstrap(&each, &settings, resampled)?;
        let with = |(limit, pair): (Self, &[Option<Interval>])| Self {
            limit_of_blank_interval: pair[0],
            infected_share_interval: pair[1],
            ..limit
        };
        Ok(Self::of(caller).into_iter().zip(intervals.chunks_exact(2)).map(with).collect())
    }
}
