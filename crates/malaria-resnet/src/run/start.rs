//! `train` and `resume`: check the settings, find the cells, choose the initial weights and start the run.

use std::{collections::HashSet, path::Path};

use malaria_dataset::{Index, Loaded, PatientNames, Split, read_manifest, write_manifest};
use malaria_model::ResNet;
use malaria_train::Checkpoints;
use serde::Deserialize;
use tch::Device;

use super::{
    dir::{RunDir, RunLock},
    session::{RunSummary, Session},
    sources::NewPaths,
};
use crate::{
    classifier::Classifier,
    config::{ExperimentConfig, Recipe, SourceHashes},
    data_folder::{check_classes, decode_index, synthetic_cells},
    error::{Error, Result},
    paths::{absolute, check_paths, with_absolute_paths},
    progress::{Context, Listener},
};

/// Largest plausible number of classes; more folders are probably patients.
const MAX_CLASSES: usize = 20;
/// Fewest training cells of each class to fine-tune on. With one infected cell of 50, the AUC on another laboratory's cells
/// fell from 0.95 to 0.23; with five it rose (`docs/own-cells.md`).
const MIN_FINETUNE_CELLS: usize = 5;

/// Trains according to `config` in the new run directory `out`, and evaluates the weights of the selected epoch once on the
/// test set.
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
/// [`Error::Config`] for invalid settings, [`Error::Taken`] and [`Error::RunDir`] where `out` cannot be used, and the errors of
/// other crates; the run directory then keeps the files written before.
pub fn train(config: &ExperimentConfig, out: &Path, context: Context<'_>) -> Result<RunSummary> {
    config.check()?;
    check_paths(config, out)?;
    // Before decoding, which takes minutes in which another process might choose the same folder.
    let (run, lock) = RunDir::create(out)?;
    // A missing device, a bad teacher or an impossible split is reported before images are decoded.
    config.device.resolve()?;
    config.teacher.iter().try_for_each(|teacher| teacher.open(Device::Cpu).map(drop))?;
    let index = index_cells(config, out, context.listener)?;
    malaria_dataset::split(&index, &config.split)?;
    let loaded = decode(index, config, context.listener)?;
    train_loaded(config, run, lock, &loaded, context)
}

/// Resumes the run in `run` from its newest valid checkpoint, or from its start where it has none. The run directory may have
/// been moved; `moved` gives the new places of its cells and parents, which are then recorded in `config.json`.
///
/// # Errors
/// As [`train`]; [`Error::Dataset`] when the data folder has other cells; [`Error::Config`] when the initial weights or the
/// teacher are needed and have other weights; [`Error::RunDir`] when the run is finished, since its test set must not be
/// evaluated twice.
pub fn resume(run: &Path, moved: NewPaths<'_>, context: Context<'_>) -> Result<RunSummary> {
    let run = RunDir::open(run)?;
    let mut config = run.config()?;
    if run.is_finished() {
        return Err(run.error("this run is finished, so there is nothing to resume"));
    }
    moved.apply(&mut config, &run)?;
    config.device.resolve()?;
    // Errors before this line leave no lock file behind.
    let lock = run.lock()?;
    // The excluded cells are in split.csv and the initial weights in the checkpoint, so their files may be gone.
    // So may the table of patients: split.csv has the patients and the names of the classes.
    let patients = PatientNames::Nlm;
    let reading = ExperimentConfig { exclude: None, init: None, patients, ..config.clone() };
    let mut index = index_cells(&reading, run.path(), context.listener)?;
    let manifest = read_manifest(&run.split_path())?;
    manifest.restore_classes(&mut index);
    let mut loaded = decode(index, &reading, context.listener)?;
    manifest.align(&mut loaded)?;
    resume_loaded(config, run, lock, &loaded, context)
}

/// [`train`] on decoded cells, in a directory that contains no run.
pub(crate) fn train_loaded(
    config: &ExperimentConfig,
    run: RunDir,
    _lock: RunLock,
    loaded: &Loaded,
    context: Context<'_>,
) -> Result<RunSummary> {
    let mut config = with_absolute_paths(config);
    config.command = Some(context.command.to_owned());
    config.sha256 = Some(SourceHashes::of(&config)?);
    config.model.classes = loaded.index.classes.len() as i64;
    // The run keeps this precision when it is resumed on another device.
    config.train.precision = config.train.precision.resolve(config.device.resolve()?);
    set_threads(&config);
    let mut split = malaria_dataset::split(&loaded.index, &config.split)?;
    if let Some(list) = &config.exclude {
        // From the training set only: excluding hard cases from the test set would inflate the metrics.
        let excluded = listed_cells(list, &loaded.index)?;
        split.train.retain(|&i| !excluded.contains(&loaded.index.samples[i].path));
        split.check(&loaded.index)?;
    }
    if config.recipe == Recipe::Finetune {
        check_finetune(&loaded.index, &split.train)?;
    }
    let model = initial_model(&config, &loaded.index)?;
    let positive = positive_class(&config, &loaded.index)?;
    if let Some(teacher) = &config.teacher {
        teacher.check_for(loaded, &split)?;
    }
    write_manifest(&run.split_path(), &loaded.index, &split, &loaded.fingerprints)?;
    // Last, since a folder with config.json counts as a run.
    malaria_files::write_json(&run.config_path(), &config).inspect_err(|_| {
        let _ = malaria_files::remove(&run.split_path());
    })?;
    Session { config, run, loaded, split, positive, context }.run(model, false)
}

