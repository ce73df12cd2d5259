//! The losses of JPEG: frequencies of blocks of 8 x 8 pixels are rounded to multiples of a table's numbers.

use std::f64::consts::PI;

use tch::Tensor;

use super::params::LaboratoryParams;
use crate::{
    error::Error,
    images::{ColourMap, mix, tensor},
};

/// Side of a block in pixels.
pub(super) const BLOCK: i64 = 8;

/// The steps of brightness and of colour at quality 50, one row per vertical frequency: ITU-T T.81, tables K.1 and K.2.
const BRIGHTNESS: [u8; 64] = [
    16, 11, 10, 16, 24, 40, 51, 61, //
    12, 12, 14, 19, 26, 58, 60, 55, //
    14, 13, 16, 24, 40, 57, 69, 56, //
    14, 17, 22, 29, 51, 87, 80, 62, //
    18, 22, 37, 56, 68, 109, 103, 77, //
    24, 35, 55, 64, 81, 104, 113, 92, //
    49, 64, 78, 87, 103, 121, 120, 101, //
    72, 92, 95, 98, 112, 100, 103, 99,
];
const COLOUR: [u8; 64] = [
    17, 18, 24, 47, 99, 99, 99, 99, //
    18, 21, 26, 66, 99, 99, 99, 99, //
    24, 26, 56, 99, 99, 99, 99, 99, //
    47, 66, 99, 99, 99, 99, 99, 99, //
    99, 99, 99, 99, 99, 99, 99, 99, //
    99, 99, 99, 99, 99, 99, 99, 99, //
    99, 99, 99, 99, 99, 99, 99, 99, //
    99, 99, 99, 99, 99, 99, 99, 99,
];

/// From RGB bytes to brightness and colours, from -128 to 127, and back: JFIF.
const TO_YCC: ColourMap = (
    [[0.299, 0.587, 0.114], [-0.168_735_892, -0.331_264_108, 0.5], [0.5, -0.418_687_589, -0.081_312_411]],
    [-128.0, 0.0, 0.0],
);
const TO_RGB: ColourMap =
    ([[1.0, 0.0, 1.402], [1.0, -0.344_136_286, -0.714_136_286], [1.0, 1.772, 0.0]], [128.0; 3]);

/// Compresses and decompresses the images, `[N, 3, H, W]` in `[0, 1]`, with colours of full resolution (4:4:4).
pub(super) fn jpeg(images: &Tensor, params: &[LaboratoryParams]) -> Result<Tensor, Error> {
    let [count, _, height, width] = images.size()[..] else {
        return Err(Error::Shape { found: images.size() });
    };
    let [rows, columns] = [height, width].map(|side| (side + BLOCK - 1) / BLOCK);
    let mut padded = images.f_replication_pad2d([0, columns * BLOCK - width, 0, rows * BLOCK - height])?;
    // Whole bytes and colours, as in a file: otherwise fine steps would be rounded differently.
    let blocks = mix(&padded.f_mul_scalar_(255.0)?.f_round_()?, &[TO_YCC])?
        .f_round_()?
        .f_view([count, 3, rows, BLOCK, columns, BLOCK])?
        .f_permute([3, 5, 0, 1, 2, 4])? // [N, 3, rows, y, columns, x] => [y, x, N, 3, rows, columns]
        .f_contiguous()?;
    let cosines = cosines(images)?;
    let tables: Vec<f64> = (0..64)
        .flat_map(|frequency| {
            params.iter().flat_map(move |one| {
                [BRIGHTNESS, COLOUR, COLOUR].map(|table| step(table[frequency], one.jpeg))
            })
        })
        .collect();
    let steps = tensor(&tables, &[BLOCK, BLOCK, count, 3, 1, 1], images)?;
    let rounded = along_both(&blocks, &cosines)?.f_div(&steps)?.f_round_()?.f_mul_(&steps)?;
    let decoded = along_both(&rounded, &cosines.f_tr()?)?
        .f_permute([2, 3, 4, 0, 5, 1])? // [y, x, N, 3, rows, columns] => [N, 3, rows, y, columns, x]
        .f_reshape([count, 3, rows * BLOCK, columns * BLOCK])?;
    let cropped = decoded.f_narrow(2, 0, height)?.f_narrow(3, 0, width)?;
    Ok(mix(&cropped.f_round()?, &[TO_RGB])?.f_clamp_(0.0, 255.0)?.f_round_()?.f_div_scalar_(255.0)?)
}

/// The step of a frequency at quality `100 - loss`, from its step at quality 50, as the Independent JPEG Group scales it.
fn step(base: u8, loss: f64) -> f64 {
    let quality = (100.0 - loss).clamp(1.0, 100.0).round();
    let percent = if quality < 50.0 { (5000.0 / quality).floor() } else { 200.0 - 2.0 * quality };
    ((f64::from(base) * percent + 50.0) / 100.0).floor().clamp(1.0, 255.0)
}

/// The orthonormal discrete cosine transform: one row per frequency, one column per pixel.
fn cosines(like: &Tensor) -> Result<Tensor, Error> {
    let values: Vec<f64> = (0..BLOCK)
        .flat_map(|frequency| {
            (0..BLOCK).map(move |pixel| {
                let scale = if frequency == 0 { 1.0_f64 } else { 2.0 };
                (scale / 8.0).sqrt() * ((2 * pixel + 1) as f64 * frequency as f64 * PI / 16.0).cos()
            })
        })
        .collect();
    tensor(&values, &[BLOCK, BLOCK], like)
}

/// The products of `matrix` with the first and with the second dimension of `blocks`, `[8, 8, …]`. The eight terms are
/// summed in a fixed order, since a matrix product may round differently in batches of different sizes.
fn along_both(blocks: &Tensor, matrix: &Tensor) -> Result<Tensor, Error> {
    let mut product = blocks.f_view([BLOCK, BLOCK, -1])?;
    for (axis, shape) in [(0, [BLOCK, 1, 1]), (1, [1, BLOCK, 1])] {
        let column = |at: i64| matrix.f_select(1, at)?.f_reshape(shape);
        let mut sum = product.f_narrow(axis, 0, 1)?.f_mul(&column(0)?)?;
        for at in 1..BLOCK {
            sum = sum.f_addcmul_(&product.f_narrow(axis, at, 1)?, &column(at)?)?;
        }
        product = sum;
    }
    Ok(product.f_view(blocks.size().as_slice())?)
}
