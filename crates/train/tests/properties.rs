//! Property tests of schedules: bounds, both ends, warm-up and direction of the rate.

use malaria_train::{Decay, Interval, Schedule};
use proptest::prelude::*;

/// Any decay that [`Schedule::check`] accepts.
fn decay() -> impl Strategy<Value = Decay> {
    let divisor = || 1.0..1e6_f64;
    prop_oneof![
        Just(Decay::Constant),
        (1e-3..20.0_f64).prop_map(|power| Decay::Polynomial { power }),
        (1..10_u64, 0.01..=1.0_f64).prop_map(|(every_epochs, factor)| Decay::Step { every_epochs, factor }),
        (0.0..=1.0_f64).prop_map(|final_fraction| Decay::Cosine { final_fraction }),
        (0.001..0.999_f64, divisor(), divisor()).prop_map(|(rise, start_divisor, final_divisor)| {
            Decay::OneCycle { rise, start_divisor, final_divisor }
        }),
    ]
}

/// A schedule, batches per epoch and epochs of a run; `warmup` is the warm-up as a share of the run.
fn schedule(warmup: impl Strategy<Value = f64>) -> impl Strategy<Value = (Schedule, u64, u64)> {
    let interval = prop_oneof![Just(Interval::Epoch), Just(Interval::Step)];
    (1e-6..10.0_f64, decay(), interval, warmup, 1..30_u64, 1..30_u64).prop_map(
        |(rate, decay, interval, warmup, steps, epochs)| {
            let warmup = warmup * epochs as f64;
            let warmup_epochs = if interval == Interval::Epoch { warmup.floor() } else { warmup };
            (Schedule { rate, decay, interval, warmup_epochs }, steps, epochs)
        },
    )
}

/// A lower bound of the rate after the warm-up.
fn lowest(Schedule { rate, decay, .. }: &Schedule, epochs: u64) -> f64 {
    match *decay {
        Decay::Constant => *rate,
        Decay::Polynomial { .. } => 0.0,
        Decay::Step { every_epochs, factor } => rate * factor.powf((epochs / every_epochs) as f64),
        Decay::Cosine { final_fraction } => rate * final_fraction,
        Decay::OneCycle { start_divisor, final_divisor, .. } => rate / (start_divisor * final_divisor),
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        rng_seed: proptest::test_runner::RngSeed::Fixed(1),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn rates_stay_between_the_lowest_and_the_peak((schedule, steps, epochs) in schedule(0.0..0.99_f64)) {
        schedule.check(epochs).unwrap();
        // After the warm-up, which starts below the bound.
        let warm = (schedule.warmup_epochs * steps as f64).round() as u64;
        for step in 0..steps * epochs {
            let rate = schedule.rate_at(step, steps, epochs);
            prop_assert!(rate.is_finite() && rate >= 0.0 && rate <= schedule.rate * (1.0 + 1e-12), "{rate}");
            if step >= warm {
                prop_assert!(rate >= lowest(&schedule, epochs) * (1.0 - 1e-9), "{rate} at {step}");
            }
        }
    }

    #[test]
    fn first_and_last_rate_match_the_formulas((schedule, steps, epochs) in schedule(Just(0.0))) {
        let (first, last) = (schedule.rate_at(0, steps, epochs), schedule.rate_at(steps * epochs - 1, steps, epochs));
        let close = |found: f64, expected: f64| (found - expected).abs() <= 1e-9 * schedule.rate;
        let positions = if schedule.interval == Interval::Step { steps * epochs } else { epochs } as f64;
        let rate = schedule.rate;
        let one_before = (positions - 1.0) / positions;
        let (start, end) = match schedule.decay {
            Decay::Constant => (rate, rate),
            Decay::Polynomial { power } => (rate, rate * (1.0 - one_before).powf(power)),
            Decay::Step { every_epochs, factor } => {
                (rate, rate * factor.powf(((epochs - 1) / every_epochs) as f64))
            }
            Decay::Cosine { final_fraction } => {
                let end = rate * final_fraction;
                (rate, end + (rate - end) * (1.0 + (std::f64::consts::PI * one_before).cos()) / 2.0)
            }
            Decay::OneCycle { rise, start_divisor, final_divisor } => {
                // If the rise is shorter than one position, the first position is already on the way down.
                prop_assume!(rise * positions >= 1.0 + 1e-6 && positions > 1.0);
                (rate / start_divisor, rate / (start_divisor * final_divisor))
            }
        };
        prop_assert!(close(first, start), "starts at {first}, not {start}");
        prop_assert!(close(last, end), "ends at {last}, not {end}");
    }

    #[test]
    fn warm_up_rises_linearly_to_the_start_of_the_decay((schedule, steps, epochs) in schedule(0.0..0.99_f64)) {
        let stride = if schedule.interval == Interval::Step { 1 } else { steps };
        let warm = (schedule.warmup_epochs * (steps / stride) as f64).round() as u64;
        let positions = epochs * steps / stride;
        // A warm-up may be rounded up to the whole run.
        prop_assume!(warm < positions);
        let rates: Vec<f64> = (0..=warm).map(|i| schedule.rate_at(i * stride, steps, epochs)).collect();
        prop_assert!(rates.is_sorted_by(|a, b| a < b), "{rates:?}");
        for (i, rate) in rates.iter().enumerate() {
            let expected = rates[warm as usize] * (i + 1) as f64 / (warm + 1) as f64;
            prop_assert!((rate - expected).abs() <= 1e-12 * schedule.rate, "{rate} at {i}, not {expected}");
        }
    }

    #[test]
    fn rates_rise_only_in_one_cycle_and_then_fall((schedule, steps, epochs) in schedule(Just(0.0))) {
        let rates: Vec<f64> = (0..steps * epochs).map(|step| schedule.rate_at(step, steps, epochs)).collect();
        let peak = (0..rates.len()).max_by(|&a, &b| rates[a].total_cmp(&rates[b])).unwrap();
        let slack = 1e-12 * schedule.rate;
        prop_assert!(rates[..=peak].is_sorted_by(|a, b| *a <= b + slack), "{rates:?}");
        prop_assert!(rates[peak..].is_sorted_by(|a, b| a + slack >= *b), "{rates:?}");
        if !matches!(schedule.decay, Decay::OneCycle { .. }) {
            prop_assert!(rates[0] >= rates[peak] - slack, "{rates:?}");
        }
    }
}
