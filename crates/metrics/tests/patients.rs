//! Patient calls on counts computed by hand, and intervals in simulated studies.

use malaria_metrics::{
    Bootstrap, CallCounts, CellCounts, Error, PatientCall, PatientCells, PatientRule, by_patient,
    cluster_bootstrap, patient_metrics, resampled_patient_metrics, wilson_interval,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Beta, Binomial, Distribution};
use rayon::prelude::*;

const RULE: PatientRule = PatientRule {
    sensitivity: 0.9,
    false_positive_rate: 0.1,
    correlation: 0.0,
    confidence: 0.95,
    relevant_share: 0.25,
};

fn cells(patient: &str, infected: (u64, u64), uninfected: (u64, u64)) -> PatientCells {
    let called = |(positive, cells)| CellCounts { cells, positive };
    PatientCells { patient: patient.to_owned(), infected: called(infected), uninfected: called(uninfected) }
}

#[test]
fn cells_are_counted_by_patient() {
    let patients = ["C2", "C1", "C2", "C2", "C1"];
    let found = by_patient(&patients, &[true, false, false, true, false], &[true, true, false, false, false])
        .unwrap();
    assert_eq!(found, [cells("C1", (0, 0), (1, 2)), cells("C2", (1, 2), (0, 1))]);
    assert_eq!(found[1].all(), CellCounts { cells: 3, positive: 1 });
    assert!(matches!(by_patient(&patients, &[true], &[true; 5]), Err(Error::LengthMismatch { .. })));
}

#[test]
fn patients_are_called_by_the_ends_of_the_interval() {
    // Three cells at a false alarm rate of 0.1: all three positive with probability 0.1 %, two or more with 2.8 %.
    let call = |positive, cells| RULE.evaluate(CellCounts { cells, positive }).unwrap();
    assert_eq!(call(3, 3).call, PatientCall::Positive);
    assert_eq!(call(2, 3).call, PatientCall::Undecided);
    // With a quarter of the cells infected 0.1 + 0.25 * 0.8 = 0.3 of them are positive: none of 10 with probability
    // 0.7^10 = 2.8 %, none of 11 with 2.0 %.
    assert_eq!(call(0, 10).call, PatientCall::Undecided);
    assert_eq!(call(0, 11).call, PatientCall::Negative);
    for cells in 1..60 {
        for positive in 0..=cells {
            let result = call(positive, cells);
            let expected = match result.interval {
                interval if interval.low > 0.0 => PatientCall::Positive,
                interval if interval.high < RULE.relevant_share => PatientCall::Negative,
                _ => PatientCall::Undecided,
            };
            assert_eq!(result.call, expected, "{positive} of {cells}: {result:?}");
            assert!(
                result.interval.low <= result.infected_share && result.infected_share <= result.interval.high
            );
        }
    }
    // (0.5 - 0.1) / (0.9 - 0.1)
    assert!((call(5, 10).infected_share - 0.5).abs() < 1e-12);
    // Where the false alarm rate differs between patients, the same cells are weaker evidence.
    let differing = PatientRule { correlation: 0.5, ..RULE };
    assert_eq!(
        differing.evaluate(CellCounts { cells: 3, positive: 3 }).unwrap().call,
        PatientCall::Undecided
    );
}

#[test]
fn undecided_patients_count_as_errors() {
    let patients = [
        cells("C1", (3, 3), (0, 0)),
        cells("C2", (1, 1), (1, 2)),
        cells("C3", (0, 0), (0, 11)),
        cells("C4", (0, 0), (0, 10)),
        cells("C5", (0, 0), (3, 3)),
        cells("C6", (0, 1), (0, 10)),
    ];
    let metrics = patient_metrics(|_| RULE, &patients).unwrap();
    assert_eq!(metrics.infected, CallCounts { positive: 1, negative: 1, undecided: 1 });
    assert_eq!(metrics.healthy, CallCounts { positive: 1, negative: 1, undecided: 1 });
    assert_eq!((metrics.sensitivity, metrics.specificity), (Some(1.0 / 3.0), Some(1.0 / 3.0)));
    assert_eq!(metrics.sensitivity_interval, wilson_interval(1, 3, 0.95).unwrap());
    let none = patient_metrics(|_| RULE, &patients[2..3]).unwrap();
    assert_eq!((none.sensitivity, none.sensitivity_interval, none.specificity), (None, None, Some(1.0)));
}

