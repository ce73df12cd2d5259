//! The runs that a model's weights come from, and what these knew.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use malaria_dataset::{Loaded, Subset};

use crate::{ExperimentConfig, Result, RunDir, paths::absolute};

/// How many of the cells at `indices` the weights of `--init` have learned from, or were chosen by; `None` where a run that they come
/// from is not there any more.
pub(crate) fn seen_by_init(
    config: &ExperimentConfig,
    loaded: &Loaded,
    indices: &[usize],
) -> Result<Option<usize>> {
    let Some(init) = &config.init else { return Ok(Some(0)) };
    let Lineage { runs, gone } = lineage(init)?;
    let seen = seen_by(&runs, loaded, indices)?;
    Ok(gone.is_empty().then_some(seen))
}

/// How many of the cells at `indices` any of `runs` has learned from, or was chosen by.
pub(crate) fn seen_by(runs: &[RunDir], loaded: &Loaded, indices: &[usize]) -> Result<usize> {
    let mut seen: HashSet<usize> = HashSet::new();
    for run in runs {
        let manifest = malaria_dataset::read_manifest(&run.split_path())?;
        let subsets = manifest.match_index(&loaded.index, &loaded.fingerprints)?;
        let known = |&&i: &&usize| matches!(subsets[i], Some(Subset::Train | Subset::Validation));
        seen.extend(indices.iter().filter(known));
    }
    Ok(seen.len())
}

/// A run and those that its weights, or the words of its teacher, come from.
pub(crate) struct Lineage {
    pub(crate) runs: Vec<RunDir>,
    /// Where one should be that is not there any more.
    pub(crate) gone: Vec<PathBuf>,
}

/// The lineage of the run in `path`.
pub(crate) fn lineage(path: &Path) -> Result<Lineage> {
    let (mut runs, mut gone) = (Vec::new(), Vec::new());
    let mut next = vec![absolute(path)];
    let mut met = HashSet::new();
    while let Some(path) = next.pop() {
        if !met.insert(path.clone()) {
            continue;
        }
        match RunDir::open(&path) {
            Ok(run) => {
                let config = run.config()?;
                let parents = config.init.into_iter().chain(config.teacher.map(|teacher| teacher.run));
                next.extend(parents.map(|parent| absolute(&parent)));
                runs.push(run);
            }
            Err(_) => gone.push(path),
        }
    }
    Ok(Lineage { runs, gone })
}
