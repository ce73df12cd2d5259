//! Fetches the archive, or the rest of it, by one HTTP request.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

use sha2::{Digest, Sha256};
use ureq::http::header::{CONTENT_RANGE, RANGE};

use super::{Download, DownloadConfig, DownloadProgress, Failure, give_up};
use crate::error::{Error, Result};

/// Bytes read at once.
const CHUNK: usize = 1 << 16;
/// First bytes of a zip archive that is not empty.
const ZIP: &[u8] = b"PK\x03\x04";
/// Number of bytes of another answer that a message shows.
const SHOWN: u64 = 40;

/// The bytes of the archive received so far: a file that is locked against other processes.
pub(super) struct Part {
    pub(super) path: PathBuf,
    pub(super) file: File,
    pub(super) len: u64,
    /// Whether the bytes come from more than one request.
    pub(super) resumed: bool,
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
    pub(super) fn clear(&mut self) -> Result<()> {
        (self.len, self.resumed) = (0, false);
        self.file.set_len(0).map_err(Error::io("write", &self.path))
    }

    /// Compares size and SHA-256 with the expected ones.
    pub(super) fn verify(&mut self, config: &DownloadConfig) -> Result<(), Failure> {
        check_size(config, self.len)?;
        let (mut hash, mut chunk) = (Sha256::new(), vec![0; CHUNK]);
        let read = Error::io("read", &self.path);
        self.file.seek(SeekFrom::Start(0)).map_err(&read)?;
        loop {
            match self.file.read(&mut chunk).map_err(&read)? {
                0 => break,
                length => hash.update(&chunk[..length]),
            }
        }
        let found = base16ct::lower::encode_string(&hash.finalize());
        let expected = &config.expected_sha256;
        if !found.eq_ignore_ascii_case(expected) {
            return give_up(format!("the archive has the SHA-256 {found}; expected {expected}"));
        }
        Ok(())
    }

    /// Keeps the bytes for the next call; an empty file is removed.
    pub(super) fn close(self) -> Result<()> {
        if self.len == 0 {
            return self.remove();
        }
        self.file.sync_all().map_err(Error::io("write", &self.path))
    }

    pub(super) fn remove(self) -> Result<()> {
        Ok(malaria_files::remove(&self.path)?)
    }
}

fn try_again<T>(problem: impl Into<String>) -> Result<T, Failure> {
    Err(Failure::Remote { problem: problem.into(), retry: true })
}

fn check_size(config: &DownloadConfig, found: u64) -> Result<(), Failure> {
    let expected = config.expected_bytes;
    if found == expected {
        return Ok(());
    }
    give_up(format!("the archive has {found} bytes; expected {expected}"))
}

/// An HTTP client for one address. Local addresses bypass the proxy.
pub(super) fn agent(config: &DownloadConfig, url: &str) -> ureq::Agent {
    let mut builder = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(config.connect_timeout))
        .timeout_per_read(Some(config.stall_timeout))
        .timeout_per_write(Some(config.stall_timeout))
        .user_agent(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")));
    let uri = url.parse::<ureq::http::Uri>();
    let host = uri.as_ref().ok().and_then(|uri| uri.host()).unwrap_or_default();
    if host == "localhost" || host == "[::1]" || host.starts_with("127.") {
        builder = builder.proxy(None);
    }
    builder.build().into()
}

impl Download<'_> {
    /// Requests the missing bytes and appends them to the part; replaces all of it if the server sends the whole archive.
    pub(super) fn fetch(&mut self, agent: &ureq::Agent, url: &str) -> Result<(), Failure> {
        let (config, have) = (self.config, self.part.len);
        if have >= config.expected_bytes {
            return Ok(());
        }
        self.report(DownloadProgress::Connecting { url: url.to_owned(), have })?;
        let mut request = agent.get(url);
        if have > 0 {
            request = request.header(RANGE, format!("bytes={have}-"));
        }
        let response = request.call().or_else(|error| try_again(describe(config, &error)))?;
        let range = response.headers().get(CONTENT_RANGE).and_then(|range| range.to_str().ok());
        match response.status().as_u16() {
            206 if range.is_some_and(|range| range.starts_with(&format!("bytes {have}-"))) => {
                self.part.resumed = true;
                self.receive(response.into_body().into_reader())
            }
            206 | 416 => {
                self.part.clear()?;
                try_again("the server sent another part of the archive than requested")
            }
            200 => {
                let size = response.body().content_length();
                let mut body = response.into_body().into_reader();
                let mut head = Vec::new();
                let read = body.by_ref().take(SHOWN).read_to_end(&mut head);
                read.or_else(|error| try_again(describe(config, &error.into())))?;
                if !head.starts_with(ZIP) {
                    let begins = head.escape_ascii();
                    return give_up(format!("the server did not send a zip archive but `{begins}…`"));
                }
                check_size(config, size.unwrap_or(config.expected_bytes))?;
                self.part.clear()?;
                self.receive(head.as_slice().chain(body))
            }
            // Overload and internal errors may pass; 408 and 429 ask for patience.
            status @ (408 | 429 | 500..=599) => {
                try_again(format!("the server answered with status {status}"))
            }
            status => give_up(format!("the server answered with status {status}")),
        }
    }

    fn receive(&mut self, mut body: impl Read) -> Result<(), Failure> {
        let total = self.config.expected_bytes;
        let write = Error::io("write", &self.part.path);
        self.part.file.seek(SeekFrom::Start(self.part.len)).map_err(&write)?;
        let mut chunk = vec![0; CHUNK];
        while self.part.len < total {
            let have = self.part.len;
            match body.read(&mut chunk) {
                Ok(0) => return try_again(format!("the connection ended after {have} of {total} bytes")),
                Ok(read) => {
                    self.part.file.write_all(&chunk[..read]).map_err(&write)?;
                    self.part.len += read as u64;
                    self.report(DownloadProgress::Receiving { received: self.part.len, total })?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return try_again(describe(self.config, &error.into())),
            }
        }
        Ok(())
    }
}

fn describe(config: &DownloadConfig, error: &ureq::Error) -> String {
    let stalled = match error {
        ureq::Error::Timeout(ureq::Timeout::PerRead | ureq::Timeout::PerWrite) => true,
        ureq::Error::Io(error) => matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock),
        _ => false,
    };
    if stalled {
        return format!("the server sent nothing for {} seconds", config.stall_timeout.as_secs_f64());
    }
    format!("the connection failed: {error}")
}