#[test]
fn simulated_smears_have_the_given_share_of_infected_cells() {
    // A perfect model: the positive cells are the infected ones.
    let rule = PatientRule { sensitivity: 1.0, false_positive_rate: 0.0, relevant_share: 0.01, ..RULE };
    let patients =
        [cells("C1", (50, 50), (0, 60)), cells("C2", (0, 0), (0, 70)), cells("C3", (9, 9), (0, 0))];
    let at = |share| resampled_patient_metrics(|_| rule, &patients, share, 1_000, 1).unwrap();
    // C3 has no uninfected cell and is skipped. With a false positive rate of 0, one positive cell is enough.
    assert_eq!(at(0.001).infected, CallCounts { positive: 1, ..CallCounts::default() });
    assert_eq!(at(0.001).healthy, CallCounts { negative: 1, ..CallCounts::default() });
    assert_eq!(at(0.0004).infected, CallCounts { negative: 1, ..CallCounts::default() }, "rounds to no cell");

    // With 10 % false alarms, 0.5 % of infected cells are not detected, and 20 % are.
    let patients: Vec<PatientCells> = (0..200).map(|i| cells(&format!("C{i}"), (9, 10), (7, 70))).collect();
    let few = resampled_patient_metrics(|_| RULE, &patients, 0.005, 1_000, 1).unwrap();
    let many = resampled_patient_metrics(|_| RULE, &patients, 0.2, 1_000, 1).unwrap();
    assert!(few.sensitivity.unwrap() < 0.15 && many.sensitivity == Some(1.0), "{few:?} {many:?}");
    // Without infected cells at most the 2.5 % of the upper tail are called positive.
    let none = resampled_patient_metrics(|_| RULE, &patients, 0.0, 1_000, 1).unwrap();
    assert!(none.infected.positive <= 12, "{none:?}");
    assert_eq!(none, resampled_patient_metrics(|_| RULE, &patients, 0.0, 1_000, 1).unwrap());
}

#[test]
fn extreme_rates_of_few_cells_are_shrunk() {
    // Healthy patients whose false alarm rates follow the rule's distribution. The observed rates, of 70 cells with 0 to 12 false
    // alarms, vary more than the true ones. Of smears of 5,000 cells only the upper tail of the rule is called positive.
    let rule = PatientRule { false_positive_rate: 0.03, correlation: 0.02, ..RULE };
    let size = (1.0 - rule.correlation) / rule.correlation;
    let rates = Beta::new(rule.false_positive_rate * size, (1.0 - rule.false_positive_rate) * size).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let patients: Vec<PatientCells> = (0..4_000)
        .map(|i| {
            let alarms = Binomial::new(70, rates.sample(&mut rng)).unwrap().sample(&mut rng);
            cells(&format!("C{i}"), (0, 0), (alarms, 70))
        })
        .collect();
    let healthy = resampled_patient_metrics(|_| rule, &patients, 0.01, 5_000, 0).unwrap().healthy;
    // Standard error 0.0025.
    let positive = healthy.positive as f64 / healthy.total() as f64;
    assert!((positive - 0.025).abs() < 0.0075, "{positive}");
}

#[test]
fn a_rate_of_0_or_1_is_replaced_by_the_patients_own() {
    // Only C1 has false alarms, and only C2 has missed cells.
    let rule = PatientRule { sensitivity: 1.0, false_positive_rate: 0.0, relevant_share: 0.01, ..RULE };
    let patients =
        [cells("C1", (0, 0), (7, 70)), cells("C2", (0, 50), (0, 70)), cells("C3", (0, 0), (0, 70))];
    let drawn = resampled_patient_metrics(|_| rule, &patients, 0.05, 1_000, 0).unwrap();
    assert_eq!(drawn.healthy, CallCounts { positive: 1, negative: 1, undecided: 0 });
    assert_eq!(drawn.infected, CallCounts { negative: 1, ..CallCounts::default() });
    // Rates near the limits of a float.
    let rule = PatientRule {
        sensitivity: 1e-310,
        false_positive_rate: 0.0,
        correlation: 1.0 - f64::EPSILON,
        ..RULE
    };
    assert_eq!(resampled_patient_metrics(|_| rule, &patients, 0.05, 100, 0).unwrap().infected.total(), 1);
}

#[test]
fn each_patient_is_called_by_their_own_rule() {
    let strict = PatientRule { false_positive_rate: 0.6, ..RULE };
    let patients = [cells("C1", (3, 3), (1, 5)), cells("C2", (3, 3), (1, 5))];
    let rule_of = |patient: &PatientCells| if patient.patient == "C1" { RULE } else { strict };
    let as_they_are = patient_metrics(rule_of, &patients).unwrap();
    assert_eq!(as_they_are.infected, CallCounts { positive: 1, undecided: 1, negative: 0 });
    let drawn = resampled_patient_metrics(rule_of, &patients, 0.05, 1_000, 0).unwrap().infected;
    assert_eq!((drawn.positive, drawn.total()), (1, 2));
}

