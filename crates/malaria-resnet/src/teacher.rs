//! Learning from what a larger model says of the training cells, and not from their labels alone.

use std::{path::PathBuf, sync::atomic::Ordering};

use malaria_dataset::{CorruptPolicy, Loaded, Split, Subset};
use malaria_train::CellTensors;
use serde::{Deserialize, Serialize};
use tch::Device;

use crate::{
    Classifier, Context, Error, ImageConfig, Progress, Result,
    data::decode_index,
    lineage::{Lineage, lineage},
};

/// Cells that the teacher is asked of before somebody may stop it.
const ASKED_AT_ONCE: usize = 1024;

/// A trained model whose probabilities a new one learns to give.
///
/// The teacher is asked once, of each training cell in four mirror images, and not of what augmentation makes of it.
///
/// Source: G. Hinton, O. Vinyals and J. Dean, "Distilling the knowledge in a neural network", 2015.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Teacher {
    /// Its run directory. For a cross-validation, that of another whose folds hold the same cells: each fold is taught by the
    /// model of the same fold, and the last model by the last.
    pub run: PathBuf,
    /// Share of the teacher's probabilities in what is learned, in [0, 1]; the rest are the labels.
    pub weight: f64,
}

impl Teacher {
    /// That it taught, in words.
    pub(crate) fn words(&self) -> String {
        format!(
            "{} parts in 100 of what it learned are the probabilities of another model ({}), the others the labels.",
            (1000.0 * self.weight).round() / 10.0,
            self.run.display()
        )
    }

    /// Refuses a share that is none.
    pub(crate) fn check(&self) -> Result<()> {
        if (0.0..=1.0).contains(&self.weight) {
            return Ok(());
        }
        let expected = "a fraction from 0 to 1".to_owned();
        Err(Error::Config { field: "teacher.weight", expected, found: self.weight.to_string() })
    }

    /// What is to be learned of each cell of `loaded`, read as `shown` says, `[N, classes]`: the label, mixed with what the teacher says where the
    /// cell is one of the training set; `None` where the context's `stop` turned true.
    ///
    /// # Errors
    /// Those of [`load`](Self::load), and what goes wrong in libtorch.
    pub(crate) fn targets(
        &self,
        loaded: &Loaded,
        split: &Split,
        shown: ImageConfig,
        device: Device,
        Context { stop, listener, .. }: Context<'_>,
    ) -> Result<Option<Vec<f32>>> {
        let mut teacher = self.load(loaded, split, device)?;
        teacher.flips = true;
        let index = &loaded.index;
        // It may want its pictures otherwise than the new model.
        let own;
        let image = teacher.image;
        let pixels = if image == shown {
            &loaded.cells
        } else {
            // What could not be read was left out, or has stopped the run, before.
            own = decode_index(index.clone(), image, CorruptPolicy::Fail, listener)?;
            &own.cells
        };
        let labels = index.labels();
        let cells = CellTensors::new(pixels, &labels, device)?;
        let total = split.train.len();
        let mut said = Vec::with_capacity(total * index.classes.len());
        for (number, asked) in split.train.chunks(ASKED_AT_ONCE).enumerate() {
            let before = number * ASKED_AT_ONCE;
            said.extend(teacher.probabilities(&cells, asked, &mut |done| {
                listener(Progress::Teaching { done: before + done, total });
            })?);
            if stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
        }

        let classes = index.classes.len();
        let mut targets = vec![0.0; labels.len() * classes];
        for (row, &label) in targets.chunks_mut(classes).zip(&labels) {
            row[label] = 1.0;
        }
        for (&cell, said) in split.train.iter().zip(said.chunks(classes)) {
            let row = &mut targets[cell * classes..(cell + 1) * classes];
            for (target, said) in row.iter_mut().zip(said) {
                *target += self.weight as f32 * (*said as f32 - *target);
            }
        }
        Ok(Some(targets))
    }

    /// The model, whoever it is to teach.
    ///
    /// # Errors
    /// Those of [`Classifier::load`], as those of this setting.
    pub(crate) fn open(&self, device: Device) -> Result<Classifier> {
        Classifier::load(&self.run, device).map_err(|error| Error::Config {
            field: "teacher",
            expected: "a finished run; for a cross-validation, the folder of another one, with fold-1 and so on in it".to_owned(),
            found: error.to_string(),
        })
    }

    /// The model, if it may teach one that is to learn from these cells.
    ///
    /// # Errors
    /// [`Error::Classes`] for a teacher of other classes; [`Error::Config`] for none, and for one that has learned from cells that the new
    /// model is chosen or judged by, or, where no patient is on two sides of the split, from other cells of the patients it is judged by: its
    /// figures would be too good.
    pub(crate) fn load(&self, loaded: &Loaded, split: &Split, device: Device) -> Result<Classifier> {
        let teacher = self.open(device)?;
        let index = &loaded.index;
        if teacher.classes != index.classes {
            let (expected, found) = (teacher.classes, index.classes.clone());
            return Err(Error::Classes { path: index.root.clone(), expected, found });
        }
        self.refuse_seen(loaded, split)?;
        Ok(teacher)
    }

    /// Refuses a teacher that knows whom the new model is chosen or judged by; and so may the runs that it comes from itself.
    fn refuse_seen(&self, loaded: &Loaded, split: &Split) -> Result<()> {
        let refuse = |expected: &str, found: String| Error::Config {
            field: "teacher",
            expected: format!("{expected}, such as one of the same split and seed, or of the same fold"),
            found: format!("{}, {found}", self.run.display()),
        };
        // Where patients are on one side each, so they have to be for the teacher.
        let apart = split.leakage(&loaded.index).shared_patients.is_empty();
        let Lineage { manifests, gone } = lineage(&self.run);
        if let Some(gone) = gone.first() {
            return Err(refuse(
                "a model of which all runs that it comes from can be read, to tell what they have learned from",
                format!("which comes from {}", gone.display()),
            ));
        }
        for manifest in manifests {
            let known = manifest.match_index(&loaded.index, &loaded.fingerprints)?;
            let count = |cells: &[usize], as_what: &[Subset]| {
                cells.iter().filter(|&&i| known[i].is_some_and(|subset| as_what.contains(&subset))).count()
            };
            let test = count(&split.test, &[Subset::Train, Subset::Validation]);
            let validation = count(&split.validation, &[Subset::Train]);
            if test + validation > 0 {
                return Err(refuse(
                    "a model that has learned from none of the cells that this one is chosen or judged by",
                    format!(
                        "which knows {test} of the test cells and has learned from {validation} of the validation cells"
                    ),
                ));
            }
            if apart && manifest.shares_patients(&loaded.index, &split.test) {
                return Err(refuse(
                    "a model that has learned from none of the patients that this one is judged by",
                    "which has learned from other cells of some of them".to_owned(),
                ));
            }
        }
        Ok(())
    }
}
