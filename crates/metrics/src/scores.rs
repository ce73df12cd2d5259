use serde::{Deserialize, Serialize};

use crate::check;
use crate::confusion::ConfusionMatrix;
use crate::error::Result;
use crate::numpy;

/// `numerator / denominator`, or `None` where that is undefined.
pub(crate) fn ratio(numerator: u64, denominator: u64) -> Option<f64> {
    (denominator > 0).then(|| numerator as f64 / denominator as f64)
}

/// The four counts of a two-class test, one class being the positive one.
///
/// Every figure is a fraction, unless said otherwise, and `None` where its denominator is 0: a sensitivity
/// without a positive sample is unknown, neither 0 nor 1.
///
/// ```
/// use malaria_metrics::BinaryCounts;
///
/// let counts = BinaryCounts { true_positives: 90, false_negatives: 10, true_negatives: 95, false_positives: 5 };
/// assert_eq!(counts.sensitivity(), Some(0.90));
/// assert_eq!(counts.specificity(), Some(0.95));
/// // On a curated half-and-half set 95 % of positive calls are right; where 2 % of cells are infected, 27 %.
/// assert!(counts.ppv().unwrap() > 0.94);
/// assert!(counts.ppv_at(0.02)?.unwrap() < 0.27);
/// # Ok::<(), malaria_metrics::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BinaryCounts {
    /// Positive samples called positive.
    pub true_positives: u64,
    /// Positive samples called negative.
    pub false_negatives: u64,
    /// Negative samples called negative.
    pub true_negatives: u64,
    /// Negative samples called positive.
    pub false_positives: u64,
}

impl BinaryCounts {
    /// Counts the samples, those of at least `threshold` being called positive. `truth` `[N]` is `true` for
    /// positive, `scores` `[N]` and `threshold` lie in `[0, 1]`.
    ///
    /// # Errors
    /// No samples, lengths that differ, or a score or threshold that is NaN or outside `[0, 1]`.
    pub fn at_threshold(truth: &[bool], scores: &[f64], threshold: f64) -> Result<Self> {
        check::fraction(|| "threshold".into(), threshold)?;
        check::binary(truth, scores)?;
        let called: Vec<bool> = scores.iter().map(|&score| score >= threshold).collect();
        Self::of_calls(truth, &called)
    }

    /// Counts the samples, `truth` `[N]` and `called` `[N]` being `true` for positive.
    ///
    /// # Errors
    /// No samples, or lengths that differ.
    pub fn of_calls(truth: &[bool], called: &[bool]) -> Result<Self> {
        check::length("calls", truth.len(), called.len())?;
        check::not_empty(truth)?;
        let count = |is_positive: bool, called_positive: bool| {
            let samples = truth.iter().zip(called);
            samples.filter(|&(&t, &c)| t == is_positive && c == called_positive).count() as u64
        };
        Ok(Self {
            true_positives: count(true, true),
            false_negatives: count(true, false),
            true_negatives: count(false, false),
            false_positives: count(false, true),
        })
    }

    /// Positive samples.
    pub fn positives(&self) -> u64 {
        self.true_positives + self.false_negatives
    }

    /// Negative samples.
    pub fn negatives(&self) -> u64 {
        self.true_negatives + self.false_positives
    }

    /// Share of the positive samples called positive; also recall.
    pub fn sensitivity(&self) -> Option<f64> {
        ratio(self.true_positives, self.positives())
    }

    /// Share of the negative samples called negative.
    pub fn specificity(&self) -> Option<f64> {
        ratio(self.true_negatives, self.negatives())
    }

    /// Positive predictive value, the share of positive calls that are right, at the samples' own prevalence;
    /// also precision.
    pub fn ppv(&self) -> Option<f64> {
        ratio(self.true_positives, self.true_positives + self.false_positives)
    }

    /// Negative predictive value, the share of negative calls that are right, at the samples' own prevalence.
    pub fn npv(&self) -> Option<f64> {
        ratio(self.true_negatives, self.true_negatives + self.false_negatives)
    }

    /// Positive predictive value where the share `prevalence` of samples is positive (Bayes' theorem on
    /// sensitivity and specificity).
    ///
    /// # Errors
    /// [`Error::OutOfRange`](crate::Error::OutOfRange) for a prevalence outside `[0, 1]`.
    pub fn ppv_at(&self, prevalence: f64) -> Result<Option<f64>> {
        check::fraction(|| "prevalence".into(), prevalence)?;
        Ok(self.sensitivity().zip(self.specificity()).and_then(|(sensitivity, specificity)| {
            bayes(sensitivity * prevalence, (1.0 - specificity) * (1.0 - prevalence))
        }))
    }

    /// Negative predictive value where the share `prevalence` of samples is positive.
    ///
    /// # Errors
    /// [`Error::OutOfRange`](crate::Error::OutOfRange) for a prevalence outside `[0, 1]`.
    pub fn npv_at(&self, prevalence: f64) -> Result<Option<f64>> {
        check::fraction(|| "prevalence".into(), prevalence)?;
        Ok(self.sensitivity().zip(self.specificity()).and_then(|(sensitivity, specificity)| {
            bayes(specificity * (1.0 - prevalence), (1.0 - sensitivity) * prevalence)
        }))
    }

    /// Share of samples called right.
    pub fn accuracy(&self) -> Option<f64> {
        self.matrix().accuracy()
    }