/// [`resume`] on decoded cells, in the order of the run's manifest, with settings that may name another device, number of threads,
/// data folder, or path of initial weights and teacher.
pub(crate) fn resume_loaded(
    config: ExperimentConfig,
    run: RunDir,
    _lock: RunLock,
    loaded: &Loaded,
    context: Context<'_>,
) -> Result<RunSummary> {
    set_threads(&config);
    let manifest = read_manifest(&run.split_path())?;
    // The manifest has the subset of every cell, but not the settings of the split.
    let split = Split { config: config.split, ..manifest.resolve(&loaded.index, &loaded.fingerprints)? };
    split.check(&loaded.index)?;
    let classes = loaded.index.classes.len() as i64;
    if config.model.classes != classes {
        let expected = format!("{classes}, one for each class of the cells");
        let found = config.model.classes.to_string();
        return Err(Error::Config { field: "model.classes", expected, found });
    }
    let positive = positive_class(&config, &loaded.index)?;
    if let Some(teacher) = config.teacher.as_ref().filter(|_| config.sha256.is_none()) {
        // The weights may not be those that were checked at the start.
        teacher.check_for(loaded, &split)?;
    }
    let model = if Checkpoints::new(run.path(), "").exist() {
        // The checkpoint contains the weights.
        ResNet::new(&config.model, config.train.seed, config.device.resolve()?)?
    } else {
        initial_model(&config, &loaded.index)?
    };
    let ExperimentConfig { data, init, teacher, .. } = config.clone();
    let recorded = run.config()?;
    let now = ExperimentConfig { data, init, teacher, ..recorded.clone() };
    if now != recorded {
        malaria_files::write_json(&run.config_path(), &now)?;
    }
    Session { config, run, loaded, split, positive, context }.run(model, true)
}

/// Refuses to fine-tune on too few cells of a class.
fn check_finetune(index: &Index, train: &[usize]) -> Result<()> {
    for (class, name) in index.classes.iter().enumerate() {
        let cells = train.iter().filter(|&&i| index.samples[i].class == class).count();
        if cells < MIN_FINETUNE_CELLS {
            let expected = format!(
                "at least {MIN_FINETUNE_CELLS} training cells of each class, since the recipe finetune unlearns a rarer one"
            );
            return Err(Error::Config { field: "data", expected, found: format!("{cells} of {name}") });
        }
    }
    Ok(())
}

/// The paths in the CSV `list`, all of which must be cells of `index`.
fn listed_cells(list: &Path, index: &Index) -> Result<HashSet<String>> {
    #[derive(Deserialize)]
    struct Row {
        path: String,
    }
    let rows: Vec<Row> = malaria_files::read_csv(list, "a list of cells with a column `path`")?;
    let paths: HashSet<String> =
        rows.iter().map(|row| row.path.trim().trim_start_matches("./").to_owned()).collect();
    let known: HashSet<&str> = index.samples.iter().map(|sample| sample.path.as_str()).collect();
    let wrong = match rows.iter().find(|row| !known.contains(row.path.trim().trim_start_matches("./"))) {
        Some(unknown) => format!("`{}`", unknown.path),
        None if rows.is_empty() => "none".to_owned(),
        None => return Ok(paths),
    };
    Err(Error::Config {
        field: "exclude",
        expected: format!("paths of cells below {}", index.root.display()),
        found: format!("{wrong} in {}", list.display()),
    })
}

/// Indexes the data folder, or the synthetic cells beside the run directory `run`, and checks the settings that can be checked
/// before images are decoded.
pub(crate) fn index_cells(config: &ExperimentConfig, run: &Path, listener: Listener<'_>) -> Result<Index> {
    let folder = match &config.data {
        Some(folder) => folder.clone(),
        None => synthetic_cells(absolute(run).parent().unwrap_or(Path::new("")), listener)?,
    };
    let mut index = Index::open(&folder)?;
    index.set_patients(&config.patients)?;
    index.spell_classes([config.positive.as_str()]);
    positive_class(config, &index)?;
    if let Some(list) = &config.exclude {
        listed_cells(list, &index)?;
    }
    if config.init.is_some() {
        let mut config = config.clone();
        config.model.classes = index.classes.len() as i64;
        initial_model(&config, &index)?;
    }
    Ok(index)
}

/// Decodes the cells of `index`.
pub(crate) fn decode(index: Index, config: &ExperimentConfig, listener: Listener<'_>) -> Result<Loaded> {
    decode_index(index, config.image, config.skip_corrupt, listener)
}

