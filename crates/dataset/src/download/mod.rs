//! Downloads the NIH's cells from NLM: fetches with resume, verifies by SHA-256, unpacks.
//!
//! The archive grows in `cell_images.zip.part`, which the next call continues after an interruption. Only an archive with the
//! expected hash is unpacked, and `cell_images` is complete or does not exist.

mod config;
mod fetch;
mod unpack;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
pub use config::DownloadConfig;
use fetch::{Part, agent};
use unpack::wrong_count;

/// Name of the folder that a download creates.
const FOLDER: &str = "cell_images";
/// Longest wait between two attempts.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Interval at which a wait checks for a stop.
const STOP_INTERVAL: Duration = Duration::from_millis(50);

/// Progress of a download.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DownloadProgress {
    /// A request is sent.
    Connecting {
        /// The address.
        url: String,
        /// Bytes already received.
        have: u64,
    },
    /// Bytes were received.
    Receiving {
        /// Bytes of the archive received so far.
        received: u64,
        /// Size of the archive in bytes.
        total: u64,
    },
    /// An attempt failed, and another one follows.
    Retrying {
        /// What went wrong.
        problem: String,
        /// Time until the next attempt.
        wait: Duration,
    },
    /// All attempts at an address failed. The next address follows, if there is one.
    GivingUp {
        /// The address.
        url: String,
        /// The last problem.
        problem: String,
    },
    /// Size and hash are being checked.
    Verifying,
    /// An image was unpacked.
    Unpacking {
        /// Images unpacked so far.
        done: usize,
        /// Images in the archive.
        total: usize,
    },
}

/// Why an attempt failed.
enum Failure {
    /// For a local reason, such as a full disk or a stop: no other address would help.
    Local(Error),
    /// Because of the server or the archive. With `retry` the same address may succeed later.
    Remote { problem: String, retry: bool },
}

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Local(error.into())
    }
}

/// A failure that another attempt at the same address would meet again.
fn give_up<T>(problem: String) -> Result<T, Failure> {
    Err(Failure::Remote { problem, retry: false })
}

/// Downloads the cells to `out_dir/cell_images`, with one folder per class, and returns that path.
///
/// If that folder exists and is complete, this returns at once, without using the network. An interrupted
/// download continues where it stopped, if the server supports it. Failed transfers are retried, then the next address is tried.
/// Proxies are taken from the environment (`HTTPS_PROXY`, `NO_PROXY` and so on), except for local addresses. `progress` is called
/// with each event; once `stop` is true, the download ends with the next bytes, or at once if it is waiting for a retry.
///
/// # Errors
/// Those of [`DownloadConfig::check`]; [`Error::Path`] if `cell_images` exists with another number of
/// images, or another process is downloading to `out_dir`; [`Error::Download`] with the problem of each address if all of them
/// failed; [`Error::DownloadStopped`] after `stop`; [`Error::File`] if `out_dir` cannot be written. Bytes received so far
/// stay for the next call.
pub fn download(
    config: &DownloadConfig,
    out_dir: &Path,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(DownloadProgress),
) -> Result<PathBuf> {
    config.check()?;
    let target = out_dir.join(FOLDER);
    if target.exists() {
        return match wrong_count(&target, config)? {
            Some(count) => Err(Error::path(&target, format!("{count}; move it away to download it again"))),
            None => Ok(target),
        };
    }
    fs::create_dir_all(out_dir).map_err(Error::io("create the folder", out_dir))?;
    let part = Part::open(out_dir.join("cell_images.zip.part"))?;
    let mut download = Download { config, part, stop, progress };
    let result = download.run(&target);
    let closed = if result.is_ok() { download.part.remove() } else { download.part.close() };
    closed?;
    result.map(|()| target)
}

/// A running download.
struct Download<'a> {
    config: &'a DownloadConfig,
    part: Part,
    stop: &'a AtomicBool,
    progress: &'a mut dyn FnMut(DownloadProgress),
}

impl Download<'_> {
    /// Tries the addresses in turn.
    fn run(&mut self, target: &Path) -> Result<()> {
        let mut failures = Vec::new();
        for url in &self.config.urls {
            match self.try_url(url, target) {
                Ok(()) => return Ok(()),
                Err(Failure::Local(error)) => return Err(error),
                Err(Failure::Remote { problem, .. }) => {
                    failures.push((url.clone(), problem.clone()));
                    self.report(DownloadProgress::GivingUp { url: url.clone(), problem })?;
                }
            }
        }
        Err(Error::Download { path: target.to_path_buf(), failures })
    }

    /// Tries one address until it succeeds, fails for good, or has failed too often without progress.
    fn try_url(&mut self, url: &str, target: &Path) -> Result<(), Failure> {
        let agent = agent(self.config, url);
        let (mut retries, mut longest) = (0, self.part.len);
        loop {
            let fetched = self.fetch(&agent, url);
            let problem = match fetched.and_then(|()| self.verify_and_unpack(target)) {
                Err(Failure::Remote { problem, retry: true }) => problem,
                done => return done,
            };
            if self.part.len > longest {
                (retries, longest) = (0, self.part.len);
            }
            if retries >= self.config.retries {
                return give_up(problem);
            }
            let wait = self.config.first_wait.saturating_mul(1 << retries.min(16)).min(LONGEST_WAIT);
            self.report(DownloadProgress::Retrying { problem, wait })?;
            let start = Instant::now();
            while let Some(left) = wait.checked_sub(start.elapsed()) {
                sleep(left.min(STOP_INTERVAL));
                self.check_stop()?;
            }
            retries += 1;
        }
    }

    fn verify_and_unpack(&mut self, target: &Path) -> Result<(), Failure> {
        self.report(DownloadProgress::Verifying)?;
        let verified = self.part.verify(self.config);
        let result =
            verified.and_then(|()| malaria_files::create_folder(target, |folder| self.unpack(folder)));
        let Err(Failure::Remote { problem, .. }) = result else { return result };
        // Bytes of several requests may not fit together: then one request for all of them may succeed.
        let retry = self.part.resumed;
        self.part.clear()?;
        Err(Failure::Remote { problem, retry })
    }

    fn report(&mut self, event: DownloadProgress) -> Result<()> {
        (self.progress)(event);
        self.check_stop()
    }

    fn check_stop(&self) -> Result<()> {
        if self.stop.load(Ordering::Relaxed) { Err(Error::DownloadStopped) } else { Ok(()) }
    }
}
