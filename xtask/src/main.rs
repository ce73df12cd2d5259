//! The command line of `cargo xtask`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use xtask::{Outcome, Peers, Plan, Variant, become_cargo, forget_builds, fuzz, setup};

/// Sets up libtorch and calls cargo. Afterwards plain `cargo run`, `cargo test` and `cargo bench` work too.
#[derive(Debug, Parser)]
#[command(
    bin_name = "cargo xtask",
    after_help = "If LIBTORCH or LIBTORCH_USE_PYTORCH is set in the environment, that libtorch is checked and used instead."
)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Fetch libtorch 2.13.0 with pip and unpack it into `.libtorch`, unless it is there already
    Setup {
        /// Fetch libtorch with CUDA, for NVIDIA GPUs: 2.5 GB to fetch, 3.9 GB on disk. Works without a GPU too
        #[arg(long)]
        cuda: bool,
        /// Fetch libtorch for the CPU (default), replacing one with CUDA
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
        /// Skip the slow tests, which are in modules named `slow`
        #[arg(long)]
        quick: bool,
        /// Arguments of the test programs, after `--`, such as part of a test's name
        #[arg(last = true)]
        args: Vec<OsString>,
    },
    /// Feed damaged files to every reader, which must handle them without a panic and in bounded memory
    Fuzz {
        /// Time for all targets together
        #[arg(long, value_name = "N", default_value_t = 60)]
        seconds: u32,
    },
    /// Run the benchmarks: `cargo bench -p malaria-resnet -- ARGS`, after set-up
    Bench {
        /// Compare with PyTorch, ONNX Runtime, OpenVINO and Keras instead: 4 GB to fetch the first time
        #[arg(long, requires = "data", conflicts_with = "args")]
        peers: bool,
        #[command(flatten)]
        settings: Peers,
        /// Arguments of the benchmarks, after `--`, such as part of a benchmark's name
        #[arg(last = true)]
        args: Vec<OsString>,
    },
    /// Check this library's results on a GPU and measure its speed there, after set-up: about three minutes
    GpuCheck {
        /// Arguments of the check, after `--`: try `cargo xtask gpu-check -- --help`
        #[arg(last = true)]
        args: Vec<OsString>,
    },
}

fn main() -> ExitCode {
    run(Arguments::parse().task).unwrap_or_else(|error| {
        // One message, regardless of RUST_BACKTRACE.
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn run(task: Task) -> Result<ExitCode> {
    let root = workspace();
    let variant = match task {
        Task::Setup { cuda: true, .. } => Some(Variant::Cuda),
        Task::Setup { cpu: true, .. } => Some(Variant::Cpu),
        _ => None,
    };
    let outcome = setup(&root, variant, |name| std::env::var_os(name), Plan::for_this_machine)?;
    if outcome == Outcome::Installed {
        forget_builds(&root)?;
    }
    let own_libtorch = outcome == Outcome::Own;
    match task {
        Task::Setup { .. } => {
            if outcome == Outcome::AlreadyThere {
                println!("libtorch is set up already: nothing to do.");
            }
            Ok(ExitCode::SUCCESS)
        }
        Task::Fuzz { seconds } => fuzz(&root, own_libtorch, seconds),
        Task::Bench { peers: true, settings, .. } => settings.measure(&root, own_libtorch),
        Task::Train { args } => {
            let train = ["run", "--release", "-p", "malaria-cli", "--bin", "malaria", "--", "train"];
            become_cargo(&root, own_libtorch, words(&train, args))
        }
        Task::Test { quick, args } => become_cargo(&root, own_libtorch, test_command(quick, args)),
        Task::Bench { args, .. } => {
            become_cargo(&root, own_libtorch, words(&["bench", "-p", "malaria-resnet", "--"], args))
        }
        Task::GpuCheck { args } => {
            let check = ["bench", "-p", "malaria-resnet", "--bench", "gpu_check", "--"];
            become_cargo(&root, own_libtorch, words(&check, args))
        }
    }
}

/// Arguments of cargo for the tests. The slow ones are recognised by their paths, since libtest cannot filter by anything else.
fn test_command(quick: bool, args: Vec<OsString>) -> Vec<OsString> {
    let skip: &[&str] = if quick { &["--skip", "slow::"] } else { &[] };
    words(&[&["test", "--workspace", "--"], skip].concat(), args)
}

fn words(command: &[&str], args: Vec<OsString>) -> Vec<OsString> {
    command.iter().map(OsString::from).chain(args).collect()
}

/// The workspace that this program was built in. It may have moved since; cargo gives its current folder.
fn workspace() -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&package).parent().map_or_else(PathBuf::new, Path::to_path_buf)
}

#[cfg(all(test, unix))]
mod tests {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

    use super::*;

    #[test]
    fn quick_skips_the_modules_named_slow() {
        let command = |words: &[&str]| match Arguments::try_parse_from(words).unwrap().task {
            Task::Test { quick, args } => test_command(quick, args),
            task => panic!("{task:?}"),
        };
        assert_eq!(command(&["cargo xtask", "test"]), ["test", "--workspace", "--"]);
        let quick = command(&["cargo xtask", "test", "--quick", "--", "folds", "--nocapture"]);
        assert_eq!(quick, ["test", "--workspace", "--", "--skip", "slow::", "folds", "--nocapture"]);
    }

    #[test]
    fn forwarded_arguments_may_be_any_path() {
        let path = OsStr::from_bytes(b"cells-\xff");
        for task in ["train", "test", "bench", "gpu-check"] {
            let words = ["cargo xtask", task, "--", "--data"].map(OsStr::new);
            let parsed = Arguments::try_parse_from(words.into_iter().chain([path])).unwrap().task;
            let (Task::Train { args }
            | Task::Test { args, .. }
            | Task::Bench { args, .. }
            | Task::GpuCheck { args }) = &parsed
            else {
                panic!("{parsed:?}");
            };
            assert_eq!(args, &[OsStr::new("--data"), path]);
        }
    }
}
