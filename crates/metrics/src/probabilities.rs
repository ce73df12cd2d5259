/// Probabilities of the classes of some samples, `[N, classes]`, row by row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Probabilities<'a> {
    /// Each in `[0, 1]`; those of one sample sum to 1.
    pub values: &'a [f64],
    /// Number of classes, C.
    pub classes: usize,
}

impl<'a> Probabilities<'a> {
    /// `values` `[N, classes]`, which the functions that take them check.
    pub const fn new(values: &'a [f64], classes: usize) -> Self {
        Self { values, classes }
    }

    /// The probabilities of each sample; what does not fill a row is left out.
    pub fn rows(self) -> impl ExactSizeIterator<Item = &'a [f64]> {
        self.values.chunks_exact(self.classes.max(1))
    }
}
