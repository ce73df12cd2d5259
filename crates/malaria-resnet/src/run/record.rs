//! `metrics.json` of a run.

use std::path::PathBuf;

use malaria_classifier::{Assessment, Caveat, RuleKind, Threshold};
use malaria_dataset::{Fold, Protocol};
use malaria_metrics::Summary;
use malaria_train::BestEpoch;
use serde::{Deserialize, Serialize};
use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};

use crate::config::{ExperimentConfig, Recipe};

/// Version of the layout of `metrics.json`.
pub(crate) const METRICS_VERSION: u32 = 3;

/// Which cells figures are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MetricsOf {
    /// The run's own test set.
    TestSet,
    /// Every cell, each evaluated by a model of the same settings that has not learned from it.
    CrossValidation,
}

/// `metrics.json`: the test figures of a run, and how they came about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Version of this layout.
    pub format_version: u32,
    /// Which cells the figures are of.
    pub metrics_of: MetricsOf,
    /// The command that began the run.
    pub command: String,
    /// This library's version.
    pub version: String,
    /// libtorch's version.
    #[serde(default)]
    pub libtorch: String,
    /// What the run finished on: the processor and its threads, or the GPU, and the precision of the training steps.
    #[serde(default)]
    pub device: String,
    /// How cells were divided. With `random`, cells of one patient stand on both sides, and the figures are
    /// optimistic.
    pub protocol: Protocol,
    /// The recipe that the settings started from.
    pub recipe: Recipe,
    /// Whether the cells are drawn ones, on which a figure says nothing about malaria.
    pub synthetic_cells: bool,
    /// Seed of the split and the training.
    pub seed: u64,
    /// The fold of a cross-validation that this run is, where it is one.
    pub fold: Option<Fold>,
    /// The run whose weights training started from, if not from random ones.
    pub init: Option<PathBuf>,
    /// Test cells that those weights had learned from, or were chosen by: the figures are too good if there are any. `None` where that is
    /// not known, as a run that those weights come from cannot be read any more.
    pub test_cells_seen_by_init: Option<usize>,
    /// Epochs trained.
    pub epochs: usize,
    /// The epoch whose weights were kept and tested, and its validation figures.
    pub best_epoch: BestEpoch,
    /// Cells that were to be learned from and were left out on request.
    #[serde(default)]
    pub n_excluded: usize,
    /// Pictures that could not be read and were left out.
    #[serde(default)]
    pub n_skipped: usize,
    /// Cells learned from.
    pub n_train: usize,
    /// Cells that the threshold was chosen on, and the epoch, where the recipe chooses one.
    pub n_validation: usize,
    /// Cells tested on.
    pub n_test: usize,
    /// Time spent training and validating.
    pub wall_seconds: f64,
    /// Processor time of the same, all cores together.
    pub cpu_seconds: f64,
    /// The machine: processor, cores, memory.
    pub machine: String,
    /// What logits are divided by to calibrate probabilities, where that was asked for.
    pub temperature: Option<f64>,
    /// From which probability on a cell is called positive; `None` where no threshold reached what the settings ask for.
    pub threshold: Option<Threshold>,
    /// How cells were called in the figures.
    pub decision_rule: RuleKind,
    /// What to read the figures with.
    pub caveats: Vec<Caveat>,
    /// The figures on the test set.
    #[serde(flatten)]
    pub test: Summary,
    /// How sure they are, and what they mean for patients.
    #[serde(flatten)]
    pub assessment: Assessment,
}

impl Metrics {
    /// What the run was made by: name and value.
    pub(crate) fn made(&self, config: &ExperimentConfig) -> Vec<[String; 2]> {
        let row = |name: &str, value: String| [name.to_owned(), value];
        vec![
            row("malaria-resnet", self.version.clone()),
            row("libtorch", self.libtorch.clone()),
            row("Device", self.device.clone()),
            row("Recipe", config.recipe_words()),
            row("Seed", self.seed.to_string()),
            row("Epochs", format!("{}, of which epoch {} was kept", self.epochs, self.best_epoch.epoch)),
            row("Temperature of the probabilities", temperature_words(self.temperature)),
            row("Time for training and validating", format!("{:.0} s", self.wall_seconds)),
            row("Processor time of the same", format!("{:.0} s", self.cpu_seconds)),
            row("Machine", self.machine.clone()),
        ]
    }
}

/// What logits are divided by.
pub(crate) fn temperature_words(temperature: Option<f64>) -> String {
    temperature
        .map_or_else(|| "1, not calibrated".to_owned(), |temperature| format!("{temperature:.3}, calibrated"))
}

/// The processor, its logical cores and the memory of this machine, in words.
pub(crate) fn machine() -> String {
    let system = System::new_with_specifics(
        RefreshKind::nothing()
            .with_cpu(CpuRefreshKind::nothing())
            .with_memory(MemoryRefreshKind::nothing().with_ram()),
    );
    let processor = system.cpus().first().map_or("unknown processor", |cpu| cpu.brand().trim());
    let generation = generation().map(|generation| format!(" ({generation})")).unwrap_or_default();
    let gigabytes = system.total_memory() as f64 / f64::from(1 << 30);
    format!("{processor}{generation}, {} cores, {gigabytes:.0} GiB", system.cpus().len())
}

/// Family and model of the processor: a virtual machine may be told the make and no more, and speeds of generations differ.
fn generation() -> Option<String> {
    #[cfg(target_arch = "x86_64")]
    let generation = raw_cpuid::CpuId::new()
        .get_feature_info()
        .map(|told| format!("family {}, model {}", told.family_id(), told.model_id()));
    #[cfg(not(target_arch = "x86_64"))]
    let generation = None;
    generation
}
