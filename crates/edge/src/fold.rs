//! Batch normalisations that need no pass of their own.

/// A batch normalisation by running statistics, as scale and shift by channel.
pub(crate) struct Affine {
    pub(crate) scale: Vec<f64>,
    pub(crate) shift: Vec<f64>,
}

/// A batch normalisation that follows an addition, or the maximum after the stem, and is followed by a ReLU. Where every scale is
/// above 0,
///
/// `relu(scale x + shift) = scale relu(x + offset)` with `offset = shift / scale`,
///
/// so that the scale goes into the kernels that read it and the offset into the bias of the convolution that makes x. Nothing
/// but the ReLU is left to compute.
pub(crate) struct Preactivation {
    /// What the ReLU's readers have to multiply it by.
    pub(crate) scale: Vec<f64>,
    /// What has to be added to x beforehand.
    pub(crate) offset: Vec<f64>,
    /// What has to stay before the ReLU, since it cannot be folded; scales are 1 and offsets 0 then.
    pub(crate) kept: Option<Affine>,
}

/// Offsets reach 4 in trained networks. What is added to a map beforehand takes digits from it, and a scale near 0 would make it
/// anything, so that a batch normalisation with a larger one stays: up to here float32 loses 1e-6 of a map whose values are near 1.
pub(crate) const LARGEST_OFFSET: f64 = 16.0;

impl Preactivation {
    /// `highest` is what offsets may be at most.
    pub(crate) fn of(norm: Affine, highest: f64) -> Self {
        let Affine { scale, shift } = norm;
        let offset: Vec<f64> = shift.iter().zip(&scale).map(|(shift, scale)| shift / scale).collect();
        let range = -LARGEST_OFFSET..=highest;
        if scale.iter().all(|&scale| scale > 0.0) && offset.iter().all(|offset| range.contains(offset)) {
            return Self { scale, offset, kept: None };
        }
        let channels = scale.len();
        Self { scale: vec![1.0; channels], offset: vec![0.0; channels], kept: Some(Affine { scale, shift }) }
    }
}
