//! `malaria build-dataset`: divides a folder of cells into training, validation and testing trees, as the tutorial's first step does.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::ValueEnum;
use malaria_resnet::dataset::{Index, Link, Protocol, SplitConfig, Subset, build_tree, split};

use crate::{
    flags,
    terminal::{note, print},
};

/// Divide a folder of cell images into training, validation and testing trees.
///
/// The originals stay where they are and nothing is ever deleted; running it again with the same settings adds what is
/// missing and leaves the rest.
#[derive(clap::Args)]
#[command(after_help = "\
Next:
  malaria train --data OUT --recipe tutorial

Research software, not a medical device.")]
pub(crate) struct Args {
    /// Folder of class folders
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Where to put the trees
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// How a file gets there
    #[arg(long, value_enum, default_value = "copy")]
    link: LinkArg,
    /// Seed of the shuffle
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = flags::seed, allow_negative_numbers = true)]
    seed: u64,
    /// What is dealt to the trees
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
    /// Whole patients, so that none is on two sides
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
    let index = Index::open(&args.data)?;
    let config = SplitConfig { protocol, seed: args.seed, ..SplitConfig::default() };
    let split = split(&index, &config)?;
    let report = build_tree(&index, &split, &args.out, link)?;
    for subset in Subset::ALL {
        print(format_args!("{:>10}: {} images", subset.folder(), split.subset(subset).len()))?;
    }
    let shared = split.leakage(&index).shared_patients.len();
    if shared > 0 {
        print(format_args!(
            "patients with cells in more than one tree: {shared}; figures will be better than on new patients"
        ))?;
    }
    for (what, groups) in [
        ("stand in more than one tree, byte for byte", report.duplicates_across),
        ("stand in folders of more than one class, so that one label is wrong", report.doubly_labelled),
    ] {
        if groups > 0 {
            note(format_args!("warning: pictures that {what}: {groups}; malaria train names them"));
        }
    }
    if index.ignored > 0 {
        note(format_args!("warning: left out as they are not images: {}", index.ignored));
    }
    print(format_args!(
        "{} images written, {} there already, in {}",
        report.written,
        report.kept,
        args.out.display()
    ))?;
    Ok(ExitCode::SUCCESS)
}
