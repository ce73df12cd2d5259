//! The command line of `cargo xtask`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use xtask::{Outcome, Peers, Request, Variant, become_cargo, forget_builds, fuzz, is_own, setup};

/// Sets up libtorch and calls cargo. Afterwards plain `cargo run`, `cargo test` and `cargo bench` work too.
#[derive(Debug, Parser)]
#[command(
    bin_name = "cargo xtask",
    after_help = "A LIBTORCH or LIBTORCH_USE_PYTORCH of your own in the environment is used instead, and only checked."
)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Fetch libtorch 2.13.0 with pip and unpack it into `.libtorch`; nothing is done where it is there already
    Setup {
        /// With CUDA, for NVIDIA GPUs: 2.5 GB to fetch, 3.9 GB on disk. Works on machines without a GPU too
        #[arg(long)]
        cuda: bool,
        /// For the CPU alone, replacing one with CUDA; the default where there is none yet
        #[arg(long, conflicts_with = "cuda")]
        cpu: bool,
    },
    /// Train a model: `cargo run --release -p malaria-cli --bin malaria -- train ARGS`, after set-up
    Train {
        /// Arguments of `malaria train`, after `--`: try `cargo xtask train -- --help`
        #[arg(last = true)]
        args: Vec<OsString>,
    },
    /// Run every test: `cargo test --workspace -- ARGS`, after set-up
    Test {
        /// Arguments of the test programs, after `--`, such as part of a test's name
        #[arg(last = true)]
        args: Vec<OsString>,
    },
    /// Damage files for everything that reads files, and see that it refuses them without a panic and in bounded memory
    Fuzz {
        /// Time for all targets together
        #[arg(long, value_name = "N", default_value_t = 60)]
        seconds: u32,
    },
    /// Run the benchmarks: `cargo bench -p malaria-resnet -- ARGS`, after set-up
    Bench {
        /// Measure PyTorch, ONNX Runtime, OpenVINO and Keras beside ours instead, in turns: some 4 GB to fetch the first time
        #[arg(long, requires = "data", conflicts_with = "args")]
        peers: bool,
        /// For --peers: folder of class folders of cells
        #[arg(long, value_name = "DIR", requires = "peers")]
        data: Option<PathBuf>,
        /// For --peers: run directory of the model
        #[arg(long, value_name = "RUN_DIR", requires = "peers", default_value = "data/pretrained")]
        run: PathBuf,
        /// For --peers: where the figures go
        #[arg(long, value_name = "FILE", requires = "peers", default_value = "results/peers.json")]
        json: PathBuf,
        /// For --peers: how often everyone does everything
        #[arg(long, value_name = "N", requires = "peers", default_value_t = 5)]
        rounds: u32,
        /// Arguments of the benchmarks, after `--`, such as part of a benchmark's name
        #[arg(last = true)]
        args: Vec<OsString>,
    },
    /// Check on a GPU what this library computes there, and measure it: some three minutes, after set-up
    GpuCheck {
        /// Arguments of the check, after `--`: try `cargo xtask gpu-check -- --help`
        #[arg(last = true)]
        args: Vec<OsString>,
    },
}

fn main() -> ExitCode {
    run(Arguments::parse().task).unwrap_or_else(|error| {
        // One message, whatever RUST_BACKTRACE says.
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn run(task: Task) -> Result<ExitCode> {
    let root = workspace();
    let variable = |name: &str| std::env::var_os(name);
    let wish = match task {
        Task::Setup { cuda: true, .. } => Request::Exactly(Variant::Cuda),
        Task::Setup { cpu: true, .. } => Request::Exactly(Variant::Cpu),
        _ => Request::Any,
    };
    let outcome = setup(&root, wish, variable)?;
    if outcome == Outcome::Installed {
        forget_builds(&root)?;
    }
    let (command, args): (&[&str], _) = match task {
        Task::Setup { .. } => {
            if outcome == Outcome::AlreadyThere {
                println!("libtorch is set up already: nothing to do.");
            }
            return Ok(ExitCode::SUCCESS);
        }
        Task::Train { args } => {
            (&["run", "--release", "-p", "malaria-cli", "--bin", "malaria", "--", "train"], args)
        }
        Task::Test { args } => (&["test", "--workspace", "--"], args),
        Task::Fuzz { seconds } => return fuzz(&root, is_own(&root, variable), seconds),
        Task::Bench { data: Some(data), run, json, rounds, .. } => {
            return Peers { data, run, json, rounds }.measure(&root, is_own(&root, variable));
        }
        Task::GpuCheck { args } => (&["bench", "-p", "malaria-resnet", "--bench", "gpu_check", "--"], args),
        Task::Bench { args, .. } => (&["bench", "-p", "malaria-resnet", "--"], args),
    };
    become_cargo(&root, is_own(&root, variable), command.iter().map(OsString::from).chain(args))
}

/// The workspace that this program was built in; cargo says where it is now.
fn workspace() -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&package).parent().map_or_else(PathBuf::new, Path::to_path_buf)
}

#[cfg(all(test, unix))]
mod tests {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

    use super::*;

    #[test]
    fn arguments_that_are_passed_on_may_be_any_path() {
        let path = OsStr::from_bytes(b"cells-\xff");
        for task in ["train", "test", "bench", "gpu-check"] {
            let words = ["cargo xtask", task, "--", "--data"].map(OsStr::new);
            let parsed = Arguments::try_parse_from(words.into_iter().chain([path])).unwrap().task;
            let (Task::Train { args }
            | Task::Test { args }
            | Task::Bench { args, .. }
            | Task::GpuCheck { args }) = &parsed
            else {
                panic!("{parsed:?}");
            };
            assert_eq!(args, &[OsStr::new("--data"), path]);
        }
    }
}
