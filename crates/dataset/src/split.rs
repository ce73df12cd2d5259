//! Splits an index into training, validation and test samples.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::index::Index;
use crate::partition::{self, refuse_unknown};
use crate::split_config::{Fold, Protocol, SplitConfig, cannot_fold};
use crate::subset::Subset;
use crate::wording::listing;

/// The three subsets of a split: positions in [`Index::samples`], each in ascending order.
///
/// The order carries no information: training shuffles in every epoch.
#[derive(Debug, Clone, PartialEq)]
pub struct Split {
    /// The settings it was made with.
    pub config: SplitConfig,
    /// Positions of the samples to train on.
    pub train: Vec<usize>,
    /// Positions of the samples that choose the epoch and the threshold.
    pub validation: Vec<usize>,
    /// Positions of the samples to test on.
    pub test: Vec<usize>,
}

/// Patients with cells in more than one subset of a split.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Leakage {
    /// Names of the patients in more than one subset, by number: C2 before C10.
    pub shared_patients: Vec<String>,
    /// Number of patients in the split.
    pub patients: usize,
    /// Number of test cells whose patient also has cells in train or validation.
    pub shared_test_cells: usize,
    /// Number of cells in the split without a patient in their name.
    pub cells_without_patient: usize,
}

/// Divides the samples of `index` into training, validation and test set.
///
/// * [`Protocol::Random`], as in the tutorial: samples are sorted by path and shuffled. The first
///   `1 - test_fraction` of them, rounded down as by Python's `int()`, are not for test; of these the
///   first `validation_fraction` are for validation. 27,558 cells give 19,842, 2,204 and 5,512. If stratified, the
///   same sizes are distributed over the classes by largest remainder.
/// * [`Protocol::Patient`]: whole patients, so that every subset comes close to its share of every class.
/// * [`Protocol::Given`]: as given by the folders, see [`Split::given`].
/// * [`Protocol::All`]: every sample for training; the other two subsets are empty.
///
/// With a [`Fold`], the result is that fold of [`k_fold`].
///
/// For a `training/validation/testing` folder, the first two reassign the cells of all three trees.
///
/// The result depends only on the sorted paths and the settings: it is the same on every platform.
///
/// # Errors
/// Those of [`SplitConfig::check`] and [`Split::check`]; under `Patient`, [`Error::NotEnoughData`] for fewer than three patients.
pub fn split(index: &Index, config: &SplitConfig) -> Result<Split> {
    config.check()?;
    if let Some(Fold { number, of }) = config.fold {
        return Ok(k_fold(index, config, of)?.swap_remove(number - 1));
    }
    let [train, validation, test] = match config.protocol {
        Protocol::Random => partition::random(index, config),
        Protocol::Patient => partition::by_patient(index, config)?,
        Protocol::Given => return Split::given(index),
        Protocol::All => [(0..index.samples.len()).collect(), Vec::new(), Vec::new()],
    };
    let split = Split { config: *config, train, validation, test };
    split.check(index)?;
    Ok(split)
}

/// `folds` splits in which every sample is in the test set exactly once.
///
/// Of the samples outside the test set, [`SplitConfig::validation_fraction`] are for validation. `test_fraction` is not
/// used; the settings of the results contain `1 / folds` instead, and their [`Fold`]. Under [`Protocol::Patient`] whole
/// patients are assigned to the folds.
///
/// # Errors
/// As [`split`]; [`Error::Config`] if `folds` is below 2 or above the number of samples, or under [`Protocol::Given`] and
/// [`Protocol::All`]; [`Error::NotEnoughData`] if there are fewer patients than folds, or a fold would leave fewer than two
/// patients outside its test set.
pub fn k_fold(index: &Index, config: &SplitConfig, folds: usize) -> Result<Vec<Split>> {
    config.check()?;
    if folds < 2 {
        return Err(Error::config("folds", folds, "at least 2"));
    }
    let splits = match config.protocol {
        // Checked before memory is reserved for the folds.
        Protocol::Random if folds > index.samples.len() => {
            let expected = format!("at most the number of cells, {}", index.samples.len());
            return Err(Error::config("folds", folds, expected));
        }
        Protocol::Random => partition::random_folds(index, config, folds),
        Protocol::Patient => partition::patient_folds(index, config, folds)?,
        Protocol::Given | Protocol::All => return Err(cannot_fold(folds)),
    };
    (1..)
        .zip(splits)
        .map(|(number, [train, validation, test])| {
            let fold = Some(Fold { number, of: folds });
            let config = SplitConfig { test_fraction: 1.0 / folds as f64, fold, ..*config };
            let split = Split { config, train, validation, test };
            split.check(index)?;
            Ok(split)
        })
        .collect()
}

