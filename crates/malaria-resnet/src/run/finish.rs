//! What comes after the last batch: threshold, test, and the files that tell of it.

use std::{fs, iter, path::PathBuf};

use malaria_classifier::{
    Assessment, Caveat, ChosenOn, DecisionRule, GroundTruth, Scored, protocol_note, write_predictions,
};
use malaria_dataset::{ImageStats, InputCheck, Subset};
use malaria_metrics::{Probabilities, apply_temperature, fit_temperature};
use malaria_report::{Card, Report};
use malaria_train::CellTensors;
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::{
    record::{METRICS_VERSION, Metrics, MetricsOf, machine},
    session::{Session, Trained},
};
use crate::{
    classifier::Classifier,
    error::Result,
    history::{epoch_point, title},
    pictures::{augmentation_sheet, mistakes, picture},
    progress::Progress,
    summary::{DataSummary, data_section},
};

impl Session<'_> {
    /// Sets what the classifier is to know of its training cells, and by the validation set the temperature, if the settings
    /// ask for one, and the threshold.
    pub(super) fn adjust(
        &self,
        classifier: &mut Classifier,
        cells: &CellTensors<'_>,
        new_patients: bool,
    ) -> Result<()> {
        let pictures = &self.loaded.cells;
        let image_stats: Vec<ImageStats> =
            self.split.train.par_iter().map(|&i| ImageStats::of(&picture(pictures, i))).collect();
        classifier.input = InputCheck::of(&image_stats);
        let validation = &self.split.validation;
        if validation.is_empty() {
            return Ok(());
        }
        let mut probabilities = classifier.probabilities(cells, validation, &mut |_| {})?;
        let truth = GroundTruth::new(&self.loaded.index, validation);
        let classes = classifier.classes.len();
        if self.config.calibrate {
            classifier.temperature =
                fit_temperature(&truth.classes, Probabilities::new(&probabilities, classes))?;
            if let Some(temperature) = classifier.temperature {
                probabilities = apply_temperature(Probabilities::new(&probabilities, classes), temperature)?;
            }
        }
        let scored = classifier.scored(&truth, &probabilities);
        let threshold = scored.threshold(self.config.target, ChosenOn::Validation, new_patients)?;
        classifier.threshold = threshold;
        Ok(())
    }

    /// Tests the kept weights on the test set and writes the results; the paths written join `files`.
    pub(super) fn finish(&self, trained: &Trained<'_>, files: &mut Vec<PathBuf>) -> Result<Metrics> {
        let Trained { classifier, best_epoch, history, cells, data, new_patients, device } = trained;
        let Self { config, split, run, .. } = self;
        let (test, listener) = (&split.test, self.context.listener);
        let total = test.len();
        // The one look at the test set.
        let probabilities =
            classifier.probabilities(cells, test, &mut |done| listener(Progress::Testing { done, total }))?;
        let truth = GroundTruth::new(&self.loaded.index, test);
        let scored = classifier.scored(&truth, &probabilities);
        let rule = DecisionRule::from(classifier.threshold);
        let paths = test.iter().map(|&i| self.loaded.index.samples[i].path.as_str());
        let subset = ("subset", iter::repeat_with(|| Subset::Test.to_string()));
        write_predictions(&run.predictions_path(), &scored, &rule, paths, subset)?;
        let assessment = Assessment::of(&scored, &rule, *new_patients)?;
        let sides = split.sides(self.loaded.index.samples.len());
        let metrics = Metrics {
            format_version: METRICS_VERSION,
            metrics_of: MetricsOf::TestSet,
            // The one that went on, if any, is not the one to do it all again.
            command: config.command.clone().unwrap_or_else(|| self.context.command.to_owned()),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            libtorch: malaria_libtorch::LIBTORCH_VERSION.to_owned(),
            device: device.clone(),
            protocol: split.config.protocol,
            recipe: config.recipe,
            synthetic_cells: config.data.is_none(),
            seed: config.train.seed,
            fold: split.config.fold,
            init: config.init.clone(),
            test_cells_seen_by_init: data.test_cells_seen_by_init,
            epochs: history.len(),
            best_epoch: *best_epoch,
            n_skipped: data.skipped.len(),
            n_excluded: sides.iter().filter(|side| side.is_none()).count(),
            n_train: split.train.len(),
            n_validation: split.validation.len(),
            n_test: split.test.len(),
            wall_seconds: history.iter().map(|record| record.seconds).sum(),
            cpu_seconds: history.iter().map(|record| record.cpu_seconds).sum(),
            machine: machine(),
            temperature: classifier.temperature,
            threshold: classifier.threshold,
            decision_rule: rule.kind(),
            caveats: self.caveats(data, &rule, &assessment),
            test: scored.summary(&rule)?,
            assessment,
        };
        files.extend([run.predictions_path(), run.metrics_path()]);
        files.extend(metrics.assessment.write_patients(run.patients_path(), &scored, &rule)?);
        files.push(self.report(trained, scored, &rule, &metrics)?);
        files.push(self.model_card(&metrics, data, &rule)?);
        // Last: a run with figures is a finished one.
        malaria_files::write_json(&run.metrics_path(), &metrics)?;
        Ok(metrics)
    }

    fn caveats(&self, data: &DataSummary, rule: &DecisionRule, assessment: &Assessment) -> Vec<Caveat> {
        let sides = self.split.sides(self.loaded.index.samples.len());
        let excluded = sides.iter().filter(|side| side.is_none()).count();
        let mut caveats = Vec::new();
        if data.drawn {
            caveats.push(Caveat::SyntheticCells);
        }
        if excluded > 0 {
            caveats.push(Caveat::Excluded { cells: excluded });
        }
        caveats.extend(Caveat::of_init(data.test_cells_seen_by_init));
        caveats.extend(Caveat::of(rule, false, assessment));
        caveats
    }

    /// Writes the model card; gives its path.
    fn model_card(&self, metrics: &Metrics, data: &DataSummary, rule: &DecisionRule) -> Result<PathBuf> {
        let card = Card {
            recipe: self.config.recipe_words(),
            protocol: self.config.split.protocol,
            image: self.config.image,
            network: &self.config.model,
            figures: &metrics.test,
            assessment: &metrics.assessment,
            rule,
            caveats: &metrics.caveats,
            evaluated_on: format!(
                "On the run's test set, {} cells of {}.",
                metrics.n_test,
                metrics.assessment.patients()
            ),
            learned_from: self.learned_from(data)?,
            missing: data.skipped.len(),
            made: metrics.made(&self.config),
            command: &metrics.command,
        };
        let path = self.run.model_card_path();
        malaria_files::write(&path, card.markdown().as_bytes())
            .map_err(malaria_files::Error::io("write", &path))?;
        Ok(path)
    }

    /// What the run has learned from, in words.
    fn learned_from(&self, data: &DataSummary) -> Result<String> {
        let cells = |subset: Subset| {
            let found = data.subsets.iter().find(|summary| summary.subset == subset);
            found.map_or((0, 0), |summary| (summary.cells.iter().sum(), summary.patients))
        };
        let ((train, patients), (validation, _)): ((usize, usize), (usize, usize)) =
            (cells(Subset::Train), cells(Subset::Validation));
        let split = self.run.split_path();
        let split = base16ct::lower::encode_string(&Sha256::digest(
            fs::read(&split).map_err(malaria_files::Error::io("read", &split))?,
        ));
        let folder = data.folder.file_name().unwrap_or_default().to_string_lossy();
        let mut words = format!(
            "It has learned from {train} cells of {patients} patients in the folder `{folder}`; {validation} more were looked at \
             between epochs, to choose by. split.csv names every cell, with its SHA-256; its own is {split}."
        );
        if let Some(init) = &self.config.init {
            let run = init.file_name().unwrap_or_default().to_string_lossy();
            words += &format!(" It started from the weights of the run `{run}`");
            words += &match data.test_cells_seen_by_init {
                Some(seen) => format!(", which had learned from {seen} of the cells it is evaluated on."),
                None => ".".to_owned(),
            };
        }
        if let Some(teacher) = &self.config.teacher {
            words += &format!(" {}", teacher.words());
        }
        Ok(words)
    }

    /// Writes the report of the test set; gives its path.
    fn report(
        &self,
        trained: &Trained<'_>,
        scored: Scored<'_>,
        rule: &DecisionRule,
        metrics: &Metrics,
    ) -> Result<PathBuf> {
        let Trained { classifier, history, cells, data, .. } = trained;
        let report = Report {
            title: title(&self.config),
            summary: test_words(metrics),
            caveats: &metrics.caveats,
            scored,
            rule,
            figures: &metrics.test,
            assessment: &metrics.assessment,
            history: history.iter().map(epoch_point).collect(),
            history_of: None,
            mistakes: mistakes(classifier, scored, rule, self.loaded, &self.split.test)?,
            augmentation: augmentation_sheet(&self.config.train, cells, &self.split.train)?,
            more: vec![data_section(data)],
            made: metrics.made(&self.config),
            command: metrics.command.clone(),
        };
        Ok(report.write(self.run.path())?)
    }
}

/// Who was tested by a run, and how.
fn test_words(metrics: &Metrics) -> Vec<String> {
    vec![
        format!(
            "Test set: {} cells of {}; {} cells were learned from, and {} others looked at to choose by.",
            metrics.n_test,
            metrics.assessment.patients(),
            metrics.n_train,
            metrics.n_validation
        ),
        format!("Protocol: {}.", protocol_note(metrics.protocol)),
    ]
}
