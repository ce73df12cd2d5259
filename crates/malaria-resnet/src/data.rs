//! Where the cells of a run are, and reading them.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use malaria_classifier::ImageConfig;
use malaria_dataset::{
    CorruptPolicy, Index, LoadOptions, Loaded, Protocol, SyntheticConfig, load, write_synthetic,
};

use crate::{
    error::Result,
    memory::check_room,
    progress::{Listener, Progress},
};

/// The data folder to use when none is named: `MALARIA_DATA`, or `cell_images` in the current folder.
pub fn default_data() -> Option<PathBuf> {
    let named = env::var_os("MALARIA_DATA").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    named.or_else(|| Some(PathBuf::from("cell_images")).filter(|folder| folder.is_dir()))
}

/// How a folder is divided when nobody says: as it is where it holds `training`, `validation` and `testing`, at random
/// otherwise.
pub fn default_protocol(data: Option<&Path>) -> Protocol {
    match data {
        Some(folder) if folder.join("training").is_dir() => Protocol::Given,
        _ => Protocol::Random,
    }
}

/// The folder of synthetic cells beside the run directories, drawn at the first call.
pub(crate) fn synthetic_cells(beside: &Path, listener: Listener<'_>) -> Result<PathBuf> {
    let config = SyntheticConfig::default();
    let folder = beside.join(format!("synthetic-cells-{}-seed{}", config.cells, config.seed));
    if !folder.is_dir() {
        fs::create_dir_all(beside).map_err(malaria_files::Error::io("make the folder", beside))?;
        write_synthetic(&folder, &config, &|done| listener(Progress::Drawing { done, total: config.cells }))?;
    }
    Ok(folder)
}

/// Decodes the cells of `index`.
pub(crate) fn decode_index(
    index: Index,
    image: ImageConfig,
    corrupt: CorruptPolicy,
    listener: Listener<'_>,
) -> Result<Loaded> {
    let total = index.samples.len();
    check_room(total, image.pixels)?;
    let progress = |done| listener(Progress::Decoding { done, total });
    let options =
        LoadOptions { size: image.pixels, resize: image.resize, corrupt, progress: Some(&progress) };
    Ok(load(index, options)?)
}