impl Split {
    /// The split given by the trees `training`, `validation` and `testing` of the folder.
    ///
    /// # Errors
    /// [`Error::Path`] if a sample lies in none of these trees; those of [`Split::check`].
    pub fn given(index: &Index) -> Result<Self> {
        let config = SplitConfig { protocol: Protocol::Given, ..SplitConfig::default() };
        let mut split = Self { config, train: Vec::new(), validation: Vec::new(), test: Vec::new() };
        for (i, sample) in index.samples.iter().enumerate() {
            let subset = sample.subset.ok_or_else(|| {
                let reason =
                    "is not a split tree; expected the folders training, validation and testing in it";
                Error::path(&index.root, reason)
            })?;
            split.subset_mut(subset).push(i);
        }
        split.check(index)?;
        Ok(split)
    }

    /// Positions of the samples of one subset.
    #[must_use]
    pub fn subset(&self, subset: Subset) -> &[usize] {
        match subset {
            Subset::Train => &self.train,
            Subset::Validation => &self.validation,
            Subset::Test => &self.test,
        }
    }

    pub(crate) fn subset_mut(&mut self, subset: Subset) -> &mut Vec<usize> {
        match subset {
            Subset::Train => &mut self.train,
            Subset::Validation => &mut self.validation,
            Subset::Test => &mut self.test,
        }
    }

    /// The subset of every sample of an index of `samples` samples; `None` for samples in no subset.
    #[must_use]
    pub fn subset_by_sample(&self, samples: usize) -> Vec<Option<Subset>> {
        let mut subsets = vec![None; samples];
        for subset in Subset::ALL {
            for &i in self.subset(subset) {
                if let Some(found) = subsets.get_mut(i) {
                    *found = Some(subset);
                }
            }
        }
        subsets
    }

    /// Counts the patients in more than one subset. `index` is the index that was split.
    #[must_use]
    pub fn leakage(&self, index: &Index) -> Leakage {
        let subsets = self.subset_by_sample(index.samples.len());
        let mut leakage = Leakage::default();
        // Cells of each patient in each subset.
        let mut cells: BTreeMap<&str, BTreeMap<Subset, usize>> = BTreeMap::new();
        for (sample, subset) in index.samples.iter().zip(subsets) {
            match (&sample.patient, subset) {
                (_, None) => {}
                (None, Some(_)) => leakage.cells_without_patient += 1,
                (Some(patient), Some(subset)) => {
                    *cells.entry(patient).or_default().entry(subset).or_default() += 1;
                }
            }
        }
        leakage.patients = cells.len();
        for (patient, subsets) in cells {
            if subsets.len() > 1 {
                leakage.shared_patients.push(patient.to_owned());
                leakage.shared_test_cells += subsets.get(&Subset::Test).copied().unwrap_or(0);
            }
        }
        leakage.shared_patients.sort_by(|a, b| (a.len(), a).cmp(&(b.len(), b)));
        leakage
    }

    /// Refuses a split that must not be used with `index`.
    ///
    /// # Errors
    /// [`Error::NotEnoughData`] if a subset is empty (under [`Protocol::All`], the training set) or the training set
    /// lacks a class; [`Error::InvalidSplit`] if a position is out of range or occurs twice, or, under
    /// [`Protocol::Patient`], if a patient is in two subsets; [`Error::UnknownPatients`] under that protocol.
    pub fn check(&self, index: &Index) -> Result<()> {
        let mut seen: Vec<Option<Subset>> = vec![None; index.samples.len()];
        let mut trained = vec![false; index.classes.len()];
        for subset in Subset::ALL {
            let may_be_empty = self.config.protocol == Protocol::All && subset != Subset::Train;
            if self.subset(subset).is_empty() && !may_be_empty {
                let reason = format!(
                    "the {subset} set of the split is empty ({} samples in total); give more data or another fraction",
                    index.samples.len()
                );
                return Err(Error::NotEnoughData { reason });
            }
            for &i in self.subset(subset) {
                let (Some(sample), Some(seen)) = (index.samples.get(i), seen.get_mut(i)) else {
                    let reason = format!(
                        "the {subset} set of the split names sample {i}, but there are only {}; was the split made for other data?",
                        index.samples.len()
                    );
                    return Err(Error::InvalidSplit { reason });
                };
                if let Some(first) = seen.replace(subset) {
                    let reason =
                        format!("`{}` is in the split twice: in {first} and in {subset}", sample.path);
                    return Err(Error::InvalidSplit { reason });
                }
                trained[sample.class] |= subset == Subset::Train;
            }
        }
        if let Some(class) = trained.iter().position(|trained| !trained) {
            let reason = format!(
                "the train set of the split holds no sample of `{}`; give more data, or use a stratified split",
                index.classes[class]
            );
            return Err(Error::NotEnoughData { reason });
        }
        if self.config.protocol == Protocol::Patient {
            refuse_unknown(index)?;
            let patients = self.leakage(index).shared_patients;
            if !patients.is_empty() {
                let reason = format!(
                    "{} patients have cells in more than one subset of a split by patient: {}",
                    patients.len(),
                    listing(&patients)
                );
                return Err(Error::InvalidSplit { reason });
            }
        }
        Ok(())
    }
}
