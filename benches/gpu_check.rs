//! Checks that this library computes, learns and resumes correctly on this machine's GPU, and measures its speed. Without a GPU it
//! reports what is missing and runs a smaller check on the CPU.
//!
//! `cargo xtask gpu-check`

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program")]

#[path = "gpu_check/checks.rs"]
mod checks;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Result, ensure};
use clap::Parser;
use malaria_resnet::libtorch::{DeviceChoice, keep_freed_memory};

/// Checks this library on a GPU and measures its speed, in about four minutes.
#[derive(Parser)]
#[command(bin_name = "cargo xtask gpu-check --")]
struct Args {
    /// Device to check: auto, cpu, cuda or cuda:I
    #[arg(long, default_value = "auto")]
    device: DeviceChoice,
    /// JSON file to write the results to
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Passed by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    keep_freed_memory();
    run(&Args::parse()).unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn run(args: &Args) -> Result<ExitCode> {
    // Refused before the checks start, which take minutes.
    if let Some(path) = &args.json {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        ensure!(
            folder.is_dir() && !path.is_dir(),
            "--json: expected a file in an existing folder, found {}",
            path.display()
        );
    }
    let report = checks::run(args.device, &mut |line| println!("{line}"))?;
    if let Some(path) = &args.json {
        malaria_files::write_json(path, &report)?;
        println!("written: {}", path.display());
    }
    println!("Research software, not a medical device.");
    Ok(if report.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
