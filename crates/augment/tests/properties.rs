//! Property tests of augmentation: the group of mirrors, and independence of the batch.

use malaria_augment::{AugmentConfig, AugmentParams, LaboratoryConfig, apply, sample};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use tch::{Device, Kind, Tensor};

/// A batch of up to five images of any shape and colours.
fn images() -> impl Strategy<Value = Tensor> {
    (1..6_usize, 1..14_usize, 1..14_usize, any::<u32>()).prop_map(|(count, height, width, seed)| {
        let noise = |i: usize| (i as u32 ^ seed).wrapping_mul(2_654_435_761).to_be_bytes()[0];
        let values: Vec<f32> = (0..count * 3 * height * width).map(|i| f32::from(noise(i)) / 255.0).collect();
        Tensor::from_slice(&values).view([count as i64, 3, height as i64, width as i64])
    })
}

/// Any valid settings.
fn config() -> impl Strategy<Value = AugmentConfig> {
    let share = || prop_oneof![Just(0.0), 0.0..0.99_f64];
    let geometry = (share(), share(), share(), share(), share(), 0.3..1.0_f64, any::<[bool; 2]>());
    (geometry, [share(), share(), share(), share()], share()).prop_map(
        |(geometry, [brightness, contrast, saturation, hue], laboratory)| {
            let (rotation, width_shift, height_shift, shear, zoom, least, flips) = geometry;
            AugmentConfig {
                rotation_degrees: 180.0 * rotation,
                width_shift,
                height_shift,
                shear_degrees: 80.0 * shear,
                zoom: if zoom == 0.0 { (1.0, 1.0) } else { (least, least + zoom) },
                horizontal_flip: flips[0],
                vertical_flip: flips[1],
                brightness,
                contrast,
                saturation,
                hue: hue / 2.0,
                laboratory: LaboratoryConfig::of_strength(laboratory),
            }
        },
    )
}

fn params(config: &AugmentConfig, images: &Tensor, seed: u64) -> Vec<AugmentParams> {
    (0..images.size()[0] as u64).map(|index| sample(config, seed, 1, index)).collect()
}

/// The image at `place`, alone.
fn alone(images: &Tensor, place: usize) -> Tensor {
    images.narrow(0, place as i64, 1)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 150,
        rng_seed: RngSeed::Fixed(4),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// The mirrors are the Klein four-group: each one is its own inverse, and the product of two, in either order, is the third.
    #[test]
    fn mirrors_form_a_group(images in images(), one in any::<[bool; 2]>(), other in any::<[bool; 2]>()) {
        let mirrored = |images: &Tensor, [horizontal_flip, vertical_flip]: [bool; 2]| {
            let mirror = AugmentParams { horizontal_flip, vertical_flip, ..AugmentParams::identity() };
            apply(images, &vec![mirror; images.size()[0] as usize]).unwrap()
        };
        let close = |a: &Tensor, b: &Tensor| (a - b).abs().max().double_value(&[]) < 1e-5;
        let both = mirrored(&mirrored(&images, one), other);
        prop_assert!(close(&mirrored(&mirrored(&images, one), one), &images));
        prop_assert!(close(&both, &mirrored(&mirrored(&images, other), one)));
        prop_assert!(close(&both, &mirrored(&images, [one[0] ^ other[0], one[1] ^ other[1]])));
        // It equals the mirror image that libtorch's flip gives.
        let dimensions: Vec<i64> = [(one[1], 2), (one[0], 3)].into_iter().filter(|(on, _)| *on).map(|(_, d)| d).collect();
        prop_assert!(close(&mirrored(&images, one), &images.flip(&dimensions)));
    }

    #[test]
    fn results_do_not_depend_on_batch_order_or_threads(
        images in images(),
        config in config(),
        seed in any::<u64>(),
        threads in 1..4_i32,
        order in any::<prop::sample::Index>(),
    ) {
        config.check().unwrap();
        let params = params(&config, &images, seed);
        let whole = apply(&images, &params).unwrap();
        let (least, most) = (whole.min().double_value(&[]), whole.max().double_value(&[]));
        prop_assert!(least >= 0.0 && most <= 1.0, "{least} to {most}");

        // One by one, with other numbers of threads, and in another order, the results are bitwise the same.
        let before = tch::get_num_threads();
        tch::set_num_threads(threads);
        let mut rotated: Vec<usize> = (0..params.len()).collect();
        rotated.rotate_left(order.index(params.len()));
        let places: Vec<i64> = rotated.iter().map(|&place| place as i64).collect();
        let rotated_images = images.index_select(0, &Tensor::from_slice(&places));
        let rotated_params: Vec<AugmentParams> = rotated.iter().map(|&place| params[place]).collect();
        let result = apply(&rotated_images, &rotated_params);
        let singles: Vec<_> = (0..params.len()).map(|i| apply(&alone(&images, i), &params[i..=i])).collect();
        tch::set_num_threads(before);
        let result = result.unwrap();
        for (at, &place) in rotated.iter().enumerate() {
            prop_assert_eq!(&alone(&result, at), &alone(&whole, place));
        }
        for (place, single) in singles.into_iter().enumerate() {
            prop_assert_eq!(single.unwrap(), alone(&whole, place));
        }
        prop_assert_eq!((whole.kind(), whole.device()), (Kind::Float, Device::Cpu));
    }
}
