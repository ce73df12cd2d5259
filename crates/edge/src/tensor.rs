//! Tensors in float64, and their symmetric int8 quantisation.

/// A tensor in float64, row by row.
pub(crate) struct Values {
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Vec<f64>,
}

impl Values {
    /// Multiplies the weights of each input channel, the second dimension, by its scale.
    pub(crate) fn scale_inputs(&mut self, scales: &[f64]) {
        let each = self.shape[2..].iter().product();
        for (values, scale) in self.values.chunks_mut(each).zip(scales.iter().cycle()) {
            values.iter_mut().for_each(|value| *value *= scale);
        }
    }
}

/// Refuses values that are infinite or NaN in this format.
pub(crate) fn check_finite(
    name: &str,
    values: &[f64],
    format: &str,
    is_finite: impl Fn(f64) -> bool,
) -> Result<(), String> {
    match values.iter().find(|&&value| !is_finite(value)) {
        None => Ok(()),
        Some(value) => Err(format!(
            "tensor `{name}`: {value:e} is outside the range of {format}; use another weight format, or \
             weights from a training that did not diverge"
        )),
    }
}

/// Symmetric int8 by output channel: the scales, and `round(value / scale)` in -127 to 127, as two's complement bytes.
///
/// Source: R. Krishnamoorthi, "Quantizing deep convolutional networks for efficient inference", arXiv:1806.08342, 2.2.
pub(crate) fn quantise(values: &[f64], channels: usize) -> (Vec<f64>, Vec<u8>) {
    let mut scales = Vec::with_capacity(channels);
    let mut bytes = Vec::with_capacity(values.len());
    for channel in values.chunks(values.len() / channels) {
        let largest = channel.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
        // Rounded to float32 as stored, so that values are divided by the same scale. A channel of zeros may have any scale.
        let scale = if largest > 0.0 { f64::from((largest / 127.0) as f32) } else { 1.0 };
        scales.push(scale);
        let rounded = channel.iter().map(|value| (value / scale).round().clamp(-127.0, 127.0) as i8);
        bytes.extend(rounded.map(|value| value.cast_unsigned()));
    }
    (scales, bytes)
}
