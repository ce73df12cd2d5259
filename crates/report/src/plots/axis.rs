//! Axes with tick marks at round numbers.

/// A linear or logarithmic axis with its tick marks.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Axis {
    low: f64,
    high: f64,
    pub(crate) logarithmic: bool,
    pub(crate) ticks: Vec<(f64, String)>,
}

/// Losses that span a larger ratio get a logarithmic axis: one early spike would flatten the rest of the curve.
const WIDEST_LINEAR_RATIO: f64 = 25.0;

impl Axis {
    /// Position of `value` as a fraction of the axis.
    pub(crate) fn place(&self, value: f64) -> f64 {
        if self.logarithmic {
            (value.ln() - self.low.ln()) / (self.high.ln() - self.low.ln())
        } else {
            (value - self.low) / (self.high - self.low)
        }
    }

    /// Whole epochs from `first` to `last`, ticks at round ones.
    pub(crate) fn epochs(first: u32, last: u32) -> Self {
        let (first, last) = (u64::from(first), u64::from(last));
        let step = (round_step((last - first) as f64 / 10.0) as u64).max(1);
        let mut epochs = Vec::from_iter((first.next_multiple_of(step)..=last).step_by(step as usize));
        // The first epoch gets a tick unless its label would touch the next.
        if epochs.first().is_none_or(|&epoch| epoch - first > step / 2 && epoch - first > 1) {
            epochs.insert(0, first);
        }
        let (low, high) = (first as f64, last as f64);
        let margin = if first == last { 0.5 } else { 0.02 * (high - low) };
        let ticks = epochs.into_iter().map(|epoch| (epoch as f64, epoch.to_string())).collect();
        Self { low: low - margin, high: high + margin, logarithmic: false, ticks }
    }

    /// Ranks 1 to `count`, with room at both ends.
    pub(crate) fn ranks(count: u32) -> Self {
        Self::epochs(1, count.max(1))
    }

    /// Losses, from 0 unless they are negative.
    pub(crate) fn loss(values: &[f64]) -> Self {
        let (low, high) = span(values).unwrap_or((0.0, 1.0));
        if low > 0.0 && high / low > WIDEST_LINEAR_RATIO {
            Self::powers(low, high)
        } else {
            Self::linear(low.min(0.0), high)
        }
    }

    /// Fractions as percentages, from a little below the smallest up to 100 %.
    pub(crate) fn percent(values: &[f64]) -> Self {
        let (low, _) = span(values).unwrap_or((0.0, 1.0));
        let mut axis = Self::linear((low - 0.04 * (1.0 - low)).clamp(0.0, 0.99), 1.0);
        let step = axis.ticks[1].0 - axis.ticks[0].0;
        let decimals = decimals(step * 100.0);
        for (value, label) in &mut axis.ticks {
            *label = format!("{:.decimals$} %", *value * 100.0);
        }
        axis
    }

    /// Shares from `low` to `high`, both positive, as percentages, ticks at 1, 2 and 5 times powers of ten.
    pub(crate) fn shares(low: f64, high: f64) -> Self {
        let mut axis = Self::powers(100.0 * low, 100.0 * high);
        axis.ticks
            .iter_mut()
            .for_each(|(value, label)| (*value, *label) = (*value / 100.0, format!("{label} %")));
        Self { low: axis.low / 100.0, high: axis.high / 100.0, ..axis }
    }

    /// At least `low` to `high`, from tick to tick.
    pub(crate) fn linear(low: f64, high: f64) -> Self {
        let high = if high > low { high } else { low + 1.0 };
        let step = round_step((high - low) / 6.0);
        // With a tolerance, since 0.3 differs from the tick 3 * 0.1 by a rounding error.
        let (first, last) = ((low / step + 1e-9).floor(), (high / step - 1e-9).ceil());
        let decimals = decimals(step);
        let ticks = (0..=(last - first) as u32).map(|index| {
            let value = (first + f64::from(index)) * step;
            (value, if value.abs() < 1e6 { format!("{value:.decimals$}") } else { format!("{value:e}") })
        });
        Self { low: first * step, high: last * step, logarithmic: false, ticks: ticks.collect() }
    }

