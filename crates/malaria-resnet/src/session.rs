//! One run from its first batch to its last file.

use std::{fs, path::PathBuf};

use malaria_dataset::{InputRange, Loaded, Split, Subset, Traits};
use malaria_metrics::{apply_temperature, fit_temperature};
use malaria_model::ResNet;
use malaria_train::{
    CellTensors, Checkpoints, EpochRecord, Event, Kept, Outcome, RunOptions, Subsets, Trainer,
};
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::{
    ChosenOn, Classifier, Context, DataSummary, Error, ExperimentConfig, FiguresOf, Metrics, Progress,
    Result, RunDir, RunSummary, Teacher,
    data::summarise,
    experiment::{plot, title},
    files,
    lineage::seen_by_init,
    metrics::machine,
    model_card::Card,
    pictures::{augmentation_sheet, mistakes, picture},
    predictions::write_predictions,
    report::{Report, data_section, epoch_point, protocol_note},
    threshold::{Calling, Labelled, Said},
};

/// A run whose data is in memory and whose folder is ours.
pub(crate) struct Session<'a> {
    pub(crate) config: ExperimentConfig,
    pub(crate) run: RunDir,
    pub(crate) loaded: &'a Loaded,
    pub(crate) split: Split,
    /// Index of the positive class.
    pub(crate) positive: usize,
    pub(crate) context: Context<'a>,
}

/// What training came to, and on what.
struct Trained<'a> {
    classifier: Classifier,
    kept: Kept,
    history: Vec<EpochRecord>,
    cells: CellTensors<'a>,
    data: DataSummary,
    /// Whether nothing is known of the patients that it is chosen and judged by.
    new_patients: bool,
    /// In words, with the precision of the training steps.
    device: String,
}

/// Version of the layout of `metrics.json`.
const METRICS_VERSION: u32 = 1;

impl Session<'_> {
    /// Trains `model`, or goes on where a checkpoint was left, and judges what comes of it.
    pub(crate) fn run(self, model: ResNet, resumed: bool) -> Result<RunSummary> {
        let Context { stop, listener, .. } = self.context;
        let device = model.device();
        let seen_by_init = seen_by_init(&self.config, self.loaded, &self.split.test)?;
        let drawn = self.config.data.is_none();
        let data = summarise(self.loaded, &self.split, drawn, seen_by_init);
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
            listener(Progress::Training(&Event::CheckpointPassedOver { reason }));
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

        let mut hear = |event: &Event| {
            if let Event::EpochEnded { record, .. } = event {
                history.push(record.clone());
                // For whoever looks meanwhile. What goes wrong here counts when it is written for good, below.
                let _ = self.write_history(&history);
            }
            listener(Progress::Training(event));
        };
        let options =
            RunOptions { checkpoints: Some(&checkpoints), stop: Some(stop), listener: Some(&mut hear) };
        let outcome = trainer.run(&cells, subsets, options)?;

        let mut files = vec![self.run.config_path(), self.run.split_path(), checkpoints.path()];
        if !history.is_empty() {
            self.write_history(&history)?;
            files.extend([self.run.history_path(), self.run.plot_path()]);
        }
        let Some(kept) = trainer.kept().filter(|_| outcome != Outcome::Interrupted) else {
            return Ok(RunSummary { run: self.run, outcome, metrics: None, files });
        };
        let classes = self.loaded.index.classes.clone();
        let mut classifier =
            Classifier::new(trainer.into_model()?, classes, self.positive, self.config.image)?;
        // Under the random split, other cells of the same patients were learned from; and so they may have been by the weights
        // that training started from.
        let new_patients = data.shared_patients == 0 && self.config.init.is_none();
        self.adjust(&mut classifier, &cells, new_patients)?;
        classifier.save(&self.run.weights_path())?;
        files.push(self.run.weights_path());
        let trained = Trained { classifier, kept, history, cells, data, new_patients, device: device_name };
        let metrics = if self.split.test.is_empty() { None } else { Some(self.judge(&trained, &mut files)?) };
        Ok(RunSummary { run: self.run, outcome, metrics, files })
    }

    /// Judges the kept weights on the test set, and writes what that comes to; what was written joins `files`.
    fn judge(&self, trained: &Trained<'_>, files: &mut Vec<PathBuf>) -> Result<Metrics> {
        let Trained { classifier, kept, history, cells, data, new_patients, device } = trained;
        let Self { config, split, run, .. } = self;
        let seen = self.test(classifier, cells)?;
        let labelled = Labelled::new(&self.loaded.index, &split.test);
        let said = Said::new(classifier, &labelled, &seen);
        let calling = classifier.threshold.map(Calling::from);
        let sides = split.sides(self.loaded.index.samples.len());
        let metrics = Metrics {
            format_version: METRICS_VERSION,
            figures_of: FiguresOf::TestSet,
            // The one that went on, if any, is not the one to do it all again.
            command: config.command.clone().unwrap_or_else(|| self.context.command.to_owned()),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            libtorch: malaria_libtorch::LIBTORCH_VERSION.to_owned(),
            device: device.clone(),
            protocol: split.config.protocol,
            recipe: config.recipe,
            drawn_cells: config.data.is_none(),
            seed: config.train.seed,
            fold: split.config.fold,
            init: config.init.clone(),
            test_cells_seen_by_init: data.test_cells_seen_by_init,
            epochs: history.len(),
            kept: *kept,
            n_skipped: data.skipped.len(),
            n_left_out: sides.iter().filter(|side| side.is_none()).count(),
            n_train: split.train.len(),
            n_validation: split.validation.len(),
            n_test: split.test.len(),
            wall_seconds: history.iter().map(|record| record.seconds).sum(),
            cpu_seconds: history.iter().map(|record| record.cpu_seconds).sum(),
            machine: machine(),
            temperature: classifier.temperature,
            threshold: classifier.threshold,
            test: said.figures(calling.as_ref())?,
            assessment: said.assess(calling.as_ref(), *new_patients)?,
        };
        files.extend([run.predictions_path(), run.metrics_path()]);
        files.extend(said.write_patients(run.patients_path(), &metrics.assessment, calling.as_ref())?);
        files.push(self.report(trained, said, &metrics)?);
        files.push(self.model_card(&metrics, data)?);
        // Last: a run with figures is a finished one.
        files::write_json(&run.metrics_path(), &metrics)?;
        Ok(metrics)
    }
}

