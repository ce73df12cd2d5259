use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
};

use malaria_dataset::Protocol;
use malaria_train::EpochRecord;

use crate::{
    config::ExperimentConfig,
    error::{Error, Result},
};

/// Where fold `number` (from 1) of the cross-validation in `out` is run.
pub fn fold_dir(out: &Path, number: usize) -> PathBuf {
    out.join(format!("fold-{number}"))
}

/// The folder of one run. Whatever is in it was written whole or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunDir {
    path: PathBuf,
}

/// Held by the one process that may write to a run directory; given back when dropped, or when the process ends.
#[derive(Debug)]
pub struct RunLock {
    _file: File,
}

impl RunDir {
    /// Makes the folder and takes its lock.
    ///
    /// # Errors
    /// [`Error::Taken`] when it holds a run already; [`Error::RunDir`] when it is in use; [`Error::File`] when it cannot be made.
    pub fn create(path: &Path) -> Result<(Self, RunLock)> {
        fs::create_dir_all(path).map_err(malaria_files::Error::io("make the run directory", path))?;
        let run = Self { path: path.to_owned() };
        let lock = run.lock()?;
        Self::refuse_taken(path)?;
        Self::refuse_folds(path)?;
        Ok((run, lock))
    }

    /// Refuses the folder of a cross-validation, whose figures a run in it would replace.
    ///
    /// # Errors
    /// [`Error::Taken`] then.
    pub(crate) fn refuse_folds(path: &Path) -> Result<()> {
        if fold_dir(path, 1).is_dir() {
            return Err(taken(path, "it holds the folds of a cross-validation"));
        }
        Ok(())
    }

    /// Refuses a folder that holds a run already.
    ///
    /// # Errors
    /// [`Error::Taken`] then.
    pub(crate) fn refuse_taken(path: &Path) -> Result<()> {
        let run = Self { path: path.to_owned() };
        if path.exists() && !path.is_dir() {
            return Err(taken(path, "it is not a folder"));
        }
        if run.config_path().exists() && run.is_finished() {
            return Err(taken(path, "it holds a finished run"));
        }
        if run.config_path().exists() {
            return Err(taken(path, "it holds a run already"));
        }
        Ok(())
    }

    /// Opens the folder of a run that has been started.
    ///
    /// # Errors
    /// [`Error::RunDir`] when there is no such folder, or no `config.json` in it.
    pub fn open(path: &Path) -> Result<Self> {
        let run = Self { path: path.to_owned() };
        if !path.is_dir() {
            let reason = if path.exists() { "it is not a folder" } else { "there is no such folder" };
            return Err(run.error(reason));
        }
        if fold_dir(path, 1).is_dir() {
            return Err(
                run.error("it holds the folds of a cross-validation: name one of them, or `final` in it")
            );
        }
        if !run.config_path().is_file() {
            return Err(run.error("it holds no config.json, so it is not a run directory"));
        }
        Ok(run)
    }

    /// The kept weights' path, if the run has come to them.
    ///
    /// # Errors
    /// [`Error::Unfinished`] when it has not.
    pub(crate) fn finished_weights(&self) -> Result<PathBuf> {
        let path = self.weights_path();
        if path.is_file() {
            return Ok(path);
        }
        Err(Error::Unfinished { path: self.path.clone() })
    }

    /// Takes the folder for this process alone.
    ///
    /// # Errors
    /// [`Error::RunDir`] when another process has it.
    pub fn lock(&self) -> Result<RunLock> {
        let path = self.path.join("run.lock");
        let file = File::options().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(malaria_files::Error::io("open", &path))?;
        match file.try_lock() {
            Ok(()) => {
                // Whoever was killed here while writing is gone: the lock was free.
                for folder in
                    [&self.path, &self.path.join("figures")].into_iter().filter(|path| path.is_dir())
                {
                    malaria_files::sweep(folder).map_err(malaria_files::Error::io("clear up", folder))?;
                }
                Ok(RunLock { _file: file })
            }
            Err(TryLockError::WouldBlock) => Err(self.error("another process is training in it")),
            Err(TryLockError::Error(source)) => Err(malaria_files::Error::io("lock", &path)(source).into()),
        }
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The run's settings.
    ///
    /// # Errors
    /// As [`ExperimentConfig::read`].
    pub fn config(&self) -> Result<ExperimentConfig> {
        ExperimentConfig::read(&self.config_path())
    }

    /// The run's figures by epoch.
    ///
    /// # Errors
    /// [`Error::File`] when there is no readable `history.csv` yet.
    pub fn history(&self) -> Result<Vec<EpochRecord>> {
        Ok(malaria_files::read_csv(&self.history_path(), "figures by epoch")?)
    }

    /// Whether the run has come to its end: it has its figures, or, where no cell is left to test on, its weights.
    pub fn is_finished(&self) -> bool {
        let tests_none = || self.config().is_ok_and(|config| config.split.protocol == Protocol::All);
        self.metrics_path().is_file() || (self.weights_path().is_file() && tests_none())
    }

    /// `config.json`: every setting.
    pub fn config_path(&self) -> PathBuf {
        self.path.join("config.json")
    }

    /// `split.csv`: every cell, its class, patient, subset and fingerprint.
    pub fn split_path(&self) -> PathBuf {
        self.path.join("split.csv")
    }

    /// `history.csv`: figures by epoch.
    pub fn history_path(&self) -> PathBuf {
        self.path.join("history.csv")
    }

    /// `weights.safetensors`: the kept weights, with the classes and the way pictures are read.
    pub fn weights_path(&self) -> PathBuf {
        self.path.join("weights.safetensors")
    }

    /// `predictions.csv`: what the model says of every test cell.
    pub fn predictions_path(&self) -> PathBuf {
        self.path.join("predictions.csv")
    }

    /// `patients.csv`: what each tested patient is called by all of their cells, where patients are called.
    pub fn patients_path(&self) -> PathBuf {
        self.path.join("patients.csv")
    }

    /// `metrics.json`: the test figures and how they came about.
    pub fn metrics_path(&self) -> PathBuf {
        self.path.join("metrics.json")
    }

    /// `plot.png`: loss and accuracy by epoch.
    pub fn plot_path(&self) -> PathBuf {
        self.path.join("plot.png")
    }

    /// `report.html`: the figures to look at.
    pub fn report_path(&self) -> PathBuf {
        self.path.join("report.html")
    }

    /// `model_card.md`: what a user of the model has to know.
    pub fn model_card_path(&self) -> PathBuf {
        self.path.join("model_card.md")
    }

    pub(crate) fn error(&self, reason: &str) -> Error {
        Error::RunDir { path: self.path.clone(), reason: reason.to_owned() }
    }
}

fn taken(path: &Path, reason: &'static str) -> Error {
    Error::Taken { path: path.to_owned(), reason }
}
