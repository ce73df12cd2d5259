//! Loads a teacher, refuses one that was trained on test cells, and mixes its probabilities into the training targets.

use std::sync::atomic::Ordering;

use malaria_classifier::ImageConfig;
use malaria_dataset::{Loaded, Split, Subset};
use malaria_train::CellTensors;
use tch::Device;

use super::lineage::{Lineage, lineage};
use crate::{
    classifier::Classifier,
    config::Teacher,
    data_folder::{check_classes, decode_index},
    error::{Error, Result},
    progress::{Context, Progress},
};

/// Cells that the teacher classifies between two checks of the stop flag.
const CELLS_PER_CHECK: usize = 1024;

impl Teacher {
    /// Training targets of the cells of `loaded`, `[N, classes]` row by row: one-hot labels, mixed with the teacher's
    /// probabilities for the training cells. `image` is how the cells were decoded. `None` if the context's `stop` became
    /// true. The teacher was [checked](Self::check_for) when the run started.
    ///
    /// # Errors
    /// As [`open`](Self::open); [`Error::Train`] when libtorch fails.
    pub(crate) fn targets(
        &self,
        loaded: &Loaded,
        split: &Split,
        image: ImageConfig,
        device: Device,
        Context { stop, listener, .. }: Context<'_>,
    ) -> Result<Option<Vec<f32>>> {
        let mut teacher = self.open(device)?;
        teacher.flips = true;
        let index = &loaded.index;
        // The teacher's input size may differ.
        let own;
        let pixels = if teacher.description.image == image {
            &loaded.cells
        } else {
            // Unreadable images are no longer in this index.
            own = decode_index(index.clone(), teacher.description.image, false, listener)?;
            &own.cells
        };
        let labels = index.labels();
        let cells = CellTensors::new(pixels, &labels, device)?;
        let total = split.train.len();
        let mut probabilities = Vec::with_capacity(total * index.classes.len());
        for (number, chunk) in split.train.chunks(CELLS_PER_CHECK).enumerate() {
            let before = number * CELLS_PER_CHECK;
            probabilities.extend(teacher.probabilities(&cells, chunk, &mut |done| {
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
        for (&cell, probabilities) in split.train.iter().zip(probabilities.chunks(classes)) {
            let row = &mut targets[cell * classes..(cell + 1) * classes];
            for (target, probability) in row.iter_mut().zip(probabilities) {
                *target += self.weight as f32 * (*probability as f32 - *target);
            }
        }
        Ok(Some(targets))
    }

    /// Loads the teacher's model, without checking the cells it was trained on.
    ///
    /// # Errors
    /// [`Error::Config`] when it cannot be loaded.
    pub(crate) fn open(&self, device: Device) -> Result<Classifier> {
        Classifier::load(&self.run, device).map_err(|error| Error::Config {
            field: "teacher",
            expected: "a finished run, or for a cross-validation the folder of another one, with fold-1 and so on in it"
                .to_owned(),
            found: error.to_string(),
        })
    }

    /// Checks that the teacher fits these cells and their split.
    ///
    /// # Errors
    /// [`Error::Classes`] for a teacher of other classes; [`Error::Config`] when it cannot be loaded, or when it would
    /// inflate the new model's metrics: it was trained on test or validation cells or, in a split by patient, on other cells
    /// of test patients.
    pub(crate) fn check_for(&self, loaded: &Loaded, split: &Split) -> Result<()> {
        check_classes(&loaded.index, &self.open(Device::Cpu)?.description.classes)?;
        self.refuse_seen(loaded, split)
    }

    /// Refuses a teacher if it or a parent of it was trained on cells that the new model is selected or tested on.
    fn refuse_seen(&self, loaded: &Loaded, split: &Split) -> Result<()> {
        let refuse = |expected: &str, found: String| Error::Config {
            field: "teacher",
            expected: format!("{expected}, such as one of the same split and seed, or of the same fold"),
            found: format!("{}, {found}", self.run.display()),
        };
        let by_patient = split.leakage(&loaded.index).shared_patients.is_empty();
        let Lineage { manifests, missing_parents } = lineage(&self.run);
        if let Some(missing) = missing_parents.first() {
            return Err(refuse(
                "a model whose parent runs can all be read, to check the cells they were trained on",
                format!("which comes from {}", missing.display()),
            ));
        }
        for manifest in manifests {
            let subsets = manifest.match_index(&loaded.index, &loaded.fingerprints)?;
            let count = |cells: &[usize], seen_as: &[Subset]| {
                cells.iter().filter(|&&i| subsets[i].is_some_and(|subset| seen_as.contains(&subset))).count()
            };
            let test = count(&split.test, &[Subset::Train, Subset::Validation]);
            let validation = count(&split.validation, &[Subset::Train]);
            if test + validation > 0 {
                return Err(refuse(
                    "a model that was trained or selected on none of the validation and test cells",
                    format!(
                        "which was trained or selected on {test} of the test cells, and trained on {validation} of the \
                         validation cells"
                    ),
                ));
            }
            if by_patient && manifest.shares_patients(&loaded.index, &subsets, &split.test) {
                return Err(refuse(
                    "a model that was trained on none of the test patients",
                    "which was trained on other cells of some of them".to_owned(),
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use malaria_dataset::{
        Index, LoadOptions, Protocol, SplitConfig, SyntheticConfig, load, split, write_manifest,
        write_synthetic,
    };

    use super::*;
    use crate::config::{ExperimentConfig, Recipe};

    fn write_run(path: &Path, loaded: &Loaded, split: &Split, init: Option<&Path>) {
        fs::create_dir_all(path).unwrap();
        let mut config = ExperimentConfig::new(Recipe::Tutorial, Protocol::Random, 0);
        config.init = init.map(Path::to_owned);
        malaria_files::write_json(&path.join("config.json"), &config).unwrap();
        write_manifest(&path.join("split.csv"), &loaded.index, split, &loaded.fingerprints).unwrap();
    }

    #[test]
    fn a_teacher_trained_on_test_cells_or_test_patients_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let cells = SyntheticConfig { cells: 48, patients: 8, ..SyntheticConfig::default() };
        write_synthetic(&path("cells"), &cells, &|_| {}).unwrap();
        let index = Index::open(&path("cells")).unwrap();
        let loaded = load(index, LoadOptions { size: 8, ..LoadOptions::default() }).unwrap();
        let split_by = |protocol, seed| {
            split(&loaded.index, &SplitConfig { protocol, seed, ..SplitConfig::default() }).unwrap()
        };
        let (random, by_patient) = (split_by(Protocol::Random, 0), split_by(Protocol::Patient, 0));
        write_run(&path("same"), &loaded, &random, None);
        write_run(&path("same-patients"), &loaded, &by_patient, None);
        write_run(&path("other"), &loaded, &split_by(Protocol::Random, 9), None);
        write_run(&path("child-of-other"), &loaded, &random, Some(&path("other")));
        write_run(&path("orphan"), &loaded, &random, Some(&path("deleted")));
        // Other cells of the same patients, all of them training cells.
        write_run(&path("other-cells"), &loaded, &split_by(Protocol::All, 0), None);
        let manifest = fs::read_to_string(path("other-cells").join("split.csv")).unwrap();
        let rows = manifest.lines().skip(1).enumerate().map(|(number, line)| {
            let columns: Vec<&str> = line.split(',').collect();
            format!("{number}.png,{},{},train,1,{number:064x}\n", columns[1], columns[2])
        });
        let rows = format!("{}\n{}", manifest.lines().next().unwrap(), rows.collect::<String>());
        fs::write(path("other-cells").join("split.csv"), rows).unwrap();

        let cases = [
            ("same", &random, None),
            ("same-patients", &by_patient, None),
            ("other-cells", &random, None),
            ("other", &random, Some("of the test cells")),
            ("child-of-other", &random, Some("of the test cells")),
            ("other-cells", &by_patient, Some("other cells of some of them")),
            ("orphan", &random, Some("deleted")),
        ];
        for (run, split, expected) in cases {
            let teacher = Teacher { run: path(run), weight: 0.5 };
            match (teacher.refuse_seen(&loaded, split), expected) {
                (Ok(()), None) => {}
                (Err(error @ Error::Config { field: "teacher", .. }), Some(text)) => {
                    assert!(error.to_string().contains(text), "{run}: {error}");
                }
                (result, expected) => panic!("{run}: {result:?}, expected {expected:?}"),
            }
        }
    }
}
