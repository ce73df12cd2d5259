//! `cargo xtask setup`: provides a libtorch of the right version, whole, or fails with one message.
//!
//! libtorch is taken out of PyTorch's wheel, since the archive that is published for C++ is larger and cannot be had
//! from every network. A libtorch of the user's own is checked and left alone.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use malaria_libtorch_locate::{LIBTORCH_VERSION, MARKER_FILE, Marker, Settings, locate};

use crate::pip::Pip;
use crate::place::{Place, megabytes, remove};
use crate::plan::{Plan, Variant};
use crate::unpack::{unpack, verify};

/// What set-up found or did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The user has a libtorch of their own, and it can be used.
    Own,
    /// libtorch was there already.
    AlreadyThere,
    /// libtorch has been fetched and unpacked.
    Installed,
}

/// Provides the workspace at `root` with a libtorch, under the environment that `variable` reads.
///
/// Without a `variant` any libtorch that is there will do; where there is none, the one for the CPU is fetched.
///
/// # Errors
/// The message says what is wrong and what to do.
pub fn setup(
    root: &Path,
    variant: Option<Variant>,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Outcome> {
    setup_with(root, variant, variable, Plan::for_this_machine)
}

/// [`setup`] with plans of the caller's in place of the pinned ones.
///
/// # Errors
/// As for [`setup`].
pub fn setup_with(
    root: &Path,
    variant: Option<Variant>,
    variable: impl Fn(&str) -> Option<OsString>,
    plans: impl Fn(Variant) -> Result<Plan>,
) -> Result<Outcome> {
    let place = Place::new(root);
    if let Some(settings) = own_settings(&place, variable) {
        return check_own(&settings, variant);
    }
    let is_there = || {
        place.content().is_some_and(|marker| {
            let found =
                [Variant::Cpu, Variant::Cuda].into_iter().find(|found| found.name() == marker.variant);
            let wanted = found.filter(|found| variant.is_none_or(|variant| variant == *found));
            // Made of other wheels than those pinned today, it is replaced.
            wanted.and_then(|found| plans(found).ok()).is_some_and(|plan| marker.wheels == plan.hashes())
        })
    };
    // The first look needs no lock, so that a folder that cannot be written to will do.
    if is_there() {
        return Ok(Outcome::AlreadyThere);
    }
    let _lock = place.lock()?;
    if is_there() {
        return Ok(Outcome::AlreadyThere);
    }
    let plan = plans(variant.unwrap_or(Variant::Cpu))?;
    place.ensure_space(&plan)?;
    let pip = Pip::find()?;
    announce(&plan, &place.folder);
    let temporary = place.temporary();
    let installed = fill(&plan, &pip, &temporary).and_then(|()| place.replace(&temporary));
    if installed.is_err() {
        // What cannot be removed now is removed by the next set-up.
        let _ = remove(&temporary);
    }
    installed?;
    println!("libtorch {LIBTORCH_VERSION} is set up in {}", place.folder.display());
    Ok(Outcome::Installed)
}

/// Whether the environment, as a program started by cargo sees it, names a libtorch other than the workspace's.
///
/// Cargo passes on the `LIBTORCH` of the workspace's own `.cargo/config.toml` like one that the user has set.
pub fn is_own(root: &Path, variable: impl Fn(&str) -> Option<OsString>) -> bool {
    own_settings(&Place::new(root), variable).is_some()
}

fn own_settings(place: &Place, variable: impl Fn(&str) -> Option<OsString>) -> Option<Settings> {
    let settings = Settings::from_variables(variable);
    let elsewhere = settings.libtorch.as_deref().is_some_and(|libtorch| libtorch != place.folder);
    let own = elsewhere || settings.use_pytorch || settings.lib.is_some() || settings.include.is_some();
    own.then_some(settings)
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
    println!("Setting up libtorch {LIBTORCH_VERSION} {purpose}. pip fetches from the Python package index:");
    for wheel in &plan.wheels {
        println!("  {:<32}{:>8}", format!("{} {}", wheel.project(), wheel.version()), megabytes(wheel.bytes));
    }
    let (fetched, unpacked) = (megabytes(plan.fetched_bytes()), megabytes(plan.unpacked_bytes));
    println!("{fetched} to fetch; {unpacked} on disk afterwards, in {}", folder.display());
}

/// Fetches, checks and unpacks one wheel after the other, so that the disk never holds more than one of them.
fn fill(plan: &Plan, pip: &Pip, folder: &Path) -> Result<()> {
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    let wheels = folder.join("wheels");
    fs::create_dir_all(&wheels).with_context(|| format!("cannot make {}", wheels.display()))?;
    let mut files = Vec::new();
    for wheel in &plan.wheels {
        let path = pip.download(wheel, &wheels)?;
        verify(&path, wheel)?;
        println!("  Unpacking {}", wheel.file);
        files.extend(unpack(&path, wheel, plan, folder)?);
        remove(&path)?;
    }
    remove(&wheels)?;
    for library in plan.wheels.iter().flat_map(|wheel| &wheel.cpu_libraries) {
        let found = files.iter().any(|(_, file)| file.strip_prefix("lib/") == Some(library));
        ensure!(found, "none of the wheels holds {library}");
    }
    if let Some(script) = plan.linker_script {
        write("lib/libtorch.so", script)?;
        files.push((script.len() as u64, "lib/libtorch.so".to_owned()));
    }
    // torch-sys reads this file.
    let build = if plan.variant == Variant::Cuda { "cu130" } else { "cpu" };
    write("build-version", &format!("{LIBTORCH_VERSION}+{build}\n"))?;
    files.sort_by(|a, b| a.1.cmp(&b.1));
    let marker = Marker { variant: plan.variant.name().to_owned(), wheels: plan.hashes(), files };
    write(MARKER_FILE, &marker.to_string())
}
