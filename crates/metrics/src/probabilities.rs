//! A view of class probabilities.

/// Class probabilities of samples, `[N, classes]`, row by row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Probabilities<'a> {
    /// Probabilities in `[0, 1]`, which sum to 1 for each sample.
    pub values: &'a [f64],
    /// Number of classes, C.
    pub classes: usize,
}

impl<'a> Probabilities<'a> {
    /// A view of `values` `[N, classes]`. The functions that take it check the values.
    pub const fn new(values: &'a [f64], classes: usize) -> Self {
        Self { values, classes }
    }

    /// The probabilities of each sample, without an incomplete last row.
    pub fn rows(self) -> impl ExactSizeIterator<Item = &'a [f64]> {
        self.values.chunks_exact(self.classes.max(1))
    }
}
