//! Tests of schedules against PyTorch (`fixtures/generate_schedules.py`) and values computed by hand.

use std::collections::BTreeMap;

use malaria_train::{Decay, Error, Interval, Schedule};
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixture {
    rate: f64,
    epochs: u64,
    steps_per_epoch: u64,
    cases: BTreeMap<String, Vec<f64>>,
}

const ONE_CYCLE: Decay = Decay::OneCycle { rise: 0.25, start_divisor: 10.0, final_divisor: 100.0 };

#[test]
fn every_decay_matches_pytorch() {
    let fixture: Fixture = serde_json::from_str(include_str!("fixtures/schedules.json")).unwrap();
    assert_eq!(fixture.cases.len(), 6);
    for (name, expected) in &fixture.cases {
        let decay = match name.as_str() {
            "cosine_by_step" => Decay::Cosine { final_fraction: 0.05 },
            "cosine_by_epoch" => Decay::Cosine { final_fraction: 0.0 },
            "polynomial_by_step" => Decay::Polynomial { power: 2.5 },
            "polynomial_by_epoch" => Decay::Polynomial { power: 1.0 },
            "step_by_epoch" => Decay::Step { every_epochs: 2, factor: 0.3 },
            "one_cycle_by_step" => ONE_CYCLE,
            other => panic!("no such schedule: {other}"),
        };
        let interval = if name.ends_with("by_step") { Interval::Step } else { Interval::Epoch };
        let schedule = Schedule { rate: fixture.rate, decay, interval, warmup_epochs: 0.0 };
        schedule.check(fixture.epochs).unwrap();
        for (position, &expected) in expected.iter().enumerate() {
            let stride = if interval == Interval::Step { 1 } else { fixture.steps_per_epoch };
            let step = position as u64 * stride;
            let found = schedule.rate_at(step, fixture.steps_per_epoch, fixture.epochs);
            // PyTorch multiplies from step to step and this crate computes each rate directly, so the last digits differ.
            assert!((found - expected).abs() < 1e-12, "{name} at {position}: {found}, PyTorch {expected}");
            // By epoch, the last batch has the rate of the first.
            let last = schedule.rate_at(step + stride - 1, fixture.steps_per_epoch, fixture.epochs);
            assert_eq!(found, last, "{name} at {position}");
        }
    }
}

#[test]
fn tutorial_schedule_is_linear_to_zero_by_epoch() {
    let schedule = Schedule::tutorial(0.1);
    let rates: Vec<f64> = (0..4).map(|epoch| schedule.rate_at(epoch * 3 + 2, 3, 4)).collect();
    for (found, expected) in rates.iter().zip([0.1, 0.075, 0.05, 0.025]) {
        assert!((found - expected).abs() < 1e-15);
    }
}

#[test]
fn warm_up_rises_to_a_constant_rate() {
    let schedule =
        Schedule { rate: 0.4, decay: Decay::Constant, interval: Interval::Step, warmup_epochs: 1.5 };
    // 1.5 epochs of 2 steps: three steps of warm-up, then the rate.
    let rates: Vec<f64> = (0..8).map(|step| schedule.rate_at(step, 2, 4)).collect();
    let expected = [0.1, 0.2, 0.3, 0.4, 0.4, 0.4, 0.4, 0.4];
    for (found, expected) in rates.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-15, "{rates:?}");
    }
}

#[test]
fn decay_covers_the_epochs_after_the_warm_up() {
    let cosine = Decay::Cosine { final_fraction: 0.0 };
    let warm = Schedule { rate: 0.2, decay: cosine, interval: Interval::Epoch, warmup_epochs: 2.0 };
    let plain = Schedule { warmup_epochs: 0.0, ..warm };
    for epoch in 0..5 {
        assert_eq!(warm.rate_at((epoch + 2) * 3, 3, 7), plain.rate_at(epoch * 3, 3, 5));
    }
}

#[test]
fn settings_out_of_range_are_refused_by_name() {
    let good = Schedule { rate: 0.1, decay: Decay::Constant, interval: Interval::Epoch, warmup_epochs: 0.0 };
    let bad = [
        (Schedule { rate: 0.0, ..good }, "schedule.rate"),
        (Schedule { rate: f64::NAN, ..good }, "schedule.rate"),
        (Schedule { warmup_epochs: 3.0, ..good }, "schedule.warmup_epochs"),
        (Schedule { warmup_epochs: 0.5, ..good }, "schedule.warmup_epochs"),
        (Schedule { decay: Decay::Polynomial { power: 0.0 }, ..good }, "schedule.decay.power"),
        (
            Schedule { decay: Decay::Step { every_epochs: 0, factor: 0.1 }, ..good },
            "schedule.decay.every_epochs",
        ),
        (Schedule { decay: Decay::Step { every_epochs: 1, factor: 1.1 }, ..good }, "schedule.decay.factor"),
        (Schedule { decay: Decay::Cosine { final_fraction: -0.1 }, ..good }, "schedule.decay.final_fraction"),
        (
            Schedule { decay: Decay::OneCycle { rise: 1.0, start_divisor: 1.0, final_divisor: 1.0 }, ..good },
            "schedule.decay.rise",
        ),
    ];
    good.check(3).unwrap();
    for (schedule, name) in bad {
        match schedule.check(3) {
            Err(Error::Config { field, .. }) => assert_eq!(field, name),
            other => panic!("{schedule:?}: {other:?}"),
        }
    }
}
