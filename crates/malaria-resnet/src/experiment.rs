//! From settings to a finished run directory.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};

use malaria_dataset::{Fold, Loaded, Split, Subset, write_manifest};
use malaria_metrics::Summary;
use malaria_model::ResNet;
use malaria_report::{EpochPoint, history_plot};
use malaria_train::{CellTensors, Checkpoints, EpochRecord, Event, Outcome, Subsets, Trainer};
use sha2::{Digest, Sha256};

use crate::{
    Classifier, DataSummary, Error, ExperimentConfig, Metrics, Result, RunDir, RunLock,
    data::{decode, drawn_cells, summarise},
    files,
    predictions::write_predictions,
};

/// What a run tells its listener.
#[derive(Debug)]
#[non_exhaustive]
pub enum Progress<'a> {
    /// Cells are being drawn, since no real ones were given.
    Drawing {
        /// Cells drawn.
        done: usize,
        /// Cells to draw.
        total: usize,
    },
    /// Pictures are being read.
    Decoding {
        /// Pictures read.
        done: usize,
        /// Pictures to read.
        total: usize,
    },
    /// What was found, and how it was divided.
    Data(&'a DataSummary),
    /// Training can begin.
    Model {
        /// Where tensors live, in words.
        device: &'a str,
        /// Trainable values of the network.
        parameters: i64,
        /// Epochs done before, where a run goes on.
        epochs_done: usize,
    },
    /// Training goes on.
    Training(&'a Event),
    /// A fold of a cross-validation begins, or goes on.
    Fold {
        /// Which.
        fold: Fold,
        /// Its run directory.
        path: &'a Path,
    },
    /// After the folds of a cross-validation, the model that learns from every cell begins, or goes on.
    FinalModel {
        /// Its run directory.
        path: &'a Path,
    },
    /// The test set is being read.
    Testing {
        /// Cells seen.
        done: usize,
        /// Cells to see.
        total: usize,
    },
}

/// Hears what a run tells; called from several threads while pictures are read.
pub type Listener<'a> = &'a (dyn Fn(Progress<'_>) + Sync);

/// How a run ended.
#[derive(Debug)]
pub struct RunSummary {
    /// The run directory.
    pub run: RunDir,
    /// Finished, stopped early, or interrupted.
    pub outcome: Outcome,
    /// The test figures; none for an interrupted run, or one that was left no cell to test on.
    pub metrics: Option<Metrics>,
    /// What was written.
    pub files: Vec<PathBuf>,
}

/// What a run needs from its caller besides its settings.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The command that started it, for the record.
    pub command: &'a str,
    /// Looked at after every batch: when it turns true, the run saves and returns.
    pub stop: &'a AtomicBool,
    /// Hears what happens.
    pub listener: Listener<'a>,
}

/// Trains by `config` into the new run directory `out`, and judges the kept weights on the test set, once.
///
/// # Errors
/// Every crate's own; the run directory then holds what was finished before.
pub fn train(config: &ExperimentConfig, out: &Path, context: Context<'_>) -> Result<RunSummary> {
    config.check()?;
    RunDir::refuse_taken(out)?;
    // An absent device is to be known before pictures are read.
    config.device.resolve()?;
    let loaded = load_cells(config, out, context.listener)?;
    begin(config, out, &loaded, context)
}

/// Goes on with the run in `run` from its newest sound checkpoint, or from its start where it has none.
///
/// # Errors
/// As [`train`], and [`Error::Dataset`] when the data folder is not what it was.
pub fn resume(run: &Path, context: Context<'_>) -> Result<RunSummary> {
    let run = RunDir::open(run)?;
    let lock = run.lock()?;
    let config = run.config()?;
    config.device.resolve()?;
    let loaded = load_cells(&config, run.path(), context.listener)?;
    go_on(config, run, lock, &loaded, context)
}

/// [`train`] on cells that are in memory already.
pub(crate) fn begin(
    config: &ExperimentConfig,
    out: &Path,
    loaded: &Loaded,
    context: Context<'_>,
) -> Result<RunSummary> {
    let mut config = config.clone();
    config.data = config.data.as_deref().map(absolute);
    config.init = config.init.as_deref().map(absolute);
    set_threads(&config);
    let split = malaria_dataset::split(&loaded.index, &config.split)?;
    let model = first_model(&config, loaded)?;
    let positive = positive(&config, loaded)?;
    // Only now, so that what is refused leaves no folder behind.
    let (run, _lock) = RunDir::create(out)?;
    write_manifest(&run.split_path(), &loaded.index, &split, &loaded.fingerprints)?;
    // Last, since a folder with settings in it counts as a run.
    files::write_json(&run.config_path(), &config)?;
    Session { config, run, loaded, split, positive, context }.run(model, false)
}

/// [`resume`] on cells that are in memory already, with settings that may name another device, other threads or another
/// place of the data.
pub(crate) fn go_on(
    config: ExperimentConfig,
    run: RunDir,
    _lock: RunLock,
    loaded: &Loaded,
    context: Context<'_>,
) -> Result<RunSummary> {
    set_threads(&config);
    let manifest = malaria_dataset::read_manifest(&run.split_path())?;
    // The rows say who is on which side, the settings how that came about.
    let split = Split { config: config.split, ..manifest.resolve(&loaded.index, &loaded.fingerprints)? };
    split.check(&loaded.index)?;
    let positive = positive(&config, loaded)?;
    let model = first_model(&config, loaded)?;
    Session { config, run, loaded, split, positive, context }.run(model, true)
}

/// Reads the cells that the settings name, or else the drawn cells beside the run directory `run`.
pub(crate) fn load_cells(config: &ExperimentConfig, run: &Path, listener: Listener<'_>) -> Result<Loaded> {
    let folder = match &config.data {
        Some(folder) => folder.clone(),
        None => drawn_cells(absolute(run).parent().unwrap_or(Path::new("")), listener)?,
    };
    decode(config, &folder, listener)
}

/// Index of the positive class among the folder's.
fn positive(config: &ExperimentConfig, loaded: &Loaded) -> Result<usize> {
    let classes = &loaded.index.classes;
    classes.iter().position(|class| *class == config.positive).ok_or_else(|| Error::Config {
        field: "positive",
        expected: format!("one of the classes {classes:?}; name it by --positive"),
        found: format!("`{}`", config.positive),
    })
}

fn set_threads(config: &ExperimentConfig) {
    if let Some(threads) = config.threads {
        malaria_libtorch::set_threads(threads);
    }
}

/// The network that training starts from: that of `--init`, if it can learn this run's classes, or a new one.
fn first_model(config: &ExperimentConfig, loaded: &Loaded) -> Result<ResNet> {
    let device = config.device.resolve()?;
    let Some(init) = &config.init else {
        return Ok(ResNet::new(&config.model, config.train.seed, device)?);
    };
    let init = Classifier::load(init, device)?;
    if init.classes != loaded.index.classes {
        let (expected, found) = (init.classes, loaded.index.classes.clone());
        return Err(Error::Classes { path: loaded.index.root.clone(), expected, found });
    }
    if *init.model.config() != config.model {
        let expected = format!("the network of --init, {:?}", init.model.config());
        return Err(Error::Config { field: "model", expected, found: format!("{:?}", config.model) });
    }
    Ok(init.model)
}

/// How many of the cells at `indices` the weights of `--init` have learned from, or were chosen by.
pub(crate) fn seen_by_init(config: &ExperimentConfig, loaded: &Loaded, indices: &[usize]) -> Result<usize> {
    let Some(init) = &config.init else { return Ok(0) };
    let manifest = malaria_dataset::read_manifest(&RunDir::open(init)?.split_path())?;
    let subsets = manifest.match_index(&loaded.index, &loaded.fingerprints)?;
    let seen = |&&i: &&usize| matches!(subsets[i], Some(Subset::Train | Subset::Validation));
    Ok(indices.iter().filter(seen).count())
}

pub(crate) fn absolute(path: &Path) -> PathBuf {
    // A path that is not there yet has no canonical form.
    fs::canonicalize(path).or_else(|_| std::path::absolute(path)).unwrap_or_else(|_| path.to_owned())
}

/// A run whose data is in memory and whose folder is ours.
struct Session<'a> {
    config: ExperimentConfig,
    run: RunDir,
    loaded: &'a Loaded,
    split: Split,
    /// Index of the positive class.
    positive: usize,
    context: Context<'a>,
}

impl Session<'_> {
    fn run(self, model: ResNet, resumed: bool) -> Result<RunSummary> {
        let Context { stop, listener, .. } = self.context;
        let device = model.device();
        let seen_by_init = seen_by_init(&self.config, self.loaded, &self.split.test)?;
        let drawn = self.config.data.is_none();
        listener(Progress::Data(&summarise(self.loaded, &self.split, drawn, seen_by_init)));
        let parameters = model.trainable_count();

        let mut trainer = Trainer::new(self.config.train.clone(), model)?;
        let checkpoints = Checkpoints::new(self.run.path(), &self.identity()?);
        let mut passed_over = Vec::new();
        if resumed && checkpoints.exist() {
            passed_over = trainer.resume(&checkpoints)?;
        }
        let mut history = trainer.history().to_vec();
        let device_name = malaria_libtorch::describe(device);
        listener(Progress::Model { device: &device_name, parameters, epochs_done: history.len() });
        for reason in passed_over {
            listener(Progress::Training(&Event::CheckpointPassedOver { reason }));
        }
        let labels: Vec<usize> = self.loaded.index.samples.iter().map(|sample| sample.class).collect();
        let cells = CellTensors::new(&self.loaded.cells, &labels, device)?;
        let subsets = Subsets { train: &self.split.train, validation: &self.split.validation };

        // The listener cannot fail; what goes wrong in it is looked at after the call.
        let mut written = Ok(());
        let outcome = trainer.run(&cells, subsets, &checkpoints, stop, &mut |event| {
            if let Event::EpochEnded { record, .. } = event {
                history.push(record.clone());
                if written.is_ok() {
                    written = self.write_history(&history);
                }
            }
            listener(Progress::Training(event));
        })?;
        written?;

        let kept = trainer.kept();
        let classes = self.loaded.index.classes.clone();
        let classifier = Classifier {
            model: trainer.into_model()?,
            classes,
            positive: self.positive,
            image: self.config.image,
        };
        let mut files = vec![self.run.config_path(), self.run.split_path(), checkpoints.path()];
        if !history.is_empty() {
            self.write_history(&history)?;
            files.extend([self.run.history_path(), self.run.plot_path()]);
        }
        let metrics = match kept {
            Some(_) if outcome != Outcome::Interrupted && self.split.test.is_empty() => {
                classifier.save(&self.run.weights_path())?;
                files.push(self.run.weights_path());
                None
            }
            Some(kept) if outcome != Outcome::Interrupted => {
                classifier.save(&self.run.weights_path())?;
                let summary = self.test(&classifier, &cells)?;
                let metrics = Metrics {
                    test_cells_seen_by_init: seen_by_init,
                    ..Metrics::new(&self.config, &self.split, self.context.command, kept, &history, summary)
                };
                files::write_json(&self.run.metrics_path(), &metrics)?;
                files.extend([self.run.weights_path(), self.run.predictions_path(), self.run.metrics_path()]);
                Some(metrics)
            }
            _ => None,
        };
        Ok(RunSummary { run: self.run, outcome, metrics, files })
    }
}

