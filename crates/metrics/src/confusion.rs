use serde::{Deserialize, Serialize};

use crate::check;
use crate::error::{Error, Result};

/// Counts of samples by true class (rows) and predicted class (columns).
///
/// Counts add up exactly, so matrices of batches, folds or patients merge into the matrix of the whole.
/// Serialises as a list of rows.
///
/// ```
/// use malaria_metrics::ConfusionMatrix;
///
/// let matrix = ConfusionMatrix::from_labels(&[0, 0, 1, 1], &[0, 1, 1, 1], 2)?;
/// assert_eq!(matrix.rows().collect::<Vec<_>>(), [[1, 1], [0, 2]]);
/// assert_eq!(matrix.accuracy(), Some(0.75));
/// # Ok::<(), malaria_metrics::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Vec<u64>>", into = "Vec<Vec<u64>>")]
pub struct ConfusionMatrix {
    classes: usize,
    /// `[classes, classes]`, row by row.
    counts: Vec<u64>,
}

impl ConfusionMatrix {
    /// An empty matrix of `classes` x `classes`.
    ///
    /// # Errors
    /// [`Error::TooFewClasses`] for no class at all.
    pub fn new(classes: usize) -> Result<Self> {
        if classes == 0 {
            return Err(Error::TooFewClasses { expected: 1, found: 0 });
        }
        Ok(Self { classes, counts: vec![0; classes * classes] })
    }

    /// Counts the pairs of `truth` and `predicted`, both `[N]` of class indices below `classes`.
    ///
    /// # Errors
    /// The lengths differ, a class is out of range, or `classes` is 0. No samples make an empty matrix.
    pub fn from_labels(truth: &[usize], predicted: &[usize], classes: usize) -> Result<Self> {
        check::length("predictions", truth.len(), predicted.len())?;
        let mut matrix = Self::new(classes)?;
        for (sample, (&true_class, &predicted_class)) in truth.iter().zip(predicted).enumerate() {
            check::class(|| format!("truth of sample {sample}"), true_class, classes)?;
            check::class(|| format!("prediction of sample {sample}"), predicted_class, classes)?;
            matrix.counts[true_class * classes + predicted_class] += 1;
        }
        Ok(matrix)
    }

    /// A matrix from its rows, one a true class.
    ///
    /// # Errors
    /// [`Error::NotSquare`], or [`Error::TooFewClasses`] for no rows.
    pub fn from_rows(rows: &[Vec<u64>]) -> Result<Self> {
        let mut matrix = Self::new(rows.len())?;
        if let Some((row, cells)) = rows.iter().enumerate().find(|(_, cells)| cells.len() != rows.len()) {
            return Err(Error::NotSquare { row, expected: rows.len(), found: cells.len() });
        }
        matrix.counts = rows.concat();
        Ok(matrix)
    }

    /// A matrix whose shape the compiler knows.
    pub(crate) fn square<const N: usize>(rows: [[u64; N]; N]) -> Self {
        Self { classes: N, counts: rows.concat() }
    }

    /// Adds the counts of `other`.
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] when the numbers of classes differ; `self` is then unchanged.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        check::length("classes of the matrix to merge", self.classes, other.classes)?;
        self.counts.iter_mut().zip(&other.counts).for_each(|(mine, theirs)| *mine += theirs);
        Ok(())
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The rows, one a true class, each with one count a predicted class.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[u64]> {
        self.counts.chunks_exact(self.classes)
    }

    /// How many samples of class `truth` were called `predicted`; `None` where there is no such class.
    pub fn get(&self, truth: usize, predicted: usize) -> Option<u64> {
        self.rows().nth(truth)?.get(predicted).copied()
    }

    /// The number of samples.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The number of samples on the diagonal.
    pub fn correct(&self) -> u64 {
        self.counts.iter().step_by(self.classes + 1).sum()
    }

    /// Samples of each true class: the sums of the rows.
    pub fn true_counts(&self) -> Vec<u64> {
        self.rows().map(|row| row.iter().sum()).collect()
    }

    /// Samples called each class: the sums of the columns.
    pub fn predicted_counts(&self) -> Vec<u64> {
        (0..self.classes).map(|class| self.counts.iter().skip(class).step_by(self.classes).sum()).collect()
    }

    /// The matrix as text, both axes labelled, for a terminal or a log. `names` has one name a class.
    ///
    /// ```
    /// # use malaria_metrics::ConfusionMatrix;
    /// let matrix = ConfusionMatrix::from_rows(&[vec![95, 5], vec![12, 1088]])?;
    /// assert_eq!(
    ///     matrix.to_table(&["Parasitized", "Uninfected"])?,
    ///     "                 predicted\n\
    ///      true             Parasitized   Uninfected\n\
    ///      Parasitized               95            5\n\
    ///      Uninfected                12         1088\n"
    /// );
    /// # Ok::<(), malaria_metrics::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] for another number of names than classes.
    pub fn to_table<S: AsRef<str>>(&self, names: &[S]) -> Result<String> {
        const ROW_HEADING: &str = "true";
        const GAP: usize = 2;
        check::length("class names", self.classes, names.len())?;

        let width = |text: &str| text.chars().count();
        let longest_name = names.iter().map(|name| width(name.as_ref())).max().unwrap_or(0);
        let longest_count = self.counts.iter().map(|count| width(&count.to_string())).max().unwrap_or(0);
        let first = longest_name.max(ROW_HEADING.len()) + 2 * GAP;
        let column = longest_name.max(longest_count) + GAP;

        let mut table = format!("{:first$}{:GAP$}predicted\n{ROW_HEADING:first$}", "", "");
        for name in names {
            table += &format!("{:>column$}", name.as_ref());
        }
        table.push('\n');
        for (name, row) in names.iter().zip(self.rows()) {
            table += &format!("{:first$}", name.as_ref());
            for count in row {
                table += &format!("{count:>column$}");
            }
            table.push('\n');
        }
        Ok(table)
    }
}

impl TryFrom<Vec<Vec<u64>>> for ConfusionMatrix {
    type Error = Error;

    fn try_from(rows: Vec<Vec<u64>>) -> Result<Self> {
        Self::from_rows(&rows)
    }
}

impl From<ConfusionMatrix> for Vec<Vec<u64>> {
    fn from(matrix: ConfusionMatrix) -> Self {
        matrix.rows().map(<[u64]>::to_vec).collect()
    }
}
