//! Folds batch normalisations into neighbouring convolutions where possible.

/// A batch normalisation with running statistics, as scale and shift per channel.
pub(crate) struct Affine {
    pub(crate) scale: Vec<f64>,
    pub(crate) shift: Vec<f64>,
}

/// A batch normalisation that follows an addition, or the maximum after the stem, and is followed by a ReLU. Where every scale is
/// above 0,
///
/// `relu(scale x + shift) = scale relu(x + offset)` with `offset = shift / scale`,
///
/// so the scale is folded into the kernels that read the ReLU, and the offset into the bias of the convolution that computes x. Only
/// the ReLU remains.
pub(crate) struct Preactivation {
    /// Factors for the kernels that read the ReLU.
    pub(crate) scale: Vec<f64>,
    /// Added to x before the ReLU.
    pub(crate) offset: Vec<f64>,
    /// The batch normalisation itself where it cannot be folded; scales are then 1 and offsets 0.
    pub(crate) kept: Option<Affine>,
}

/// Batch normalisations with a larger offset, for example from a scale near 0, are not folded, since adding it loses
/// precision: at this offset float32 loses 1e-6 of a map with values near 1. Offsets reach 4 in trained networks.
pub(crate) const LARGEST_OFFSET: f64 = 16.0;

impl Preactivation {
    /// Folds `norm` where its scales are positive and its offsets are at most `max_offset`.
    pub(crate) fn of(norm: Affine, max_offset: f64) -> Self {
        let Affine { scale, shift } = norm;
        let offset: Vec<f64> = shift.iter().zip(&scale).map(|(shift, scale)| shift / scale).collect();
        let range = -LARGEST_OFFSET..=max_offset;
        if scale.iter().all(|&scale| scale > 0.0) && offset.iter().all(|offset| range.contains(offset)) {
            return Self { scale, offset, kept: None };
        }
        let channels = scale.len();
        Self { scale: vec![1.0; channels], offset: vec![0.0; channels], kept: Some(Affine { scale, shift }) }
    }
}
