//! `malaria download`: fetches NLM's cells.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use malaria_resnet::dataset::{self, DownloadConfig};

use crate::{
    NOTICE,
    console::{Console, Style},
    terminal::{STOP, print, stop_on_signal},
};

/// Fetch NLM's data set (27,558 cells, about 350 MB) into ./cell_images, if it is not there.
///
/// An interrupted download resumes with the same command. The archive's size and SHA-256 are checked.
#[derive(clap::Args)]
#[command(before_help = "\
Examples:
  malaria download

Next:
  malaria train --data cell_images", after_help = NOTICE)]
pub(crate) struct Args {
    /// Fetch it from this URL instead; several are tried in turn
    #[arg(long, value_name = "URL")]
    url: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let console = Console::new(Style::Auto);
    stop_on_signal("saving")?;
    match fetch(&args.url, &console) {
        Ok(folder) => {
            print(format_args!("{}\nNext: malaria train --data {0}", folder.display()))?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => stopped(error, &console),
    }
}

/// Fetches the data set from one of `urls`, or from its default addresses, and returns its folder.
pub(crate) fn fetch(urls: &[String], console: &Console) -> dataset::Result<PathBuf> {
    let mut config = DownloadConfig::default();
    if !urls.is_empty() {
        config.urls = urls.to_vec();
    }
    dataset::download(&config, ".".as_ref(), &STOP, &mut |progress| console.download(progress))
}

/// The exit code after a download that was stopped on request; other errors are returned.
pub(crate) fn stopped(error: dataset::Error, console: &Console) -> Result<ExitCode> {
    match error {
        dataset::Error::DownloadStopped => {
            console.say(&error.to_string());
            Ok(ExitCode::from(130))
        }
        error => Err(error.into()),
    }
}
