//! After training: calibration, threshold, test metrics and the files of results.

use std::{collections::BTreeSet, fs, iter, path::PathBuf};

use malaria_classifier::{
    Assessment, Caveat, ChosenOn, DecisionRule, GroundTruth, Scored, SmearDecision, WeightsFile,
    protocol_note, write_patients, write_predictions,
};
use malaria_dataset::{Fingerprint, ImageStats, InputCheck, PatientNames, Protocol, Subset};
use malaria_metrics::{Probabilities, apply_temperature, fit_temperature};
use malaria_report::{Card, Report};
use malaria_train::CellTensors;
use rayon::prelude::*;

use super::{
    dir::RunDir,
    metrics::{METRICS_VERSION, Metrics, MetricsOf, machine},
    session::{Session, Trained},
    sources::weights_hash,
};
use crate::{
    classifier::Classifier,
    data_summary::{DataSummary, data_section},
    error::Result,
    history_plot::{epoch_point, title},
    paths::file_name,
    pictures::{augmentation_sheet, cell_image, mistakes},
    progress::Progress,
};

impl Session<'_> {
    /// Sets the input check and the patients from the training cells, and the thresholds and (if calibration is on) the
    /// temperature from the validation cells.
    pub(super) fn adjust(
        &self,
        classifier: &mut Classifier,
        cells: &CellTensors<'_>,
        new_patients: bool,
    ) -> Result<()> {
        let all = &self.loaded.cells;
        let image_stats: Vec<ImageStats> =
            self.split.train.par_iter().map(|&i| ImageStats::of(&cell_image(all, i))).collect();
        classifier.description.input = InputCheck::of(&image_stats);
        let mut patients = BTreeSet::new();
        // Names of synthetic cells have the same form but identify no patients.
        if self.config.patients == PatientNames::Nlm && self.config.data.is_some() {
            let cells = self.split.train.iter().chain(&self.split.validation);
            patients.extend(cells.filter_map(|&i| self.loaded.index.samples[i].patient.clone()));
        }
        // The patients of parents that can no longer be read or have been replaced are unknown; a caveat says so.
        let hashes = self.config.sha256.clone().unwrap_or_default();
        let teacher = self.config.teacher.as_ref().map(|teacher| (&teacher.run, hashes.teacher));
        for (parent, hash) in
            self.config.init.as_ref().map(|init| (init, hashes.init)).into_iter().chain(teacher)
        {
            let weights = RunDir::open(parent).and_then(|run| Ok(WeightsFile::read(&run.weights_path())?));
            if let Ok(file) = weights
                && (hash.is_none() || weights_hash(parent).ok() == hash)
            {
                patients.extend(file.weights.description.training_patients);
            }
        }
        classifier.description.training_patients = patients.into_iter().collect();
        let validation = &self.split.validation;
        if validation.is_empty() {
            return Ok(());
        }
        let mut probabilities = classifier.probabilities(cells, validation, &mut |_| {})?;
        let truth = GroundTruth::new(&self.loaded.index, validation);
        let classes = classifier.description.classes.len();
        if self.config.calibrate {
            classifier.description.temperature =
                fit_temperature(&truth.classes, Probabilities::new(&probabilities, classes))?;
            if let Some(temperature) = classifier.description.temperature {
                probabilities = apply_temperature(Probabilities::new(&probabilities, classes), temperature)?;
            }
        }
        let scored = classifier.scored(&truth, &probabilities);
        let threshold = scored.threshold(self.config.target, ChosenOn::Validation)?;
        let smear = if new_patients { scored.smear_rule(ChosenOn::Validation)? } else { None };
        classifier.description.threshold = threshold;
        classifier.description.smear = smear;
        Ok(())
    }

    /// Evaluates the classifier on the test set and writes the results; adds the files to `files`.
    pub(super) fn finish(&self, trained: &Trained<'_>, files: &mut Vec<PathBuf>) -> Result<Metrics> {
        let Trained { classifier, best_epoch, history, cells, data, new_patients, device } = trained;
        let Self { config, split, run, .. } = self;
        let (test, listener) = (&split.test, self.context.listener);
        let total = test.len();
        // This is the only evaluation of the test set.
        let probabilities =
            classifier.probabilities(cells, test, &mut |done| listener(Progress::Testing { done, total }))?;
        let truth = GroundTruth::new(&self.loaded.index, test);
        let scored = classifier.scored(&truth, &probabilities);
        let rule = DecisionRule::from(classifier.description.threshold);
        let paths = test.iter().map(|&i| self.loaded.index.samples[i].path.as_str());
        let subset = ("subset", iter::repeat_with(|| Subset::Test.to_string()));
        write_predictions(&run.predictions_path(), &scored, &rule, paths, subset)?;
        let stored = classifier.description.smear.clone().filter(|_| *new_patients);
        let smears = stored.map(|stored| SmearDecision { stored, of_folds: None });
        let assessment = Assessment::of(&scored, &rule, smears.as_ref())?;
        let n_excluded = split
            .subset_by_sample(self.loaded.index.samples.len())
            .iter()
            .filter(|subset| subset.is_none())
            .count();
        let metrics = Metrics {
            format_version: METRICS_VERSION,
            metrics_of: MetricsOf::TestSet,
            // The command that started the run, even if another command resumed it.
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
            n_excluded,
            n_train: split.train.len(),
            n_validation: split.validation.len(),
            n_test: split.test.len(),
            wall_seconds: history.iter().map(|record| record.seconds).sum(),
            cpu_seconds: history.iter().map(|record| record.cpu_seconds).sum(),
            machine: machine(),
            temperature: classifier.description.temperature,
            threshold: classifier.description.threshold,
            smear: classifier.description.smear.clone(),
            decision_rule: rule.kind(),
            caveats: caveats(data, n_excluded, &scored, &rule, &assessment),
            test: scored.known_metrics(&rule)?,
            assessment,
        };
        files.extend([run.predictions_path(), run.metrics_path()]);
        files.extend(write_patients(run.patients_path(), &scored, smears.as_ref())?);
        files.push(self.report(trained, scored, &rule, &metrics)?);
        files.push(self.model_card(&metrics, data, &rule)?);
        // Last, since a run with metrics.json counts as finished.
        malaria_files::write_json(&run.metrics_path(), &metrics)?;
        Ok(metrics)
    }

    /// Writes the model card and returns its path.
    fn model_card(&self, metrics: &Metrics, data: &DataSummary, rule: &DecisionRule) -> Result<PathBuf> {
        self.run.write_model_card(&Card {
            recipe: self.config.recipe_label(),
            protocol: self.config.split.protocol,
            image: self.config.image,
            network: &self.config.model,
            metrics: &metrics.test,
            assessment: &metrics.assessment,
            rule,
            caveats: &metrics.caveats,
            evaluated_on: format!(
                "On the run's test set, {} cells of {}.",
                metrics.n_test,
                metrics.assessment.patients()
            ),
            training_data: self.training_data(data)?,
            missing: data.skipped.len(),
            made: metrics.provenance(&self.config),
            command: &metrics.command,
        })
    }

    /// The model card's sentences on the training data.
    fn training_data(&self, data: &DataSummary) -> Result<String> {
        let cells = |subset: Subset| {
            let found = data.subsets.iter().find(|summary| summary.subset == subset);
            found.map_or((0, 0), |summary| (summary.cells.iter().sum(), summary.patients))
        };
        let ((train, patients), (validation, _)): ((usize, usize), (usize, usize)) =
            (cells(Subset::Train), cells(Subset::Validation));
        let split = self.run.split_path();
        let split = fs::read(&split).map_err(malaria_files::Error::io("read", &split))?;
        let split = Fingerprint::of(&split).hex();
        let folder = file_name(&data.folder);
        let mut text = format!(
            "It was trained on {train} cells of {patients} patients in the folder `{folder}`; {validation} more cells were used \
             for validation. split.csv names every cell, with its SHA-256; the SHA-256 of split.csv is {split}."
        );
        if let Some(init) = &self.config.init {
            text += &format!(" It started from the weights of the run `{}`", file_name(init));
            text += &match data.test_cells_seen_by_init {
                Some(seen) => {
                    format!(", which were trained or selected on {seen} of the cells it is evaluated on.")
                }
                None => ".".to_owned(),
            };
        }
        if let Some(teacher) = &self.config.teacher {
            text += &format!(" {}", teacher.sentence());
        }
        Ok(text)
    }

    /// Writes the page and plots of the test set and returns the page's path.
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
            summary: summary_lines(metrics),
            caveats: &metrics.caveats,
            scored,
            rule,
            metrics: &metrics.test,
            assessment: &metrics.assessment,
            history: history.iter().map(epoch_point).collect(),
            history_of: None,
            mistakes: mistakes(classifier, scored, rule, self.loaded, &self.split.test)?,
            augmentation: augmentation_sheet(&self.config.train, cells, &self.split.train)?,
            more: vec![data_section(data)],
            made: metrics.provenance(&self.config),
            command: metrics.command.clone(),
        };
        Ok(report.write(self.run.path())?)
    }
}

