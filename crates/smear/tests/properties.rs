//! Properties of the objects found in any picture.

use image::RgbImage;
use malaria_smear::find_cells;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn objects_lie_inside_their_picture(
        width in 0_u32..90, height in 0_u32..90, grain in 1_u32..24, seed: u32, levels in 1_u32..6
    ) {
        let picture = RgbImage::from_fn(width, height, |x, y| {
            let cell = (x / grain).wrapping_mul(0x8da6_b343) ^ (y / grain).wrapping_mul(0xd816_3841) ^ seed;
            let mixed = (cell ^ (cell >> 15)).wrapping_mul(0x85eb_ca6b);
            image::Rgb([0, 8, 16].map(|shift| (((mixed >> shift) % levels) * 255 / levels) as u8))
        });
        if let Ok(smear) = find_cells(&picture) {
            for object in &smear.objects {
                prop_assert!(object.bounds.x + object.bounds.width <= width);
                prop_assert!(object.bounds.y + object.bounds.height <= height);
                prop_assert_eq!(object.mask.dimensions(), (object.bounds.width, object.bounds.height));
                drop(object.crop(&picture));
            }
        }
    }
}
