//! The runs that a model's weights come from, and what these knew.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use malaria_dataset::{Loaded, Manifest, Subset, read_manifest};

use super::dir::RunDir;
use crate::{config::ExperimentConfig, error::Result, paths::absolute};

/// How many of the cells at `indices` the weights of `--init` have learned from, or were chosen by; `None` where a run that they come
/// from cannot be read any more.
pub(crate) fn seen_by_init(
    config: &ExperimentConfig,
    loaded: &Loaded,
    indices: &[usize],
) -> Result<Option<usize>> {
    let Some(init) = &config.init else { return Ok(Some(0)) };
    let Lineage { manifests, gone } = lineage(init);
    let seen = seen_by(&manifests, loaded, indices)?;
    Ok(gone.is_empty().then_some(seen))
}

/// How many of the cells at `indices` any of the runs with these `manifests` has learned from, or was chosen by.
pub(crate) fn seen_by(manifests: &[Manifest], loaded: &Loaded, indices: &[usize]) -> Result<usize> {
    let mut seen: HashSet<usize> = HashSet::new();
    for manifest in manifests {
        let subsets = manifest.match_index(&loaded.index, &loaded.fingerprints)?;
        let known = |&&i: &&usize| matches!(subsets[i], Some(Subset::Train | Subset::Validation));
        seen.extend(indices.iter().filter(known));
    }
    Ok(seen.len())
}

/// What a run, and those that its weights or the words of its teacher come from, divided as their manifests say.
pub(crate) struct Lineage {
    pub(crate) manifests: Vec<Manifest>,
    /// Where a run should be that cannot be read any more.
    pub(crate) gone: Vec<PathBuf>,
}

/// The lineage of the run in `path`.
pub(crate) fn lineage(path: &Path) -> Lineage {
    let mut lineage = Lineage { manifests: Vec::new(), gone: Vec::new() };
    let mut next = vec![absolute(path)];
    let mut met = HashSet::new();
    while let Some(path) = next.pop() {
        if !met.insert(path.clone()) {
            continue;
        }
        let read = |path| -> Result<(ExperimentConfig, Manifest)> {
            let run = RunDir::open(path)?;
            Ok((run.config()?, read_manifest(&run.split_path())?))
        };
        let Ok((config, manifest)) = read(&path) else {
            lineage.gone.push(path);
            continue;
        };
        let parents = config.init.into_iter().chain(config.teacher.map(|teacher| teacher.run));
        next.extend(parents.map(|parent| absolute(&parent)));
        lineage.manifests.push(manifest);
    }
    lineage
}
