//! The part of the archive that is there.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::caller::Failure;
use super::config::DownloadConfig;
use super::problem::DownloadProblem;
use crate::error::{Error, Result};

/// Where the bytes of a part come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) url: String,
    /// What the server knows this version of the file by: a strong `ETag`, or else its date.
    pub(super) validator: Option<String>,
    /// Size of the whole, in bytes, where the server told it.
    pub(super) total: Option<u64>,
}

/// A growing file, locked against other processes, and the note beside it on its source.
pub(super) struct Part {
    path: PathBuf,
    note: PathBuf,
    file: File,
    len: u64,
    source: Option<Source>,
    /// Whether the bytes came by more than one request.
    spliced: bool,
}

impl Part {
    pub(super) fn open(folder: &Path) -> Result<Self> {
        let path = folder.join("cell_images.zip.part");
        let note = folder.join("cell_images.zip.part.source");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(Error::io("open", &path))?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => Error::DownloadBusy { path: path.clone() },
            TryLockError::Error(error) => Error::io("lock", &path)(error),
        })?;
        let len = file.seek(SeekFrom::End(0)).map_err(Error::io("read", &path))?;
        let source = match fs::read_to_string(&note) {
            Ok(text) => read_note(&text),
            Err(_) => None,
        };
        Ok(Self { path, note, file, len, source, spliced: len > 0 })
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    pub(super) fn is_spliced(&self) -> bool {
        self.spliced
    }

    pub(super) fn source(&self) -> Option<&Source> {
        self.source.as_ref()
    }

    /// Whether all bytes are there, as far as their number tells.
    pub(super) fn is_whole(&self, expected: Option<u64>) -> bool {
        let total = expected.or(self.source.as_ref().and_then(|source| source.total));
        self.len > 0 && total == Some(self.len)
    }

    /// Throws the bytes away, to begin again.
    pub(super) fn clear(&mut self) -> Result<()> {
        self.source = None;
        self.spliced = false;
        self.len = 0;
        self.file
            .set_len(0)
            .and_then(|()| self.file.seek(SeekFrom::Start(0)))
            .map_err(Error::io("write", &self.path))?;
        remove_if_there(&self.note)
    }

    /// Throws the bytes away and notes where the next ones come from.
    pub(super) fn begin(&mut self, source: Source) -> Result<()> {
        self.clear()?;
        let note = write_note(&source);
        malaria_files::write(&self.note, note.as_bytes()).map_err(Error::io("write", &self.note))?;
        self.source = Some(source);
        Ok(())
    }

    /// Goes on behind the bytes that are there, with those of another request.
    pub(super) fn go_on(&mut self) -> Result<()> {
        self.spliced = true;
        self.file.seek(SeekFrom::Start(self.len)).map_err(Error::io("write", &self.path))?;
        Ok(())
    }

    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(Error::io("write", &self.path))?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Compares size and hash with what is expected.
    pub(super) fn verify(&mut self, config: &DownloadConfig) -> Result<(), Failure> {
        if let Some(expected) = config.expected_bytes.filter(|expected| *expected != self.len) {
            return Err(DownloadProblem::WrongSize { expected, found: self.len }.into());
        }
        let Some(expected) = &config.expected_sha256 else { return Ok(()) };
        let found = self.hash().map_err(Error::io("read", &self.path))?;
        if !found.eq_ignore_ascii_case(expected) {
            return Err(DownloadProblem::WrongHash { expected: expected.clone(), found }.into());
        }
        Ok(())
    }

    fn hash(&mut self) -> std::io::Result<String> {
        self.file.seek(SeekFrom::Start(0))?;
        let mut reader = BufReader::new(&self.file);
        let mut hash = Sha256::new();
        let mut chunk = vec![0; 1 << 16];
        loop {
            match reader.read(&mut chunk)? {
                0 => break,
                read => hash.update(&chunk[..read]),
            }
        }
        Ok(base16ct::lower::encode_string(&hash.finalize()))
    }

    /// Leaves the bytes for the next call; an empty part is removed.
    pub(super) fn close(self) -> Result<()> {
        if self.len == 0 {
            self.remove()
        } else {
            self.file.sync_all().map_err(Error::io("write", &self.path))
        }
    }

    pub(super) fn remove(self) -> Result<()> {
        remove_if_there(&self.note)?;
        remove_if_there(&self.path)
    }
}

fn remove_if_there(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", path)(error)),
        _ => Ok(()),
    }
}

/// One line each: address, validator, size; the last two may be empty. None of them can hold a line break.
fn write_note(source: &Source) -> String {
    let total = source.total.map_or_else(String::new, |total| total.to_string());
    format!("{}\n{}\n{total}\n", source.url, source.validator.as_deref().unwrap_or_default())
}

/// A note that cannot be understood is as none: the download begins again.
fn read_note(text: &str) -> Option<Source> {
    let mut lines = text.lines();
    let [url, validator, total] = [lines.next()?, lines.next()?, lines.next()?];
    Some(Source {
        url: url.to_owned(),
        validator: (!validator.is_empty()).then(|| validator.to_owned()),
        total: total.parse().ok(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_reads_back() {
        let full = Source { url: "http://a/b".into(), validator: Some("\"x y\"".into()), total: Some(12) };
        let bare = Source { url: "http://a/b".into(), validator: None, total: None };
        for source in [full, bare] {
            assert_eq!(read_note(&write_note(&source)), Some(source));
        }
        assert_eq!(read_note("http://a/b\n"), None);
    }
}
