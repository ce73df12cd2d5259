//! `cargo xtask fuzz`: damaged files for everything that reads files, for as long as one likes.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::{cargo::cargo, interrupt};

/// Crates whose tests `fuzz` damage files.
const CRATES: [&str; 5] =
    ["malaria-dataset", "malaria-edge", "malaria-model", "malaria-train", "malaria-resnet"];
/// Tests among them that are no targets: each shows a reader a few files of its own.
const PLAIN_TESTS: [&str; 1] = ["a_small_file_that_claims_to_be_large_takes_no_memory"];
/// What `malaria_fuzz` looks for: how long a target may go on, and the file that it writes its number of inputs to. Were the
/// names others there, every target would fail here, for no inputs or too little time.
const SECONDS: &str = "MALARIA_FUZZ_SECONDS";
const TALLY: &str = "MALARIA_FUZZ_TALLY";
/// Lines of a failure that are shown: its end says what went wrong and where the input lies.
const SHOWN: usize = 12;

/// Runs every target for its share of `seconds`, and prints a line for each. Fails where any does.
///
/// # Errors
/// Where cargo cannot be started, a crate does not build or has no target, or a signal comes.
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
            "{package}: its tests `fuzz` hold no target; see CRATES in xtask/src/fuzz.rs"
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
                "{package} {name}: FAILED: {inputs} inputs in {seconds:.1} s; expected some, and {share:.1} s. See \
                 that it calls `malaria_fuzz`; a test that does not belongs in PLAIN_TESTS in xtask/src/fuzz.rs"
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
    let output = command.output().context("cannot start cargo")?;
    // A Ctrl-C goes to cargo and to this program, which listens to it once it has set up libtorch.
    interrupt::check()?;
    Ok(output)
}

/// What a tally comes to: each line ends with a number of inputs.
fn inputs(tally: &Path) -> u64 {
    let lines = fs::read_to_string(tally).unwrap_or_default();
    lines.lines().filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

fn tail(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(SHOWN)..].join("\n")
}
