//! The affine map of one image: where each pixel of the result is read.

use crate::params::AugmentParams;

/// The map from a pixel of the result to its place in the image, both of `height` x `width` pixels.
///
/// With `m` the result, the pixel in column `x` and row `y` (from 0, pixel centres at whole numbers) is read at
/// column `m[0][0] * x + m[0][1] * y + m[0][2]` and row `m[1][0] * x + m[1][1] * y + m[1][2]`: columns come first,
/// as in Keras's matrices and in libtorch's `grid_sampler`, and unlike `scipy.ndimage`.
///
/// The composition is that of Keras 3's `apply_affine_transform`: rotation * shift * shear * zoom about the
/// centre `((width - 1) / 2, (height - 1) / 2)`, with the flips applied to the image that comes out of it.
///
/// ```
/// use malaria_augment::{AugmentParams, affine};
///
/// let shifted = AugmentParams { width_shift: 0.25, ..AugmentParams::identity() };
/// let (height, width) = (6, 8);
/// assert_eq!(affine(&shifted, height, width), [[1.0, 0.0, 2.0], [0.0, 1.0, 0.0]]);
/// ```
pub fn affine(params: &AugmentParams, height: i64, width: i64) -> [[f64; 3]; 2] {
    let (width, height) = (width as f64, height as f64);
    let (sin, cos) = params.rotation_degrees.to_radians().sin_cos();
    let (shear_sin, shear_cos) = params.shear_degrees.to_radians().sin_cos();
    let (shift_x, shift_y) = (params.width_shift * width, params.height_shift * height);
    let (zoom_x, zoom_y) = (params.width_zoom, params.height_zoom);

    // [cos -sin] * [1 -shear_sin] * [zoom_x      0]
    // [sin  cos]   [0  shear_cos]   [     0 zoom_y]
    let mut linear = [
        [cos * zoom_x, (-cos * shear_sin - sin * shear_cos) * zoom_y],
        [sin * zoom_x, (-sin * shear_sin + cos * shear_cos) * zoom_y],
    ];
    // Shear and zoom come after the shift in the product and do not change it; the rotation does.
    let shift = [cos * shift_x - sin * shift_y, sin * shift_x + cos * shift_y];

    // A mirror about the centre is diag(-1, 1) or diag(1, -1) there, rightmost because the result is mirrored last.
    for row in &mut linear {
        row[0] *= if params.horizontal_flip { -1.0 } else { 1.0 };
        row[1] *= if params.vertical_flip { -1.0 } else { 1.0 };
    }

    let centre = [(width - 1.0) / 2.0, (height - 1.0) / 2.0];
    [0, 1].map(|axis| {
        let [by_x, by_y] = linear[axis];
        [by_x, by_y, shift[axis] + centre[axis] - by_x * centre[0] - by_y * centre[1]]
    })
}
