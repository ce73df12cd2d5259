//! Paths in settings: absolute, in UTF-8, and with runs outside the data folder.

use std::{
    fs,
    path::{Path, PathBuf},
};

use malaria_dataset::PatientNames;

use crate::{
    config::ExperimentConfig,
    error::{Error, Result},
};

/// Refuses paths that are not UTF-8, and an output folder inside the data folder, where the next run would read plots as cells.
pub(crate) fn check_paths(config: &ExperimentConfig, out: &Path) -> Result<()> {
    let config = with_absolute_paths(config);
    let out = absolute(out);
    let refuse = |field, expected: &str, path: &Path| {
        let (expected, found) = (expected.to_owned(), path.display().to_string());
        Err(Error::Config { field, expected, found })
    };
    let ExperimentConfig { data, patients, init, exclude, teacher, .. } = &config;
    let table = if let PatientNames::Table(file) = patients { Some(file) } else { None };
    let named = [
        ("out", Some(&out)),
        ("data", data.as_ref()),
        ("patients", table),
        ("init", init.as_ref()),
        ("exclude", exclude.as_ref()),
        ("teacher", teacher.as_ref().map(|teacher| &teacher.run)),
    ];
    for (field, path) in named {
        if let Some(path) = path.filter(|path| path.to_str().is_none()) {
            return refuse(field, "a path in UTF-8, since it is stored as JSON", path);
        }
    }
    if data.as_deref().is_some_and(|data| out.starts_with(data)) {
        return refuse("out", "a folder outside the data folder, where every image is read as a cell", &out);
    }
    Ok(())
}

/// `config` with absolute paths.
pub(crate) fn with_absolute_paths(config: &ExperimentConfig) -> ExperimentConfig {
    let mut config = config.clone();
    for path in [&mut config.data, &mut config.init, &mut config.exclude] {
        *path = path.as_deref().map(absolute);
    }
    if let PatientNames::Table(file) = &mut config.patients {
        *file = absolute(file);
    }
    if let Some(teacher) = &mut config.teacher {
        teacher.run = absolute(&teacher.run);
    }
    config
}

/// The last component of `path`, for display.
pub(crate) fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// `path` as an absolute path, with symbolic links resolved as far as it exists.
pub(crate) fn absolute(path: &Path) -> PathBuf {
    if let Ok(canonical) = fs::canonicalize(path) {
        return canonical;
    }
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => absolute(parent).join(name),
        _ => path,
    }
}

#[cfg(test)]
mod tests {
    use malaria_dataset::Protocol;

    use super::*;
    use crate::config::Recipe;

    fn refused(set: impl Fn(&mut ExperimentConfig), out: &Path) -> Option<&'static str> {
        let mut config = ExperimentConfig::new(Recipe::Fast, Protocol::Random, 0);
        set(&mut config);
        match check_paths(&config, out) {
            Ok(()) => None,
            Err(Error::Config { field, .. }) => Some(field),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn output_inside_the_data_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let cells = folder.path().join("cells");
        fs::create_dir(&cells).unwrap();
        let set = |config: &mut ExperimentConfig| config.data = Some(cells.clone());
        for (out, expected) in [
            ("cells", Some("out")),
            ("cells/run", Some("out")),
            ("cells/new/run", Some("out")),
            ("cells-run", None),
            ("run", None),
        ] {
            assert_eq!(refused(set, &folder.path().join(out)), expected, "{out}");
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn paths_that_are_not_utf8_are_refused_by_field() {
        use std::os::unix::ffi::OsStrExt;

        let bad = Path::new(std::ffi::OsStr::from_bytes(b"bad\xff"));
        let out = Path::new("run");
        assert_eq!(refused(|_| {}, bad), Some("out"));
        assert_eq!(refused(|config| config.data = Some(bad.into()), out), Some("data"));
        assert_eq!(
            refused(|config| config.patients = PatientNames::Table(bad.into()), out),
            Some("patients")
        );
        assert_eq!(refused(|config| config.init = Some(bad.into()), out), Some("init"));
        assert_eq!(refused(|config| config.exclude = Some(bad.into()), out), Some("exclude"));
    }
}
