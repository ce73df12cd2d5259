//! Which samples are trained on, chosen by, and tested on.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::index::Index;
use crate::names::Subset;
use crate::partition;
use crate::split_config::{Fold, Protocol, SplitConfig, cannot_fold};

/// The three sides: positions in [`Index::samples`], each side in ascending order.
///
/// Ascending, so that a split is a set and not an order: who trains shuffles anyway, by the epoch.
#[derive(Debug, Clone, PartialEq)]
pub struct Split {
    /// The settings that led to it.
    pub config: SplitConfig,
    /// Positions of the samples to train on.
    pub train: Vec<usize>,
    /// Positions of the samples to choose epochs and thresholds by.
    pub validation: Vec<usize>,
    /// Positions of the samples to test on.
    pub test: Vec<usize>,
}

/// Patients with cells on more than one side of a split.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Leakage {
    /// Names of the patients on more than one side, by number: C2 before C10.
    pub shared_patients: Vec<String>,
    /// Number of patients in the split.
    pub patients: usize,
    /// Number of test cells whose patient has cells in train or validation too.
    pub shared_test_cells: usize,
    /// Number of cells in the split whose name tells no patient.
    pub cells_without_patient: usize,
}

/// Deals out the samples of `index` to three sides.
///
/// * [`Protocol::Random`], as in the tutorial: samples are sorted by path, shuffled, and the first
///   `1 - test_fraction` of them, cut to a whole number as Python's `int()` cuts, are not for test; of these the
///   first `validation_fraction` are for validation. 27,558 cells give 19,842, 2,204 and 5,512. Stratified, the
///   same sizes are shared out among the classes by largest remainder.
/// * [`Protocol::Patient`]: whole patients, dealt so that every side comes close to its share of every class.
/// * [`Protocol::Given`], as the folders stand: see [`Split::given`].
/// * [`Protocol::All`]: every sample to train on; the other two sides are empty.
///
/// With a [`Fold`], the result is that one of [`k_fold`]'s.
///
/// Of a `training/validation/testing` folder, the first two deal the cells of all three trees anew.
///
/// The result depends on the sorted paths and the settings alone: it is the same on every platform.
///
/// # Errors
/// What [`SplitConfig::check`] and [`Split::check`] refuse; under `Patient`, a sample whose name tells no patient, or
/// fewer than three patients.
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