#[test]
fn invalid_rules_are_refused() {
    let broken: [fn(&mut PatientRule); 6] = [
        |rule| rule.sensitivity = 1.1,
        |rule| rule.false_positive_rate = f64::NAN,
        |rule| rule.false_positive_rate = 0.9,
        |rule| rule.correlation = 1.0,
        |rule| rule.confidence = 1.0,
        |rule| rule.relevant_share = 0.0,
    ];
    for change in broken {
        let mut rule = RULE;
        change(&mut rule);
        assert!(rule.check().is_err() && rule.detection_limit(100, 0.95).is_err(), "{rule:?}");
        assert!(rule.evaluate(CellCounts { cells: 10, positive: 1 }).is_err(), "{rule:?}");
    }
    assert!(matches!(RULE.evaluate(CellCounts { cells: 0, positive: 0 }), Err(Error::Empty)));
    assert!(matches!(
        RULE.evaluate(CellCounts { cells: 1, positive: 2 }),
        Err(Error::TooManySuccesses { .. })
    ));
}

/// Studies of patients who differ in the probability that a cell is called right, so that two cells of one patient have a
/// correlation of 0.2.
#[test]
fn intervals_over_patients_have_the_stated_coverage_and_intervals_over_cells_do_not() {
    const STUDIES: u64 = 1_000;
    const PATIENTS: usize = 150;
    const CELLS: usize = 10;
    const CORRELATION: f64 = 0.2;
    const RIGHT: f64 = 0.9;
    // The share of right calls of a patient has a beta distribution; calls of two cells have the correlation 1 / (a + b + 1).
    let size = (1.0 - CORRELATION) / CORRELATION;
    let law = Beta::new(RIGHT * size, (1.0 - RIGHT) * size).unwrap();
    let settings = Bootstrap { resamples: 1_000, ..Bootstrap::default() };
    let covered: Vec<(bool, bool)> = (0..STUDIES)
        .into_par_iter()
        .map(|study| {
            let mut rng = ChaCha8Rng::seed_from_u64(study);
            let right: Vec<bool> = (0..PATIENTS)
                .flat_map(|_| {
                    let share = law.sample(&mut rng);
                    [(); CELLS].map(|()| rng.random_bool(share))
                })
                .collect();
            let patients: Vec<usize> = (0..right.len()).map(|cell| cell / CELLS).collect();
            let [clustered] = cluster_bootstrap(&patients, &settings, |drawn| {
                [Some(drawn.iter().filter(|&&i| right[i]).count() as f64 / drawn.len() as f64)]
            })
            .unwrap();
            let count = right.iter().filter(|right| **right).count() as u64;
            let wilson = wilson_interval(count, right.len() as u64, 0.95).unwrap().unwrap();
            let clustered = clustered.unwrap();
            let holds = |low: f64, high: f64| low <= RIGHT && RIGHT <= high;
            (holds(clustered.low, clustered.high), holds(wilson.low, wilson.high))
        })
        .collect();
    let share = |covers: fn(&(bool, bool)) -> bool| {
        covered.iter().filter(|study| covers(study)).count() as f64 / STUDIES as f64
    };
    let (clustered, wilson) = (share(|study| study.0), share(|study| study.1));
    // The design effect is 1 + 9 * 0.2 = 2.8, so that Wilson's interval is too short by a factor of 1.7 and covers about 76 %.
    assert!((0.93..=0.97).contains(&clustered), "{clustered}");
    assert!(wilson < 0.85, "{wilson}");
}

#[test]
fn patients_without_positive_cells_are_negative_from_a_number_of_cells_on() {
    for rule in [RULE, PatientRule { relevant_share: 0.05, correlation: 0.02, ..RULE }] {
        let fewest = rule.cells_for_a_negative().unwrap().unwrap();
        let call = |cells| rule.evaluate(CellCounts { cells, positive: 0 }).unwrap().call;
        assert_eq!(call(fewest), PatientCall::Negative);
        assert!((1..fewest).all(|cells| call(cells) == PatientCall::Undecided), "{fewest}");
    }
    // Where patients differ this much, some infected ones have no positive cell however many are counted.
    let rule = PatientRule { correlation: 0.9, relevant_share: 0.01, ..RULE };
    assert_eq!(rule.cells_for_a_negative().unwrap(), None);
}
