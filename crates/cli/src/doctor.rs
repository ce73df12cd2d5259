//! `malaria doctor`: checks libtorch, device, memory, cells and model, with advice on what is missing.

use std::{collections::BTreeMap, env, fs, path::PathBuf, process::ExitCode, thread::available_parallelism};

use anyhow::Result;
use malaria_resnet::{
    Classifier, RunDir,
    dataset::Index,
    default_data, default_run,
    libtorch::{DeviceChoice, Error as DeviceError, LIBTORCH_VERSION, describe, threads},
    train::Precision,
};
use serde::Serialize;
use serde_json::{Value, json};
use sysinfo::{MemoryRefreshKind, RefreshKind, System};

use crate::{NOTICE, advice::with_advice, json::Json};

/// Check libtorch, device, processor, memory, cells and model, with advice on what is missing.
///
/// Exits with 0 if training can start.
#[derive(clap::Args)]
#[command(before_help = "\
Examples:
  malaria doctor
  malaria doctor --json                   for programs: `can_train`, and every check with its result

Next:
  malaria train", after_help = NOTICE)]
pub(crate) struct Args {
    #[command(flatten)]
    json: Json,
}

/// Memory, in 10^9 bytes, for training on all of NLM's cells in float32: docs/performance.md measures 1.33.
const MEMORY_FOR_ALL_CELLS: f64 = 1.5;
/// The environment variables of the program.
const VARIABLES: [&str; 2] = ["MALARIA_DATA", "MALARIA_RUN"];

/// One check and its result.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    state: State,
    /// The result as text.
    found: String,
    /// Advice.
    help: Option<String>,
    /// The result for programs.
    facts: Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    /// No problem.
    Ok,
    /// Works, but could be better.
    Advice,
    /// Absent or unusable.
    Missing,
}

impl Check {
    fn new(name: &'static str, state: State, found: impl Into<String>, facts: Value) -> Self {
        Self { name, state, found: found.into(), help: None, facts }
    }

    fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    /// Whether it prevents training.
    fn prevents_training(&self) -> bool {
        self.state == State::Missing && self.name != "model"
    }
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    args.json.check()?;
    let checks = [libtorch(), device(), processor(), memory(), data(), model(), variables()];
    let can_train = !checks.iter().any(Check::prevents_training);
    let mut words = String::new();
    for Check { name, state, found, help, .. } in &checks {
        let state = match state {
            State::Ok => "ok",
            State::Advice => "advice",
            State::Missing => "missing",
        };
        words += &format!("{state:<8} {name:<10} {found}\n");
        if let Some(help) = help {
            words += &format!("{:<20}{}\n", "", help.replace('\n', &format!("\n{:<20}", "")));
        }
    }
    words += if can_train {
        "\nTraining can start: malaria train\n"
    } else {
        "\nTraining cannot start: see what is missing above.\n"
    };
    words += "Research software, not a medical device.";
    args.json.result(&words, &json!({ "can_train": can_train, "checks": checks }))?;
    Ok(if can_train { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn libtorch() -> Check {
    let folder = loaded_from().or_else(|| option_env!("BUILT_WITH_LIBTORCH").map(PathBuf::from));
    let place = folder.as_ref().map_or(String::new(), |folder| format!(" in {}", folder.display()));
    let facts = json!({ "version": LIBTORCH_VERSION, "folder": folder });
    Check::new("libtorch", State::Ok, format!("{LIBTORCH_VERSION}{place}"), facts)
}

/// The folder of the libtorch that this process has loaded: a library path may override the one it was built with.
fn loaded_from() -> Option<PathBuf> {
    // Linux only.
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    let library = maps.lines().find(|line| line.ends_with("/libtorch_cpu.so"))?;
    Some(PathBuf::from(&library[library.find('/')?..]).parent()?.to_owned())
}

fn device() -> Check {
    match DeviceChoice::Auto.resolve() {
        Err(error) => {
            Check::new("device", State::Missing, error.to_string(), json!({ "cuda": false, "device": null }))
        }
        Ok(device) => {
            let found = describe(device);
            let facts = json!({ "cuda": device.is_cuda(), "device": found });
            let check = Check::new("device", State::Ok, found, facts);
            match DeviceChoice::Cuda(0).resolve() {
                Ok(_) => check,
                Err(error) => check.help(no_gpu(&error)),
            }
        }
    }
}

/// Why no GPU is used, and what to do about it.
fn no_gpu(error: &DeviceError) -> String {
    match error {
        DeviceError::CpuOnlyLibtorch { .. } => {
            "no GPU: this libtorch is for CPUs only; for an NVIDIA GPU run `cargo xtask setup --cuda`, and build or install \
             again"
                .to_owned()
        }
        DeviceError::NoGpu { .. } => {
            "no GPU: libtorch finds none; check that `nvidia-smi` lists one and that its driver supports CUDA 13.0".to_owned()
        }
        other => format!("no GPU: {other}"),
    }
}

fn processor() -> Check {
    let (cores, threads) = (available_parallelism().map_or(1, usize::from), threads());
    let sets = instruction_sets();
    let device = DeviceChoice::Auto.resolve().ok();
    let precision = device.map(|device| Precision::Auto.resolve(device).to_string());
    let facts =
        json!({ "cores": cores, "threads": threads, "instruction_sets": sets, "auto_precision": precision });
    let mut found = format!("{cores} cores, {threads} threads");
    if !sets.is_empty() {
        found += &format!(", {}", sets.join(", "));
    }
    if let Some(precision) = precision {
        found += &format!("; --precision auto is {precision}");
    }
    if cfg!(target_arch = "x86_64") && !sets.contains(&"AVX2") {
        return Check::new("processor", State::Advice, found, facts)
            .help("without AVX2 libtorch is several times slower: train on a newer processor");
    }
    Check::new("processor", State::Ok, found, facts)
}

fn instruction_sets() -> Vec<&'static str> {
    #[cfg(not(target_arch = "x86_64"))]
    let sets: [(&str, bool); 0] = [];
    #[cfg(target_arch = "x86_64")]
    let sets = [
        ("AVX2", std::arch::is_x86_feature_detected!("avx2")),
        ("AVX-512", std::arch::is_x86_feature_detected!("avx512f")),
        ("AVX512-BF16", std::arch::is_x86_feature_detected!("avx512bf16")),
    ];
    sets.into_iter().filter_map(|(name, found)| found.then_some(name)).collect()
}

fn memory() -> Check {
    let kind = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
    let system = System::new_with_specifics(kind);
    let gigabytes = |bytes: u64| bytes as f64 / 1e9;
    let (free, all) = (gigabytes(system.available_memory()), gigabytes(system.total_memory()));
    let found = format!("{free:.1} GB free of {all:.1} GB");
    let facts = json!({ "free_gb": free, "total_gb": all });
    if free >= MEMORY_FOR_ALL_CELLS {
        return Check::new("memory", State::Ok, found, facts);
    }
    Check::new("memory", State::Advice, found, facts).help(
        "NLM's 27,558 cells may not fit: free some memory, or give a smaller --batch-size or fewer cells",
    )
}

fn data() -> Check {
    let folder = match default_data() {
        Ok(Some(folder)) => folder,
        Ok(None) => {
            return Check::new("data", State::Advice, "no folder of cells", json!({ "folder": null })).help(
                "`malaria train` will use synthetic cells; `malaria download` fetches NLM's into \
                 ./cell_images; for your own \
                 cells use --data DIR or MALARIA_DATA",
            );
        }
        Err(error) => {
            return Check::new("data", State::Missing, error.to_string(), json!({ "folder": null }))
                .help("name a folder with one folder of pictures per class in MALARIA_DATA, or unset it");
        }
    };
    let index = match Index::open(&folder) {
        Ok(index) => index,
        Err(error) => {
            return Check::new("data", State::Missing, error.to_string(), json!({ "folder": folder }))
                .help("name a folder with one folder of pictures per class with --data or MALARIA_DATA");
        }
    };
    let cells: BTreeMap<&String, usize> = index.classes.iter().zip(index.class_counts()).collect();
    let named: Vec<String> = cells.iter().map(|(class, cells)| format!("{cells} {class}")).collect();
    let facts = json!({ "folder": folder, "cells": cells });
    Check::new("data", State::Ok, format!("{}: {}", folder.display(), named.join(", ")), facts)
}

fn model() -> Check {
    let usable = |run: PathBuf| {
        let config = RunDir::open(&run)?.config()?;
        let classifier = Classifier::load(&run, DeviceChoice::Cpu.resolve()?)?;
        Ok((run, config, classifier))
    };
    match default_run().and_then(usable) {
        Ok((run, config, classifier)) => {
            let found = format!(
                "{}: recipe {}, format {}, {} at {} px",
                run.display(),
                config.recipe,
                config.format_version,
                classifier.description.classes.join(" and "),
                classifier.description.image.pixels
            );
            let facts = json!({ "run": run, "recipe": config.recipe, "format_version": config.format_version,
                "classes": classifier.description.classes });
            Check::new("model", State::Ok, found, facts)
        }
        Err(error) => Check::new("model", State::Missing, with_advice(&error), json!({ "run": null }))
            .help("`malaria predict`, `evaluate` and `export` need one: train it with `malaria train`"),
    }
}

fn variables() -> Check {
    let set: Vec<(String, String)> = env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
        .filter(|(name, _)| name.starts_with("MALARIA_"))
        .collect();
    let found: Vec<String> = set.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let facts =
        Value::Object(set.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect());
    let found = if found.is_empty() { "no MALARIA_… set".to_owned() } else { found.join(" ") };
    let unknown: Vec<&str> =
        set.iter().map(|(name, _)| name.as_str()).filter(|name| !VARIABLES.contains(name)).collect();
    if unknown.is_empty() {
        return Check::new("variables", State::Ok, found, facts);
    }
    Check::new("variables", State::Advice, found, facts).help(format!(
        "not used: {}; the program reads {}",
        unknown.join(", "),
        VARIABLES.join(" and ")
    ))
}
