//! From a wheel on disk to the files of libtorch, after a check that it is the wheel that was pinned.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};
use zip::ZipArchive;

use crate::interrupt;
use crate::plan::{Plan, Wheel};

/// Refuses a file that is not, byte by byte, the pinned wheel.
///
/// # Errors
/// Names expected and found size or hash.
pub fn verify(path: &Path, wheel: &Wheel) -> Result<()> {
    let mut file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let size = file.metadata().with_context(|| format!("cannot read {}", path.display()))?.len();
    let distrust = "It is not the file that this project was made with, and is not unpacked. Run the same command \
                    again; if that does not help, look at the index that pip is set to use";
    ensure!(size == wheel.bytes, "{} has {size} bytes instead of {}. {distrust}", wheel.file, wheel.bytes);
    let mut hasher = Sha256::new();
    pump(&mut file, |bytes| {
        hasher.update(bytes);
        Ok(())
    })
    .with_context(|| format!("cannot read {}", path.display()))?;
    let found = base16ct::lower::encode_string(&hasher.finalize());
    ensure!(
        found == wheel.sha256,
        "{} has SHA-256 {found} instead of {}. {distrust}",
        wheel.file,
        wheel.sha256
    );
    Ok(())
}

/// Unpacks what `plan` takes out of the wheel at `path` into `folder`; returns size and relative path of each library.
///
/// # Errors
/// Where the wheel cannot be read, or a file cannot be written.
pub fn unpack(path: &Path, wheel: &Wheel, plan: &Plan, folder: &Path) -> Result<Vec<(u64, String)>> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut archive =
        ZipArchive::new(BufReader::new(file)).with_context(|| format!("{} is not a wheel", wheel.file))?;
    let mut libraries = Vec::new();
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).with_context(|| format!("{} is damaged", wheel.file))?;
        if entry.is_dir() {
            continue;
        }
        let name = entry.name().with_context(|| format!("{} is damaged", wheel.file))?.into_owned();
        let Some(destination) = plan.destination(wheel, &name) else { continue };
        // The hash was right, so this is a fault of the pin; a path out of the folder is refused all the same.
        if entry.enclosed_name().is_none() || destination.split('/').any(|part| part == "..") {
            bail!("{} holds the path {name}, which leads out of its folder", wheel.file);
        }
        let to = folder.join(&destination);
        let write = || format!("cannot unpack {name} of {} to {}", wheel.file, to.display());
        if let Some(parent) = to.parent() {
            std::fs::create_dir_all(parent).with_context(write)?;
        }
        let mut out = BufWriter::new(File::create(&to).with_context(write)?);
        let bytes = pump(&mut entry, |bytes| out.write_all(bytes)).with_context(write)?;
        out.flush().with_context(write)?;
        if destination.starts_with("lib/") {
            libraries.push((bytes, destination));
        }
    }
    Ok(libraries)
}

/// Reads to the end, a piece at a time, or until a signal comes; returns the number of bytes.
fn pump(from: &mut impl Read, mut to: impl FnMut(&[u8]) -> std::io::Result<()>) -> Result<u64> {
    let mut buffer = vec![0; 1 << 20];
    let mut total = 0;
    loop {
        interrupt::check()?;
        let count = from.read(&mut buffer)?;
        if count == 0 {
            return Ok(total);
        }
        to(&buffer[..count])?;
        total += count as u64;
    }
}
