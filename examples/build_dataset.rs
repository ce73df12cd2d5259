//! The tutorial's first step: `build_dataset CELLS OUT` deals cells at random to `training`, `validation` and `testing`.

#![allow(clippy::print_stdout, reason = "what a program is there for")]

use std::{env, path::PathBuf};

use anyhow::Context;
use malaria_resnet::dataset::{Index, Link, SplitConfig, Subset, build_tree, split};

fn main() -> anyhow::Result<()> {
    let mut paths = env::args_os().skip(1).map(PathBuf::from);
    let (cells, out) =
        paths.next().zip(paths.next()).context("expected two folders: of cells, and to make")?;
    let index = Index::open(&cells)?;
    let split = split(&index, &SplitConfig::default())?;
    let report = build_tree(&index, &split, &out, Link::Copy)?;
    for subset in Subset::ALL {
        println!("{:>10}: {} images", subset.folder(), split.subset(subset).len());
    }
    // Cells of one patient on both sides make the figures look better than they are on new patients.
    println!("patients in more than one of them: {}", split.leakage(&index).shared_patients.len());
    println!("{} images written, {} there already, in {}", report.written, report.kept, out.display());
    Ok(())
}
