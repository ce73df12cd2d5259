//! The teacher at work.

use std::sync::atomic::Ordering;

use malaria_classifier::ImageConfig;
use malaria_dataset::{CorruptPolicy, Loaded, Split, Subset};
use malaria_train::CellTensors;
use tch::Device;

use super::lineage::{Lineage, lineage};
use crate::{
    classifier::Classifier,
    config::Teacher,
    data::decode_index,
    error::{Error, Result},
    progress::{Context, Progress},
};

/// Cells that the teacher is asked of before somebody may stop it.
const ASKED_AT_ONCE: usize = 1024;

impl Teacher {
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
    /// model is chosen or evaluated by, or, where no patient is on two sides of the split, from other cells of the patients it is evaluated by: its
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

    /// Refuses a teacher that knows whom the new model is chosen or evaluated by; and so may the runs that it comes from itself.
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
                    "a model that has learned from none of the cells that this one is chosen or evaluated by",
                    format!(
                        "which knows {test} of the test cells and has learned from {validation} of the validation cells"
                    ),
                ));
            }
            if apart && manifest.shares_patients(&loaded.index, &split.test) {
                return Err(refuse(
                    "a model that has learned from none of the patients that this one is evaluated by",
                    "which has learned from other cells of some of them".to_owned(),
                ));
            }
        }
        Ok(())
    }
}
