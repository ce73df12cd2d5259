//! The checks one after another, and their report.

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

/// Everything that was found, as written to the JSON file.
#[derive(Serialize)]
pub(crate) struct Report {
    machine: machine::Machine,
    learning: Vec<learning::Learned>,
    resuming: Vec<learning::Resumed>,
    agreement: Vec<agreement::Agreement>,
    speed: Vec<speed::Speed>,
    epochs: Vec<speed::Epoch>,
    pytorch: peer::Outcome,
    /// Before and after; libtorch keeps the memory that it frees, so that the second is the most that it needed.
    memory_used_mib: Option<[u64; 2]>,
    /// A sentence for each check that did not hold.
    pub(crate) failures: Vec<String>,
}

/// How much is done: a GPU is to be busy for seconds, the CPU to be through in a minute.
#[derive(Clone, Copy)]
struct Scale {
    /// Side of the cells in pixels.
    side: u32,
    /// Synthetic cells to learn from, and as many again to be tested on.
    cells: usize,
    epochs: u64,
    /// Batch sizes that are timed.
    batches: &'static [usize],
    /// Each timing takes at least so long.
    seconds: f64,
    /// Cells of a timed epoch: those of the tutorial's training set, on a GPU.
    epoch_cells: usize,
}

const ON_GPU: Scale =
    Scale { side: 64, cells: 1600, epochs: 12, batches: &[32, 128, 512], seconds: 0.7, epoch_cells: 19_842 };
const ON_CPU: Scale = Scale { side: 32, cells: 100, epochs: 4, batches: &[8], seconds: 0.0, epoch_cells: 32 };

/// Runs every check on `choice`, telling `say` each finding as it comes.
pub(crate) fn run(choice: DeviceChoice, say: &mut dyn FnMut(&str)) -> Result<Report> {
    let device = choice.resolve()?;
    if device == Device::Cpu {
        if let Err(missing) = DeviceChoice::Cuda(0).resolve() {
            say(&format!("no GPU: {missing}"));
        }
        say("a small check of the CPU instead: what follows says nothing of a GPU");
    }
    let scale = if device.is_cuda() { ON_GPU } else { ON_CPU };
    let mut failures = Vec::new();
    let machine = machine::of(device);
    say(&machine.to_string());

    let drawn = Drawn::new(2 * scale.cells, scale.side)?;
    let (learning, resuming, trained) = learning::check(device, &drawn, scale, &mut failures, say)?;
    let agreement = agreement::check(device, &drawn, &trained, &mut failures, say)?;
    let (speed, epochs) = speed::check(device, &drawn, scale, &mut failures, say)?;
    let pytorch = peer::compare(device, scale, &speed, &epochs, say);
    let memory_used_mib = machine.memory_used_mib();
    if let Some([before, after]) = memory_used_mib {
        say(&format!(
            "GPU memory in use: {before} MiB before, {after} MiB after, as libtorch keeps what it frees"
        ));
    }
    failures.iter().for_each(|failure| say(&format!("FAILED: {failure}")));
    if failures.is_empty() {
        say("all checks hold");
    }
    Ok(Report { machine, learning, resuming, agreement, speed, epochs, pytorch, memory_used_mib, failures })
}

/// Synthetic cells and their classes.
struct Drawn {
    cells: Cells,
    classes: Vec<usize>,
}

impl Drawn {
    fn new(count: usize, side: u32) -> Result<Self> {
        let config = SyntheticConfig { cells: count, ..SyntheticConfig::default() };
        let drawn: Vec<_> = (0..count)
            .into_par_iter()
            .map(|cell| synthetic_cell(&config, cell))
            .collect::<std::result::Result<_, _>>()?;
        let classes = drawn.iter().map(|cell| usize::from(!cell.parasitized)).collect();
        let pixels =
            drawn.iter().flat_map(|cell| resize(&cell.image, side, ResizePolicy::Stretch).into_raw());
        Ok(Self { cells: Cells::from_pixels(side, pixels.collect())?, classes })
    }

    fn on(&self, device: Device) -> Result<CellTensors<'_>> {
        Ok(CellTensors::new(&self.cells, &self.classes, device)?)
    }
}

/// The settings of `recipe` at full size throughout, whose last epoch's weights are kept.
fn settings(recipe: Recipe, epochs: u64, side: u32) -> TrainConfig {
    let mut config = ExperimentConfig::new(recipe, Protocol::Random, 0);
    config.adapt_to_synthetic_cells();
    config.set_epochs(epochs);
    let image_sizes = vec![ImageSize { from_epoch: 1, pixels: i64::from(side) }];
    TrainConfig { image_sizes, select_by: SelectBy::Last, ..config.train }
}

/// Arithmetic of convolutions.
#[derive(Clone, Copy)]
struct Mode {
    name: &'static str,
    precision: Precision,
    kind: Kind,
    /// Only a GPU has it.
    tf32: bool,
}

const FLOAT32: Mode = Mode { name: "float32", precision: Precision::Float32, kind: Kind::Float, tf32: false };
const TF32: Mode = Mode { name: "TF32", tf32: true, ..FLOAT32 };
const BFLOAT16: Mode =
    Mode { name: "bfloat16", precision: Precision::Bfloat16, kind: Kind::BFloat16, tf32: false };

impl Mode {
    /// The check of the CPU is of the program, and makes do with one.
    fn is_for(self, device: Device) -> bool {
        device.is_cuda() || self.kind == Kind::Float && !self.tf32
    }
}

/// Those that are checked on `device`.
fn modes(device: Device) -> impl Iterator<Item = Mode> {
    [FLOAT32, TF32, BFLOAT16].into_iter().filter(move |mode| mode.is_for(device))
}

/// Waits until `device` has done all that it was told to.
fn finish(device: Device) {
    if let Device::Cuda(gpu) = device {
        Cuda::synchronize(gpu as i64);
    }
}
