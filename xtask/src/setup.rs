//! `cargo xtask setup`: provides a complete libtorch of the right version or fails with one message.
//!
//! libtorch is taken from PyTorch's wheel, since the archive that is published for C++ is larger and not reachable from
//! every network. The user's own libtorch is checked but not changed.

use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io::{self, BufReader, ErrorKind};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use malaria_libtorch_locate::{LIBTORCH_VERSION, MARKER_FILE, Marker, Settings, locate};
use zip::ZipArchive;

use crate::pip;
use crate::plan::{Plan, Variant, Wheel};

/// The outcome of set-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The environment names a usable libtorch other than the workspace's.
    Own,
    /// libtorch was already installed.
    AlreadyThere,
    /// libtorch has been fetched and unpacked.
    Installed,
}

/// Provides the workspace at `root` with a libtorch, under the environment that `variable` reads. `plans` are the pins, as
/// [`Plan::for_this_machine`] reads them.
///
/// Without a `variant`, an existing libtorch of either variant is used; if there is none, the one for the CPU is fetched.
///
/// # Errors
/// The message says what is wrong and what to do.
pub fn setup(
    root: &Path,
    variant: Option<Variant>,
    variable: impl Fn(&str) -> Option<OsString>,
    plans: impl Fn(Variant) -> Result<Plan>,
) -> Result<Outcome> {
    let folder = root.join(".libtorch");
    let settings = Settings::from_variables(variable);
    // Cargo passes on the `LIBTORCH` of the workspace's `.cargo/config.toml` like one that the user has set.
    let elsewhere = settings.libtorch.as_deref().is_some_and(|libtorch| libtorch != folder);
    if elsewhere || settings.use_pytorch || settings.lib.is_some() || settings.include.is_some() {
        return check_own(&settings, variant);
    }
    // Anything else is replaced, including a libtorch that was made from other wheels than those pinned now.
    let is_there = || {
        let Ok(Some(marker)) = Marker::read(&folder) else { return false };
        let is_current = |found: Variant| {
            marker.variant == found.name() && plans(found).is_ok_and(|plan| plan.hashes() == marker.wheels)
        };
        let mut wanted =
            [Variant::Cpu, Variant::Cuda].into_iter().filter(|found| variant.is_none_or(|v| v == *found));
        marker.verify(&folder).is_ok() && wanted.any(is_current)
    };
    // The first check needs no lock, so that it also works in a read-only folder.
    if is_there() {
        return Ok(Outcome::AlreadyThere);
    }
    let _lock = lock(root)?;
    if is_there() {
        return Ok(Outcome::AlreadyThere);
    }
    let plan = plans(variant.unwrap_or(Variant::Cpu))?;
    #[cfg(unix)]
    ensure_space(root, &plan)?;
    let python = pip::find()?;
    announce(&plan, &folder);
    // If it is left by a killed set-up, the next set-up removes it.
    let temporary = root.join(".libtorch.tmp");
    remove(&temporary)?;
    let installed = install(&plan, python, &temporary, &folder);
    let removed = remove(&temporary);
    installed.with_context(|| format!("cannot set up libtorch in {}", folder.display()))?;
    removed?;
    println!("libtorch {LIBTORCH_VERSION} is set up in {}", folder.display());
    Ok(Outcome::Installed)
}

fn check_own(settings: &Settings, variant: Option<Variant>) -> Result<Outcome> {
    let libtorch = locate(settings)?;
    let name = if settings.use_pytorch { "LIBTORCH_USE_PYTORCH" } else { "LIBTORCH" };
    let folder = libtorch.root.display();
    ensure!(
        variant != Some(Variant::Cuda) || libtorch.has_cuda,
        "{name} is set, so the libtorch in {folder} is used, and it has no CUDA. Unset {name} to fetch one with CUDA"
    );
    let cuda = if libtorch.has_cuda { "with CUDA" } else { "for the CPU" };
    println!("Using your own libtorch {} {cuda} in {folder}, as {name} is set.", libtorch.version);
    Ok(Outcome::Own)
}

