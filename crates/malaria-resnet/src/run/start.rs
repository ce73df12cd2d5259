//! From settings to a session, new or taken up again.

use std::{collections::HashSet, path::Path};

use malaria_dataset::{CorruptPolicy, Index, Loaded, Split, write_manifest};
use malaria_model::ResNet;
use malaria_train::Checkpoints;
use serde::Deserialize;
use tch::Device;

use super::{
    dir::{RunDir, RunLock},
    session::{RunSummary, Session},
};
use crate::{
    classifier::Classifier,
    config::ExperimentConfig,
    data::{decode_index, synthetic_cells},
    error::{Error, Result},
    paths::{absolute, check_paths, found_from_anywhere},
    progress::{Context, Listener},
};

/// Trains by `config` into the new run directory `out`, and evaluates the kept weights on the test set, once.
///
/// ```no_run
/// use std::{path::Path, sync::atomic::AtomicBool};
///
/// use malaria_resnet::{Context, ExperimentConfig, Recipe, dataset::Protocol, train};
///
/// let mut config = ExperimentConfig::new(Recipe::Fast, Protocol::Patient, 0);
/// config.data = Some("cell_images".into());
/// let stop = AtomicBool::new(false);
/// let context = Context { command: "my program", stop: &stop, listener: &|_| {} };
/// let summary = train(&config, Path::new("runs/mine"), context)?;
/// if let Some(metrics) = summary.metrics {
///     println!("sensitivity {:?}, specificity {:?}", metrics.test.sensitivity, metrics.test.specificity);
/// }
/// # Ok::<(), malaria_resnet::Error>(())
/// ```
///
/// # Errors
/// Every crate's own; the run directory then holds what was finished before.
pub fn train(config: &ExperimentConfig, out: &Path, context: Context<'_>) -> Result<RunSummary> {
    config.check()?;
    check_paths(config, out)?;
    RunDir::refuse_taken(out)?;
    RunDir::refuse_folds(out)?;
    // An absent device is to be known before pictures are read.
    config.device.resolve()?;
    config.teacher.iter().try_for_each(|teacher| teacher.open(Device::Cpu).map(drop))?;
    let index = find_cells(config, out, context.listener)?;
    // What cannot be divided is to be known before pictures are read, too.
    malaria_dataset::split(&index, &config.split)?;
    let loaded = decode(index, config, context.listener)?;
    begin(config, out, &loaded, context)
}

/// Goes on with the run in `run` from its newest sound checkpoint, or from its start where it has none.
///
/// # Errors
/// As [`train`]; [`Error::Dataset`] when the data folder is not what it was; [`Error::RunDir`] when the run is finished, whose
/// test set would be read a second time.
pub fn resume(run: &Path, context: Context<'_>) -> Result<RunSummary> {
    let run = RunDir::open(run)?;
    let config = run.config()?;
    if run.is_finished() {
        return Err(run.error("the run in it is finished: there is nothing to go on with"));
    }
    config.device.resolve()?;
    // What is refused up to here leaves no lock file behind.
    let lock = run.lock()?;
    // split.csv says who was left out: the list need not be there any more.
    // Nor has the run that it started from, where there is a checkpoint.
    let reading = ExperimentConfig { exclude: None, init: None, ..config.clone() };
    let loaded = decode(find_cells(&reading, run.path(), context.listener)?, &reading, context.listener)?;
    go_on(config, run, lock, &loaded, context)
}

/// [`train`] on cells that are in memory already.
pub(crate) fn begin(
    config: &ExperimentConfig,
    out: &Path,
    loaded: &Loaded,
    context: Context<'_>,
) -> Result<RunSummary> {
    let mut config = found_from_anywhere(config);
    config.command = Some(context.command.to_owned());
    config.model.classes = loaded.index.classes.len() as i64;
    // What is begun in one precision goes on in it, on whatever device.
    config.train.precision = config.train.precision.resolve(config.device.resolve()?);
    set_threads(&config);
    let mut split = malaria_dataset::split(&loaded.index, &config.split)?;
    if let Some(list) = &config.exclude {
        // They stay where a model is evaluated: a test set without its hard cases would flatter.
        let named = named_cells(list, &loaded.index)?;
        split.train.retain(|&i| !named.contains(&loaded.index.samples[i].path));
        split.check(&loaded.index)?;
    }
    let model = first_model(&config, &loaded.index)?;
    let positive = positive(&config, &loaded.index)?;
    if let Some(teacher) = &config.teacher {
        teacher.load(loaded, &split, Device::Cpu)?;
    }
    // Only now, so that what is refused leaves no folder behind.
    let (run, _lock) = RunDir::create(out)?;
    write_manifest(&run.split_path(), &loaded.index, &split, &loaded.fingerprints)?;
    // Last, since a folder with settings in it counts as a run.
    malaria_files::write_json(&run.config_path(), &config)?;
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
    let classes = loaded.index.classes.len() as i64;
    if config.model.classes != classes {
        let expected = format!("{classes}, one for each class of the cells");
        let found = config.model.classes.to_string();
        return Err(Error::Config { field: "model.classes", expected, found });
    }
    let positive = positive(&config, &loaded.index)?;
    let model = if Checkpoints::new(run.path(), "").exist() {
        // The weights are in the checkpoint.
        ResNet::new(&config.model, config.train.seed, config.device.resolve()?)?
    } else {
        first_model(&config, &loaded.index)?
    };
    Session { config, run, loaded, split, positive, context }.run(model, true)
}

