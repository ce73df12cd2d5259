//! `Session::run`: trains the network, from a checkpoint if there is one, then calibrates and tests it.

use std::{fs, path::PathBuf};

use malaria_model::ResNet;
use malaria_train::{CellTensors, Checkpoints, Event, Outcome, RunOptions, Subsets, Trainer};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{
    dir::RunDir,
    lineage::seen_by_init,
    session::{RunSummary, Session, Trained},
};
use crate::{
    classifier::Classifier,
    config::{ExperimentConfig, Teacher},
    data_summary::summarise,
    error::Result,
    progress::{Context, Progress},
};

impl Session<'_> {
    /// Trains `model`, from a checkpoint if there is one, and evaluates it on the test set.
    pub(crate) fn run(self, model: ResNet, resumed: bool) -> Result<RunSummary> {
        let Context { stop, listener, .. } = self.context;
        let device = model.device();
        let seen = |cells: &[usize]| seen_by_init(&self.config, self.loaded, cells);
        let (test_seen, validation_seen) = (seen(&self.split.test)?, seen(&self.split.validation)?);
        let synthetic = self.config.data.is_none();
        let data = summarise(self.loaded, &self.split, synthetic, [test_seen, validation_seen]);
        listener(Progress::Data(&data));
        let parameters = model.trainable_count();

        let mut trainer = Trainer::new(self.config.train.clone(), model)?;
        let checkpoints = Checkpoints::new(self.run.path(), &self.identity()?);
        let mut passed_over = Vec::new();
        if resumed && checkpoints.exist() {
            passed_over = trainer.resume(&checkpoints)?;
        }
        let mut history = trainer.history().to_vec();
        let precision = self.config.train.precision.resolve(device);
        let device_name = format!("{}, {precision}", malaria_libtorch::describe(device));
        listener(Progress::Model { device: &device_name, parameters, epochs_done: history.len() });
        for reason in passed_over {
            listener(Progress::Training(&Event::CheckpointSkipped { reason }));
        }
        let mut cells = CellTensors::of(self.loaded, device)?;
        if let Some(teacher) = &self.config.teacher {
            let image = self.config.image;
            let targets = teacher.targets(self.loaded, &self.split, image, device, self.context)?;
            let Some(targets) = targets else {
                let (files, outcome) =
                    (vec![self.run.config_path(), self.run.split_path()], Outcome::Interrupted);
                return Ok(RunSummary { run: self.run, outcome, metrics: None, files });
            };
            cells.set_targets(&targets, self.loaded.index.classes.len())?;
        }
        let subsets = Subsets { train: &self.split.train, validation: &self.split.validation };

        let mut on_event = |event: &Event| {
            if let Event::EpochEnded { record, .. } = event {
                history.push(record.clone());
                // Errors are ignored here: the history is written again after training.
                let _ = self.write_history(&history);
            }
            listener(Progress::Training(event));
        };
        let options =
            RunOptions { checkpoints: Some(&checkpoints), stop: Some(stop), listener: Some(&mut on_event) };
        let outcome = trainer.run(&cells, subsets, options)?;

        let mut files = vec![self.run.config_path(), self.run.split_path(), checkpoints.path()];
        if !history.is_empty() {
            self.write_history(&history)?;
            files.extend([self.run.history_path(), self.run.plot_path()]);
        }
        let Some(best_epoch) = trainer.best_epoch().filter(|_| outcome != Outcome::Interrupted) else {
            return Ok(RunSummary { run: self.run, outcome, metrics: None, files });
        };
        let classes = self.loaded.index.classes.clone();
        let mut classifier =
            Classifier::new(trainer.into_model()?, classes, self.positive, self.config.image)?;
        // The initial weights may have been trained on any patient, and cells of unknown patients may be of any patient.
        let new_patients =
            data.shared_patients == 0 && data.unknown_patients.is_none() && self.config.init.is_none();
        self.adjust(&mut classifier, &cells, new_patients)?;
        classifier.save(&self.run.weights_path())?;
        files.push(self.run.weights_path());
        let trained =
            Trained { classifier, best_epoch, history, cells, data, new_patients, device: device_name };
        let metrics =
            if self.split.test.is_empty() { None } else { Some(self.finish(&trained, &mut files)?) };
        Ok(RunSummary { run: self.run, outcome, metrics, files })
    }

    /// Hash of everything that determines the trained weights, so that a run does not resume from a checkpoint of other
    /// settings or data. Device, threads and every path may change.
    fn identity(&self) -> Result<String> {
        let ExperimentConfig { split, image, model, train, init, teacher, sha256, .. } = &self.config;
        // A run of format 3 has no hashes: its checkpoints are bound to the path of the initial weights.
        let init = sha256.as_ref().map_or_else(|| json!(init), |hashes| json!(hashes.init));
        let settings = serde_json::to_vec(&(split, image, model, train, init));
        let settings = settings.map_err(|error| self.run.error(&error.to_string()))?;
        let read = |path: PathBuf| fs::read(&path).map_err(malaria_files::Error::io("read", &path));
        let mut hash = Sha256::new().chain_update(settings).chain_update(read(self.run.split_path())?);
        if let Some(Teacher { run, weight }) = teacher {
            match sha256.as_ref().and_then(|hashes| hashes.teacher.as_ref()) {
                Some(weights) => hash.update(weights),
                None => hash.update(read(RunDir::open(run)?.weights_path())?),
            }
            hash.update(weight.to_le_bytes());
        }
        Ok(base16ct::lower::encode_string(&hash.finalize()))
    }
}
