//! Patient calls against SciPy's quadrature and NumPy's simulation. `fixtures/patients.py` writes the references.

use malaria_metrics::{CellCounts, PatientCaller, PatientCells, PatientRule, PositiveRate};
use serde::Deserialize;

#[derive(Deserialize)]
struct Reference {
    cases: Vec<Case>,
    posteriors: Vec<Posterior>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    uninfected: Vec<[f64; 3]>,
    infected: Vec<[f64; 3]>,
    cells: u64,
    limit_of_blank: u64,
    detection_limit: Option<f64>,
    shares: Vec<f64>,
    found: Vec<f64>,
    called: [[u64; 2]; 2],
    found_given_called: Vec<f64>,
    intervals: Vec<(u64, f64, f64)>,
}

#[derive(Deserialize)]
struct Posterior {
    name: String,
    cells: Vec<u64>,
    positive: Vec<u64>,
    mean: f64,
    mean_squared: f64,
    correlation: f64,
    limit_of_blank: u64,
}

/// For probabilities and shares of up to 5,000 cells, and of more: the steeper the tail of a count, the coarser the grid of rates
/// is for it. SciPy's values are accurate to 1e-8. Far below what affects a call.
const TOLERANCES: [f64; 2] = [2e-5, 1e-4];

fn reference() -> Reference {
    serde_json::from_str(include_str!("fixtures/patients.json")).unwrap()
}

#[track_caller]
fn same(what: &str, ours: f64, theirs: f64, tolerance: f64) {
    assert!((ours - theirs).abs() <= tolerance, "{what}: {ours}, expected {theirs}");
}

fn rate(points: &[[f64; 3]]) -> PositiveRate {
    PositiveRate { points: points.to_vec(), ..PositiveRate::known(0.5, 0.1) }
}

#[test]
fn limits_and_intervals_match_scipy() {
    for case in reference().cases {
        let (name, cells) = (&case.name, case.cells);
        let rule = PatientRule { uninfected: rate(&case.uninfected), infected: rate(&case.infected) };
        let caller = PatientCaller::new(&rule).unwrap();
        let tolerance = TOLERANCES[usize::from(cells > 5_000)];
        assert_eq!(caller.limit_of_blank(cells), case.limit_of_blank, "{name}");
        // Roots of functions that are accurate to 1e-6 and have slopes of 10 and more.
        let limit = caller.detection_limit(cells);
        assert_eq!(limit.is_some(), case.detection_limit.is_some(), "{name}");
        same(name, limit.unwrap_or(0.0), case.detection_limit.unwrap_or(0.0), 1e-6);
        let patient = |[uninfected, infected]: [[u64; 2]; 2]| {
            let counts = |[cells, positive]: [u64; 2]| CellCounts { cells, positive };
            PatientCells {
                patient: String::new(),
                infected: counts(infected),
                uninfected: counts(uninfected),
            }
        };
        for (called, expected) in [([[0, 0]; 2], &case.found), (case.called, &case.found_given_called)] {
            let found = caller.found(&patient(called), cells, &case.shares).unwrap();
            for ((share, ours), &theirs) in case.shares.iter().zip(found).zip(expected) {
                same(&format!("{name}, found at {share} of {called:?}"), ours, theirs, tolerance);
            }
        }
        for (positive, low, high) in &case.intervals {
            let interval = caller.evaluate(CellCounts { cells, positive: *positive }).unwrap().interval;
            same(&format!("{name}, low end of {positive}"), interval.low, *low, tolerance);
            same(&format!("{name}, high end of {positive}"), interval.high, *high, tolerance);
        }
    }
}

#[test]
fn posteriors_match_a_dense_grid() {
    for case in reference().posteriors {
        let counts =
            case.cells.iter().zip(&case.positive).map(|(&cells, &positive)| CellCounts { cells, positive });
        let rate = PositiveRate::estimate(&Vec::from_iter(counts)).unwrap().unwrap();
        let name = format!("{}, {} points", case.name, rate.points.len());
        assert!((10..=289).contains(&rate.points.len()), "{name}");
        let expected =
            |of: fn(&[f64; 3]) -> f64| rate.points.iter().map(|point| of(point) * point[2]).sum::<f64>();
        let [mean, mean_squared, correlation] =
            [expected(|point| point[0]), expected(|point| point[0] * point[0]), expected(|point| point[1])];
        // The points are a standard deviation apart, and a share of 1e-5 of the posterior is omitted at each. Without an
        // alarm, the mean has a long tail.
        same(&name, mean, case.mean, 0.01 * case.mean);
        same(&name, mean_squared, case.mean_squared, 0.03 * case.mean_squared);
        same(&name, correlation, case.correlation, 0.02 * case.correlation);
        let rule = PatientRule { uninfected: rate, infected: PositiveRate::known(0.999, 0.001) };
        if let Ok(caller) = PatientCaller::new(&rule) {
            let (ours, theirs) = (caller.limit_of_blank(1_000) as f64, case.limit_of_blank as f64);
            same(&format!("{name}, limit of blank"), ours, theirs, 1.0 + 0.01 * theirs);
        }
    }
}
