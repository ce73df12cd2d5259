//! `malaria build-dataset`: divides a folder of cells into training, validation and testing trees, as the tutorial does first.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::ValueEnum;
use malaria_resnet::{
    Error,
    dataset::{Index, Link, Protocol, SplitConfig, Subset, build_tree, split},
};

use crate::{
    flags,
    terminal::{note, print},
};

/// Divide a folder of cell images into training, validation and testing trees.
///
/// The originals stay and nothing is ever deleted. The same command again adds the files that are missing.
#[derive(clap::Args)]
#[command(after_help = "\
Next:
  malaria train --data OUT --recipe tutorial

Research software, not a medical device.")]
pub(crate) struct Args {
    /// Folder of class folders
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    #[command(flatten)]
    patients: flags::Patients,
    /// Folder for the trees
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Copy the files, or link them
    #[arg(long, value_enum, default_value = "copy")]
    link: LinkArg,
    /// Seed of the shuffle
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = flags::seed, allow_negative_numbers = true)]
    seed: u64,
    /// Divide single cells or whole patients
    #[arg(long, value_enum, default_value = "random")]
    split: SplitArg,
}

#[derive(Clone, Copy, ValueEnum)]
enum LinkArg {
    Copy,
    Hard,
    Symlink,
}

#[derive(Clone, Copy, ValueEnum)]
enum SplitArg {
    /// Single cells, as in the tutorial
    Random,
    /// Whole patients, none of them in two trees
    Patient,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let link = match args.link {
        LinkArg::Copy => Link::Copy,
        LinkArg::Hard => Link::Hard,
        LinkArg::Symlink => Link::Symlink,
    };
    let protocol = match args.split {
        SplitArg::Random => Protocol::Random,
        SplitArg::Patient => Protocol::Patient,
    };
    let mut index = Index::open(&args.data).map_err(Error::from)?;
    index.set_patients(&args.patients.names().unwrap_or_default()).map_err(Error::from)?;
    let config = SplitConfig { protocol, seed: args.seed, ..SplitConfig::default() };
    let split = split(&index, &config).map_err(Error::from)?;
    let report = build_tree(&index, &split, &args.out, link)?;
    for subset in Subset::ALL {
        print(format_args!("{:>10}: {} images", subset.folder(), split.subset(subset).len()))?;
    }
    let shared = split.leakage(&index).shared_patients.len();
    if shared > 0 {
        print(format_args!(
            "patients with cells in more than one tree: {shared}; metrics will be better than on new patients"
        ))?;
    }
    if let Some(unknown) = index.unknown_patients() {
        note(format_args!("warning: {unknown}; {}", flags::TELL_PATIENTS));
    }
    for (what, groups) in [
        ("in more than one tree, byte for byte", report.duplicates_across),
        ("in folders of more than one class, so that one label is wrong", report.doubly_labelled),
    ] {
        if groups > 0 {
            note(format_args!("warning: pictures {what}: {groups}; malaria train names them"));
        }
    }
    if index.ignored > 0 {
        note(format_args!("warning: skipped, as they are not images: {}", index.ignored));
    }
    print(format_args!(
        "{} images written, {} there already, in {}",
        report.written,
        report.kept,
        args.out.display()
    ))?;
    Ok(ExitCode::SUCCESS)
}
