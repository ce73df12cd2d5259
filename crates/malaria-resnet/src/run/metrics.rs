//! `metrics.json` of a run, and the description of the machine that produced it.

use std::path::PathBuf;

use malaria_classifier::{Assessment, Caveat, RuleKind, SmearRule, Threshold};
use malaria_dataset::{Fold, Protocol};
use malaria_metrics::Summary;
use malaria_train::BestEpoch;
use serde::{Deserialize, Serialize};
use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};

use crate::config::{ExperimentConfig, Recipe};

/// Version of the layout of `metrics.json`.
pub(crate) const METRICS_VERSION: u32 = 4;

/// Which cells metrics are measured on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MetricsOf {
    /// The run's own test set.
    TestSet,
    /// All cells, each predicted by the model of the fold in whose test set it is.
    CrossValidation,
}

/// `metrics.json`: the test metrics of a run, and how the run was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Version of the file format.
    pub format_version: u32,
    /// Which cells the metrics are measured on.
    pub metrics_of: MetricsOf,
    /// The command that started the run.
    pub command: String,
    /// Version of this library.
    pub version: String,
    /// Version of libtorch.
    #[serde(default)]
    pub libtorch: String,
    /// The device that the run finished on and the precision of the training steps.
    #[serde(default)]
    pub device: String,
    /// How cells were split. With `random`, training and test sets share patients, and the metrics are optimistic.
    pub protocol: Protocol,
    /// The recipe that the settings are based on.
    pub recipe: Recipe,
    /// Whether the cells are synthetic, so that the metrics mean nothing for malaria.
    pub synthetic_cells: bool,
    /// Seed of the split and the training.
    pub seed: u64,
    /// The fold of a cross-validation, if the run is one.
    pub fold: Option<Fold>,
    /// The run whose weights training started from; `None` for random weights.
    pub init: Option<PathBuf>,
    /// Test cells in the training or validation sets of those weights, which inflate the metrics. `None` where it is unknown,
    /// since a run that the weights come from can no longer be read.
    pub test_cells_seen_by_init: Option<usize>,
    /// Epochs trained.
    pub epochs: usize,
    /// The epoch whose weights were kept and tested, and its validation metrics.
    pub best_epoch: BestEpoch,
    /// Training cells excluded on request.
    #[serde(default)]
    pub n_excluded: usize,
    /// Unreadable images that were skipped.
    #[serde(default)]
    pub n_skipped: usize,
    /// Training cells.
    pub n_train: usize,
    /// Validation cells, which the threshold was chosen on, and the epoch where the recipe selects one.
    pub n_validation: usize,
    /// Test cells.
    pub n_test: usize,
    /// Time for training and validation, in seconds.
    pub wall_seconds: f64,
    /// Processor time for training and validation, all cores together, in seconds.
    pub cpu_seconds: f64,
    /// The machine: processor, cores, memory.
    pub machine: String,
    /// Temperature by which the logits are divided to calibrate probabilities; `None` for an uncalibrated model.
    pub temperature: Option<f64>,
    /// Decision threshold; `None` where none reached the target.
    pub threshold: Option<Threshold>,
    /// How patients are called; `None` if it is unknown how often cells of new patients are called positive.
    pub smear: Option<SmearRule>,
    /// How cells were called.
    pub decision_rule: RuleKind,
    /// Caveats of the metrics.
    pub caveats: Vec<Caveat>,
    /// Metrics on the test set.
    #[serde(flatten)]
    pub test: Summary,
    /// Confidence intervals, predictive values and patient-level results.
    #[serde(flatten)]
    pub assessment: Assessment,
}

impl Metrics {
    /// How the run was made, as rows of name and value.
    pub(crate) fn provenance(&self, config: &ExperimentConfig) -> Vec<[String; 2]> {
        let row = |name: &str, value: String| [name.to_owned(), value];
        vec![
            row("malaria-resnet", self.version.clone()),
            row("libtorch", self.libtorch.clone()),
            row("Device", self.device.clone()),
            row("Recipe", config.recipe_label()),
            row("Seed", self.seed.to_string()),
            row("Epochs", format!("{}, of which epoch {} was kept", self.epochs, self.best_epoch.epoch)),
            row("Temperature of the probabilities", temperature_label(self.temperature)),
            row("Time for training and validation", format!("{:.0} s", self.wall_seconds)),
            row("Processor time for training and validation", format!("{:.0} s", self.cpu_seconds)),
            row("Machine", self.machine.clone()),
        ]
    }
}

/// A temperature as text.
pub(crate) fn temperature_label(temperature: Option<f64>) -> String {
    temperature
        .map_or_else(|| "1, not calibrated".to_owned(), |temperature| format!("{temperature:.3}, calibrated"))
}

/// Processor, logical cores and memory of this machine, as text.
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

/// Family and model of the processor, since its name on a virtual machine may not identify the generation.
fn generation() -> Option<String> {
    #[cfg(target_arch = "x86_64")]
    let generation = raw_cpuid::CpuId::new()
        .get_feature_info()
        .map(|info| format!("family {}, model {}", info.family_id(), info.model_id()));
    #[cfg(not(target_arch = "x86_64"))]
    let generation = None;
    generation
}
