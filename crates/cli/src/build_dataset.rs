//! `malaria build-dataset`: divides a folder of cells into training, validation and testing trees, as the tutorial does first.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use malaria_resnet::{
    Error,
    dataset::{Index, Link, Protocol, SplitConfig, Subset, build_tree, ignored_note, split},
};

use crate::{
    NOTICE, flags,
    terminal::{note, print},
};

/// Divide a folder of cell images into training, validation and testing trees.
///
/// The originals are kept and nothing is deleted. Running the same command again adds missing files.
#[derive(clap::Args)]
#[command(before_help = "\
Examples:
  malaria build-dataset --data cell_images --out dataset

Next:
  malaria train --data OUT --recipe tutorial", after_help = NOTICE)]
pub(crate) struct Args {
    /// Folder of class folders
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    #[command(flatten)]
    patients: flags::Patients,
    /// Folder for the trees
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Copy or link the files
    #[arg(long, value_name = "copy|hard|symlink", default_value = "copy")]
    link: Link,
    /// Seed of the shuffle
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = flags::seed, allow_negative_numbers = true)]
    seed: u64,
    /// Assign single cells at random, as in the tutorial, or whole patients, each to one tree only
    #[arg(long, default_value = "random",
        value_parser = PossibleValuesParser::new(["random", "patient"]).try_map(|name| name.parse::<Protocol>()))]
    split: Protocol,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let mut index = Index::open(&args.data).map_err(Error::from)?;
    index.set_patients(&args.patients.names().unwrap_or_default()).map_err(Error::from)?;
    let config = SplitConfig { protocol: args.split, seed: args.seed, ..SplitConfig::default() };
    let split = split(&index, &config).map_err(Error::from)?;
    let report = build_tree(&index, &split, &args.out, args.link)?;
    for subset in Subset::ALL {
        print(format_args!("{:>10}: {} images", subset.folder(), split.subset(subset).len()))?;
    }
    let shared = split.leakage(&index).shared_patients.len();
    if shared > 0 {
        print(format_args!(
            "patients with cells in more than one tree: {shared}; metrics will be better than for new patients"
        ))?;
    }
    if let Some(unknown) = index.unknown_patients() {
        note(format_args!("warning: {unknown}; {}", flags::PATIENT_ADVICE));
    }
    if let Some(words) = index.similar_patients() {
        note(format_args!("warning: {words}"));
    }
    for (what, groups) in [
        ("in more than one tree, byte for byte", report.duplicates_across),
        ("in folders of more than one class, so one label is wrong", report.doubly_labelled),
    ] {
        if groups > 0 {
            note(format_args!("warning: pictures {what}: {groups}; malaria train lists them"));
        }
    }
    if let Some(words) = ignored_note(&index.ignored) {
        note(format_args!("warning: {words}"));
    }
    print(format_args!(
        "{} images written, {} there already, in {}",
        report.written,
        report.kept,
        args.out.display()
    ))?;
    Ok(ExitCode::SUCCESS)
}