/// The caveats of a run's test metrics.
fn caveats(
    data: &DataSummary,
    n_excluded: usize,
    scored: &Scored<'_>,
    rule: &DecisionRule,
    assessment: &Assessment,
) -> Vec<Caveat> {
    (data.synthetic.then_some(Caveat::SyntheticCells).into_iter())
        .chain((n_excluded > 0).then_some(Caveat::Excluded { cells: n_excluded }))
        .chain(Caveat::of_init(data.test_cells_seen_by_init, data.validation_cells_seen_by_init))
        .chain(Caveat::of_classes(scored))
        .chain(Caveat::of(rule, false, assessment))
        .collect()
}

/// The page's lines about the test set and the protocol.
fn summary_lines(metrics: &Metrics) -> Vec<String> {
    vec![
        format!(
            "The model was tested on {} cells of {}{}.",
            metrics.n_test,
            metrics.assessment.patients(),
            seen(metrics.protocol)
        ),
        format!(
            "Trained on {} cells, with {} for validation. Protocol: {}.",
            metrics.n_train,
            metrics.n_validation,
            protocol_note(metrics.protocol)
        ),
    ]
}

/// What the training has seen of the tested patients.
fn seen(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Patient => ", none of whom it was trained on",
        Protocol::Random => ", whose other cells it may have been trained on",
        Protocol::Given | Protocol::All => "",
    }
}
