//! `cargo xtask setup`: libtorch is there afterwards, of the right version and whole, or one message says why not.
//!
//! The libtorch that is published for C++ cannot be had from every network, and is larger; the wheel on the Python
//! package index holds the same headers and libraries. A libtorch of the user's own is checked and left alone.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use malaria_libtorch_locate::{LIBTORCH_VERSION, MARKER_FILE, Marker, Settings, locate};

use crate::interrupt;
use crate::pip::Pip;
use crate::place::{Partial, Place, megabytes, remove};
use crate::plan::{Plan, Variant};
use crate::unpack::{unpack, verify};

/// What set-up has found or done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The user has a libtorch of their own, and it will do.
    Own,
    /// It was there already.
    AlreadyThere,
    /// It is there now.
    Installed,
}

/// Which libtorch is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Whichever is there; for the CPU where none is.
    Any,
    /// This one.
    Exactly(Variant),
}

impl Request {
    fn allows(self, variant: Variant) -> bool {
        self == Self::Any || self == Self::Exactly(variant)
    }

    fn variant_to_fetch(self) -> Variant {
        match self {
            Self::Any => Variant::Cpu,
            Self::Exactly(variant) => variant,
        }
    }
}

/// Sees to it that the workspace at `root` has a libtorch, under the environment that `variable` gives.
///
/// # Errors
/// Where it has not: the message says what is in the way, and what to do.
pub fn setup(root: &Path, wish: Request, variable: impl Fn(&str) -> Option<OsString>) -> Result<Outcome> {
    setup_with(root, wish, variable, Plan::for_this_machine)
}

/// [`setup`] with plans of one's own in place of the pinned ones.
///
/// # Errors
/// As for [`setup`].
pub fn setup_with(
    root: &Path,
    wish: Request,
    variable: impl Fn(&str) -> Option<OsString>,
    plans: impl Fn(Variant) -> Result<Plan>,
) -> Result<Outcome> {
    let place = Place::new(root);
    if let Some(settings) = own_settings(&place, variable) {
        return check_own(&settings, wish);
    }
    // Made of the wheels that are pinned today, and not changed since.
    let is_there = || {
        place.content().is_some_and(|marker| {
            let mut variants = [Variant::Cpu, Variant::Cuda].into_iter();
            let variant = variants.find(|variant| variant.name() == marker.variant && wish.allows(*variant));
            variant.and_then(|variant| plans(variant).ok()).is_some_and(|plan| marker.wheels == hashes(&plan))
        })
    };
    if is_there() {
        return Ok(Outcome::AlreadyThere);
    }
    let plan = plans(wish.variant_to_fetch())?;
    interrupt::watch()?;
    let held = place.hold()?;
    // The set-up that was waited for may have done it, or an interrupted one have been undone.
    if is_there() {
        return Ok(Outcome::AlreadyThere);
    }
    held.ensure_space(&plan)?;
    let pip = Pip::find()?;
    announce(&plan, place.folder());
    let partial = held.begin()?;
    fill(&plan, &pip, &partial)?;
    held.replace(partial)?;
    println!("libtorch {LIBTORCH_VERSION} is set up in {}", place.folder().display());
    Ok(Outcome::Installed)
}

/// Whether the environment, as a program started by cargo sees it, names a libtorch that is not the workspace's.
///
/// Cargo passes on the `LIBTORCH` of the workspace's own `.cargo/config.toml` like one that the user has set.
pub fn is_own(root: &Path, variable: impl Fn(&str) -> Option<OsString>) -> bool {
    own_settings(&Place::new(root), variable).is_some()
}

fn own_settings(place: &Place, variable: impl Fn(&str) -> Option<OsString>) -> Option<Settings> {
    let settings = Settings::from_variables(variable);
    let elsewhere = settings.libtorch.as_deref().is_some_and(|libtorch| libtorch != place.folder());
    let own = elsewhere || settings.use_pytorch || settings.lib.is_some() || settings.include.is_some();
    own.then_some(settings)
}

fn check_own(settings: &Settings, wish: Request) -> Result<Outcome> {
    let libtorch = locate(settings)?;
    let name = if settings.use_pytorch { "LIBTORCH_USE_PYTORCH" } else { "LIBTORCH" };
    let folder = libtorch.root.display();
    ensure!(
        wish != Request::Exactly(Variant::Cuda) || libtorch.has_cuda,
        "{name} is set, so its libtorch in {folder} is used; it has no CUDA. Unset {name} to have one with CUDA \
         fetched"
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
    println!(
        "{} to fetch; {} on disk afterwards, in {}",
        megabytes(plan.fetched_bytes()),
        megabytes(plan.unpacked_bytes),
        folder.display()
    );
}

/// Fetches, checks and unpacks one wheel after the other, so that the disk never holds more than one of them.
fn fill(plan: &Plan, pip: &Pip, partial: &Partial) -> Result<()> {
    let write = |name: &str, text: &str| {
        let path = partial.path().join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    let wheels = partial.path().join("wheels");
    fs::create_dir_all(&wheels).with_context(|| format!("cannot make {}", wheels.display()))?;
    let mut files = Vec::new();
    for wheel in &plan.wheels {
        interrupt::check()?;
        let path = pip.download(wheel, &wheels, &wheels)?;
        verify(&path, wheel)?;
        println!("  Unpacking {}", wheel.file);
        files.extend(unpack(&path, wheel, plan, partial.path())?);
        remove(&path)?;
    }
    remove(&wheels)?;
    for name in plan.required_libraries() {
        ensure!(files.iter().any(|(_, file)| *file == name), "none of the wheels holds {name}");
    }
    if let Some(script) = &plan.linker_script {
        write("lib/libtorch.so", script)?;
        files.push((script.len() as u64, "lib/libtorch.so".to_owned()));
    }
    write("build-version", &plan.build_version)?;
    files.sort_by(|a, b| a.1.cmp(&b.1));
    let marker = Marker { variant: plan.variant.name().to_owned(), wheels: hashes(plan), files };
    write(MARKER_FILE, &marker.to_string())
}

fn hashes(plan: &Plan) -> Vec<(String, String)> {
    plan.wheels.iter().map(|wheel| (wheel.sha256.clone(), wheel.file.clone())).collect()
}
