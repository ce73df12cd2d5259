//! Downloads the NIH's cells from NLM: fetches with resume, verifies by SHA-256, unpacks.
//!
//! The archive grows in `cell_images.zip.part`, which the next call continues after an interruption. Only an archive with the
//! expected hash is unpacked, and `cell_images` is complete or does not exist.

mod config;
mod fetch;

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use zip::ZipArchive;
use zip::result::ZipResult;

use crate::error::{Error, Result};
use crate::file_names::is_image;
use crate::index::Index;
pub use config::DownloadConfig;
use fetch::{Part, agent};

/// Name of the folder that a download creates, and of the outer folder in the archive.
const FOLDER: &str = "cell_images";
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
    /// The hash is being checked.
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
    /// For a local reason, such as a full disk or a stop, for which no other address would help.
    Local(Error),
    /// Because of the server or the archive. With `retry` the same address may succeed later.
    Remote { problem: String, retry: bool },
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Local(error)
    }
}

impl From<ureq::Error> for Failure {
    fn from(error: ureq::Error) -> Self {
        Self::Remote { problem: format!("the connection failed: {error}"), retry: true }
    }
}

/// Downloads the cells to `out_dir/cell_images`, with one folder per class, and returns that path.
///
/// If that folder exists and is complete, this returns at once, without using the network. An interrupted download continues
/// where it stopped if the server supports it. Failed transfers are retried; then the next address is tried. Proxies are
/// taken from the environment (`HTTPS_PROXY`, `NO_PROXY` and so on), except for local addresses. `progress` is called with
/// each event. Once `stop` is true, the download ends when the next bytes arrive, or immediately if it is waiting for a
/// retry.
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
        let (found, expected) = (Index::open(&target)?.samples.len(), config.images);
        if found != expected {
            let reason =
                format!("holds {found} images; expected {expected}; move it away to download it again");
            return Err(Error::path(&target, reason));
        }
        return Ok(target);
    }
    fs::create_dir_all(out_dir).map_err(Error::io("create the folder", out_dir))?;
    let part = Part::open(out_dir.join("cell_images.zip.part"))?;
    let mut download = Download { config, part, stop, progress };
    let result = download.run(&target);
    if result.is_ok() || download.part.len == 0 {
        malaria_files::remove(&download.part.path)?;
    }
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
    /// Tries the addresses in turn, then unpacks.
    fn run(&mut self, target: &Path) -> Result<()> {
        let mut failures = Vec::new();
        for url in &self.config.urls {
            match self.try_url(url) {
                Ok(()) => return malaria_files::create_folder(target, |folder| self.unpack(folder)),
                Err(Failure::Local(error)) => return Err(error),
                Err(Failure::Remote { problem, .. }) => {
                    failures.push((url.clone(), problem.clone()));
                    self.report(DownloadProgress::GivingUp { url: url.clone(), problem })?;
                }
            }
        }
        Err(Error::Download { path: target.to_path_buf(), failures })
    }

    /// Tries one address until it succeeds, fails permanently, or has failed too often without progress.
    fn try_url(&mut self, url: &str) -> Result<(), Failure> {
        let agent = agent(self.config, url);
        let (mut retries, mut longest) = (0, self.part.len);
        loop {
            let problem = match self.fetch(&agent, url).and_then(|()| self.verify()) {
                Err(Failure::Remote { problem, retry: true }) => problem,
                done => return done,
            };
            if self.part.len > longest {
                (retries, longest) = (0, self.part.len);
            }
            if retries >= self.config.retries {
                return Err(Failure::Remote { problem, retry: false });
            }
            let wait = self.config.first_wait.saturating_mul(2_u32.saturating_pow(retries));
            self.report(DownloadProgress::Retrying { problem, wait })?;
            let start = Instant::now();
            while let Some(left) = wait.checked_sub(start.elapsed()) {
                sleep(left.min(STOP_INTERVAL));
                self.check_stop()?;
            }
            retries += 1;
        }
    }

    /// Unpacks the images and ignores other files. The contents of the archive are trusted because its hash was checked.
    fn unpack(&mut self, folder: &Path) -> Result<()> {
        let failed = Error::io("unpack", &self.part.path);
        let file = self.part.file.try_clone().map_err(&failed)?;
        let mut archive = ZipArchive::new(BufReader::new(file)).map_err(|error| failed(error.into()))?;
        let mut done = 0;
        for entry in 0..archive.len() {
            if unpack_image(&mut archive, entry, folder).map_err(|error| failed(error.into()))? {
                done += 1;
                self.report(DownloadProgress::Unpacking { done, total: self.config.images })?;
            }
        }
        Ok(())
    }

    fn report(&mut self, event: DownloadProgress) -> Result<()> {
        (self.progress)(event);
        self.check_stop()
    }

    fn check_stop(&self) -> Result<()> {
        if self.stop.load(Ordering::Relaxed) { Err(Error::DownloadStopped) } else { Ok(()) }
    }
}

/// Unpacks one entry of the archive, without the outer folder of its path, if it is an image.
fn unpack_image(archive: &mut ZipArchive<BufReader<File>>, entry: usize, folder: &Path) -> ZipResult<bool> {
    let mut entry = archive.by_index(entry)?;
    let Some(path) = entry.enclosed_name().filter(|path| is_image(path)) else { return Ok(false) };
    let path = folder.join(path.strip_prefix(FOLDER).unwrap_or(&path));
    fs::create_dir_all(path.parent().unwrap_or(folder))?;
    io::copy(&mut entry, &mut File::create(path)?)?;
    Ok(true)
}
