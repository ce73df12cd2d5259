//! Writes a trained model as an ONNX file, for programs without libtorch.

// A program, unlike a library, prints.
#![allow(clippy::print_stdout, clippy::print_stderr)]

#[path = "support/mod.rs"]
mod support;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::Parser;
use malaria_resnet::{
    RunDir, default_run,
    edge::{Precision, Weights, export, write},
};

/// Write a trained model as an ONNX file, for ONNX Runtime, OpenVINO, rten, tract and whatever else reads such files.
///
/// Input `images`: float32 [N, 3, S, S], RGB divided by 255. Output `probabilities`: float32 [N, classes], softmax and
/// temperature included. The file's metadata hold the classes, the threshold, how pictures are read and where the weights
/// come from.
#[derive(Parser)]
#[command(version, after_help = "Research software, not a medical device.")]
struct Args {
    /// Run directory of the model [default: MALARIA_RUN, or the pretrained model]
    #[arg(long, value_name = "RUN_DIR")]
    run: Option<PathBuf>,
    /// The file to write
    #[arg(long, value_name = "FILE.onnx")]
    out: PathBuf,
    /// How weights are stored: f32, f16 or int8; everything is computed in float32
    #[arg(long, default_value = "f32")]
    precision: Precision,
}

fn main() -> ExitCode {
    support::exit_code(run(&Args::parse()))
}

fn run(args: &Args) -> Result<ExitCode> {
    support::check_folder_of(&args.out)?;
    let run = RunDir::open(&args.run.clone().map_or_else(default_run, Ok)?)?;
    let weights = Weights::read(&run.weights_path())?;
    let bytes = export(&weights, args.precision)?;
    write(&args.out, &bytes)?;
    println!("model: {}", run.path().display());
    println!("written: {} ({:.2} MB, {})", args.out.display(), bytes.len() as f64 / 1e6, args.precision);
    Ok(ExitCode::SUCCESS)
}
