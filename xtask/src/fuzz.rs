//! `cargo xtask fuzz`: feeds damaged files to every reader for a given time.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::cargo::cargo;

/// Crates with a test program `fuzz`.
const CRATES: [&str; 6] =
    ["malaria-dataset", "malaria-smear", "malaria-edge", "malaria-model", "malaria-train", "malaria-resnet"];
/// Tests in these programs that are not fuzz targets.
const PLAIN_TESTS: [&str; 1] = ["a_small_file_that_claims_to_be_large_takes_no_memory"];
/// Variables that `malaria_fuzz` reads: the time for a target, and the file for its number of inputs. If the names differed
/// from those in that crate, every target would fail here for lack of inputs or time.
const SECONDS: &str = "MALARIA_FUZZ_SECONDS";
const TALLY: &str = "MALARIA_FUZZ_TALLY";
/// Number of lines shown of a failure, whose end contains the reason and the path of the input.
const SHOWN: usize = 12;

/// Runs every target for its share of `seconds` and prints a line for each. The exit code is a failure if any target fails.
///
/// # Errors
/// If cargo cannot be started, or a crate does not build or has no target.
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
        let names: Vec<&str> = names.filter(|name| !PLAIN_TESTS.contains(name)).collect();
        ensure!(
            !names.is_empty(),
            "{package}: its test program `fuzz` has no target; see CRATES in xtask/src/fuzz.rs"
        );
        targets.extend(names.into_iter().map(|name| (package, name.to_owned())));
    }
    let tally = root.join("target/fuzz-tally");
    let share = f64::from(seconds) / targets.len() as f64;
    let mut failed = 0;
    for (package, name) in &targets {
        let _ = fs::remove_file(&tally);
        let started = Instant::now();
        let tried = output(
            test(package)
                .args(["--exact", name])
                .env(SECONDS, share.to_string())
                .env(TALLY, &tally)
                .env("RUST_BACKTRACE", "0"),
        )?;
        let seconds = started.elapsed().as_secs_f64();
        let inputs = inputs(&tally);
        if !tried.status.success() {
            failed += 1;
            println!("{package} {name}: FAILED\n{}\n{}", tail(&tried.stdout), tail(&tried.stderr));
        } else if inputs == 0 || seconds < share {
            failed += 1;
            println!(
                "{package} {name}: FAILED: {inputs} inputs in {seconds:.1} s; expected at least one, in {share:.1} s. \
                 A target must call `malaria_fuzz`; other tests belong in PLAIN_TESTS in xtask/src/fuzz.rs"
            );
        } else {
            println!("{package} {name}: {inputs} inputs in {seconds:.0} s");
        }
    }
    let _ = fs::remove_file(&tally);
    println!("{} of {} targets failed", failed, targets.len());
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn output(command: &mut Command) -> Result<std::process::Output> {
    command.output().context("cannot start cargo")
}

/// Sum of the numbers at the ends of the lines of a tally.
fn inputs(tally: &Path) -> u64 {
    let lines = fs::read_to_string(tally).unwrap_or_default();
    lines.lines().filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

fn tail(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(SHOWN)..].join("\n")
}
