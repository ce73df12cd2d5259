//! The data folder of a run: the default, synthetic cells if there is none, and decoding.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use malaria_classifier::ImageConfig;
use malaria_dataset::{Index, LoadOptions, Loaded, Protocol, SyntheticConfig, load, write_synthetic};

use crate::{
    error::{Error, Result},
    memory::check_memory,
    progress::{Listener, Progress},
};

/// The default data folder: `MALARIA_DATA`, or `cell_images` in the current folder if it exists.
///
/// # Errors
/// [`Error::Variable`] when `MALARIA_DATA` is not a folder.
pub fn default_data() -> Result<Option<PathBuf>> {
    let named = env::var_os("MALARIA_DATA").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    match named {
        Some(folder) if folder.is_dir() => Ok(Some(folder)),
        Some(folder) => Err(Error::Variable {
            name: "MALARIA_DATA",
            found: format!("`{}`, which is not a folder", folder.display()),
        }),
        None => Ok(Some(PathBuf::from("cell_images")).filter(|folder| folder.is_dir())),
    }
}

/// The default protocol: [`Protocol::Given`] for a folder with a subfolder `training`, otherwise [`Protocol::Random`].
pub fn default_protocol(data: Option<&Path>) -> Protocol {
    match data {
        Some(folder) if folder.join("training").is_dir() => Protocol::Given,
        _ => Protocol::Random,
    }
}

/// The folder of synthetic cells below `beside`, generated on first use.
pub(crate) fn synthetic_cells(beside: &Path, listener: Listener<'_>) -> Result<PathBuf> {
    let config = SyntheticConfig::default();
    let folder = beside.join(format!("synthetic-cells-{}-seed{}", config.cells, config.seed));
    if !folder.is_dir() {
        fs::create_dir_all(beside).map_err(malaria_files::Error::io("make the folder", beside))?;
        let made = write_synthetic(&folder, &config, &|done| {
            listener(Progress::GeneratingCells { done, total: config.cells });
        });
        match made {
            // Another process has generated them in the meantime; they are the same cells.
            Err(malaria_dataset::Error::File(malaria_files::Error::Occupied { .. })) if folder.is_dir() => {}
            made => made?,
        }
    }
    Ok(folder)
}

/// Refuses a data folder with classes other than `expected`, those of a model. Case does not matter.
pub(crate) fn check_classes(index: &Index, expected: &[String]) -> Result<()> {
    let same = |(i, name): (usize, &String)| index.class(name) == Some(i);
    if expected.len() == index.classes.len() && expected.iter().enumerate().all(same) {
        return Ok(());
    }
    let (path, found) = (index.root.clone(), index.classes.clone());
    Err(Error::Classes { path, expected: expected.to_vec(), found })
}

/// Decodes the cells of `index`.
pub(crate) fn decode_index(
    index: Index,
    image: ImageConfig,
    skip_corrupt: bool,
    listener: Listener<'_>,
) -> Result<Loaded> {
    let total = index.samples.len();
    check_memory(total, image.pixels)?;
    let progress = |done| listener(Progress::Decoding { done, total });
    let options =
        LoadOptions { size: image.pixels, resize: image.resize, skip_corrupt, progress: Some(&progress) };
    Ok(load(index, options)?)
}
