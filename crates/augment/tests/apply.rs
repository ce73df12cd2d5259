//! Tests of `apply`: geometry, colours, memory layout, and what it refuses.

use malaria_augment::{AugmentConfig, AugmentParams, Error, LaboratoryConfig, apply, batch, sample};
use tch::{Device, Kind, Tensor};

/// Asymmetric random images, `[count, 3, height, width]`, the same on every call.
fn images(count: i64, height: i64, width: i64) -> Tensor {
    let places = Tensor::arange(count * 3 * height * width, (Kind::Int64, Device::Cpu));
    let hashed = (places * 2_654_435_761_i64).remainder(65_537);
    (hashed.to_kind(Kind::Float) / 65_536.0).view([count, 3, height, width])
}

/// The same values in channels_last memory.
fn channels_last(images: &Tensor) -> Tensor {
    images.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2]) // NCHW => NHWC => NCHW
}

/// A configuration that uses every setting.
fn everything() -> AugmentConfig {
    AugmentConfig {
        vertical_flip: true,
        brightness: 0.2,
        contrast: 0.2,
        saturation: 0.3,
        hue: 0.1,
        laboratory: LaboratoryConfig::of_strength(1.0),
        ..AugmentConfig::tutorial()
    }
}

fn largest_difference(left: &Tensor, right: &Tensor) -> f64 {
    (left - right).abs().max().double_value(&[])
}

/// Parameters of four kinds in turn: all, identity, geometry alone, colour alone.
fn mixed_params(count: u64) -> Vec<AugmentParams> {
    let configs = [
        everything(),
        AugmentConfig::none(),
        AugmentConfig::tutorial(),
        AugmentConfig { hue: 0.2, brightness: 0.4, ..AugmentConfig::none() },
    ];
    (0..count).map(|index| sample(&configs[index as usize % 4], 5, 1, index)).collect()
}

#[test]
fn identity_returns_the_same_images() {
    for images in [images(3, 5, 8), channels_last(&images(3, 5, 8)), images(0, 5, 8)] {
        let params = vec![AugmentParams::identity(); images.size()[0] as usize];
        let same = apply(&images, &params).unwrap();
        assert_eq!(same, images);
        assert_eq!(same.stride(), images.stride());
        assert_eq!(same.data_ptr(), images.data_ptr(), "the images were copied");
    }
}

#[test]
fn batch_is_sample_and_apply() {
    let (images, indices) = (images(3, 5, 8), [40, 7, 12]);
    let (seed, epoch) = (3, 2);
    let params = indices.map(|index| sample(&everything(), seed, epoch, index as u64));
    let augmented = batch(&images, &everything(), seed, epoch, &indices).unwrap();
    assert_eq!(augmented, apply(&images, &params).unwrap());
    let refused = batch(&images, &everything(), seed, epoch, &indices[..2]);
    assert!(matches!(refused, Err(Error::ParamsCount { images: 3, params: 2 })));
}

#[test]
fn apply_leaves_its_input_unchanged() {
    let images = images(4, 5, 8);
    let before = images.copy();
    let changed = apply(&images, &mixed_params(4)).unwrap();
    assert_ne!(changed, images);
    assert_eq!(images, before);
}

/// Worked by hand on a 2 x 4 image: a quarter of the width is one column, half of the height one row.
#[test]
fn a_shift_moves_the_content_left_and_up_and_repeats_the_border() {
    let plane = Tensor::from_slice(&[0.0_f32, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]).view([1, 1, 2, 4]);
    let images = plane.expand([1, 3, 2, 4], false);
    let shift = |width_shift, height_shift| {
        let params = AugmentParams { width_shift, height_shift, ..AugmentParams::identity() };
        let plane = apply(&images, &[params]).unwrap().select(1, 2).flatten(0, -1);
        Vec::<f32>::try_from(plane).unwrap()
    };
    let close = |left: Vec<f32>, right: [f32; 8]| left.iter().zip(right).all(|(l, r)| (l - r).abs() < 1e-6);
    assert!(close(shift(0.25, 0.0), [0.1, 0.2, 0.3, 0.3, 0.5, 0.6, 0.7, 0.7]));
    assert!(close(shift(-0.5, 0.0), [0.0, 0.0, 0.0, 0.1, 0.4, 0.4, 0.4, 0.5]));
    assert!(close(shift(0.0, 0.5), [0.4, 0.5, 0.6, 0.7, 0.4, 0.5, 0.6, 0.7]));
    assert!(close(shift(0.125, 0.0), [0.05, 0.15, 0.25, 0.3, 0.45, 0.55, 0.65, 0.7]));
}

