//! Paths in settings: the same from every folder, in UTF-8, and runs apart from the data.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    config::ExperimentConfig,
    error::{Error, Result},
};

/// Refuses paths that no JSON could hold, and a folder for runs in the data folder: the next run would take its figures for cells.
pub(crate) fn check_paths(config: &ExperimentConfig, out: &Path) -> Result<()> {
    let config = found_from_anywhere(config);
    let out = absolute(out);
    let refuse = |field, expected: &str, path: &Path| {
        let (expected, found) = (expected.to_owned(), path.display().to_string());
        Err(Error::Config { field, expected, found })
    };
    let ExperimentConfig { data, init, exclude, teacher, .. } = &config;
    let named = [
        ("out", Some(&out)),
        ("data", data.as_ref()),
        ("init", init.as_ref()),
        ("exclude", exclude.as_ref()),
        ("teacher", teacher.as_ref().map(|teacher| &teacher.run)),
    ];
    for (field, path) in named {
        if let Some(path) = path.filter(|path| path.to_str().is_none()) {
            return refuse(field, "a path in UTF-8, as it is written down in JSON", path);
        }
    }
    if data.as_deref().is_some_and(|data| out.starts_with(data)) {
        return refuse("out", "a folder outside the data folder, whose pictures are taken for cells", &out);
    }
    Ok(())
}

/// `config` with paths that mean the same from every folder.
pub(crate) fn found_from_anywhere(config: &ExperimentConfig) -> ExperimentConfig {
    let mut config = config.clone();
    for path in [&mut config.data, &mut config.init, &mut config.exclude] {
        *path = path.as_deref().map(absolute);
    }
    if let Some(teacher) = &mut config.teacher {
        teacher.run = absolute(&teacher.run);
    }
    config
}

/// `path` from the root, with its links followed as far as it is there already.
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
