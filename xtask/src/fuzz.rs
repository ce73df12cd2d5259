//! `cargo xtask fuzz`: damaged files for everything that reads files, for as long as one likes.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::cargo::cargo;

/// Crates whose tests `fuzz` damage files.
const CRATES: [&str; 5] =
    ["malaria-dataset", "malaria-edge", "malaria-model", "malaria-train", "malaria-resnet"];
/// What `malaria_fuzz` looks for: how long a target may go on, and the file that it writes its number of inputs to.
const SECONDS: &str = "MALARIA_FUZZ_SECONDS";
const TALLY: &str = "MALARIA_FUZZ_TALLY";
/// Lines of a failure that are shown: its end says what went wrong and where the input lies.
const SHOWN: usize = 12;

/// Runs every target for its share of `seconds`, and prints a line for each. Fails where any does.
///
/// # Errors
/// Where cargo cannot be started or a crate does not build.
pub fn fuzz(root: &Path, own_libtorch: bool, seconds: u32) -> Result<ExitCode> {
    let test = |package: &str| {
        let mut command = cargo(root, own_libtorch);
        command.args(["test", "--quiet", "-p", package, "--test", "fuzz", "--"]);
        command
    };
    let mut targets = Vec::new();
    for package in CRATES {
        println!("building {package}");
        let listed = output(test(package).args(["--list", "--format", "terse"]))?;
        ensure!(listed.status.success(), "{package}: {}", tail(&listed.stderr));
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        let names = listed.lines().filter_map(|line| line.strip_suffix(": test"));
        targets.extend(names.map(|name| (package, name.to_owned())));
    }
    let tally = root.join("target/fuzz-tally");
    let mut failed = 0;
    for (package, name) in &targets {
        let _ = fs::remove_file(&tally);
        let started = Instant::now();
        let share = f64::from(seconds) / targets.len() as f64;
        let tried = output(
            test(package)
                .args(["--exact", name])
                .env(SECONDS, share.to_string())
                .env(TALLY, &tally)
                .env("RUST_BACKTRACE", "0"),
        )?;
        let seconds = started.elapsed().as_secs_f64();
        if !tried.status.success() {
            failed += 1;
            println!("{package} {name}: FAILED\n{}\n{}", tail(&tried.stdout), tail(&tried.stderr));
            continue;
        }
        // A test beside the targets, such as one of a single file, counts nothing.
        let line = fs::read_to_string(&tally).unwrap_or_default();
        let inputs = line.trim().rsplit(' ').next().filter(|inputs| !inputs.is_empty()).unwrap_or("no");
        println!("{package} {name}: {inputs} inputs in {seconds:.0} s");
    }
    let _ = fs::remove_file(&tally);
    println!("{} of {} targets failed", failed, targets.len());
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn output(command: &mut Command) -> Result<std::process::Output> {
    command.output().context("cannot start cargo")
}

fn tail(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(SHOWN)..].join("\n")
}
