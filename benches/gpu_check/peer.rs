//! Compares the speed with PyTorch's, if `python3` has PyTorch.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use tch::Device;

use super::{
    Scale,
    speed::{Epoch, Speed},
};

/// The measuring program, and the network shared with `cargo xtask bench --peers`.
const FILES: [(&str, &str); 2] = [
    ("gpu.py", include_str!("../../tools/peers/gpu.py")),
    ("network.py", include_str!("../../tools/peers/network.py")),
];

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Outcome {
    Measured {
        version: String,
        tasks: Vec<Compared>,
    },
    /// The reason why PyTorch could not be measured.
    Missing(String),
}

#[derive(Deserialize)]
struct Answer {
    version: String,
    tasks: Vec<Task>,
}

#[derive(Deserialize)]
struct Task {
    task: String,
    precision: String,
    batch: usize,
    cells_per_second: f64,
}

/// PyTorch's speed in a task, and the speed of this library relative to it.
#[derive(Serialize)]
pub(super) struct Compared {
    task: String,
    precision: String,
    batch: usize,
    cells_per_second: f64,
    ours: Vec<Ours>,
}

#[derive(Serialize)]
struct Ours {
    task: String,
    times_as_fast: f64,
}

/// Compares every task. If PyTorch fails, the comparison is missing, which is not an error.
pub(super) fn compare(
    device: Device,
    scale: Scale,
    speeds: &[Speed],
    epochs: &[Epoch],
    log: &mut dyn FnMut(&str),
) -> Outcome {
    let Answer { version, tasks } = match measure(device, scale) {
        Ok(answer) => answer,
        Err(error) => {
            log(&format!("not compared with PyTorch: {error:#}"));
            return Outcome::Missing(format!("{error:#}"));
        }
    };
    let compare = |Task { task, precision, batch, cells_per_second }| {
        let alike = speeds.iter().filter(|speed| speed.precision == precision && speed.batch == batch);
        let mut own: Vec<(String, f64)> = alike
            .filter(|speed| speed.task.starts_with(&task))
            .map(|speed| (speed.task.clone(), speed.cells_per_second))
            .collect();
        if task == "step" {
            let alike = epochs.iter().filter(|epoch| epoch.precision == precision && epoch.batch == batch);
            own.extend(alike.map(|epoch| (format!("epoch of `{}`", epoch.recipe), epoch.cells_per_second)));
        }
        let ours: Vec<Ours> = own
            .into_iter()
            .map(|(task, speed)| Ours { task, times_as_fast: speed / cells_per_second })
            .collect();
        let times: Vec<String> =
            ours.iter().map(|ours| format!("{} {:.2}", ours.task, ours.times_as_fast)).collect();
        log(&format!(
            "PyTorch {version}, {task}, {precision}, batch of {batch}: {cells_per_second:.0} cells/s; relative speed of this library: {}",
            times.join("; ")
        ));
        Compared { task, precision, batch, cells_per_second, ours }
    };
    let tasks = tasks.into_iter().map(compare).collect();
    Outcome::Measured { version, tasks }
}

fn measure(device: Device, scale: Scale) -> Result<Answer> {
    let folder = tempfile::tempdir().context("cannot create a folder for the program")?;
    for (name, text) in FILES {
        std::fs::write(folder.path().join(name), text).context("cannot write the program")?;
    }
    let device = if let Device::Cuda(gpu) = device { format!("cuda:{gpu}") } else { "cpu".to_owned() };
    let output = Command::new("python3")
        .arg(folder.path().join("gpu.py"))
        .args(["--device", &device, "--seconds", &scale.seconds.to_string(), "--batches"])
        .args(scale.batches.iter().map(usize::to_string))
        .output()
        .context("cannot start python3")?;
    let problem = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "python3: {}", problem.lines().last().unwrap_or("no reason given"));
    serde_json::from_slice(&output.stdout).context("unexpected output of python3")
}