fn announce(plan: &Plan, folder: &Path) {
    let purpose = match plan.variant {
        Variant::Cpu => "for the CPU (for an NVIDIA GPU: `cargo xtask setup --cuda`)",
        Variant::Cuda => "with CUDA, for NVIDIA GPUs",
    };
    let (fetched, unpacked) = (megabytes(plan.fetched_bytes()), megabytes(plan.unpacked_bytes));
    println!(
        "Setting up libtorch {LIBTORCH_VERSION} {purpose}. pip fetches it from the Python package index:"
    );
    println!("{fetched} to fetch; {unpacked} on disk afterwards, in {}", folder.display());
}

/// Waits until no other set-up is running. Unlocks when dropped.
fn lock(root: &Path) -> Result<File> {
    let path = root.join(".libtorch.lock");
    let cannot = || format!("cannot lock {}", path.display());
    let file = File::options().create(true).append(true).open(&path).with_context(cannot)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::Error(error)) => return Err(error).with_context(cannot),
        Err(TryLockError::WouldBlock) => {
            println!("Another set-up is running in this folder; waiting for it to end.");
            file.lock().with_context(cannot)?;
        }
    }
    Ok(file)
}

/// Refuses to start if the disk would fill up: pip briefly stores the fetched wheel twice.
#[cfg(unix)]
fn ensure_space(root: &Path, plan: &Plan) -> Result<()> {
    let disk = rustix::fs::statvfs(root)?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let needed = plan.unpacked_bytes + 2 * plan.wheels.iter().map(|wheel| wheel.bytes).max().unwrap_or(0);
    ensure!(
        free >= needed,
        "set-up needs {} of free disk space, and {} has {}: make room and run the same command again",
        megabytes(needed),
        root.display(),
        megabytes(free)
    );
    Ok(())
}

/// Fills a folder in `temporary`, one wheel after the other, so that the disk never contains more than one of them, and
/// replaces `folder` by it.
fn install(plan: &Plan, python: &str, temporary: &Path, folder: &Path) -> Result<()> {
    let (wheels, new) = (temporary.join("wheels"), temporary.join("new"));
    fs::create_dir_all(&wheels)?;
    let mut files = Vec::new();
    for wheel in &plan.wheels {
        let path = pip::download(python, wheel, &wheels)?;
        println!("  Unpacking {}", wheel.file);
        files.extend(unpack(&path, wheel, plan, &new)?);
        fs::remove_file(&path)?;
    }
    if let Some(script) = plan.linker_script {
        fs::write(new.join("lib/libtorch.so"), script)?;
        files.push((script.len() as u64, "lib/libtorch.so".to_owned()));
    }
    // torch-sys reads this file.
    let build = if plan.variant == Variant::Cuda { "cu130" } else { "cpu" };
    fs::write(new.join("build-version"), format!("{LIBTORCH_VERSION}+{build}\n"))?;
    let marker = Marker { variant: plan.variant.name().to_owned(), wheels: plan.hashes(), files };
    fs::write(new.join(MARKER_FILE), marker.to_string())?;
    // One call for the whole disk instead of one for each of ten thousand headers.
    #[cfg(unix)]
    rustix::fs::sync();
    if folder.symlink_metadata().is_ok() {
        fs::rename(folder, temporary.join("old"))?;
    }
    Ok(fs::rename(new, folder)?)
}

/// Unpacks the files that `plan` takes from the wheel at `path` into `folder`; returns size and relative path of each library.
fn unpack(path: &Path, wheel: &Wheel, plan: &Plan, folder: &Path) -> Result<Vec<(u64, String)>> {
    let mut archive = ZipArchive::new(BufReader::new(File::open(path)?))?;
    let mut libraries = Vec::new();
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index)?;
        let destination = plan.destination(wheel, &entry.name()?).filter(|_| !entry.is_dir());
        let Some(destination) = destination else { continue };
        let to = folder.join(&destination);
        fs::create_dir_all(to.parent().unwrap_or(folder))?;
        let bytes = io::copy(&mut entry, &mut File::create(to)?)?;
        if destination.starts_with("lib/") {
            libraries.push((bytes, destination));
        }
    }
    Ok(libraries)
}

/// Size as text, such as `527 MB`.
fn megabytes(bytes: u64) -> String {
    format!("{} MB", bytes.div_ceil(1_000_000))
}

/// Removes a folder with its contents, if it exists.
fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}
