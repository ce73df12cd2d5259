//! The roll-up from cells to patients, on counts that can be worked by hand, and intervals in simulated studies.

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
fn cells_are_gathered_by_patient() {
    let patients = ["C2", "C1", "C2", "C2", "C1"];
    let found = by_patient(&patients, &[true, false, false, true, false], &[true, true, false, false, false])
        .unwrap();
    assert_eq!(found, [cells("C1", (0, 0), (1, 2)), cells("C2", (1, 2), (0, 1))]);
    assert_eq!(found[1].all(), CellCounts { cells: 3, positive: 1 });
    assert!(matches!(by_patient(&patients, &[true], &[true; 5]), Err(Error::LengthMismatch { .. })));
}

#[test]
fn a_patient_is_called_by_the_ends_of_the_interval() {
    // Three cells at an alarm rate of 0.1: all three by chance once in a thousand, two or more in 2.8 %.
    let call = |positive, cells| RULE.evaluate(CellCounts { cells, positive }).unwrap();
    assert_eq!(call(3, 3).call, PatientCall::Positive);
    assert_eq!(call(2, 3).call, PatientCall::Undecided);
    // A quarter of the cells infected makes 0.1 + 0.25 * 0.8 = 0.3 of them positive: none of 10 in 0.7^10 = 2.8 %, none
    // of 11 in 2.0 %.
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
    // Where patients differ in their false alarms, the same cells say less.
    let differing = PatientRule { correlation: 0.5, ..RULE };
    assert_eq!(
        differing.evaluate(CellCounts { cells: 3, positive: 3 }).unwrap().call,
        PatientCall::Undecided
    );
}

#[test]
fn what_is_undecided_is_not_called_right() {
    let patients = [
        cells("C1", (3, 3), (0, 0)),
        cells("C2", (1, 1), (1, 2)),
        cells("C3", (0, 0), (0, 11)),
        cells("C4", (0, 0), (0, 10)),
        cells("C5", (0, 0), (3, 3)),
        cells("C6", (0, 1), (0, 10)),
    ];
    let figures = patient_metrics(|_| RULE, &patients).unwrap();
    assert_eq!(figures.infected, CallCounts { positive: 1, negative: 1, undecided: 1 });
    assert_eq!(figures.healthy, CallCounts { positive: 1, negative: 1, undecided: 1 });
    assert_eq!((figures.sensitivity, figures.specificity), (Some(1.0 / 3.0), Some(1.0 / 3.0)));
    assert_eq!(figures.sensitivity_interval, wilson_interval(1, 3, 0.95).unwrap());
    let none = patient_metrics(|_| RULE, &patients[2..3]).unwrap();
    assert_eq!((none.sensitivity, none.sensitivity_interval, none.specificity), (None, None, Some(1.0)));
}

#[test]
fn resampling_draws_the_share_that_is_asked_for() {
    // A perfect model: the count of positive cells is that of the infected ones.
    let rule = PatientRule { sensitivity: 1.0, false_positive_rate: 0.0, relevant_share: 0.01, ..RULE };
    let patients =
        [cells("C1", (50, 50), (0, 60)), cells("C2", (0, 0), (0, 70)), cells("C3", (9, 9), (0, 0))];
    let at = |share| resampled_patient_metrics(|_| rule, &patients, share, 1_000, 1).unwrap();
    // C3 has no uninfected cell to draw. One infected cell is more than none ever is.
    assert_eq!(at(0.001).infected, CallCounts { positive: 1, ..CallCounts::default() });
    assert_eq!(at(0.001).healthy, CallCounts { negative: 1, ..CallCounts::default() });
    assert_eq!(at(0.0004).infected, CallCounts { negative: 1, ..CallCounts::default() }, "rounds to no cell");

    // With false alarms at 10 %, 0.5 % of infected cells are lost among them, and 20 % are not.
    let patients: Vec<PatientCells> = (0..200).map(|i| cells(&format!("C{i}"), (9, 10), (7, 70))).collect();
    let few = resampled_patient_metrics(|_| RULE, &patients, 0.005, 1_000, 1).unwrap();
    let many = resampled_patient_metrics(|_| RULE, &patients, 0.2, 1_000, 1).unwrap();
    assert!(few.sensitivity.unwrap() < 0.15 && many.sensitivity == Some(1.0), "{few:?} {many:?}");
    // At no infection at all, positive by chance in at most the 2.5 % of the upper tail.
    let none = resampled_patient_metrics(|_| RULE, &patients, 0.0, 1_000, 1).unwrap();
    assert!(none.infected.positive <= 12, "{none:?}");
    assert_eq!(none, resampled_patient_metrics(|_| RULE, &patients, 0.0, 1_000, 1).unwrap());
}