#[test]
fn a_quarter_turn_is_counter_clockwise() {
    let images = images(1, 6, 6);
    let quarter = AugmentParams { rotation_degrees: 90.0, ..AugmentParams::identity() };
    let turned = apply(&images, &[quarter]).unwrap();
    assert!(largest_difference(&turned, &images.rot90(1, [2, 3])) < 1e-5);
}

#[test]
fn results_do_not_depend_on_the_batch() {
    let images = images(7, 13, 10);
    let params = mixed_params(7);
    let together = apply(&images, &params).unwrap();
    for (place, one) in params.iter().enumerate() {
        let image = images.narrow(0, place as i64, 1);
        let alone = apply(&image, &[*one]).unwrap();
        assert_eq!(alone, together.narrow(0, place as i64, 1), "image {place}");
    }
    let reversed: Vec<_> = params.iter().rev().copied().collect();
    assert_eq!(apply(&images.flip([0]), &reversed).unwrap().flip([0]), together);
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let images = images(32, 64, 64);
    let params = mixed_params(32);
    let threads_before = tch::get_num_threads();
    let [one, two, five] = [1, 2, 5].map(|threads| {
        tch::set_num_threads(threads);
        apply(&images, &params).unwrap()
    });
    tch::set_num_threads(threads_before);
    assert_eq!(one, two);
    assert_eq!(one, five);
}

#[test]
fn memory_layout_is_kept_and_does_not_change_values() {
    let images = images(4, 6, 9);
    let last = channels_last(&images);
    let all_active: Vec<_> = (0..4).map(|index| sample(&everything(), 0, 0, index)).collect();
    let only_colour = vec![AugmentParams { hue: 0.1, ..AugmentParams::identity() }; 4];
    for params in [all_active, only_colour, mixed_params(4)] {
        let from_first = apply(&images, &params).unwrap();
        let from_last = apply(&last, &params).unwrap();
        assert_eq!(from_first.stride(), images.stride());
        assert_eq!(from_last.stride(), last.stride());
        assert_eq!(from_first, from_last);
    }
}

#[test]
fn results_stay_between_zero_and_one() {
    let images = images(16, 8, 11);
    let wild = AugmentConfig {
        brightness: 1.0,
        contrast: 1.0,
        saturation: 1.0,
        hue: 0.5,
        rotation_degrees: 180.0,
        ..everything()
    };
    let params: Vec<_> = (0..16).map(|index| sample(&wild, 9, 0, index)).collect();
    let changed = apply(&images, &params).unwrap();
    assert_eq!((changed.min().double_value(&[]), changed.max().double_value(&[])), (0.0, 1.0));

    // Without the clamp, some of these pixels would exceed 1 by a rounding error after interpolation.
    let params: Vec<_> = (0..16).map(|index| sample(&AugmentConfig::tutorial(), 9, 0, index)).collect();
    let white = apply(&images.ones_like(), &params).unwrap();
    assert!(white.max().double_value(&[]) <= 1.0);
}

#[test]
fn hue_and_saturation_leave_greys_unchanged() {
    let greys = images(1, 4, 6).narrow(1, 0, 1).repeat([1, 3, 1, 1]);
    let chroma = AugmentParams { hue: 0.3, saturation: 1.7, ..AugmentParams::identity() };
    assert!(largest_difference(&apply(&greys, &[chroma]).unwrap(), &greys) < 1e-6);
}

