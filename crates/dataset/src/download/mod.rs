//! The NIH's cells from the NLM's server: download, resume, verify, unpack.
//!
//! In the folder asked for, `cell_images.zip.part` grows, with a note beside it on where it comes from; it is verified
//! and unpacked into a hidden temporary folder, which gets the name `cell_images` once everything in it is there. So
//! `cell_images` is whole whenever it exists. Of what a call that was cut off has left otherwise, the next one goes on with the
//! part of the archive and removes the temporary folder.

mod caller;
mod config;
mod fetch;
mod part;
pub(crate) mod problem;
mod unpack;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::new_folder::create_folder_whole;
pub use caller::DownloadProgress;
use caller::{Caller, FOLDER, Failure};
pub use config::DownloadConfig;
use fetch::{agent, fetch};
use part::Part;
pub use problem::DownloadProblem;
use unpack::{check_complete, unpack};

/// Longest wait between two attempts.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Downloads the cells to `out_dir/cell_images`, with a folder a class, and returns that path.
///
/// Where that folder is there and complete, this returns at once, without a look at the network. An interrupted
/// download goes on where it stopped, if the server can. Transfers that break off are tried again; an address that
/// gives something else than the archive is given up for the next one. Proxies are taken from the environment
/// (`HTTPS_PROXY`, `NO_PROXY` and so on), except for this machine's own addresses. `progress` is told what happens;
/// once `stop` is true, the download ends with the next bytes that come, or at once where it waits.
///
/// # Errors
/// What [`DownloadConfig::check`] refuses; [`Error::DownloadIncomplete`] where `cell_images` is there with another number of
/// images than expected; [`Error::DownloadBusy`] where another process is at it; [`Error::DownloadFailed`], with a
/// [`DownloadProblem`] for each address, where none gave the cells; [`Error::DownloadStopped`] after
/// `stop`; where `out_dir` cannot be written to. In no case is there a `cell_images` that is not whole; what has come in so
/// far stays for the next call.
pub fn download(
    config: &DownloadConfig,
    out_dir: &Path,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(DownloadProgress),
) -> Result<PathBuf> {
    config.check()?;
    let target = out_dir.join(FOLDER);
    if target.exists() {
        check_complete(&target, config)?;
        return Ok(target);
    }
    std::fs::create_dir_all(out_dir).map_err(Error::io("create the folder", out_dir))?;
    let mut part = Part::open(out_dir)?;
    if target.exists() {
        // Another process made it between the first look and the lock.
        part.remove()?;
        check_complete(&target, config)?;
        return Ok(target);
    }
    let mut caller = Caller { stop, progress };
    let mut failures = Vec::new();
    for url in &config.urls {
        match from_url(config, url, &mut part, &target, &mut caller) {
            Ok(()) => {
                part.remove()?;
                return Ok(target);
            }
            Err(Failure::Here(error)) => {
                part.close()?;
                return Err(error);
            }
            Err(Failure::There { problem, .. }) => {
                (caller.progress)(DownloadProgress::GivingUp {
                    url: url.clone(),
                    problem: problem.to_string(),
                });
                failures.push((url.clone(), problem));
            }
        }
    }
    part.close()?;
    Err(Error::DownloadFailed { path: target, failures })
}

/// Attempts at one address until it gives the cells, or has given none too often.
fn from_url(
    config: &DownloadConfig,
    url: &str,
    part: &mut Part,
    target: &Path,
    caller: &mut Caller<'_>,
) -> Result<(), Failure> {
    let agent = agent(config, url);
    let mut retries = 0;
    let mut longest = part.len();
    loop {
        let (problem, lasting) = match attempt(config, &agent, url, part, target, caller) {
            Err(Failure::There { problem, lasting }) => (problem, lasting),
            done => return done,
        };
        if part.len() > longest {
            // A poor line that gets further each time is not given up.
            longest = part.len();
            retries = 0;
        }
        if lasting || retries >= config.retries {
            return Err(Failure::There { problem, lasting });
        }
        let wait = config.first_wait.saturating_mul(1 << retries.min(16)).min(LONGEST_WAIT);
        caller.tell(DownloadProgress::Retrying { problem: problem.to_string(), wait })?;
        caller.wait(wait)?;
        retries += 1;
    }
}

fn attempt(
    config: &DownloadConfig,
    agent: &ureq::Agent,
    url: &str,
    part: &mut Part,
    target: &Path,
    caller: &mut Caller<'_>,
) -> Result<(), Failure> {
    if !part.is_whole(config.expected_bytes) {
        fetch(config, agent, url, part, caller)?;
    }
    caller.tell(DownloadProgress::Verifying)?;
    let checked = part
        .verify(config)
        .and_then(|()| create_folder_whole(target, |folder| unpack(part.file(), config, folder, caller)));
    match checked {
        Err(Failure::There { problem, lasting }) => {
            // Bytes from two requests may not belong together: then the address deserves a try in one go.
            let lasting = lasting && !part.is_spliced();
            part.clear()?;
            Err(Failure::There { problem, lasting })
        }
        done => done,
    }
}