    /// Mean of sensitivity and specificity.
    pub fn balanced_accuracy(&self) -> Option<f64> {
        self.matrix().balanced_accuracy()
    }

    /// Harmonic mean of [`ppv`](Self::ppv) and [`sensitivity`](Self::sensitivity); undefined only where no
    /// sample is positive and none is called so.
    pub fn f1(&self) -> Option<f64> {
        ratio(2 * self.true_positives, 2 * self.true_positives + self.false_positives + self.false_negatives)
    }

    /// Matthews correlation coefficient, from -1 to 1.
    pub fn mcc(&self) -> Option<f64> {
        self.matrix().mcc()
    }

    /// Cohen's kappa, agreement beyond chance, at most 1.
    pub fn cohens_kappa(&self) -> Option<f64> {
        self.matrix().cohens_kappa()
    }

    /// Youden's J, sensitivity + specificity - 1, from -1 to 1.
    pub fn youdens_j(&self) -> Option<f64> {
        Some(self.sensitivity()? + self.specificity()? - 1.0)
    }

    /// Positive likelihood ratio, sensitivity / (1 - specificity): by how much a positive call multiplies the
    /// odds of being positive. `None` without a false positive, where it has no finite value.
    pub fn positive_likelihood_ratio(&self) -> Option<f64> {
        ratio(self.true_positives * self.negatives(), self.false_positives * self.positives())
    }

    /// Negative likelihood ratio, (1 - sensitivity) / specificity: by how much a negative call multiplies the
    /// odds of being positive. `None` without a true negative, where it has no finite value.
    pub fn negative_likelihood_ratio(&self) -> Option<f64> {
        ratio(self.false_negatives * self.negatives(), self.true_negatives * self.positives())
    }

    /// [`youdens_j`](Self::youdens_j) and the two likelihood ratios.
    pub fn discrimination(&self) -> Discrimination {
        Discrimination {
            youdens_j: self.youdens_j(),
            positive_likelihood_ratio: self.positive_likelihood_ratio(),
            negative_likelihood_ratio: self.negative_likelihood_ratio(),
        }
    }

    fn matrix(&self) -> ConfusionMatrix {
        ConfusionMatrix::square([
            [self.true_positives, self.false_negatives],
            [self.false_positives, self.true_negatives],
        ])
    }
}

/// What sensitivity and specificity come to together, whatever the prevalence; each is `None` where it is undefined.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Discrimination {
    /// Youden's J, sensitivity + specificity - 1, from -1 to 1.
    pub youdens_j: Option<f64>,
    /// By how much a positive call multiplies the odds of being positive.
    pub positive_likelihood_ratio: Option<f64>,
    /// By how much a negative call multiplies them.
    pub negative_likelihood_ratio: Option<f64>,
}

/// The share of `right` among all calls, both given by their probability.
fn bayes(right: f64, wrong: f64) -> Option<f64> {
    (right + wrong > 0.0).then(|| right / (right + wrong))
}

/// How well one class is found, against all others.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ClassScores {
    /// Share of the calls of this class that are right; `None` if it was never called.
    pub precision: Option<f64>,
    /// Share of this class's samples called so; `None` if there are none.
    pub recall: Option<f64>,
    /// Harmonic mean of the two; `None` if the class has neither samples nor calls.
    pub f1: Option<f64>,
    /// Samples of this class.
    pub support: u64,
}

/// How the scores of several classes become one.
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

/// Figures of the whole matrix, for any number of classes. Each is `None` where it is undefined.
impl ConfusionMatrix {
    /// The matrix of the class `positive` against all others.
    ///
    /// # Errors
    /// [`Error::ClassOutOfRange`](crate::Error::ClassOutOfRange).
    pub fn one_vs_rest(&self, positive: usize) -> Result<BinaryCounts> {
        check::class(|| "positive class".into(), positive, self.classes())?;
        let true_positives = self.get(positive, positive).unwrap_or(0);
        let false_negatives = self.true_counts()[positive] - true_positives;
        let false_positives = self.predicted_counts()[positive] - true_positives;
        let true_negatives = self.total() - true_positives - false_negatives - false_positives;
        Ok(BinaryCounts { true_positives, false_negatives, true_negatives, false_positives })
    }

    /// Share of samples on the diagonal.
    pub fn accuracy(&self) -> Option<f64> {
        ratio(self.correct(), self.total())
    }

    /// Mean recall over all classes. `None` if any class has no sample, where scikit-learn averages what is
    /// left: with two classes that would pass a sensitivity off as a balanced accuracy.
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

    /// Cohen's kappa, agreement beyond chance, at most 1. `None` if chance alone would agree on everything.
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

    /// As [`average_scores`](Self::average_scores), over the classes `labels`, which exist.
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

    /// Integers, so that perfect agreement gives exactly 1 and a vanishing denominator exactly 0.
    fn margins(&self) -> Margins {
        let total = i128::from(self.total());
        let chance = self.true_counts().into_iter().zip(self.predicted_counts());
        Margins {
            agreement: i128::from(self.correct()) * total,
            chance: chance.map(|(truth, predicted)| i128::from(truth) * i128::from(predicted)).sum(),
            squared_total: total * total,
        }
    }
}

/// Numerators over the squared number of samples: observed agreement, agreement by chance, and 1.
struct Margins {
    agreement: i128,
    chance: i128,
    squared_total: i128,
}
