//! Means that round exactly like NumPy's, for reports that equal scikit-learn's character for character.

/// Mean of the defined values, as `numpy.nanmean`.
pub(crate) fn mean(values: &[Option<f64>]) -> Option<f64> {
    let defined = values.iter().flatten().count();
    let filled = Vec::from_iter(values.iter().map(|value| value.unwrap_or(0.0)));
    (defined > 0).then(|| sum(&filled) / defined as f64)
}

/// Weighted mean of the defined values, or their plain mean if all weights are 0.
pub(crate) fn weighted_mean(values: &[Option<f64>], weights: &[u64]) -> Option<f64> {
    let defined =
        Vec::from_iter(values.iter().zip(weights).filter_map(|(value, &weight)| Some(((*value)?, weight))));
    let total: u64 = defined.iter().map(|&(_, weight)| weight).sum();
    if total == 0 {
        return mean(values);
    }
    let products = Vec::from_iter(defined.iter().map(|&(value, weight)| value * weight as f64));
    Some(sum(&products) / total as f64)
}

/// NumPy's pairwise summation (`pairwise_sum` of its `loops_utils.h`): eight running sums within a block.
fn sum(values: &[f64]) -> f64 {
    const LANES: usize = 8;
    const BLOCK: usize = 128;
    if values.len() < LANES {
        return values.iter().sum();
    }
    if values.len() > BLOCK {
        let half = values.len() / 2;
        let (left, right) = values.split_at(half - half % LANES);
        return sum(left) + sum(right);
    }
    let (rows, rest) = values.as_chunks::<LANES>();
    let mut lanes = [0.0; LANES];
    for row in rows {
        lanes.iter_mut().zip(row).for_each(|(lane, value)| *lane += value);
    }
    let [a, b, c, d, e, f, g, h] = lanes;
    rest.iter().fold(((a + b) + (c + d)) + ((e + f) + (g + h)), |total, value| total + value)
}
