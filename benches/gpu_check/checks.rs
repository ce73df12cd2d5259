//! Runs all checks and collects their report.

mod agreement;
mod learning;
mod machine;
mod peer;
mod speed;

use anyhow::Result;
use malaria_resnet::{
    ExperimentConfig, Recipe,
    dataset::{Cells, Protocol, ResizePolicy, SyntheticConfig, resize, synthetic_cell},
    libtorch::DeviceChoice,
    train::{CellTensors, ImageSize, Precision, SelectBy, TrainConfig},
};
use rayon::prelude::*;
use serde::Serialize;
use tch::{Cuda, Device, Kind};

/// The results, as written to the JSON file.
#[derive(Serialize)]
pub(crate) struct Report {
    machine: machine::Machine,
    learning: Vec<learning::Learned>,
    resuming: Vec<learning::Resumed>,
    agreement: Vec<agreement::Agreement>,
    speed: Vec<speed::Speed>,
    epochs: Vec<speed::Epoch>,
    pytorch: peer::Outcome,
    /// Memory before and after. libtorch keeps freed memory, so the second value is the maximum.
    memory_used_mib: Option<[u64; 2]>,
    /// One sentence per failed check.
    pub(crate) failures: Vec<String>,
}

/// The size of the checks: seconds of work for a GPU, at most a minute for the CPU.
#[derive(Clone, Copy)]
struct Scale {
    /// Side of the cells in pixels.
    side: u32,
    /// Number of synthetic training cells, and of test cells.
    cells: usize,
    epochs: u64,
    /// Batch sizes to measure.
    batches: &'static [usize],
    /// Minimum duration of each measurement.
    seconds: f64,
    /// Cells of a measured epoch; on a GPU, those of the tutorial's training set.
    epoch_cells: usize,
}

const ON_GPU: Scale =
    Scale { side: 64, cells: 1600, epochs: 12, batches: &[32, 128, 512], seconds: 0.7, epoch_cells: 19_842 };
const ON_CPU: Scale = Scale { side: 32, cells: 100, epochs: 4, batches: &[8], seconds: 0.0, epoch_cells: 32 };

/// Runs every check on `choice` and passes each result to `log` as a line.
pub(crate) fn run(choice: DeviceChoice, log: &mut dyn FnMut(&str)) -> Result<Report> {
    let device = choice.resolve()?;
    if device == Device::Cpu {
        if let Err(missing) = DeviceChoice::Cuda(0).resolve() {
            log(&format!("no GPU: {missing}"));
        }
        log("small check of the CPU instead: it says nothing about a GPU");
    }
    let scale = if device.is_cuda() { ON_GPU } else { ON_CPU };
    let mut failures = Vec::new();
    let machine = machine::of(device);
    log(&machine.to_string());

    let synthetic = Synthetic::new(2 * scale.cells, scale.side)?;
    let (learning, resuming, trained) = learning::check(device, &synthetic, scale, &mut failures, log)?;
    let agreement = agreement::check(device, &synthetic, &trained, &mut failures, log)?;
    let (speed, epochs) = speed::check(device, &synthetic, scale, &mut failures, log)?;
    let pytorch = peer::compare(device, scale, &speed, &epochs, log);
    let memory_used_mib = machine.memory_used_mib();
    if let Some([before, after]) = memory_used_mib {
        log(&format!(
            "GPU memory in use: {before} MiB before, {after} MiB after (libtorch keeps freed memory)"
        ));
    }
    failures.iter().for_each(|failure| log(&format!("FAILED: {failure}")));
    if failures.is_empty() {
        log("all checks passed");
    }
    Ok(Report { machine, learning, resuming, agreement, speed, epochs, pytorch, memory_used_mib, failures })
}

/// Synthetic cells and their classes.
struct Synthetic {
    cells: Cells,
    classes: Vec<usize>,
}

impl Synthetic {
    fn new(count: usize, side: u32) -> Result<Self> {
        let config = SyntheticConfig { cells: count, ..SyntheticConfig::default() };
        let synthetic: Vec<_> = (0..count)
            .into_par_iter()
            .map(|cell| synthetic_cell(&config, cell))
            .collect::<std::result::Result<_, _>>()?;
        let classes = synthetic.iter().map(|cell| usize::from(!cell.parasitized)).collect();
        let pixels =
            synthetic.iter().flat_map(|cell| resize(&cell.image, side, ResizePolicy::Stretch).into_raw());
        Ok(Self { cells: Cells::from_pixels(side, pixels.collect())?, classes })
    }

    fn on(&self, device: Device) -> Result<CellTensors<'_>> {
        Ok(CellTensors::new(&self.cells, &self.classes, device)?)
    }
}

/// The settings of `recipe` with one image size and the last epoch's weights.
fn settings(recipe: Recipe, epochs: u64, side: u32) -> TrainConfig {
    let mut config = ExperimentConfig::new(recipe, Protocol::Random, 0);
    config.adapt_to_synthetic_cells();
    config.set_epochs(epochs);
    let image_sizes = vec![ImageSize { from_epoch: 1, pixels: i64::from(side) }];
    TrainConfig { image_sizes, select_by: SelectBy::Last, ..config.train }
}

/// Precision of convolutions.
#[derive(Clone, Copy)]
struct Mode {
    name: &'static str,
    precision: Precision,
    kind: Kind,
    /// Used only on a GPU.
    tf32: bool,
}

const FLOAT32: Mode = Mode { name: "float32", precision: Precision::Float32, kind: Kind::Float, tf32: false };
const TF32: Mode = Mode { name: "TF32", tf32: true, ..FLOAT32 };
const BFLOAT16: Mode =
    Mode { name: "bfloat16", precision: Precision::Bfloat16, kind: Kind::BFloat16, tf32: false };

impl Mode {
    /// The check on the CPU tests only this program, and needs only float32.
    fn is_for(self, device: Device) -> bool {
        device.is_cuda() || self.kind == Kind::Float && !self.tf32
    }
}

/// The modes to check on `device`.
fn modes(device: Device) -> impl Iterator<Item = Mode> {
    [FLOAT32, TF32, BFLOAT16].into_iter().filter(move |mode| mode.is_for(device))
}

/// Waits for `device` to finish.
fn synchronise(device: Device) {
    if let Device::Cuda(gpu) = device {
        Cuda::synchronize(gpu as i64);
    }
}
