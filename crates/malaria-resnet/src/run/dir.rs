//! A run directory: its files, its state and its lock.

use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
};

use malaria_dataset::Protocol;
use malaria_report::Card;
use malaria_train::EpochRecord;

use crate::{
    config::ExperimentConfig,
    error::{Error, Result},
};

/// The run directory of fold `number` (from 1) of the cross-validation in `out`.
pub fn fold_dir(out: &Path, number: usize) -> PathBuf {
    out.join(format!("fold-{number}"))
}

/// The directory of one run. Each of its files is written completely or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunDir {
    path: PathBuf,
}

/// Lock of the one process that may write to a run directory; released when dropped or when the process ends. If no run was
/// started, dropping it also removes the folders that were created for it.
#[derive(Debug)]
pub struct RunLock {
    _file: File,
    run: RunDir,
    /// The innermost first.
    created: Vec<PathBuf>,
}

impl Drop for RunLock {
    fn drop(&mut self) {
        if !self.run.config_path().exists() {
            // Folders that cannot be removed or contain other files stay.
            let _ = fs::remove_file(self.run.lock_path());
            let _ = self.created.iter().try_for_each(fs::remove_dir);
        }
    }
}

impl RunDir {
    /// Creates the directory and locks it. If no `config.json` is written to it, it is removed again when the lock is dropped.
    ///
    /// # Errors
    /// [`Error::Taken`] when it holds a run or a cross-validation; [`Error::RunDir`] when it is locked; [`Error::File`] when it
    /// cannot be created.
    pub fn create(path: &Path) -> Result<(Self, RunLock)> {
        Self::refuse_taken(path)?;
        Self::refuse_folds(path)?;
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let created =
            absolute.ancestors().take_while(|folder| !folder.exists()).map(Path::to_owned).collect();
        fs::create_dir_all(path).map_err(malaria_files::Error::io("create the run directory", path))?;
        let run = Self { path: path.to_owned() };
        let mut lock = run.lock()?;
        lock.created = created;
        // Another process may have started a run in it since.
        Self::refuse_taken(path)?;
        Ok((run, lock))
    }

    /// Refuses the folder of a cross-validation, whose results a run would overwrite.
    ///
    /// # Errors
    /// [`Error::Taken`] then.
    pub(crate) fn refuse_folds(path: &Path) -> Result<()> {
        if fold_dir(path, 1).is_dir() {
            return Err(taken(path, "it holds the folds of a cross-validation"));
        }
        Ok(())
    }

    /// Refuses a folder that already contains a run.
    ///
    /// # Errors
    /// [`Error::Taken`] then.
    pub(crate) fn refuse_taken(path: &Path) -> Result<()> {
        let run = Self { path: path.to_owned() };
        if path.exists() && !path.is_dir() {
            return Err(taken(path, "it is not a folder"));
        }
        if run.config_path().exists() {
            let finished = run.is_finished();
            return Err(taken(
                path,
                if finished { "it holds a finished run" } else { "it already holds a run" },
            ));
        }
        Ok(())
    }

