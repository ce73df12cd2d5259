//! The tutorial's first step: `build_dataset CELLS OUT` copies cells at random into `training`, `validation` and `testing`.

#![allow(clippy::print_stdout, reason = "a program")]

use std::{env, path::PathBuf};

use anyhow::Context;
use malaria_resnet::dataset::{Index, Link, SplitConfig, Subset, build_tree, split};

fn main() -> anyhow::Result<()> {
    let mut paths = env::args_os().skip(1).map(PathBuf::from);
    let (cells, out) =
        paths.next().zip(paths.next()).context("usage: build_dataset FOLDER_OF_CELLS NEW_FOLDER")?;
    let index = Index::open(&cells)?;
    let split = split(&index, &SplitConfig::default())?;
    let report = build_tree(&index, &split, &out, Link::Copy)?;
    for subset in Subset::ALL {
        println!("{:>10}: {} images", subset.folder(), split.subset(subset).len());
    }
    // Patients shared between subsets inflate the metrics.
    println!("patients in more than one subset: {}", split.leakage(&index).shared_patients.len());
    println!("{} images written, {} there already, in {}", report.written, report.kept, out.display());
    Ok(())
}
