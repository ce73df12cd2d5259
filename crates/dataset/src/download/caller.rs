//! What a download tells its caller, and why an attempt fails.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::problem::DownloadProblem;
use crate::error::{Error, Result};

/// Name of the folder that a download makes.
pub(super) const FOLDER: &str = "cell_images";
/// How often a wait looks whether it is to be broken off.
const LOOK: Duration = Duration::from_millis(50);

/// What a download is about.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DownloadProgress {
    /// A request is sent.
    Connecting {
        /// Where to.
        url: String,
        /// Bytes that are there already and need not be sent again.
        have: u64,
    },
    /// Bytes have come in.
    Receiving {
        /// Bytes of the archive that are there.
        received: u64,
        /// Size of the archive in bytes, where the server or the settings tell it.
        total: Option<u64>,
    },
    /// An attempt failed, and another one follows.
    Retrying {
        /// What went wrong.
        problem: String,
        /// How long until the next attempt.
        wait: Duration,
    },
    /// An address is given up, and the next one follows where there is one.
    GivingUp {
        /// The address.
        url: String,
        /// What went wrong in the end.
        problem: String,
    },
    /// Size and hash are being checked.
    Verifying,
    /// An image was unpacked.
    Unpacking {
        /// Images unpacked.
        done: usize,
        /// Images in the archive.
        total: usize,
    },
}

/// The caller of a download: is told its progress and may stop it.
pub(super) struct Caller<'a> {
    pub(super) stop: &'a AtomicBool,
    pub(super) progress: &'a mut dyn FnMut(DownloadProgress),
}

impl Caller<'_> {
    pub(super) fn tell(&mut self, event: DownloadProgress) -> Result<()> {
        (self.progress)(event);
        self.check()
    }

    /// Fails once the download is to be stopped.
    pub(super) fn check(&self) -> Result<()> {
        if self.stop.load(Ordering::Relaxed) { Err(Error::DownloadStopped) } else { Ok(()) }
    }

    pub(super) fn wait(&self, wait: Duration) -> Result<()> {
        let start = Instant::now();
        while let Some(left) = wait.checked_sub(start.elapsed()) {
            self.check()?;
            sleep(left.min(LOOK));
        }
        self.check()
    }
}

/// Why an attempt came to nothing.
pub(super) enum Failure {
    /// For a reason on this side, such as a full disk: no other address would help.
    Here(Error),
    /// For a reason on the other side; where it is `lasting`, another attempt would meet it again.
    There { problem: DownloadProblem, lasting: bool },
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Here(error)
    }
}

impl From<DownloadProblem> for Failure {
    fn from(problem: DownloadProblem) -> Self {
        let lasting = problem.is_lasting();
        Self::There { problem, lasting }
    }
}
