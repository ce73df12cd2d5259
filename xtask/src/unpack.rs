//! Checks a wheel against its pin, and unpacks libtorch's files out of it.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};
use zip::ZipArchive;

use crate::plan::{Plan, Wheel};

/// Refuses a file whose SHA-256 is not that of the pinned wheel.
pub(crate) fn verify(path: &Path, wheel: &Wheel) -> Result<()> {
    let cannot = || format!("cannot read {}", path.display());
    let mut file = File::open(path).with_context(cannot)?;
    let (mut hasher, mut buffer) = (Sha256::new(), vec![0; 1 << 20]);
    loop {
        match file.read(&mut buffer).with_context(cannot)? {
            0 => break,
            count => hasher.update(&buffer[..count]),
        }
    }
    let found = base16ct::lower::encode_string(&hasher.finalize());
    ensure!(
        found == wheel.sha256,
        "{} has SHA-256 {found} instead of {}, so it is not unpacked. Run the same command again; if that does not \
         help, check which index pip uses (`pip config list`)",
        wheel.file,
        wheel.sha256
    );
    Ok(())
}

/// Unpacks the files that `plan` takes out of the wheel at `path` into `folder`; returns size and relative path of each library.
pub(crate) fn unpack(path: &Path, wheel: &Wheel, plan: &Plan, folder: &Path) -> Result<Vec<(u64, String)>> {
    let damaged = || format!("{} is damaged", wheel.file);
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut archive = ZipArchive::new(BufReader::new(file)).with_context(damaged)?;
    let mut libraries = Vec::new();
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).with_context(damaged)?;
        let name = entry.name().with_context(damaged)?.into_owned();
        let Some(destination) = plan.destination(wheel, &name).filter(|_| !entry.is_dir()) else { continue };
        // The hash was right, so this is a fault of the pin; a path out of the folder is refused all the same.
        ensure!(
            entry.enclosed_name().is_some() && !destination.split('/').any(|part| part == ".."),
            "{} holds the path {name}, which leads out of its folder",
            wheel.file
        );
        let to = folder.join(&destination);
        let cannot = || format!("cannot unpack {name} of {} to {}", wheel.file, to.display());
        fs::create_dir_all(to.parent().unwrap_or(folder)).with_context(cannot)?;
        let bytes =
            io::copy(&mut entry, &mut File::create(&to).with_context(cannot)?).with_context(cannot)?;
        if destination.starts_with("lib/") {
            libraries.push((bytes, destination));
        }
    }
    Ok(libraries)
}