impl Session<'_> {
    /// A hash of everything that decides which weights come out: a checkpoint of other settings or other data must not
    /// be gone on from. Device, threads and the place of the data folder may change.
    fn identity(&self) -> Result<String> {
        let ExperimentConfig { split, image, model, train, init, .. } = &self.config;
        let settings = serde_json::to_vec(&(split, image, model, train, init));
        let settings = settings.map_err(|error| self.run.error(&error.to_string()))?;
        let path = self.run.split_path();
        let cells = fs::read(&path).map_err(Error::io("read", &path))?;
        let hash = Sha256::new().chain_update(settings).chain_update(cells).finalize();
        Ok(hash.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    fn write_history(&self, history: &[EpochRecord]) -> Result<()> {
        files::write_csv(&self.run.history_path(), history)?;
        plot(history, &self.config, &self.run.plot_path())
    }

    /// The one look at the test set.
    fn test(&self, classifier: &Classifier, cells: &CellTensors) -> Result<Summary> {
        let test = &self.split.test;
        let total = test.len();
        let listener = self.context.listener;
        let seen =
            classifier.evaluate(cells, test, &mut |done| listener(Progress::Testing { done, total }))?;
        let index = &self.loaded.index;
        write_predictions(
            &self.run.predictions_path(),
            classifier,
            index,
            test,
            Some(Subset::Test),
            &seen.probabilities,
        )?;
        let truth: Vec<usize> = test.iter().map(|&i| index.samples[i].class).collect();
        let summary =
            malaria_metrics::evaluate(&truth, &seen.probabilities, &classifier.classes, classifier.positive)?;
        Ok(summary)
    }
}

/// Draws loss and accuracy by epoch of the run in `run` to `path`, a `.png` or `.svg`.
///
/// # Errors
/// [`Error::Csv`] or [`Error::Io`] when the run has no readable `history.csv` yet, [`Error::Report`] when the figure
/// cannot be drawn or written.
pub fn plot_history(run: &RunDir, path: &Path) -> Result<()> {
    let history: Vec<EpochRecord> = files::read_csv(&run.history_path(), "figures by epoch")?;
    plot(&history, &run.config()?, path)
}

fn plot(history: &[EpochRecord], config: &ExperimentConfig, path: &Path) -> Result<()> {
    let points: Vec<EpochPoint> = history.iter().map(point).collect();
    let title = format!("{} recipe, {} split", config.recipe, config.split.protocol);
    Ok(history_plot(&points, &title, path)?)
}

fn point(record: &EpochRecord) -> EpochPoint {
    EpochPoint {
        epoch: u32::try_from(record.epoch).unwrap_or(u32::MAX),
        train_loss: Some(record.train_loss),
        train_accuracy: Some(record.train_accuracy),
        validation_loss: record.validation_loss,
        validation_accuracy: record.validation_accuracy,
    }
}
