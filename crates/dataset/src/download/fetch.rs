//! Fetches the archive, or its missing part, with one HTTP request.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::time::Duration;

use sha2::{Digest, Sha256};
use ureq::http::header::{CONTENT_RANGE, RANGE};

use super::{Download, DownloadConfig, DownloadProgress, Failure};
use crate::error::{Error, Result};

/// Bytes read at once.
const CHUNK: usize = 1 << 16;
/// Time limit for connecting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// The bytes of the archive received so far, in a file that is locked against other processes.
pub(super) struct Part {
    pub(super) path: PathBuf,
    pub(super) file: File,
    pub(super) len: u64,
    /// Whether the bytes come from more than one request.
    resumed: bool,
}

impl Part {
    pub(super) fn open(path: PathBuf) -> Result<Self> {
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).clone();
        let mut file = options.open(&path).map_err(Error::io("open", &path))?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => {
                Error::path(&path, "is being written by another process; wait for it to end")
            }
            TryLockError::Error(error) => Error::io("lock", &path)(error),
        })?;
        let len = file.seek(SeekFrom::End(0)).map_err(Error::io("read", &path))?;
        Ok(Self { path, file, len, resumed: len > 0 })
    }

    /// Discards all bytes.
    fn clear(&mut self) -> Result<()> {
        (self.len, self.resumed) = (0, false);
        self.file.set_len(0).map_err(Error::io("write", &self.path))
    }

    fn sha256(&mut self) -> io::Result<String> {
        self.file.rewind()?;
        let (mut hash, mut chunk) = (Sha256::new(), vec![0; CHUNK]);
        loop {
            match self.file.read(&mut chunk)? {
                0 => return Ok(base16ct::lower::encode_string(&hash.finalize())),
                length => hash.update(&chunk[..length]),
            }
        }
    }
}

/// An HTTP client for one address. Local addresses bypass the proxy.
pub(super) fn agent(config: &DownloadConfig, url: &str) -> ureq::Agent {
    let mut builder = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_per_read(Some(config.stall_timeout))
        .user_agent(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")));
    if ["http://localhost", "http://127.", "http://[::1]"].iter().any(|local| url.starts_with(local)) {
        builder = builder.proxy(None);
    }
    builder.build().into()
}

impl Download<'_> {
    /// Requests the missing bytes and appends them to the part; replaces the part if the server sends the whole archive.
    pub(super) fn fetch(&mut self, agent: &ureq::Agent, url: &str) -> Result<(), Failure> {
        let (total, have) = (self.config.expected_bytes, self.part.len);
        if have >= total {
            return Ok(());
        }
        self.report(DownloadProgress::Connecting { url: url.to_owned(), have })?;
        let mut request = agent.get(url);
        if have > 0 {
            request = request.header(RANGE, format!("bytes={have}-"));
        }
        let response = request.call()?;
        let range = response.headers().get(CONTENT_RANGE).and_then(|range| range.to_str().ok());
        let (bytes, kind) = (response.body().content_length().unwrap_or(total), response.body().mime_type());
        let (problem, retry) = match response.status().as_u16() {
            206 if range.is_some_and(|range| range.starts_with(&format!("bytes {have}-"))) => {
                self.part.resumed = true;
                return self.receive(response.into_body().into_reader());
            }
            206 | 416 => {
                self.part.clear()?;
                ("the server sent another part of the archive than requested".to_owned(), true)
            }
            // The page of a network that requires a login. The received bytes are kept.
            200 if kind == Some("text/html") => {
                ("the server sent a web page, not the archive".to_owned(), false)
            }
            200 if bytes != total => (format!("the archive has {bytes} bytes; expected {total}"), false),
            200 => {
                self.part.clear()?;
                return self.receive(response.into_body().into_reader());
            }
            // Overload and internal errors may be temporary; 408 and 429 ask to try again later.
            status => {
                let problem = format!("the server answered with status {status}");
                (problem, matches!(status, 408 | 429 | 500..=599))
            }
        };
        Err(Failure::Remote { problem, retry })
    }

    fn receive(&mut self, mut body: impl Read) -> Result<(), Failure> {
        let total = self.config.expected_bytes;
        let write = Error::io("write", &self.part.path);
        self.part.file.seek(SeekFrom::Start(self.part.len)).map_err(&write)?;
        let mut chunk = vec![0; CHUNK];
        while self.part.len < total {
            let read = body.read(&mut chunk).map_err(ureq::Error::from)?;
            if read == 0 {
                let problem = format!("the connection ended after {} of {total} bytes", self.part.len);
                return Err(Failure::Remote { problem, retry: true });
            }
            self.part.file.write_all(&chunk[..read]).map_err(&write)?;
            self.part.len += read as u64;
            self.report(DownloadProgress::Receiving { received: self.part.len, total })?;
        }
        Ok(())
    }

    /// Compares the SHA-256 with the expected one, and discards all bytes if they differ.
    pub(super) fn verify(&mut self) -> Result<(), Failure> {
        self.report(DownloadProgress::Verifying)?;
        let found = self.part.sha256().map_err(Error::io("read", &self.part.path))?;
        let expected = &self.config.expected_sha256;
        if found == *expected {
            return Ok(());
        }
        let problem = format!("the archive has the SHA-256 {found}; expected {expected}");
        // Bytes from several requests may be inconsistent; a single request for all bytes may then succeed.
        let retry = self.part.resumed;
        self.part.clear()?;
        Err(Failure::Remote { problem, retry })
    }
}
