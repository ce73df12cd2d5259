//! The tutorial's 97 % experiment, from a folder of cells to a page of results. `malaria train` has all options.

#![allow(clippy::print_stdout, reason = "a program")]

use std::{path::PathBuf, sync::atomic::AtomicBool};

use clap::Parser;
use malaria_resnet::{
    Context, ExperimentConfig, Progress, Recipe, dataset::Protocol, default_data, default_protocol,
    libtorch::DeviceChoice, metrics::classification_report, plot_history, train, train::Event,
};

/// Train a malaria cell classifier and evaluate it. `malaria train` has more options and can resume an interrupted run.
#[derive(Parser)]
struct Args {
    /// Folder of class folders [default: MALARIA_DATA, ./cell_images, or synthetic cells]
    #[arg(long)]
    data: Option<PathBuf>,
    /// Run directory to create
    #[arg(long, default_value = "runs/example")]
    out: PathBuf,
    #[arg(long, default_value = "fast", value_name = "fast|tutorial|best|field")]
    recipe: Recipe,
    #[arg(long, value_name = "random|patient|given|all")]
    split: Option<Protocol>,
    #[arg(long)]
    epochs: Option<u64>,
    #[arg(long, default_value_t = 0)]
    seed: u64,
    #[arg(long, default_value = "auto")]
    device: DeviceChoice,
    #[arg(long, value_name = "LOSS_AND_ACCURACY.svg|png")]
    plot: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let data = args.data.map_or_else(default_data, |data| Ok(Some(data)))?;
    let protocol = args.split.unwrap_or_else(|| default_protocol(data.as_deref()));
    let mut config = ExperimentConfig { data, ..ExperimentConfig::new(args.recipe, protocol, args.seed) };
    if config.data.is_none() {
        println!("no data given: using synthetic cells, whose metrics say nothing about malaria");
        config.adapt_to_synthetic_cells();
    }
    args.epochs.into_iter().for_each(|epochs| config.set_epochs(epochs));
    config.device = args.device;
    let listener = |progress: Progress<'_>| {
        if let Progress::Training(Event::EpochEnded { record, .. }) = progress {
            println!("epoch {:>3}: loss {:.4}, {:.0} s", record.epoch, record.train_loss, record.seconds);
        }
    };
    let context = Context { command: "train_malaria", stop: &AtomicBool::new(false), listener: &listener };
    let summary = train(&config, &args.out, context)?;
    args.plot.map_or(Ok(()), |path| plot_history(&summary.run, &path))?;
    if let Some(test) = summary.metrics.map(|metrics| metrics.test) {
        println!("{}", classification_report(&test.confusion, &test.classes, None)?);
    }
    summary.files.iter().for_each(|file| println!("written: {}", file.display()));
    Ok(())
}
