//! The confusion matrix and the scores computed from it.

use serde::{Deserialize, Serialize};

use crate::check;
use crate::error::{Error, Result};
use crate::numpy;

/// `numerator / denominator`, or `None` where that is undefined.
pub(crate) fn ratio(numerator: u64, denominator: u64) -> Option<f64> {
    (denominator > 0).then(|| numerator as f64 / denominator as f64)
}

/// Counts of samples by true class (rows) and predicted class (columns). Serializes as a list of rows.
///
/// Matrices of batches, folds or patients [merge](Self::merge) into the matrix of all samples.
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
    /// A matrix of `classes` x `classes` zeros.
    ///
    /// # Errors
    /// [`Error::TooFewClasses`] for 0 classes.
    pub fn new(classes: usize) -> Result<Self> {
        if classes == 0 {
            return Err(Error::TooFewClasses { expected: 1, found: 0 });
        }
        Ok(Self { classes, counts: vec![0; classes * classes] })
    }

    /// Counts the pairs of `truth` and `predicted`, both `[N]` of class indices below `classes`. Without samples all counts
    /// are 0.
    ///
    /// # Errors
    /// The lengths differ, a class is out of range, or `classes` is 0.
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

    /// A matrix from its rows, one per true class.
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

    /// A matrix from an array of rows.
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

    /// The rows, one per true class, each with one count per predicted class.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[u64]> {
        self.counts.chunks_exact(self.classes)
    }

    /// The number of samples of class `truth` called `predicted`; `None` for a class out of range.
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

    /// Samples by true class: the sums of the rows.
    pub fn true_counts(&self) -> Vec<u64> {
        self.rows().map(|row| row.iter().sum()).collect()
    }

    /// Samples by predicted class: the sums of the columns.
    pub fn predicted_counts(&self) -> Vec<u64> {
        (0..self.classes).map(|class| self.counts.iter().skip(class).step_by(self.classes).sum()).collect()
    }

    /// Share of samples on the diagonal.
    pub fn accuracy(&self) -> Option<f64> {
        ratio(self.correct(), self.total())
    }

    /// Mean recall over all classes. `None` if a class has no sample, where scikit-learn averages the other classes: with two
    /// classes that would be the sensitivity or the specificity alone.
    pub fn balanced_accuracy(&self) -> Option<f64> {
        let recalls: Option<Vec<f64>> = self.class_scores().iter().map(|scores| scores.recall).collect();
        recalls.map(|recalls| recalls.iter().sum::<f64>() / recalls.len() as f64)
    }

    /// Matthews correlation coefficient (Gorodkin's R_K for more than two classes), from -1 to 1. `None` if all
    /// samples or all predictions are of one class, where scikit-learn gives 0.
    pub fn mcc(&self) -> Option<f64> {
        let Margins { agreement, chance, squared_total } = self.margins();
        let sum_of_squares =
            |counts: Vec<u64>| counts.iter().map(|&count| i128::from(count).pow(2)).sum::<i128>();
        let truth_variance = squared_total - sum_of_squares(self.true_counts());
        let predicted_variance = squared_total - sum_of_squares(self.predicted_counts());
        (truth_variance > 0 && predicted_variance > 0)
            .then(|| (agreement - chance) as f64 / (truth_variance as f64 * predicted_variance as f64).sqrt())
    }

    /// Cohen's kappa, agreement beyond chance, at most 1. `None` if agreement by chance is complete.
    pub fn cohens_kappa(&self) -> Option<f64> {
        let Margins { agreement, chance, squared_total } = self.margins();
        (squared_total > chance).then(|| (agreement - chance) as f64 / (squared_total - chance) as f64)
    }

    /// Precision, recall, F1 and support of every class, in class order.
    pub fn class_scores(&self) -> Vec<ClassScores> {
        let (truth, predicted) = (self.true_counts(), self.predicted_counts());
        (0..self.classes())
            .map(|class| {
                let hits = self.get(class, class).unwrap_or(0);
                ClassScores {
                    precision: ratio(hits, predicted[class]),
                    recall: ratio(hits, truth[class]),
                    f1: ratio(2 * hits, truth[class] + predicted[class]),
                    support: truth[class],
                }
            })
            .collect()
    }

    /// Precision, recall and F1 averaged over all classes.
    pub fn average_scores(&self, average: Average) -> AverageScores {
        self.average_scores_of(&Vec::from_iter(0..self.classes()), average)
    }

    /// [`average_scores`](Self::average_scores) over the existing classes `labels`.
    pub(crate) fn average_scores_of(&self, labels: &[usize], average: Average) -> AverageScores {
        if average == Average::Micro {
            let sum = |counts: Vec<u64>| labels.iter().map(|&label| counts[label]).sum::<u64>();
            let hits = labels.iter().filter_map(|&label| self.get(label, label)).sum();
            let (truth, predicted) = (sum(self.true_counts()), sum(self.predicted_counts()));
            return AverageScores {
                precision: ratio(hits, predicted),
                recall: ratio(hits, truth),
                f1: ratio(2 * hits, truth + predicted),
            };
        }
        let all = self.class_scores();
        let chosen = Vec::from_iter(labels.iter().map(|&label| all[label]));
        let supports = Vec::from_iter(chosen.iter().map(|scores| scores.support));
        let mean = |score: fn(&ClassScores) -> Option<f64>| {
            let values = Vec::from_iter(chosen.iter().map(score));
            if average == Average::Weighted {
                numpy::weighted_mean(&values, &supports)
            } else {
                numpy::mean(&values)
            }
        };
        AverageScores {
            precision: mean(|scores| scores.precision),
            recall: mean(|scores| scores.recall),
            f1: mean(|scores| scores.f1),
        }
    }

    /// Integers, so that perfect agreement gives exactly 1, and a denominator of 0 is exactly 0.
    fn margins(&self) -> Margins {
        let total = i128::from(self.total());
        let chance = self.true_counts().into_iter().zip(self.predicted_counts());
        Margins {
            agreement: i128::from(self.correct()) * total,
            chance: chance.map(|(truth, predicted)| i128::from(truth) * i128::from(predicted)).sum(),
            squared_total: total * total,
        }
    }

    /// The matrix as text with labelled axes, for a terminal or a log. `names` has one name per class.
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

/// Precision, recall and F1 of one class against all others.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ClassScores {
    /// Share of the predictions of this class that are right; `None` if it was never predicted.
    pub precision: Option<f64>,
    /// Share of the samples of this class that were predicted so; `None` if there are none.
    pub recall: Option<f64>,
    /// Harmonic mean of the two; `None` if the class has neither samples nor predictions.
    pub f1: Option<f64>,
    /// Samples of this class.
    pub support: u64,
}

/// How scores are averaged over classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Average {
    /// From the counts of all classes summed.
    Micro,
    /// The plain mean over the classes where the score is defined.
    Macro,
    /// The mean weighted by support, over the classes where the score is defined.
    Weighted,
}

impl Average {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Micro, Self::Macro, Self::Weighted];
}

/// Precision, recall and F1, averaged over classes; `None` where no class defines the score.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct AverageScores {
    /// Averaged precision.
    pub precision: Option<f64>,
    /// Averaged recall.
    pub recall: Option<f64>,
    /// Averaged F1.
    pub f1: Option<f64>,
}

/// Observed agreement, agreement by chance, and 1, each times the squared number of samples.
struct Margins {
    agreement: i128,
    chance: i128,
    squared_total: i128,
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
