//! Small archives, and folders to download to.

use std::fs;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use malaria_dataset::{DownloadConfig, Error, Index, Result, download};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::server::Server;

/// A stop flag that stays false.
pub(crate) static GO_ON: AtomicBool = AtomicBool::new(false);

pub(crate) const PART: &str = "cell_images.zip.part";

/// `bytes` pseudo-random bytes, which do not compress.
pub(crate) fn image(number: u32, bytes: u32) -> Vec<u8> {
    (0..bytes).map(|i| (i + 7 * number).wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect()
}

pub(crate) fn zip_of(entries: &[(String, Vec<u8>)], method: CompressionMethod) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        let options = SimpleFileOptions::default().compression_method(method);
        if name.ends_with('/') {
            zip.add_directory(name, options).unwrap();
        } else {
            zip.start_file(name, options).unwrap();
            zip.write_all(bytes).unwrap();
        }
    }
    zip.finish().unwrap().into_inner()
}

/// The layout of NLM's archive: an outer folder, two class folders with three images each, and Windows' files among them.
pub(crate) fn entries() -> Vec<(String, Vec<u8>)> {
    let mut entries = vec![("cell_images/".to_owned(), Vec::new())];
    for class in ["Parasitized", "Uninfected"] {
        entries.push((format!("cell_images/{class}/"), Vec::new()));
        for number in 0..3 {
            let name = format!("cell_images/{class}/C{number}_thinF_IMG_1_cell_{number}.png");
            entries.push((name, image(number, 900)));
        }
        entries.push((format!("cell_images/{class}/Thumbs.db"), b"thumbs".to_vec()));
    }
    entries
}

pub(crate) fn archive() -> Vec<u8> {
    zip_of(&entries(), CompressionMethod::Deflated)
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Settings for `archive`.
pub(crate) fn config(servers: &[&Server], archive: &[u8]) -> DownloadConfig {
    DownloadConfig {
        urls: servers.iter().map(|server| server.url.clone()).collect(),
        expected_bytes: archive.len() as u64,
        expected_sha256: sha256(archive),
        images_per_class: 3,
        stall_timeout: Duration::from_millis(300),
        retries: 2,
        first_wait: Duration::from_millis(1),
        ..DownloadConfig::default()
    }
}

pub(crate) struct Out(TempDir);

impl Out {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn download(&self, config: &DownloadConfig) -> Result<PathBuf> {
        download(config, self.path(), &GO_ON, &mut |_| {})
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let names = fs::read_dir(self.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// The folder holds every image, and there is nothing else.
    pub(crate) fn assert_done(&self) {
        assert_eq!(self.names(), ["cell_images"]);
        let index = Index::open(&self.path().join("cell_images")).unwrap();
        assert_eq!(index.classes, ["Parasitized", "Uninfected"]);
        assert_eq!((index.samples.len(), index.ignored), (6, 0));
        for (name, bytes) in entries().iter().filter(|(name, _)| name.ends_with(".png")) {
            assert_eq!(&fs::read(self.path().join(name)).unwrap(), bytes, "{name}");
        }
    }

    /// There is only the part, with the first `bytes` of the archive.
    pub(crate) fn assert_part(&self, archive: &[u8], bytes: usize) {
        assert_eq!(self.names(), [PART]);
        assert_eq!(fs::read(self.path().join(PART)).unwrap(), archive[..bytes]);
    }
}

/// The problem of the only address.
pub(crate) fn problem(result: Result<PathBuf>) -> String {
    match result {
        Err(Error::Download { mut failures, .. }) if failures.len() == 1 => failures.remove(0).1,
        other => panic!("{other:?}"),
    }
}