    /// At least `low` to `high`, both positive: ticks at 1, 2 and 5 times powers of ten, or at powers of ten alone on long axes.
    fn powers(low: f64, high: f64) -> Self {
        let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
        let stride = (last - first).unsigned_abs().div_ceil(8).max(1);
        let mantissas: &[f64] = if last - first <= 3 { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let marks = (first..=last).step_by(stride as usize).flat_map(|exponent| {
            mantissas.iter().map(move |&mantissa| {
                let decimals = exponent.min(0).unsigned_abs() as usize;
                let value = mantissa * 10_f64.powi(exponent);
                let plain = (-4..=5).contains(&exponent);
                (value, if plain { format!("{value:.decimals$}") } else { format!("{mantissa}e{exponent}") })
            })
        });
        let marks = Vec::from_iter(marks);
        let bottom = marks.iter().map(|mark| mark.0).rfind(|&mark| mark <= low).unwrap_or(low);
        let top = marks.iter().map(|mark| mark.0).find(|&mark| mark >= high).unwrap_or(high);
        let ticks = marks.into_iter().filter(|&(mark, _)| (bottom..=top).contains(&mark)).collect();
        Self { low: bottom, high: top, logarithmic: true, ticks }
    }
}

fn span(values: &[f64]) -> Option<(f64, f64)> {
    let low = values.iter().copied().reduce(f64::min)?;
    let high = values.iter().copied().reduce(f64::max)?;
    Some((low, high))
}

/// The smallest of 1, 2 and 5 times a power of ten that is at least `step`.
fn round_step(step: f64) -> f64 {
    let power = 10_f64.powf(step.log10().floor());
    let factors = [1.0, 2.0, 5.0, 10.0];
    factors
        .into_iter()
        .map(|factor| factor * power)
        .find(|&round| round >= step * (1.0 - 1e-9))
        .unwrap_or(step)
}

/// Number of decimals that distinguishes multiples of `step`.
fn decimals(step: f64) -> usize {
    (-(step.log10() + 1e-9).floor()).clamp(0.0, 12.0) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|(_, label)| label.as_str()).collect()
    }

    #[test]
    fn epochs_are_whole_and_start_with_the_first() {
        assert_eq!(labels(&Axis::epochs(1, 5)), ["1", "2", "3", "4", "5"]);
        assert_eq!(
            labels(&Axis::epochs(1, 50)),
            ["1", "5", "10", "15", "20", "25", "30", "35", "40", "45", "50"]
        );
        assert_eq!(labels(&Axis::epochs(9, 48)), ["10", "15", "20", "25", "30", "35", "40", "45"]);
        assert_eq!(labels(&Axis::epochs(7, 7)), ["7"]);
        assert_eq!(Axis::epochs(7, 7).place(7.0), 0.5);
        assert!(Axis::epochs(0, u32::MAX).ticks.len() < 15);
    }

    #[test]
    fn losses_start_at_zero() {
        let axis = Axis::loss(&[0.12, 0.69, 0.4]);
        assert_eq!(labels(&axis), ["0.0", "0.2", "0.4", "0.6", "0.8"]);
        assert_eq!((axis.place(0.0), axis.place(0.8), axis.logarithmic), (0.0, 1.0, false));
        assert_eq!(labels(&Axis::loss(&[3.0])), ["0.0", "0.5", "1.0", "1.5", "2.0", "2.5", "3.0"]);
    }

    #[test]
    fn a_spike_makes_the_loss_axis_logarithmic() {
        let axis = Axis::loss(&[14.2, 0.6, 0.3]);
        assert!(axis.logarithmic);
        assert_eq!(labels(&axis), ["0.2", "0.5", "1", "2", "5", "10", "20"]);
        assert!((axis.place(2.0) - 0.5).abs() < 1e-12, "2 is midway from 0.2 to 20");
        assert_eq!(labels(&Axis::loss(&[1e-5, 2.0])), ["1e-5", "0.0001", "0.001", "0.01", "0.1", "1", "10"]);
        assert!(!Axis::loss(&[0.0, 100.0]).logarithmic);
    }

    #[test]
    fn accuracies_end_at_one_hundred_percent() {
        assert_eq!(labels(&Axis::percent(&[0.82, 0.97])), ["80 %", "85 %", "90 %", "95 %", "100 %"]);
        assert_eq!(labels(&Axis::percent(&[0.0, 0.3]))[0], "0 %");
        assert_eq!(labels(&Axis::percent(&[1.0])).last(), Some(&"100.0 %"));
    }

    #[test]
    fn every_value_lies_on_its_axis() {
        let values = [0.0, 1e-300, 1e-12, 0.1, 0.3, 0.7, 1.0, 3.0, 17.0, 1e9, 1e99];
        for low in values {
            for high in values.into_iter().filter(|&high| high >= low) {
                let axis = Axis::loss(&[low, high]);
                for value in [low, high] {
                    let place = axis.place(value);
                    assert!(
                        (-1e-6..=1.0 + 1e-6).contains(&place),
                        "{value} of {low} to {high} is at {place}"
                    );
                }
                assert!((1..=14).contains(&axis.ticks.len()), "{low} to {high}: {:?}", axis.ticks);
            }
        }
    }
}