/// Index of the positive class.
fn positive_class(config: &ExperimentConfig, index: &Index) -> Result<usize> {
    let classes = &index.classes;
    index.class(&config.positive).ok_or_else(|| {
        // Folders of patients are numbered, and there are many of them.
        let numbered = classes.iter().all(|class| class.contains(|c: char| c.is_ascii_digit()));
        if classes.len() > MAX_CLASSES || (classes.len() > 2 && numbered) {
            let expected = "the name of a class, and one folder for each class, such as Parasitized and Uninfected, with \
                            any folders of patients inside them";
            let root = index.root.display();
            let found = format!(
                "`{}`, and {} folders in {root}, such as `{}`",
                config.positive,
                classes.len(),
                classes[0]
            );
            return Error::Config { field: "positive", expected: expected.to_owned(), found };
        }
        let (expected, found) = (format!("one of the classes {classes:?}"), format!("`{}`", config.positive));
        Error::Config { field: "positive", expected, found }
    })
}

fn set_threads(config: &ExperimentConfig) {
    if let Some(threads) = config.threads {
        malaria_libtorch::set_threads(threads);
    }
}

/// The network that training starts from: that of `init`, which must fit the classes and settings, or a new one.
fn initial_model(config: &ExperimentConfig, index: &Index) -> Result<ResNet> {
    let device = config.device.resolve()?;
    let Some(init) = &config.init else {
        return Ok(ResNet::new(&config.model, config.train.seed, device)?);
    };
    let init = Classifier::load(init, device).map_err(|error| Error::Config {
        field: "init",
        expected: "a finished run".to_owned(),
        found: error.to_string(),
    })?;
    check_classes(index, &init.description.classes)?;
    if *init.model().config() != config.model {
        let expected = format!("the network of `init`, {:?}", init.model().config());
        return Err(Error::Config { field: "model", expected, found: format!("{:?}", config.model) });
    }
    Ok(init.into_model())
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        sync::{Mutex, atomic::AtomicBool},
    };

    use malaria_classifier::{ImageConfig, ResNetConfig};
    use malaria_dataset::{Protocol, ResizePolicy, SyntheticConfig, write_synthetic};
    use malaria_train::{ImageSize, Outcome};

    use super::*;
    use crate::progress::Progress;

    #[test]
    fn fine_tuning_needs_cells_of_each_class() {
        let folder = tempfile::tempdir().unwrap();
        let cells = SyntheticConfig { cells: 48, patients: 8, ..SyntheticConfig::default() };
        write_synthetic(&folder.path().join("cells"), &cells, &|_| {}).unwrap();
        let index = Index::open(&folder.path().join("cells")).unwrap();
        let (first, others): (Vec<usize>, Vec<usize>) =
            (0..index.samples.len()).partition(|&i| index.samples[i].class == 0);
        let train = |cells: usize| [&first[..cells], &others].concat();
        check_finetune(&index, &train(MIN_FINETUNE_CELLS)).unwrap();
        let error = check_finetune(&index, &train(MIN_FINETUNE_CELLS - 1)).unwrap_err().to_string();
        assert!(error.contains(&format!("4 of {}", index.classes[0])), "{error}");
    }

    #[test]
    fn the_folder_is_locked_while_cells_are_read_and_removed_if_no_run_starts() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let cells = SyntheticConfig { cells: 48, patients: 8, ..SyntheticConfig::default() };
        write_synthetic(&path("cells"), &cells, &|_| {}).unwrap();
        let mut config = ExperimentConfig::new(Recipe::Fast, Protocol::Random, 0);
        config.data = Some(path("cells"));
        config.image = ImageConfig { pixels: 16, resize: ResizePolicy::Stretch };
        config.model =
            ResNetConfig { stages: vec![1], filters: vec![2, 4], input_size: 16, ..ResNetConfig::tutorial() };
        config.train.image_sizes = vec![ImageSize { from_epoch: 1, pixels: 16 }];
        // The error of another process that starts in the same folder while the cells are read.
        let second = Mutex::new(None);
        let out = path("runs/run");
        let listener = |progress: Progress<'_>| {
            if matches!(progress, Progress::Decoding { .. }) {
                second.lock().unwrap().get_or_insert_with(|| RunDir::create(&out).map(drop));
            }
        };
        let stop = AtomicBool::new(true);
        let context = Context { command: "", stop: &stop, listener: &listener };

        // No training cell is left, which is known only after all cells have been read.
        let index = Index::open(&path("cells")).unwrap();
        let list = index.samples.iter().map(|sample| format!("./{}\n", sample.path));
        fs::write(path("all.csv"), format!("path\n{}", list.collect::<String>())).unwrap();
        let none_left = ExperimentConfig { exclude: Some(path("all.csv")), ..config.clone() };
        assert!(matches!(train(&none_left, &out, context), Err(Error::Dataset(_))));
        let refused = second.lock().unwrap().take().expect("no cell was read").unwrap_err().to_string();
        assert!(refused.ends_with("another process is training in it"), "{refused}");
        assert!(!path("runs").exists());

        assert_eq!(train(&config, &out, context).unwrap().outcome, Outcome::Interrupted);
        assert!(out.join("config.json").is_file() && out.join("split.csv").is_file());
    }
}