impl Session<'_> {
    /// A hash of everything that decides which weights come out: a checkpoint of other settings or other data must not
    /// be gone on from. Device, threads and the place of the data folder may change.
    fn identity(&self) -> Result<String> {
        let ExperimentConfig { split, image, model, train, init, teacher, .. } = &self.config;
        let settings = serde_json::to_vec(&(split, image, model, train, init));
        let settings = settings.map_err(|error| self.run.error(&error.to_string()))?;
        let read = |path: PathBuf| fs::read(&path).map_err(Error::io("read", &path));
        let mut hash = Sha256::new().chain_update(settings).chain_update(read(self.run.split_path())?);
        if let Some(Teacher { run, weight }) = teacher {
            hash.update(read(RunDir::open(run)?.weights_path())?);
            hash.update(weight.to_le_bytes());
        }
        Ok(hex(&hash.finalize()))
    }

    fn write_history(&self, history: &[EpochRecord]) -> Result<()> {
        files::write_csv(&self.run.history_path(), history)?;
        plot(history, &self.config, &self.run.plot_path())
    }

    /// Sets what the classifier is to know of its training cells, and by the validation set the temperature, if the settings
    /// ask for one, and the threshold.
    fn adjust(&self, classifier: &mut Classifier, cells: &CellTensors<'_>, new_patients: bool) -> Result<()> {
        let pictures = &self.loaded.cells;
        let traits: Vec<Traits> =
            self.split.train.par_iter().map(|&i| Traits::of(&picture(pictures, i))).collect();
        classifier.input = InputRange::of(&traits);
        let validation = &self.split.validation;
        if validation.is_empty() {
            return Ok(());
        }
        let mut probabilities = classifier.probabilities(cells, validation, &mut |_| {})?;
        let labelled = Labelled::new(&self.loaded.index, validation);
        let classes = classifier.classes.len();
        if self.config.calibrate {
            classifier.temperature = fit_temperature(&labelled.truth, &probabilities, classes)?;
            if let Some(temperature) = classifier.temperature {
                probabilities = apply_temperature(&probabilities, classes, temperature)?;
            }
        }
        let said = Said::new(classifier, &labelled, &probabilities);
        classifier.threshold = said.threshold(self.config.threshold, ChosenOn::Validation, new_patients)?;
        Ok(())
    }

    /// The one look at the test set.
    fn test(&self, classifier: &Classifier, cells: &CellTensors<'_>) -> Result<Vec<f64>> {
        let test = &self.split.test;
        let total = test.len();
        let listener = self.context.listener;
        let seen =
            classifier.probabilities(cells, test, &mut |done| listener(Progress::Testing { done, total }))?;
        let index = &self.loaded.index;
        write_predictions(&self.run.predictions_path(), classifier, index, test, Some(Subset::Test), &seen)?;
        Ok(seen)
    }

    /// Writes the model card; gives its path.
    fn model_card(&self, metrics: &Metrics, data: &DataSummary) -> Result<PathBuf> {
        let card = Card {
            config: &self.config,
            figures: &metrics.test,
            assessment: &metrics.assessment,
            threshold: metrics.threshold.as_ref(),
            cross_validated: false,
            judged_on: format!(
                "On the run's test set, {} cells of {}.",
                metrics.n_test,
                metrics.assessment.patients()
            ),
            learned_from: self.learned_from(metrics, data)?,
            missing: data.skipped.len(),
            made: metrics.made(&self.config),
            command: &metrics.command,
        };
        let path = self.run.model_card_path();
        files::write(&path, card.markdown().as_bytes())?;
        Ok(path)
    }

    /// What the run has learned from, in words.
    fn learned_from(&self, metrics: &Metrics, data: &DataSummary) -> Result<String> {
        let cells = |subset: Subset| {
            let found = data.subsets.iter().find(|summary| summary.subset == subset);
            found.map_or((0, 0), |summary| (summary.cells.iter().sum(), summary.patients))
        };
        let ((train, patients), (validation, _)): ((usize, usize), (usize, usize)) =
            (cells(Subset::Train), cells(Subset::Validation));
        let split = self.run.split_path();
        let split = hex(&Sha256::digest(fs::read(&split).map_err(Error::io("read", &split))?));
        let folder = data.folder.file_name().unwrap_or_default().to_string_lossy();
        let mut words = format!(
            "It has learned from {train} cells of {patients} patients in the folder `{folder}`; {validation} more were looked at \
             between epochs, to choose by. split.csv names every cell, with its SHA-256; its own is {split}."
        );
        if metrics.n_left_out > 0 {
            words += &format!(" Cells left out of what it learned from, on request: {}.", metrics.n_left_out);
        }
        if let Some(init) = &self.config.init {
            let run = init.file_name().unwrap_or_default().to_string_lossy();
            words += &match metrics.test_cells_seen_by_init {
                Some(seen) => format!(
                    " It started from the weights of the run `{run}`, which had learned from {seen} of the cells it is judged on."
                ),
                None => format!(
                    " It started from the weights of the run `{run}`, of which nobody knows any more whether they had learned from the \
                     cells it is judged on."
                ),
            };
        }
        if let Some(teacher) = &self.config.teacher {
            words += &format!(" {}", teacher.words());
        }
        Ok(words)
    }

    /// Writes the report of the test set; gives its path.
    fn report(&self, trained: &Trained<'_>, said: Said<'_>, metrics: &Metrics) -> Result<PathBuf> {
        let Trained { classifier, history, cells, data, .. } = trained;
        let report = Report {
            title: title(&self.config),
            summary: test_words(metrics),
            said,
            figures: &metrics.test,
            assessment: &metrics.assessment,
            threshold: metrics.threshold,
            cross_validated: false,
            history: history.iter().map(epoch_point).collect(),
            history_of: None,
            mistakes: mistakes(classifier, said, self.loaded, &self.split.test)?,
            augmentation: augmentation_sheet(&self.config.train, cells, &self.split.train)?,
            more: vec![data_section(data)],
            made: metrics.made(&self.config),
            command: metrics.command.clone(),
        };
        report.write(self.run.path())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Who was tested by a run, and how.
fn test_words(metrics: &Metrics) -> Vec<String> {
    let mut words = vec![
        format!(
            "Test set: {} cells of {}; {} cells were learned from, and {} others looked at to choose by.",
            metrics.n_test,
            metrics.assessment.patients(),
            metrics.n_train,
            metrics.n_validation
        ),
        format!("Protocol: {}.", protocol_note(metrics.protocol)),
    ];
    if metrics.drawn_cells {
        words.push("These cells are drawn: the figures say nothing about malaria.".to_owned());
    }
    if metrics.n_left_out > 0 {
        words.push(format!("Cells left out of the training set on request: {}.", metrics.n_left_out));
    }
    match metrics.test_cells_seen_by_init {
        Some(0) => {}
        Some(seen) => words.push(format!(
            "The weights that training started from had learned from {seen} of the test cells: the figures are too good."
        )),
        None => words.push(
            "A run that the weights come from which training started from cannot be read any more: they may have learned from the test \
             cells, and the figures be too good."
                .to_owned(),
        ),
    }
    words
}