/// The cells of `index` that the CSV `list` names, by their paths.
fn named_cells(list: &Path, index: &Index) -> Result<HashSet<String>> {
    #[derive(Deserialize)]
    struct Row {
        path: String,
    }
    let rows: Vec<Row> = malaria_files::read_csv(list, "a list of cells with a column `path`")?;
    let known: HashSet<&str> = index.samples.iter().map(|sample| sample.path.as_str()).collect();
    let wrong = match rows.iter().find(|row| !known.contains(row.path.as_str())) {
        Some(unknown) => format!("`{}`", unknown.path),
        None if rows.is_empty() => "none".to_owned(),
        None => return Ok(rows.into_iter().map(|row| row.path).collect()),
    };
    Err(Error::Config {
        field: "exclude",
        expected: format!("paths of cells below {}", index.root.display()),
        found: format!("{wrong} in {}", list.display()),
    })
}

/// Finds the cells that the settings name, or else the synthetic cells beside the run directory `run`, and looks at whatever settings can
/// be told to be wrong before they are read.
pub(crate) fn find_cells(config: &ExperimentConfig, run: &Path, listener: Listener<'_>) -> Result<Index> {
    let folder = match &config.data {
        Some(folder) => folder.clone(),
        None => synthetic_cells(absolute(run).parent().unwrap_or(Path::new("")), listener)?,
    };
    let index = Index::open(&folder)?;
    positive(config, &index)?;
    if let Some(list) = &config.exclude {
        named_cells(list, &index)?;
    }
    if config.init.is_some() {
        let mut config = config.clone();
        config.model.classes = index.classes.len() as i64;
        first_model(&config, &index)?;
    }
    Ok(index)
}

/// Reads the cells of `index`.
pub(crate) fn decode(index: Index, config: &ExperimentConfig, listener: Listener<'_>) -> Result<Loaded> {
    let corrupt = if config.skip_corrupt { CorruptPolicy::Skip } else { CorruptPolicy::Fail };
    decode_index(index, config.image, corrupt, listener)
}

/// Index of the positive class among the folder's.
fn positive(config: &ExperimentConfig, index: &Index) -> Result<usize> {
    index.class(&config.positive).ok_or_else(|| Error::Config {
        field: "positive",
        expected: format!("one of the classes {:?}", index.classes),
        found: format!("`{}`", config.positive),
    })
}

fn set_threads(config: &ExperimentConfig) {
    if let Some(threads) = config.threads {
        malaria_libtorch::set_threads(threads);
    }
}

/// The network that training starts from: that of `--init`, if it can learn this run's classes, or a new one.
fn first_model(config: &ExperimentConfig, index: &Index) -> Result<ResNet> {
    let device = config.device.resolve()?;
    let Some(init) = &config.init else {
        return Ok(ResNet::new(&config.model, config.train.seed, device)?);
    };
    let init = Classifier::load(init, device).map_err(|error| Error::Config {
        field: "init",
        expected: "a finished run".to_owned(),
        found: error.to_string(),
    })?;
    if init.classes != index.classes {
        let (expected, found) = (init.classes, index.classes.clone());
        return Err(Error::Classes { path: index.root.clone(), expected, found });
    }
    if *init.model().config() != config.model {
        let expected = format!("the network of `init`, {:?}", init.model().config());
        return Err(Error::Config { field: "model", expected, found: format!("{:?}", config.model) });
    }
    Ok(init.into_model())
}