#[test]
fn a_patient_of_few_cells_is_not_taken_for_as_extreme_as_they_are() {
    // Healthy patients whose false alarms differ as the rule says. Each is known by 70 cells, of which 0 to 12 are false alarms; their
    // own rates differ less. So of smears of 5,000 cells the upper tail of the rule is called positive, and no more.
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
fn a_patient_unlike_all_others_is_drawn_by_their_own_cells() {
    // Nobody else has false alarms, and nobody else has infected cells that are missed.
    let rule = PatientRule { sensitivity: 1.0, false_positive_rate: 0.0, relevant_share: 0.01, ..RULE };
    let patients =
        [cells("C1", (0, 0), (7, 70)), cells("C2", (0, 50), (0, 70)), cells("C3", (0, 0), (0, 70))];
    let drawn = resampled_patient_metrics(|_| rule, &patients, 0.05, 1_000, 0).unwrap();
    assert_eq!(drawn.healthy, CallCounts { positive: 1, negative: 1, undecided: 0 });
    assert_eq!(drawn.infected, CallCounts { negative: 1, ..CallCounts::default() });
    // Rates at the end of what a float holds.
    let rule = PatientRule {
        sensitivity: 1e-310,
        false_positive_rate: 0.0,
        correlation: 1.0 - f64::EPSILON,
        ..RULE
    };
    assert_eq!(resampled_patient_metrics(|_| rule, &patients, 0.05, 100, 0).unwrap().infected.total(), 1);
}

#[test]
fn each_patient_is_called_by_the_rule_that_is_theirs() {
    let strict = PatientRule { false_positive_rate: 0.6, ..RULE };
    let patients = [cells("C1", (3, 3), (1, 5)), cells("C2", (3, 3), (1, 5))];
    let rule_of = |patient: &PatientCells| if patient.patient == "C1" { RULE } else { strict };
    let as_they_are = patient_metrics(rule_of, &patients).unwrap();
    assert_eq!(as_they_are.infected, CallCounts { positive: 1, undecided: 1, negative: 0 });
    let drawn = resampled_patient_metrics(rule_of, &patients, 0.05, 1_000, 0).unwrap().infected;
    assert_eq!((drawn.positive, drawn.total()), (1, 2));
}

#[test]
fn rules_that_call_nobody_are_refused() {
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

/// Studies of patients whose cells are called right with a probability that differs from patient to patient, so that two
/// cells of one patient correlate by 0.2.
#[test]
fn intervals_over_patients_cover_what_intervals_over_cells_do_not() {
    const STUDIES: u64 = 1_000;
    const PATIENTS: usize = 150;
    const CELLS: usize = 10;
    const CORRELATION: f64 = 0.2;
    const RIGHT: f64 = 0.9;
    // The beta law of a patient's share of right calls: of two of their cells, the calls correlate by 1 / (a + b + 1).
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
    // Two cells of a patient agree more often than those of two: the design effect is 1 + 9 * 0.2 = 2.8, so that Wilson's
    // interval is short by a factor of 1.7, and covers about 76 %.
    assert!((0.93..=0.97).contains(&clustered), "{clustered}");
    assert!(wilson < 0.85, "{wilson}");
}

#[test]
fn a_patient_is_negative_from_so_many_cells_on() {
    for rule in [RULE, PatientRule { relevant_share: 0.05, correlation: 0.02, ..RULE }] {
        let fewest = rule.cells_for_a_negative().unwrap().unwrap();
        let call = |cells| rule.evaluate(CellCounts { cells, positive: 0 }).unwrap().call;
        assert_eq!(call(fewest), PatientCall::Negative);
        assert!((1..fewest).all(|cells| call(cells) == PatientCall::Undecided), "{fewest}");
    }
    // Where patients differ that much, some infected ones show nothing however many cells are counted.
    let rule = PatientRule { correlation: 0.9, relevant_share: 0.01, ..RULE };
    assert_eq!(rule.cells_for_a_negative().unwrap(), None);
}
