//! The parent runs of a model, through its initial weights or its teacher, and the cells they were trained or selected on.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use malaria_dataset::{Fingerprint, Loaded, Manifest, Subset, read_manifest};

use super::{dir::RunDir, sources::weights_hash};
use crate::{config::ExperimentConfig, error::Result, paths::absolute};

/// Number of cells at `indices` in the training or validation sets of the initial weights' lineage; `None` if one of its
/// runs can no longer be read.
pub(crate) fn seen_by_init(
    config: &ExperimentConfig,
    loaded: &Loaded,
    indices: &[usize],
) -> Result<Option<usize>> {
    let Some(init) = &config.init else { return Ok(Some(0)) };
    let hash = config.sha256.as_ref().and_then(|hashes| hashes.init.clone());
    let Lineage { manifests, missing_parents } = lineage_from((absolute(init), hash));
    let seen = seen_by(&manifests, loaded, indices)?;
    Ok(missing_parents.is_empty().then_some(seen))
}

/// Number of cells at `indices` in the training or validation set of any of the `manifests`. Copies in another format also
/// count if the file used in training is among `loaded`: they are recognised by the pixels after resizing.
pub(crate) fn seen_by(manifests: &[Manifest], loaded: &Loaded, indices: &[usize]) -> Result<usize> {
    let pixels = loaded.pixel_fingerprints();
    let mut seen: HashSet<Fingerprint> = HashSet::new();
    for manifest in manifests {
        let subsets = manifest.match_index(&loaded.index, &loaded.fingerprints)?;
        let is_seen = subsets.iter().map(|subset| subset.is_some_and(Subset::is_seen_in_training));
        seen.extend(pixels.iter().zip(is_seen).filter_map(|(pixels, is_seen)| is_seen.then_some(*pixels)));
    }
    Ok(indices.iter().filter(|&&i| seen.contains(&pixels[i])).count())
}

/// A run and all its parent runs, through initial weights or teachers.
pub(crate) struct Lineage {
    /// The splits of these runs.
    pub(crate) manifests: Vec<Manifest>,
    /// Paths of runs that can no longer be read or whose weights have changed.
    pub(crate) missing_parents: Vec<PathBuf>,
}

/// The lineage of the run in `path`.
pub(crate) fn lineage(path: &Path) -> Lineage {
    lineage_from((absolute(path), None))
}

/// The lineage of a run, by its path and, if known, the hash of its weights.
fn lineage_from(run: (PathBuf, Option<String>)) -> Lineage {
    let mut lineage = Lineage { manifests: Vec::new(), missing_parents: Vec::new() };
    let mut next = vec![run];
    let mut visited = HashSet::new();
    while let Some(run) = next.pop() {
        if !visited.insert(run.clone()) {
            continue;
        }
        let (path, hash) = run;
        if hash.is_some() && weights_hash(&path).ok() != hash {
            lineage.missing_parents.push(path);
            continue;
        }
        let read = |path| -> Result<(ExperimentConfig, Manifest)> {
            let run = RunDir::open(path)?;
            Ok((run.config()?, read_manifest(&run.split_path())?))
        };
        let Ok((config, manifest)) = read(&path) else {
            lineage.missing_parents.push(path);
            continue;
        };
        let hashes = config.sha256.unwrap_or_default();
        let init = config.init.map(|init| (init, hashes.init));
        let teacher = config.teacher.map(|teacher| (teacher.run, hashes.teacher));
        next.extend(init.into_iter().chain(teacher).map(|(parent, hash)| (absolute(&parent), hash)));
        lineage.manifests.push(manifest);
    }
    lineage
}

#[cfg(test)]
mod tests {
    use std::fs;

    use malaria_dataset::Protocol;

    use super::*;
    use crate::config::{Recipe, SourceHashes, Teacher};

    /// Writes a run with one cell into `path`.
    fn write_run(path: &Path, init: Option<&Path>, teacher: Option<&Path>) {
        fs::create_dir_all(path).unwrap();
        let mut config = ExperimentConfig::new(Recipe::Tutorial, Protocol::Random, 0);
        config.init = init.map(Path::to_owned);
        config.teacher = teacher.map(|run| Teacher { run: run.to_owned(), weight: 0.5 });
        malaria_files::write_json(&path.join("config.json"), &config).unwrap();
        let header = "path,class,patient,subset,bytes,sha256";
        let row = format!("a.png,Parasitized,C1,train,1,{}", "0".repeat(64));
        fs::write(path.join("split.csv"), format!("{header}\n{row}\n")).unwrap();
    }

    #[test]
    fn lineage_follows_initial_weights_and_teachers_and_names_missing_runs() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| absolute(folder.path()).join(name);
        write_run(&path("first"), None, None);
        write_run(&path("second"), Some(&path("first")), None);
        write_run(&path("third"), Some(&path("second")), Some(&path("first")));
        write_run(&path("orphan"), Some(&path("first")), Some(&path("deleted")));
        write_run(&path("child-of-orphan"), Some(&path("orphan")), None);
        write_run(&path("cycle-1"), Some(&path("cycle-2")), None);
        write_run(&path("cycle-2"), None, Some(&path("cycle-1")));
        // The run in `first` has no weights of this hash.
        write_run(&path("usurped"), Some(&path("first")), None);
        let config = path("usurped").join("config.json");
        let mut usurped = ExperimentConfig::read(&config).unwrap();
        usurped.sha256 = Some(SourceHashes { init: Some("0".repeat(64)), ..SourceHashes::default() });
        malaria_files::write_json(&config, &usurped).unwrap();
        assert_eq!(usurped.init, Some(path("first")));
        let cases: [(&str, &[&str], &[&str]); 8] = [
            ("first", &["first"], &[]),
            ("second", &["second", "first"], &[]),
            ("third", &["third", "first", "second"], &[]),
            ("orphan", &["orphan", "first"], &["deleted"]),
            ("child-of-orphan", &["child-of-orphan", "orphan", "first"], &["deleted"]),
            ("cycle-1", &["cycle-1", "cycle-2"], &[]),
            ("deleted", &[], &["deleted"]),
            ("usurped", &["usurped"], &["first"]),
        ];
        for (run, found, missing) in cases {
            let lineage = lineage(&path(run));
            let read: Vec<&Path> = lineage.manifests.iter().filter_map(|split| split.path.parent()).collect();
            assert_eq!(read, found.iter().map(|name| path(name)).collect::<Vec<_>>(), "{run}");
            assert_eq!(
                lineage.missing_parents,
                missing.iter().map(|name| path(name)).collect::<Vec<_>>(),
                "{run}"
            );
        }
    }
}