    /// Opens the directory of a run that has been started.
    ///
    /// # Errors
    /// [`Error::RunDir`] when it does not exist or holds no `config.json`, or holds a cross-validation.
    pub fn open(path: &Path) -> Result<Self> {
        let run = Self { path: path.to_owned() };
        if !path.is_dir() {
            let reason = match path.extension().and_then(|extension| extension.to_str()) {
                _ if !path.exists() => "there is no such folder",
                Some("safetensors") => "it is a file of weights: name the run directory that contains it",
                Some("onnx") => {
                    "it is an exported model: name the run directory it was exported from, or use malaria-edge"
                }
                _ => "it is not a folder",
            };
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

    /// The path of the trained weights.
    ///
    /// # Errors
    /// [`Error::Unfinished`] when the run has none yet.
    pub(crate) fn finished_weights(&self) -> Result<PathBuf> {
        let path = self.weights_path();
        if path.is_file() {
            return Ok(path);
        }
        Err(Error::Unfinished { path: self.path.clone() })
    }

    /// Locks the directory for this process, and removes temporary files of a process that was killed.
    ///
    /// # Errors
    /// [`Error::RunDir`] when another process holds the lock.
    pub fn lock(&self) -> Result<RunLock> {
        let path = self.lock_path();
        let file = File::options().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(malaria_files::Error::io("open", &path))?;
        match file.try_lock() {
            Ok(()) => {
                for folder in
                    [&self.path, &self.path.join("figures")].into_iter().filter(|path| path.is_dir())
                {
                    malaria_files::remove_temporary_files(folder)
                        .map_err(malaria_files::Error::io("clean up", folder))?;
                }
                Ok(RunLock { _file: file, run: self.clone(), created: Vec::new() })
            }
            Err(TryLockError::WouldBlock) => Err(self.error("another process is training in it")),
            Err(TryLockError::Error(source)) => Err(malaria_files::Error::io("lock", &path)(source).into()),
        }
    }

    /// The path of the directory.
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

    /// The run's metrics by epoch.
    ///
    /// # Errors
    /// [`Error::File`] when there is no readable `history.csv` yet.
    pub fn history(&self) -> Result<Vec<EpochRecord>> {
        Ok(malaria_files::read_csv(&self.history_path(), "metrics by epoch")?)
    }

    /// Whether the run is finished: it has test metrics, or weights if the split has no test set.
    pub fn is_finished(&self) -> bool {
        let untested = || self.config().is_ok_and(|config| config.split.protocol == Protocol::All);
        self.metrics_path().is_file() || (self.weights_path().is_file() && untested())
    }

    /// Writes the model card and returns its path.
    pub(crate) fn write_model_card(&self, card: &Card<'_>) -> Result<PathBuf> {
        let path = self.model_card_path();
        malaria_files::write(&path, card.markdown().as_bytes())
            .map_err(malaria_files::Error::io("write", &path))?;
        Ok(path)
    }

    /// `config.json`: every setting.
    pub fn config_path(&self) -> PathBuf {
        self.path.join("config.json")
    }

    fn lock_path(&self) -> PathBuf {
        self.path.join("run.lock")
    }

    /// `split.csv`: every cell, its class, patient, subset and fingerprint.
    pub fn split_path(&self) -> PathBuf {
        self.path.join("split.csv")
    }

    /// `history.csv`: metrics by epoch.
    pub fn history_path(&self) -> PathBuf {
        self.path.join("history.csv")
    }

    /// `weights.safetensors`: the weights of the selected epoch, with the [`Description`](crate::Description) of the model.
    pub fn weights_path(&self) -> PathBuf {
        self.path.join("weights.safetensors")
    }

    /// `predictions.csv`: the predictions for every test cell.
    pub fn predictions_path(&self) -> PathBuf {
        self.path.join("predictions.csv")
    }

    /// `patients.csv`: the call of each test patient, where patients are called.
    pub fn patients_path(&self) -> PathBuf {
        self.path.join("patients.csv")
    }

    /// `metrics.json`: the test metrics and how the run was made.
    pub fn metrics_path(&self) -> PathBuf {
        self.path.join("metrics.json")
    }

    /// `plot.png`: loss and accuracy by epoch.
    pub fn plot_path(&self) -> PathBuf {
        self.path.join("plot.png")
    }

    /// `report.html`: the page of results.
    pub fn report_path(&self) -> PathBuf {
        self.path.join("report.html")
    }

    /// `model_card.md`: the model card.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Recipe;

    fn write_config(run: &Path, protocol: Protocol) {
        fs::create_dir_all(run).unwrap();
        let mut config = ExperimentConfig::new(Recipe::Tutorial, protocol, 0);
        config.data = Some("cells".into());
        malaria_files::write_json(&run.join("config.json"), &config).unwrap();
    }

    #[test]
    fn a_run_starts_only_in_a_folder_without_a_run_and_opens_only_with_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let touch = |run: &str, file: &str| fs::write(path(run).join(file), "").unwrap();
        fs::create_dir_all(path("empty")).unwrap();
        fs::write(path("file"), "").unwrap();
        fs::create_dir_all(fold_dir(&path("folds"), 1)).unwrap();
        for run in ["started", "trained", "finished"] {
            write_config(&path(run), Protocol::Random);
        }
        write_config(&path("untested"), Protocol::All);
        touch("trained", "weights.safetensors");
        touch("untested", "weights.safetensors");
        touch("finished", "metrics.json");

        let no_config = "it holds no config.json, so it is not a run directory";
        let folds = "it holds the folds of a cross-validation";
        let open_folds = "it holds the folds of a cross-validation: name one of them, or `final` in it";
        // The kind of folder, whether it is finished, the reason why no run can start there, and the reason why it cannot be
        // opened.
        let cases = [
            ("started", false, Some("it already holds a run"), None),
            ("trained", false, Some("it already holds a run"), None),
            ("finished", true, Some("it holds a finished run"), None),
            ("untested", true, Some("it holds a finished run"), None),
            ("folds", false, Some(folds), Some(open_folds)),
            ("empty", false, None, Some(no_config)),
            ("absent", false, None, Some("there is no such folder")),
        ];
        for (name, finished, create, open) in cases {
            let opened = RunDir::open(&path(name));
            assert_eq!(opened.as_ref().is_ok_and(RunDir::is_finished), finished, "{name}");
            let message = |reason: &str| format!("run directory {}: {reason}", path(name).display());
            assert_eq!(opened.err().map(|error| error.to_string()), open.map(message), "{name}");
            let created = RunDir::create(&path(name)).err();
            assert!(matches!(created, None | Some(Error::Taken { .. })), "{name}: {created:?}");
            assert_eq!(created.map(|error| error.to_string()), create.map(message), "{name}");
        }
        for (file, words) in
            [("model.onnx", "use malaria-edge"), ("trained/weights.safetensors", "contains it")]
        {
            fs::write(path(file), "").unwrap();
            assert!(RunDir::open(&path(file)).unwrap_err().to_string().ends_with(words), "{file}");
        }
        for error in [RunDir::open(&path("file")).err(), RunDir::refuse_taken(&path("file")).err()] {
            assert!(error.unwrap().to_string().ends_with("it is not a folder"));
        }
    }

    #[test]
    fn weights_are_missing_until_the_run_has_trained() {
        let folder = tempfile::tempdir().unwrap();
        write_config(folder.path(), Protocol::Random);
        let run = RunDir::open(folder.path()).unwrap();
        assert!(matches!(run.finished_weights(), Err(Error::Unfinished { path }) if path == folder.path()));
        fs::write(run.weights_path(), "").unwrap();
        assert_eq!(run.finished_weights().unwrap(), run.weights_path());
    }

    #[test]
    fn a_lock_excludes_others_and_removes_the_temporary_files_of_killed_processes() {
        let folder = tempfile::tempdir().unwrap();
        let (run, lock) = RunDir::create(folder.path()).unwrap();
        let error = RunDir::create(folder.path()).unwrap_err();
        assert!(error.to_string().ends_with("another process is training in it"), "{error}");
        assert!(matches!(run.lock(), Err(Error::RunDir { .. })));
        drop(lock);
        write_config(folder.path(), Protocol::Random);
        let left = folder.path().join(".metrics.json.writing-1");
        fs::write(&left, "").unwrap();
        let _lock = run.lock().unwrap();
        assert!(!left.exists());
    }

    #[test]
    fn a_folder_is_removed_again_if_no_run_was_started() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let names = || {
            let entries = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
            entries.map(|name| name.into_string().unwrap()).collect::<Vec<_>>()
        };
        let (run, lock) = RunDir::create(&path("runs/deep/run")).unwrap();
        assert!(run.path().is_dir());
        drop(lock);
        assert!(names().is_empty(), "{:?}", names());

        // Existing files stay, and so does a started run.
        let files = |run: &str| fs::read_dir(path(run)).unwrap().count();
        fs::create_dir(path("empty")).unwrap();
        drop(RunDir::create(&path("empty")).unwrap());
        assert_eq!(files("empty"), 0);
        fs::create_dir(path("notes")).unwrap();
        fs::write(path("notes/notes.txt"), "").unwrap();
        drop(RunDir::create(&path("notes/run")).unwrap());
        assert_eq!(files("notes"), 1);
        let (_, lock) = RunDir::create(&path("started")).unwrap();
        write_config(&path("started"), Protocol::Random);
        drop(lock);
        assert_eq!(files("started"), 2);
    }
}
