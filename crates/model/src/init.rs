//! Initial values of kernels.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Glorot-uniform values of a kernel of the given shape, in row-major order: uniform in ±sqrt(6 / (fan_in + fan_out)), as
/// in Keras.
///
/// `shape` is `[out, in]` or `[out, in, kh, kw]`. A fan is the number of channels on that side times the kernel's area.
/// `order` is the kernel's position among the trainable parameters: each has its own stream of the generator of `seed`.
pub(crate) fn glorot_uniform(shape: &[i64], seed: u64, order: u64) -> Vec<f32> {
    let area: i64 = shape[2..].iter().product();
    let fans = (shape[0] + shape[1]) * area;
    let limit = (6.0 / fans as f64).sqrt() as f32;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(order);
    let count: i64 = shape.iter().product();
    (0..count).map(|_| (2.0 * rng.random::<f32>() - 1.0) * limit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_uniform_in_the_glorot_range() {
        let values = glorot_uniform(&[64, 32, 3, 3], 7, 0);
        let limit = (6.0_f32 / ((64 + 32) as f32 * 9.0)).sqrt();
        let largest = values.iter().fold(0.0_f32, |largest, v| largest.max(v.abs()));
        assert!(largest <= limit && largest > 0.999 * limit, "{largest}, limit {limit}");
        let mean = values.iter().sum::<f32>() / values.len() as f32;
        let square = values.iter().map(|v| v * v).sum::<f32>() / values.len() as f32;
        // 18,432 values: the mean's standard error is limit/235, the square's about limit^2/456.
        assert!(mean.abs() < limit / 50.0, "{mean}");
        assert!((square / (limit * limit) - 1.0 / 3.0).abs() < 0.01, "{square}");
    }

    #[test]
    fn values_depend_only_on_shape_seed_and_order() {
        let kernel = glorot_uniform(&[4, 3, 5, 5], 42, 3);
        assert_eq!(kernel, glorot_uniform(&[4, 3, 5, 5], 42, 3));
        assert_ne!(kernel, glorot_uniform(&[4, 3, 5, 5], 43, 3));
        assert_ne!(kernel, glorot_uniform(&[4, 3, 5, 5], 42, 4));
    }
}