/// `folds` splits in which every sample is in the test side exactly once.
///
/// Of what is not for test, [`SplitConfig::validation_fraction`] is for validation; `test_fraction` is not used, and
/// stands as `1 / folds` in the results, as does which [`Fold`] each is. Under [`Protocol::Patient`] whole patients are dealt to the folds.
///
/// # Errors
/// As [`split`]; where `folds` is below 2 or above the number of samples (of patients, under `Patient`; there each
/// fold needs two patients besides its test side); under [`Protocol::Given`] and [`Protocol::All`], whose test
/// side is fixed.
pub fn k_fold(index: &Index, config: &SplitConfig, folds: usize) -> Result<Vec<Split>> {
    config.check()?;
    if folds < 2 {
        return Err(Error::BadFolds { folds, reason: "at least 2 are needed" });
    }
    let sides = match config.protocol {
        // Before room is made for them all.
        Protocol::Random if folds > index.samples.len() => {
            return Err(Error::BadFolds { folds, reason: "there are fewer cells than that" });
        }
        Protocol::Random => partition::random_folds(index, config, folds),
        Protocol::Patient => partition::patient_folds(index, config, folds)?,
        Protocol::Given | Protocol::All => return Err(cannot_fold(folds)),
    };
    (1..)
        .zip(sides)
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
    /// The split that the trees `training`, `validation` and `testing` of the folder are.
    ///
    /// # Errors
    /// Where a sample lies in none of these trees; what [`Split::check`] refuses.
    pub fn given(index: &Index) -> Result<Self> {
        let config = SplitConfig { protocol: Protocol::Given, ..SplitConfig::default() };
        let mut split = Self { config, train: Vec::new(), validation: Vec::new(), test: Vec::new() };
        for (i, sample) in index.samples.iter().enumerate() {
            let subset = sample.subset.ok_or_else(|| Error::NotASplitTree { root: index.root.clone() })?;
            split.side_mut(subset).push(i);
        }
        split.check(index)?;
        Ok(split)
    }

    /// Positions of one side.
    #[must_use]
    pub fn subset(&self, subset: Subset) -> &[usize] {
        match subset {
            Subset::Train => &self.train,
            Subset::Validation => &self.validation,
            Subset::Test => &self.test,
        }
    }

    pub(crate) fn side_mut(&mut self, subset: Subset) -> &mut Vec<usize> {
        match subset {
            Subset::Train => &mut self.train,
            Subset::Validation => &mut self.validation,
            Subset::Test => &mut self.test,
        }
    }

    /// The side of every sample of an index of `samples` samples; `None` for those on no side.
    #[must_use]
    pub fn sides(&self, samples: usize) -> Vec<Option<Subset>> {
        let mut sides = vec![None; samples];
        for subset in Subset::ALL {
            for &i in self.subset(subset) {
                if let Some(side) = sides.get_mut(i) {
                    *side = Some(subset);
                }
            }
        }
        sides
    }

    /// Counts the patients that are on more than one side. `index` is the one that was split.
    #[must_use]
    pub fn leakage(&self, index: &Index) -> Leakage {
        let sides = self.sides(index.samples.len());
        let mut leakage = Leakage::default();
        // Cells of each patient on each side.
        let mut cells: BTreeMap<&str, BTreeMap<Subset, usize>> = BTreeMap::new();
        for (sample, side) in index.samples.iter().zip(sides) {
            match (&sample.patient, side) {
                (_, None) => {}
                (None, Some(_)) => leakage.cells_without_patient += 1,
                (Some(patient), Some(side)) => {
                    *cells.entry(patient).or_default().entry(side).or_default() += 1;
                }
            }
        }
        leakage.patients = cells.len();
        for (patient, sides) in cells {
            if sides.len() > 1 {
                leakage.shared_patients.push(patient.to_owned());
                leakage.shared_test_cells += sides.get(&Subset::Test).copied().unwrap_or(0);
            }
        }
        leakage.shared_patients.sort_by(|a, b| (a.len(), a).cmp(&(b.len(), b)));
        leakage
    }

    /// Refuses a split that must not be used with `index`.
    ///
    /// # Errors
    /// Where a side is empty (under [`Protocol::All`] only the train side is looked at), a position is out of range or stands twice, or the train side lacks a class; under
    /// [`Protocol::Patient`], also where a sample's name tells no patient, or a patient is on two sides.
    pub fn check(&self, index: &Index) -> Result<()> {
        let mut seen: Vec<Option<Subset>> = vec![None; index.samples.len()];
        let mut trained = vec![false; index.classes.len()];
        for subset in Subset::ALL {
            let may_be_empty = self.config.protocol == Protocol::All && subset != Subset::Train;
            if self.subset(subset).is_empty() && !may_be_empty {
                return Err(Error::EmptySide { subset: subset.name(), samples: index.samples.len() });
            }
            for &i in self.subset(subset) {
                let (Some(sample), Some(side)) = (index.samples.get(i), seen.get_mut(i)) else {
                    return Err(Error::OutOfRange {
                        subset: subset.name(),
                        position: i,
                        samples: index.samples.len(),
                    });
                };
                if let Some(first) = side.replace(subset) {
                    let (first, second) = (first.name(), subset.name());
                    return Err(Error::OnTwoSides { path: sample.path.clone(), first, second });
                }
                if self.config.protocol == Protocol::Patient && sample.patient.is_none() {
                    return Err(Error::NoPatient { path: index.full_path(i) });
                }
                trained[sample.class] |= subset == Subset::Train;
            }
        }
        if let Some(class) = trained.iter().position(|trained| !trained) {
            return Err(Error::UntrainedClass { class: index.classes[class].clone() });
        }
        if self.config.protocol == Protocol::Patient {
            let patients = self.leakage(index).shared_patients;
            if !patients.is_empty() {
                return Err(Error::SharedPatients { patients });
            }
        }
        Ok(())
    }
}
