//! The finder's errors in the interval of a patient.

mod support;

use std::fs;

use malaria_metrics::{CellCounts, Interval, PatientResult, exact_interval};
use malaria_smear::{Error, FieldCount, FieldResult, PatientCount, count_patients};

use support::description;

fn counted(red_cells: u64, infected: u64) -> PatientCount {
    let none = FieldResult::unreadable("a.png", &Error::Blank).count;
    let field = FieldCount { red_cells, infected, ..none };
    count_patients(&description(), &[field], Some(5e6)).unwrap().remove(0)
}

#[test]
fn the_interval_includes_the_measured_errors_of_the_finder_and_nothing_else_changes() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../results/finder.json");
    let measured: serde_json::Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let [infected, uninfected, extra] =
        ["infected_found", "uninfected_found", "extra_per_cell"].map(|name| {
            let [count, of] = ["count", "of"].map(|key| measured[name][key].as_u64().unwrap());
            exact_interval(count, of, 0.95).unwrap().unwrap()
        });
    let ratio = Interval {
        low: (uninfected.low + extra.low) / infected.high,
        high: (uninfected.high + extra.high) / infected.low,
    };
    assert!(ratio.low < 1.0 && 1.0 < ratio.high, "{ratio:?}");
    let model = description();
    let (_, caller) = model.patient_caller().unwrap();
    for positive in [0, 50, 700] {
        let count = counted(1_000, positive);
        let wide = count.verdict.unwrap().result;
        let narrow = caller.evaluate(CellCounts { cells: 1_000, positive }).unwrap();
        assert_eq!(PatientResult { interval: narrow.interval, ..wide }, narrow);
        let odds = |share: f64| share / (1.0 - share);
        let low = odds(wide.interval.low) - ratio.low * odds(narrow.interval.low);
        let high = odds(wide.interval.high) / odds(narrow.interval.high);
        // The constants are rounded outwards.
        assert!((-1e-3..=1e-9).contains(&low), "{low}");
        assert!((ratio.high..ratio.high + 1e-3).contains(&high), "{high}, {ratio:?}");
        assert!((count.infected_per_microlitre.unwrap().high - 5e6 * wide.interval.high).abs() < 1e-6);
    }
}

#[test]
fn an_interval_that_rules_out_nothing_stays_so() {
    // The rates detect 95 % of the infected cells, so all cells may be infected.
    let interval = counted(1_000, 950).verdict.unwrap().result.interval;
    assert!(interval.low < 1.0 && (interval.high - 1.0).abs() < 1e-12, "{interval:?}");
}
