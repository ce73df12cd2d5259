//! Tests of configurations and of the parameters sampled from them.

use std::collections::HashSet;

use malaria_augment::{AugmentConfig, AugmentParams, Error, LaboratoryConfig, LaboratoryParams, sample};

/// Every range open, each of a different size.
fn everything() -> AugmentConfig {
    AugmentConfig {
        rotation_degrees: 20.0,
        width_shift: 0.05,
        height_shift: 0.1,
        shear_degrees: 5.0,
        zoom: (0.8, 1.4),
        horizontal_flip: true,
        vertical_flip: true,
        brightness: 0.2,
        contrast: 0.3,
        saturation: 0.4,
        hue: 0.05,
        laboratory: LaboratoryConfig::of_strength(1.0),
    }
}

/// The continuous values of `params`, by name.
fn values(params: &AugmentParams) -> [(&'static str, f64); 14] {
    [
        ("rotation", params.rotation_degrees),
        ("width_shift", params.width_shift),
        ("height_shift", params.height_shift),
        ("shear", params.shear_degrees),
        ("width_zoom", params.width_zoom),
        ("height_zoom", params.height_zoom),
        ("brightness", params.brightness),
        ("contrast", params.contrast),
        ("saturation", params.saturation),
        ("hue", params.hue),
        ("laboratory.gamma", params.laboratory.gamma),
        ("laboratory.stain of methylene blue", params.laboratory.stain[0]),
        ("laboratory.stain of eosin", params.laboratory.stain[1]),
        ("laboratory.stain of the rest", params.laboratory.stain[2]),
    ]
}

#[test]
fn values_are_uniform_over_their_ranges_and_independent() {
    const COUNT: usize = 20_000;
    let params: Vec<_> = (0..COUNT as u64).map(|index| sample(&everything(), 1, 0, index)).collect();
    let ranges: [(f64, f64); 14] = [
        (-20.0, 20.0),
        (-0.05, 0.05),
        (-0.1, 0.1),
        (-5.0, 5.0),
        (0.8, 1.4),
        (0.8, 1.4),
        (0.8, 1.2),
        (0.7, 1.3),
        (0.6, 1.4),
        (-0.05, 0.05),
        (-0.5, 0.5),
        (-1.0, 1.0),
        (-0.5, 0.5),
        (-0.5, 0.5),
    ];
    // Each value as a fraction of its range, less a half.
    let centred: Vec<Vec<f64>> = (0..14)
        .map(|field| {
            let (low, high) = ranges[field];
            params.iter().map(|one| (values(one)[field].1 - low) / (high - low) - 0.5).collect()
        })
        .collect();
    for (field, column) in centred.iter().enumerate() {
        let name = values(&params[0])[field].0;
        let (low, high) =
            column.iter().fold((f64::MAX, f64::MIN), |(low, high), &x| (low.min(x), high.max(x)));
        assert!((-0.5..-0.499).contains(&low) && (0.499..=0.5).contains(&high), "{name}: {low} to {high}");
        // Four standard errors of a uniform variable's mean and of its quarters' shares.
        let mean = column.iter().sum::<f64>() / COUNT as f64;
        assert!(mean.abs() < 4.0 * 0.2887 / (COUNT as f64).sqrt(), "{name}: mean {mean}");
        for quarter in 0..4 {
            let from = -0.5 + 0.25 * f64::from(quarter);
            let share =
                column.iter().filter(|&&x| (from..from + 0.25).contains(&x)).count() as f64 / COUNT as f64;
            assert!((share - 0.25).abs() < 4.0 * 0.433 / (COUNT as f64).sqrt(), "{name}: quarter {share}");
        }
        for (other, second) in centred.iter().enumerate().skip(field + 1) {
            let correlation =
                12.0 * column.iter().zip(second).map(|(x, y)| x * y).sum::<f64>() / COUNT as f64;
            assert!(correlation.abs() < 0.04, "{name} and {}: {correlation}", values(&params[0])[other].0);
        }
    }
    for flips in [(false, false), (false, true), (true, false), (true, true)] {
        let share = params.iter().filter(|one| (one.horizontal_flip, one.vertical_flip) == flips).count()
            as f64
            / COUNT as f64;
        assert!((share - 0.25).abs() < 4.0 * 0.433 / (COUNT as f64).sqrt(), "flips {flips:?}: {share}");
    }
    type Part = fn(&LaboratoryParams) -> bool;
    let parts: [(&str, f64, Part); 6] = [
        ("photographed", 0.5, |one| (25.0..130.0).contains(&one.resolution) && one.rim != 0.0),
        ("sharpened", 0.25, |one| one.sharpen > 0.0 && one.blur == 0.0),
        ("blurred", 0.25, |one| one.blur > 0.0 && one.sharpen == 0.0),
        ("noisy", 0.25, |one| one.noise > 0.0),
        ("cut", 0.25, |one| one.cut > 0.0),
        ("beside a neighbour", 0.25, |one| one.neighbour > 0.0),
    ];
    for (name, expected, part) in parts {
        let share = params.iter().filter(|one| part(&one.laboratory)).count() as f64 / COUNT as f64;
        assert!((share - expected).abs() < 4.0 * 0.5 / (COUNT as f64).sqrt(), "{name}: {share}");
    }
}

#[test]
fn every_seed_epoch_and_index_gives_its_own_parameters() {
    let numbers = [0, 1, 2, 3, 1 << 8, 1 << 32, u64::MAX - 1, u64::MAX];
    let mut seen = HashSet::new();
    for seed in numbers {
        for epoch in numbers {
            for index in numbers {
                let params = sample(&everything(), seed, epoch, index);
                assert_eq!(params, sample(&everything(), seed, epoch, index));
                assert!(seen.insert(values(&params).map(|(_, value)| value.to_bits())));
            }
        }
    }
}

#[test]
fn sampling_does_not_depend_on_call_order_or_thread() {
    let forward: Vec<_> = (0..50).map(|index| sample(&everything(), 3, 4, index)).collect();
    let mut backward: Vec<_> = (0..50).rev().map(|index| sample(&everything(), 3, 4, index)).collect();
    backward.reverse();
    assert_eq!(forward, backward);
    let elsewhere = std::thread::spawn(|| sample(&everything(), 3, 4, 17)).join().unwrap();
    assert_eq!(elsewhere, forward[17]);
}

/// Earlier runs can be reproduced only if these values do not change.
#[test]
fn the_random_stream_is_frozen() {
    let params = sample(&everything(), 42, 3, 1234);
    let expected = AugmentParams {
        rotation_degrees: 8.038053579551246,
        width_shift: -0.013416050513212374,
        height_shift: -0.001212614105734991,
        shear_degrees: 4.768108753264681,
        width_zoom: 1.3317807366397845,
        height_zoom: 1.3233795499961907,
        horizontal_flip: true,
        vertical_flip: false,
        brightness: 0.8296138963079434,
        contrast: 0.9236855796721881,
        saturation: 1.3775331146152916,
        hue: 0.014095154824783254,
        laboratory: LaboratoryParams {
            gamma: -0.005635827993139442,
            stain: [-0.5994749881993795, 0.4890153487073978, 0.16157959836934954],
            stain_hue: -0.012629456696488149,
            exposure: 0.06170672581825182,
            cast: [-0.025650420094630325, -0.05484709462879853, 0.04062019171862616],
            pallor: -0.1603412294100297,
            thickness: 0.0017212573058836833,
            thickness_phases: [
                0.44237631537535393,
                0.22266733662908555,
                0.10522854270201443,
                0.9384912360393023,
                0.29008924189248275,
                0.3647222815950234,
            ],
            blur: 0.0,
            sharpen: 0.40258153888179327,
            noise: 0.0006722890452794603,
            noise_seed: 7452895845554947,
            jpeg: 2.8625483037446955,
            resolution: 49.474973807181726,
            rim: 0.025329704257307427,
            rim_phases: [
                0.9444729780735823,
                0.4063392475224272,
                0.5293590003157248,
                0.7450533313415905,
                0.888483306849502,
            ],
            cut: 0.0,
            cut_turns: 0.9350002268552552,
            neighbour: 0.02009639592718626,
            neighbour_turns: 0.7129551133037882,
            neighbour_rotation: 0.5281217166202454,
        },
    };
    assert_eq!(params, expected);
    // The values are the same without another laboratory.
    let alone = sample(&AugmentConfig { laboratory: LaboratoryConfig::none(), ..everything() }, 42, 3, 1234);
    assert_eq!(alone, AugmentParams { laboratory: LaboratoryParams::identity(), ..expected });
}

#[test]
fn turning_a_setting_off_leaves_the_others_unchanged() {
    for index in 0..100 {
        assert_eq!(sample(&AugmentConfig::none(), 0, 0, index), AugmentParams::identity());
        let all = sample(&everything(), 0, 0, index);
        let colour_only = AugmentConfig { hue: 0.05, ..AugmentConfig::none() };
        assert_eq!(
            sample(&colour_only, 0, 0, index),
            AugmentParams { hue: all.hue, ..AugmentParams::identity() }
        );
        let LaboratoryParams { noise, noise_seed, .. } = all.laboratory;
        let noise_only = LaboratoryConfig { noise: 0.02, ..LaboratoryConfig::none() };
        let noise = LaboratoryParams { noise, noise_seed, ..LaboratoryParams::identity() };
        assert_eq!(
            sample(&AugmentConfig { laboratory: noise_only, ..AugmentConfig::none() }, 0, 0, index),
            AugmentParams { laboratory: noise, ..AugmentParams::identity() }
        );
        let without_rotation = AugmentConfig { rotation_degrees: 0.0, ..everything() };
        assert_eq!(sample(&without_rotation, 0, 0, index), AugmentParams { rotation_degrees: 0.0, ..all });
    }
}

#[test]
fn presets_pass_the_check() {
    for config in [AugmentConfig::none(), AugmentConfig::tutorial(), everything()] {
        config.check().unwrap();
    }
    assert_eq!(LaboratoryConfig::of_strength(0.0), LaboratoryConfig::none());
    assert_eq!(AugmentConfig::default(), AugmentConfig::none());
}

#[test]
fn the_check_names_the_field_that_is_out_of_range() {
    type Change = fn(&mut AugmentConfig, f64);
    let cases: [(&str, Change, f64, f64); 12] = [
        ("rotation_degrees", |config, value| config.rotation_degrees = value, 180.0, 180.5),
        ("width_shift", |config, value| config.width_shift = value, 0.99, 1.0),
        ("height_shift", |config, value| config.height_shift = value, 0.99, 1.0),
        ("shear_degrees", |config, value| config.shear_degrees = value, 89.0, 90.0),
        ("brightness", |config, value| config.brightness = value, 1.0, 1.1),
        ("contrast", |config, value| config.contrast = value, 1.0, 1.1),
        ("saturation", |config, value| config.saturation = value, 1.0, 1.1),
        ("hue", |config, value| config.hue = value, 0.5, 0.6),
        ("zoom", |config, value| config.zoom = (0.5, value), 7.0, 0.4),
        ("zoom", |config, value| config.zoom = (value, 3.0), 0.1, 0.0),
        ("laboratory.blur", |config, value| config.laboratory.blur = value, 0.1, 0.11),
        ("laboratory.resolution", |config, value| config.laboratory.resolution = value, 130.0, 7.9),
    ];
    for (name, change, good, bad) in cases {
        let mut config = everything();
        change(&mut config, good);
        config.check().unwrap();
        for bad in [bad, -0.1, f64::NAN, f64::INFINITY] {
            change(&mut config, bad);
            let error = config.check().unwrap_err();
            assert!(matches!(error, Error::Config { field, .. } if field == name), "{name} = {bad}: {error}");
            assert!(error.to_string().contains(name));
        }
    }
}

#[test]
fn json_round_trips_and_misspellings_are_refused() {
    let json = serde_json::to_string(&everything()).unwrap();
    assert_eq!(serde_json::from_str::<AugmentConfig>(&json).unwrap(), everything());

    let partial: AugmentConfig =
        serde_json::from_str(r#"{"rotation_degrees": 180, "zoom": [0.9, 1.1]}"#).unwrap();
    let expected = AugmentConfig { rotation_degrees: 180.0, zoom: (0.9, 1.1), ..AugmentConfig::none() };
    assert_eq!(partial, expected);
    assert!(serde_json::from_str::<AugmentConfig>(r#"{"rotation": 180}"#).is_err());
}