#[test]
fn hue_turns_red_towards_yellow_and_a_full_turn_is_the_identity() {
    let images = images(1, 4, 6);
    let full_turn = AugmentParams { hue: 1.0, ..AugmentParams::identity() };
    assert!(largest_difference(&apply(&images, &[full_turn]).unwrap(), &images) < 1e-6);
    // Towards yellow: green rises and blue falls.
    let red = Tensor::from_slice(&[0.5_f32, 0.2, 0.2]).view([1, 3, 1, 1]);
    let turned = apply(&red, &[AugmentParams { hue: 0.05, ..AugmentParams::identity() }]).unwrap();
    assert!(turned.double_value(&[0, 1]) > 0.21 && turned.double_value(&[0, 2]) < 0.19);
}

#[test]
fn a_single_row_column_or_pixel_is_accepted() {
    let params = [sample(&everything(), 0, 0, 0); 2];
    for (height, width) in [(1, 7), (7, 1), (1, 1)] {
        let changed = apply(&images(2, height, width), &params).unwrap();
        assert_eq!(changed.size(), [2, 3, height, width]);
        assert_eq!(changed.isfinite().all().int64_value(&[]), 1);
    }
}

#[test]
fn batches_other_than_rgb_floats_are_refused() {
    let identity = [AugmentParams::identity(); 2];
    for shape in
        [&[2, 4, 5, 5][..], &[2, 5, 5, 3], &[3, 5, 5], &[2, 3, 0, 5], &[2, 3, 5, 0], &[2, 1, 3, 5, 5]]
    {
        let batch = Tensor::zeros(shape, (Kind::Float, Device::Cpu));
        let Err(Error::Shape { found }) = apply(&batch, &identity) else {
            panic!("{shape:?} was accepted");
        };
        assert_eq!(found, shape);
    }
    for kind in [Kind::Uint8, Kind::Int64, Kind::Half, Kind::BFloat16] {
        let batch = Tensor::zeros([2, 3, 5, 5], (kind, Device::Cpu));
        assert!(matches!(apply(&batch, &identity), Err(Error::Kind { found }) if found == kind));
    }
    assert!(matches!(apply(&Tensor::new(), &identity), Err(Error::Shape { .. })));
    let batch = images(3, 5, 5);
    assert!(matches!(apply(&batch, &identity), Err(Error::ParamsCount { images: 3, params: 2 })));
}

#[test]
fn parameters_that_are_not_finite_are_refused_by_name() {
    type FieldOf = fn(&mut AugmentParams) -> &mut f64;
    let fields: [(&str, FieldOf); 13] = [
        ("rotation_degrees", |params| &mut params.rotation_degrees),
        ("width_shift", |params| &mut params.width_shift),
        ("height_shift", |params| &mut params.height_shift),
        ("shear_degrees", |params| &mut params.shear_degrees),
        ("width_zoom", |params| &mut params.width_zoom),
        ("height_zoom", |params| &mut params.height_zoom),
        ("brightness", |params| &mut params.brightness),
        ("contrast", |params| &mut params.contrast),
        ("saturation", |params| &mut params.saturation),
        ("hue", |params| &mut params.hue),
        ("laboratory.stain", |params| &mut params.laboratory.stain[1]),
        ("laboratory.blur", |params| &mut params.laboratory.blur),
        ("laboratory.rim_phases", |params| &mut params.laboratory.rim_phases[4]),
    ];
    for (name, field_of) in fields {
        for value in [f64::NAN, f64::INFINITY] {
            let mut params = [AugmentParams::identity(); 2];
            *field_of(&mut params[1]) = value;
            let Err(Error::Params { index: 1, field, .. }) = apply(&images(2, 5, 5), &params) else {
                panic!("{name} = {value} was accepted");
            };
            assert_eq!(field, name);
        }
    }
}
